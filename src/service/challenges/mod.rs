//! Challenges: sending a code and answering it. The two flows are written once, in `send_code` and `answer`; each kind
//! implements their traits.

mod activation;
mod activation_notice;
pub(in crate::service) mod answer;
mod binding;
mod binding_by_code;
mod device;
mod device_answer;
pub(in crate::service) mod diagnosis;
mod number;
mod one_time_codes;
mod send_code;
mod sms;

pub use activation::{AskForActivation, ExistingCode, NewDelivery};
pub use activation_notice::ActivationNotice;
pub use binding::{BindDevice, BindingAnswer, BindingMeans, Challenge};
pub use device::{ChallengeDevice, OpenDeviceChallenge};
pub use device_answer::{DeviceAnswer, DeviceVerification};
pub use one_time_codes::OneTimeCodes;
pub use sms::{OpenSmsChallenge, RequestSmsChallenge};

use crate::domain::challenges::{ChallengeKind, ChallengeRules};
use crate::service::Policy;

impl Policy {
    /// The rules for challenges of a kind.
    fn challenge_rules(&self, kind: ChallengeKind) -> ChallengeRules {
        match kind {
            ChallengeKind::Binding | ChallengeKind::Number | ChallengeKind::Device | ChallengeKind::Sms => {
                ChallengeRules { wrong_answers_cap: i64::from(self.wrong_signatures_cap), budget: self.failure_budget }
            }
        }
    }
}
