//! Persons and devices by their number, with the same ids as `benches/measuring/people.py` inserts.

use uuid::Uuid;

/// The index of the partner of a person in a list of this many partners.
pub(crate) fn partner(number: u64, partners: usize) -> usize {
    usize::try_from(number % partners as u64).expect("less than the number of partners")
}

/// The id of a person. Consecutive numbers are not neighbours in an index.
pub(crate) fn person(number: u64) -> String {
    format!("person-{:010}", number.wrapping_mul(2_654_435_761) % (1 << 32))
}

/// The mobile number of a person, in E.164.
pub(crate) fn mobile_number(number: u64) -> String {
    format!("+49151{number:08}")
}

/// The id of the bound device of a person.
pub(crate) fn device(number: u64) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(number))
}
