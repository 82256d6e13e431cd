//! The use cases: the only layer that orders reads, checks, outbound calls and writes.
//!
//! Each has the same shape: the input is parsed before the call; one read; checks and outbound calls without holding a
//! database connection; one conditional, durable write. A use case runs to completion even when the client disconnects:
//! `api` spawns a task per request.

mod audit;
mod challenges;
mod clients;
mod devices;
mod erasure;
mod failure;
mod fraud_check;
mod housekeeping;
mod idempotency;
mod numbers;
mod refusal;
mod sms;

use std::sync::Arc;

use chrono::TimeDelta;

pub use audit::checkpoints::AuditCheckpoints;
pub use audit::export::AuditExport;
pub use audit::verification::{AuditVerdict, AuditVerification};
pub use challenges::*;
pub use clients::{ClientCredentialsError, ClientRegistry, NewSecret, SandboxClient};
pub use devices::counts::COUNTING_INTERVAL;
pub use devices::keys::{AddKey, KeyAdded};
pub use erasure::PersonErasure;
pub use failure::Failure;
pub use housekeeping::{Retention, Turn};
pub use idempotency::{Answer, RepeatableRequest};
pub use refusal::{NotDone, Refusal};
pub use sms::conversion::{Conversion, ConversionBook, ConversionEntry, SETTLING_INTERVAL};

use crate::clock::Clock;
use crate::domain::failure_budget::{CoolingOff, FailureBudget, FailureRun};
use crate::domain::numbers::country::Countries;
use crate::domain::sms::conversion::ConversionRule;
use crate::domain::sms::enforcement::Enforcement;
use crate::domain::sms::language::Language;
use crate::domain::sms::limits::SmsLimits;
use crate::entropy::Entropy;
use crate::fraud::checker::FraudChecker;
use crate::sandbox::Sandbox;
use crate::sms::{SmsSender, SmsTemplate};
use crate::store::Store;

/// The rules that the operator can configure (docs/api-design.md#limits).
#[derive(Clone, Debug)]
pub struct Policy {
    /// Maximum of bound devices per person.
    pub device_limit: u32,
    /// Maximum of open challenges per device.
    pub open_device_challenges_limit: u32,
    /// Whether an approval must be signed by a restricted key.
    pub approvals_require_restricted_keys: bool,
    /// Maximum of keys per device.
    pub key_limit: u32,
    /// Maximum of wrong answers per challenge.
    pub wrong_signatures_cap: u32,
    /// Failures per person, over all challenges.
    pub failure_budget: FailureBudget,
    /// Whether the SMS limits are enforced.
    pub sms_enforcement: Enforcement,
    /// The rate limits of SMS.
    pub sms_limits: SmsLimits,
    /// How long data is kept.
    pub retention: Retention,
    /// The lifetime of a challenge.
    pub challenge_life: TimeDelta,
    /// The lifetime of an activation code.
    pub activation_code_life: TimeDelta,
    /// Whether the person is told by SMS that a device was bound with an activation code.
    pub activation_notice: ActivationNotice,
    /// The default language of SMS.
    pub language: Language,
    /// The countries to which codes are sent.
    pub sms_countries: Countries,
    /// The rule against SMS pumping.
    pub sms_conversion: ConversionRule,
}

/// The dependencies and settings of the use cases.
pub struct Service {
    /// The store.
    pub store: Arc<dyn Store>,
    /// The SMS providers.
    pub sms: Arc<dyn SmsSender>,
    /// The fraud check and its policy.
    pub fraud: FraudChecker,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids and secrets.
    pub entropy: Arc<dyn Entropy>,
    /// The source of codes.
    pub codes: OneTimeCodes,
    /// The texts of SMS.
    pub sms_template: SmsTemplate,
    /// The client with public credentials, in the sandbox only.
    pub sandbox_client: Option<SandboxClient>,
    /// The tools of the sandbox; `None` in production.
    pub sandbox: Option<Arc<Sandbox>>,
    /// The operator's rules.
    pub policy: Policy,
    /// Counts of sent and used codes.
    pub conversion: Conversion,
}

impl Service {
    /// The cool-down that is in effect for a person with these failures.
    fn pause(&self, failures: FailureRun) -> Option<CoolingOff> {
        self.policy.failure_budget.pause(failures, self.clock.now())
    }
}
