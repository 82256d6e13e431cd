//! The [`Dialect`] of Postgres.

use sqlx::Postgres;

use crate::store::challenges::binding::lock_verified_number;
use crate::store::challenges::code::open_code;
use crate::store::dialect::Dialect;
use crate::store::sms::usage::{last_sms_for_person, last_sms_to_number};
use crate::store::statement::Call;

impl Dialect for Postgres {
    const CALL: Call = Call::Statement;

    const SYSTEM: &'static str = "postgresql";

    const BEGIN_WRITE: &'static str = "begin";

    // For a partner that the planner's statistics do not contain it would sort all rows to find the first ones.
    const BEGIN_IN_ORDER: &'static str = "begin; set local enable_sort = off; set local enable_bitmapscan = off";

    // While the primary is down, a standby still serves reads, and no replica can write: readiness must not fail on all
    // of them.
    const PROVE_WRITABLE: Option<&'static str> = None;

    const LOCK_VERIFIED_NUMBER: &'static str = lock_verified_number!("for key share");
    const OPEN_NUMBER_CODE: &'static str = open_code!("number", "", "for key share");
    const OPEN_SMS_CHALLENGE: &'static str = open_code!("sms", "and verified_at is not null", "for key share");

    // The lock prevents erasure and housekeeping from deleting the row. A row that one of them has locked is skipped
    // instead of waited for: it is about to be deleted and thus no longer the last one, and skipping avoids a deadlock
    // between two such rows.
    const LAST_SMS_TO_NUMBER: &'static str = last_sms_to_number!("for key share skip locked");
    const LAST_SMS_FOR_PERSON: &'static str = last_sms_for_person!("for key share skip locked");
}
