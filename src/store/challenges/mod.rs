//! Challenges: create, read, answer, close. One file for each kind.

pub(in crate::store) mod activation;
pub(in crate::store) mod activation_events;
pub(in crate::store) mod activation_lists;
pub(in crate::store) mod binding;
mod binding_by_code;
pub(in crate::store) mod binding_outcomes;
pub(in crate::store) mod code;
pub(in crate::store) mod device;
mod device_one_statement;
pub(in crate::store) mod device_outcomes;
pub(in crate::store) mod number;
mod one_statement;
pub(in crate::store) mod sms;

pub use activation::ActivationCodes;
pub use activation_events::{DeliveryEvents, EventAdded};
pub use activation_lists::{ActivationLists, ActivationPage, ActivationQuery};
pub use binding::{BindingProspects, Bindings};
pub use binding_by_code::{CodeBindings, CodeProspects};
pub use binding_outcomes::{Accepted, BindingOutcomes, PastBinding, accepting_statements};
pub use code::{CodeAnswer, SentCode, TypedCode, TypedCodes};
pub use device::{DeviceChallenges, DeviceProspects};
pub use device_outcomes::DeviceOutcomes;
pub use number::{NumberChallenge, NumberChallenges, NumberProspects};
pub use sms::{SmsChallenge, SmsChallenges, SmsProspects};

/// The ports of all kinds.
pub trait Challenges:
    Bindings
    + BindingOutcomes
    + CodeBindings
    + TypedCodes
    + NumberChallenges
    + SmsChallenges
    + DeviceChallenges
    + DeviceOutcomes
    + ActivationCodes
    + ActivationLists
    + DeliveryEvents
{
}

impl<
    S: Bindings
        + BindingOutcomes
        + CodeBindings
        + TypedCodes
        + NumberChallenges
        + SmsChallenges
        + DeviceChallenges
        + DeviceOutcomes
        + ActivationCodes
        + ActivationLists
        + DeliveryEvents,
> Challenges for S
{
}
