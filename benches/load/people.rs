//! Persons and devices by their number: `bench/measuring/people.sql` writes them with the same ids.

use uuid::Uuid;

/// The id of the person of that number.
pub(crate) fn person(number: u64) -> String {
    format!("person-{number:012}")
}

/// The mobile number of the person of that number, in E.164.
pub(crate) fn mobile_number(number: u64) -> String {
    format!("+49151{number:08}")
}

/// The id of the bound device of the person of that number.
pub(crate) fn device(number: u64) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(number))
}
