//! The [`Dialect`] of SQLite. There is one writer at a time.
//!
//! A statement costs no network round trip, but each call of the driver costs two thread wake-ups, which take as long
//! as the statement itself. So one call takes several statements.

use sqlx::Sqlite;

use crate::store::challenges::binding::lock_verified_number;
use crate::store::challenges::code::open_code;
use crate::store::dialect::Dialect;
use crate::store::sms::usage::{last_sms_for_person, last_sms_to_number};
use crate::store::statement::Call;

/// Commits a write of an unused value. No cheaper statement detects a read-only file or a full disk.
pub(super) const PROVE_WRITABLE: &str = "begin immediate; pragma user_version = 0; commit";

impl Dialect for Sqlite {
    const CALL: Call = Call::Text;

    const SYSTEM: &'static str = "sqlite";

    const BEGIN_WRITE: &'static str = "begin immediate";

    // SQLite always uses a suitable index.
    const BEGIN_IN_ORDER: &'static str = "begin";

    const PROVE_WRITABLE: Option<&'static str> = Some(PROVE_WRITABLE);

    // With one writer no row needs a lock.
    const LOCK_VERIFIED_NUMBER: &'static str = lock_verified_number!("");
    const OPEN_NUMBER_CODE: &'static str = open_code!("number", "", "");
    const OPEN_SMS_CHALLENGE: &'static str = open_code!("sms", "and verified_at is not null", "");
    const LAST_SMS_TO_NUMBER: &'static str = last_sms_to_number!("");
    const LAST_SMS_FOR_PERSON: &'static str = last_sms_for_person!("");
}
