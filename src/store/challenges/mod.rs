//! Challenges: create, read, answer, close. One file for each kind.

pub(in crate::store) mod binding;
pub(in crate::store) mod binding_outcomes;
pub(in crate::store) mod code;
pub(in crate::store) mod device;
mod device_one_statement;
pub(in crate::store) mod device_outcomes;
pub(in crate::store) mod number;
mod one_statement;
pub(in crate::store) mod sms;

pub use binding::{BindingProspects, Bindings};
pub use binding_outcomes::{Accepted, BindingOutcomes, PastBinding, accepting_statements};
pub use code::{CodeAnswer, SentCode, TypedCode, TypedCodes};
pub use device::{DeviceChallenges, DeviceProspects};
pub use device_outcomes::DeviceOutcomes;
pub use number::{NumberChallenge, NumberChallenges, NumberProspects};
pub use sms::{SmsChallenge, SmsChallenges, SmsProspects};

/// The ports of all kinds.
pub trait Challenges:
    Bindings + BindingOutcomes + TypedCodes + NumberChallenges + SmsChallenges + DeviceChallenges + DeviceOutcomes
{
}

impl<S: Bindings + BindingOutcomes + TypedCodes + NumberChallenges + SmsChallenges + DeviceChallenges + DeviceOutcomes>
    Challenges for S
{
}
