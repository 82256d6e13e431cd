//! Twilio's error codes for messages, classified by cause.
//!
//! From Twilio's error dictionary (twilio.com/docs/api/errors). Twilio splits and adds codes over time: an unknown code
//! does not reject the phone number, and another provider is tried. `docs/operations.md` has the same table, and a test
//! compares both.

use std::ops::RangeInclusive;

/// The cause of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// The phone number: no provider can deliver to it.
    Number,
    /// A rate limit.
    Rate,
    /// The credentials, account, sender or request: no message can be sent.
    Account,
    /// The route between the sender and this number: other numbers, and this number by another provider, may be
    /// reachable.
    Route,
}

/// Error codes with one meaning.
#[derive(Debug)]
pub struct Numbers {
    /// The cause.
    pub blame: Blame,
    /// The meaning, as in `docs/operations.md`.
    pub meaning: &'static str,
    /// Twilio's error codes.
    pub codes: &'static [RangeInclusive<u32>],
}

const fn numbers(blame: Blame, meaning: &'static str, codes: &'static [RangeInclusive<u32>]) -> Numbers {
    Numbers { blame, meaning, codes }
}

/// The error codes with which Twilio can refuse a message.
pub const TABLE: [Numbers; 10] = [
    numbers(Blame::Number, "no such number or phone", &[21211..=21211, 21217..=21217, 30005..=30005]),
    numbers(
        Blame::Number,
        "fixed line, short code, premium or information service",
        &[21265..=21265, 21268..=21268, 21614..=21614, 21635..=21635, 30006..=30006],
    ),
    numbers(Blame::Number, "the person has unsubscribed", &[21610..=21610]),
    numbers(Blame::Number, "the number range is blocked because of SMS pumping", &[30450..=30450]),
    numbers(
        Blame::Rate,
        "too many requests, a full queue, an exhausted daily limit",
        &[
            14107..=14107,
            20429..=20429,
            21611..=21611,
            30001..=30001,
            30022..=30023,
            30027..=30027,
            63018..=63018,
            63038..=63038,
        ],
    ),
    numbers(
        Blame::Account,
        "credentials refused, account inactive, suspended or on trial, resource unknown, no permission",
        &[10001..=10002, 20001..=20008, 20403..=20404, 21608..=21608, 30002..=30002],
    ),
    numbers(
        Blame::Account,
        "the sender is missing, belongs to another account, is not registered or cannot send",
        &[
            21210..=21210,
            21212..=21213,
            21266..=21267,
            21601..=21601,
            21603..=21603,
            21606..=21606,
            21659..=21661,
            30024..=30024,
            30032..=30035,
            30037..=30037,
        ],
    ),
    numbers(Blame::Account, "the messaging service is unknown or has no sender", &[21701..=21705]),
    numbers(
        Blame::Account,
        "the request is invalid: no text, no recipient, too long, a bad parameter",
        &[21602..=21602, 21604..=21605, 21609..=21609, 21617..=21628, 30010..=30010],
    ),
    numbers(
        Blame::Route,
        "the country is not enabled, no route from the sender, refused by a network on the route",
        &[21408..=21408, 21612..=21612, 21616..=21616, 30003..=30004, 30007..=30008, 30038..=30041],
    ),
];

/// The cause for this error code; `None` when it is not in the table.
#[must_use]
pub fn blame(code: u32) -> Option<Blame> {
    TABLE.iter().find(|numbers| numbers.codes.iter().any(|codes| codes.contains(&code))).map(|numbers| numbers.blame)
}
