//! What SQLite says in its own way. There is one writer at a time.
//!
//! A statement costs no round trip, but each time that the driver is asked for something two threads wake each other, which
//! takes as long as the statement does. So one call takes several statements.

use sqlx::Sqlite;

use crate::store::challenges::binding::hold_verified_number;
use crate::store::challenges::number::open_number_code;
use crate::store::dialect::Dialect;
use crate::store::sms::usage::{last_sms_for_person, last_sms_to_number};
use crate::store::statement::Call;

/// Writes something that nothing reads, and makes it last: a file that cannot be written, or a disk that is full, is met by
/// nothing less.
pub(super) const PROVE_WRITABLE: &str = "begin immediate; pragma user_version = 0; commit";

impl Dialect for Sqlite {
    const CALL: Call = Call::Text;

    const BEGIN_WRITE: &'static str = "begin immediate";

    // It follows an index that fits in any case.
    const BEGIN_IN_ORDER: &'static str = "begin";

    const PROVE_WRITABLE: Option<&'static str> = Some(PROVE_WRITABLE);

    // Nothing has to be held against another writer.
    const HOLD_VERIFIED_NUMBER: &'static str = hold_verified_number!("");
    const OPEN_NUMBER_CODE: &'static str = open_number_code!("");
    const LAST_SMS_TO_NUMBER: &'static str = last_sms_to_number!("");
    const LAST_SMS_FOR_PERSON: &'static str = last_sms_for_person!("");
}
