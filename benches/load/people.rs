//! Persons and devices by their number: `benches/measuring/people.py` writes them with the same ids.

use uuid::Uuid;

/// Where in a list of so many partners the partner is whose person has that number.
pub(crate) fn partner(number: u64, partners: usize) -> usize {
    usize::try_from(number % partners as u64).expect("less than there are partners")
}

/// The id of the person of that number: one like any other, so that neighbours are not neighbours in an index.
pub(crate) fn person(number: u64) -> String {
    format!("person-{:010}", number.wrapping_mul(2_654_435_761) % (1 << 32))
}

/// The mobile number of the person of that number, in E.164.
pub(crate) fn mobile_number(number: u64) -> String {
    format!("+49151{number:08}")
}

/// The id of the bound device of the person of that number.
pub(crate) fn device(number: u64) -> Uuid {
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 | u128::from(number))
}
