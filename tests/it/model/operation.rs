//! Random operations: calls of the API by clients, commands of operators, background tasks, and faults of the network.

use std::ops::RangeInclusive;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::harness::Network;

/// Few persons, phones and numbers, so that operations often conflict.
pub(super) const PERSONS: [&str; 3] = ["ada", "bob", "eve"];
pub(super) const NUMBERS: [&str; 3] = ["+4915112345678", "+4915187654321", "+4915187651678"];
pub(super) const PHONES: u32 = 5;

/// An answer of a phone or a person.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reply {
    Right,
    Wrong,
    /// The last right answer, repeated.
    Repeated,
    Malformed,
}

/// A call of the API by the client of a person.
#[derive(Clone, Copy, Debug)]
pub(super) enum Call {
    CreateNumber {
        person: usize,
        number: usize,
    },
    AssertNumber {
        person: usize,
        number: usize,
    },
    DeleteNumber {
        person: usize,
    },
    /// For the person's own number, or for `other`, which may belong to another person.
    Authorize {
        person: usize,
        other: Option<usize>,
    },
    Confirm {
        person: usize,
        other: Option<usize>,
        reply: Reply,
    },
    RequestDevice {
        person: usize,
        phone: u32,
    },
    Answer {
        person: usize,
        reply: Reply,
    },
    AddKey {
        person: usize,
        phone: u32,
        reply: Reply,
    },
    DeleteDevice {
        person: usize,
    },
    ListDevices {
        person: usize,
    },
    /// For the person's bound device.
    OpenChallenge {
        person: usize,
        approval: bool,
    },
    /// Answers the newest or the oldest open challenge of the person's devices.
    Sign {
        person: usize,
        newest: bool,
        declined: bool,
        reply: Reply,
    },
    CreateActivationCode {
        person: usize,
        /// Sets `invalidate_existing_code`.
        replace: bool,
    },
    /// With the person's activation code in place of an SMS.
    RequestDeviceByCode {
        person: usize,
        phone: u32,
    },
}

impl Call {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CreateNumber { .. } => "create number",
            Self::AssertNumber { .. } => "assert number",
            Self::DeleteNumber { .. } => "delete number",
            Self::Authorize { .. } => "authorize",
            Self::Confirm { .. } => "confirm",
            Self::RequestDevice { .. } => "request device",
            Self::Answer { .. } => "answer",
            Self::AddKey { .. } => "add key",
            Self::DeleteDevice { .. } => "delete device",
            Self::ListDevices { .. } => "list devices",
            Self::OpenChallenge { .. } => "open challenge",
            Self::Sign { declined: false, .. } => "approve",
            Self::Sign { declined: true, .. } => "decline",
            Self::CreateActivationCode { .. } => "create activation code",
            Self::RequestDeviceByCode { .. } => "request device by code",
        }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Operation {
    /// A request, perhaps with an idempotency key.
    Request(Call, Option<u8>),
    Erase {
        person: usize,
    },
    Housekeeping,
    SealAuditTrail,
    /// Time advances by seconds; sometimes a clock is set back.
    Wait(i64),
    Network(Network),
}

fn replies() -> impl Strategy<Value = Reply> {
    prop_oneof![4 => Just(Reply::Right), 3 => Just(Reply::Wrong), 1 => Just(Reply::Repeated), 1 => Just(Reply::Malformed)]
}

pub(super) fn calls() -> impl Strategy<Value = Call> {
    let (person, number) = (0..PERSONS.len(), 0..NUMBERS.len());
    let other = prop_oneof![5 => Just(None), 1 => number.clone().prop_map(Some)];
    prop_oneof![
        2 => (person.clone(), number.clone()).prop_map(|(person, number)| Call::CreateNumber { person, number }),
        4 => (person.clone(), number).prop_map(|(person, number)| Call::AssertNumber { person, number }),
        1 => person.clone().prop_map(|person| Call::DeleteNumber { person }),
        3 => (person.clone(), other.clone()).prop_map(|(person, other)| Call::Authorize { person, other }),
        4 => (person.clone(), other, replies())
                .prop_map(|(person, other, reply)| Call::Confirm { person, other, reply }),
        10 => (person.clone(), 0..PHONES).prop_map(|(person, phone)| Call::RequestDevice { person, phone }),
        14 => (person.clone(), replies()).prop_map(|(person, reply)| Call::Answer { person, reply }),
        4 => (person.clone(), 0..PHONES, replies())
                .prop_map(|(person, phone, reply)| Call::AddKey { person, phone, reply }),
        1 => person.clone().prop_map(|person| Call::DeleteDevice { person }),
        2 => person.clone().prop_map(|person| Call::ListDevices { person }),
        6 => (person.clone(), any::<bool>()).prop_map(|(person, approval)| Call::OpenChallenge { person, approval }),
        8 => (person.clone(), any::<bool>(), prop::bool::weighted(0.3), replies())
                .prop_map(|(person, newest, declined, reply)| Call::Sign { person, newest, declined, reply }),
        2 => (person.clone(), any::<bool>())
                .prop_map(|(person, replace)| Call::CreateActivationCode { person, replace }),
        3 => (person, 0..PHONES).prop_map(|(person, phone)| Call::RequestDeviceByCode { person, phone }),
    ]
}

/// Mostly about challenges of bound devices, and activation codes that bind more devices.
pub(super) fn challenge_calls() -> impl Strategy<Value = Call> {
    // Most calls are about one person, so that a device reaches its limits.
    let person = prop_oneof![4 => Just(0), 1 => 1..PERSONS.len()];
    let signatures = prop_oneof![
        2 => Just(Reply::Right), 4 => Just(Reply::Wrong), 1 => Just(Reply::Repeated), 1 => Just(Reply::Malformed),
    ];
    prop_oneof![
        12 => (person.clone(), any::<bool>()).prop_map(|(person, approval)| Call::OpenChallenge { person, approval }),
        36 => (person.clone(), any::<bool>(), prop::bool::weighted(0.3), signatures)
                .prop_map(|(person, newest, declined, reply)| Call::Sign { person, newest, declined, reply }),
        2 => (person.clone(), 0..PHONES)
                .prop_map(|(person, phone)| Call::AddKey { person, phone, reply: Reply::Right }),
        3 => (person.clone(), any::<bool>())
                .prop_map(|(person, replace)| Call::CreateActivationCode { person, replace }),
        4 => (person.clone(), 0..PHONES).prop_map(|(person, phone)| Call::RequestDeviceByCode { person, phone }),
        6 => (person, replies()).prop_map(|(person, reply)| Call::Answer { person, reply }),
    ]
}

/// A sequence that begins with three persons, two of whom share a number and two of whom have a device.
pub(super) fn sequences(
    calls: impl Strategy<Value = Call>,
    length: RangeInclusive<usize>,
) -> impl Strategy<Value = Vec<Operation>> {
    vec(operations(calls), length).prop_map(|operations| {
        let number_of = |(person, number)| Call::AssertNumber { person, number };
        let bind =
            |(person, phone)| [Call::RequestDevice { person, phone }, Call::Answer { person, reply: Reply::Right }];
        let numbers = [(0, 0), (1, 0), (2, 1)].map(number_of);
        let devices = [(0, 0), (2, 2)].map(bind).into_iter().flatten();
        let beginning = numbers.into_iter().chain(devices).map(|call| Operation::Request(call, None));
        beginning.chain(operations).collect()
    })
}

fn operations(calls: impl Strategy<Value = Call>) -> impl Strategy<Value = Operation> {
    let key = prop_oneof![7 => Just(None), 1 => (0..6_u8).prop_map(Some)];
    let seconds = prop_oneof![
        10 => 1_i64..40,
        4 => 290_i64..310,
        3 => 1795_i64..1805,
        1 => 86_390_i64..86_410,
        1 => Just(2 * 86_400 + 301),
        1 => -40_i64..0,
    ];
    let network = prop_oneof![
        6 => Just(Network::Works),
        1 => Just(Network::IsDown),
        1 => Just(Network::Rejects),
        1 => Just(Network::LosesItsAnswer),
    ];
    prop_oneof![
        40 => (calls, key).prop_map(|(call, key)| Operation::Request(call, key)),
        1 => (0..PERSONS.len()).prop_map(|person| Operation::Erase { person }),
        1 => Just(Operation::Housekeeping),
        1 => Just(Operation::SealAuditTrail),
        14 => seconds.prop_map(Operation::Wait),
        2 => network.prop_map(Operation::Network),
    ]
}
