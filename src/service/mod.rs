//! The use cases: the only layer that puts reads, checks, outside calls and writes in an order.
//!
//! Each follows the same course: what can fail without I/O has failed before it is called; one read; then it computes and
//! calls outside without holding a database connection; then one conditional, durable write settles the matter. A use case
//! runs to its end even when the client hangs up: `api` gives each request a task of its own.

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
use crate::sms::{SmsSender, SmsTemplate};
use crate::store::Store;

/// The rules that the operator may set (docs/api-design.md#limits).
#[derive(Clone, Debug)]
pub struct Policy {
    /// Bound devices per person.
    pub device_limit: u32,
    /// Keys per device.
    pub key_limit: u32,
    /// Wrong signatures, or wrong number tokens, per challenge.
    pub wrong_signatures_cap: u32,
    /// Failures per person, all challenges together.
    pub failure_budget: FailureBudget,
    /// How far the SMS limits go.
    pub sms_enforcement: Enforcement,
    /// How many codes may be sent.
    pub sms_limits: SmsLimits,
    /// For how long things are kept.
    pub retention: Retention,
    /// How long a challenge is open.
    pub challenge_life: TimeDelta,
    /// The language of an SMS for which the caller names none.
    pub language: Language,
    /// To whose numbers codes are sent.
    pub sms_countries: Countries,
    /// When too few codes are used to send more.
    pub sms_conversion: ConversionRule,
}

/// Everything that the use cases work with.
pub struct Service {
    /// Where things are kept.
    pub store: Arc<dyn Store>,
    /// Who brings codes to people.
    pub sms: Arc<dyn SmsSender>,
    /// Who assesses devices, and what follows from it.
    pub fraud: FraudChecker,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness for ids and secrets.
    pub entropy: Arc<dyn Entropy>,
    /// Where codes come from.
    pub codes: OneTimeCodes,
    /// How codes are worded.
    pub sms_template: SmsTemplate,
    /// The well-known client, in the sandbox.
    pub sandbox_client: Option<SandboxClient>,
    /// The operator's rules.
    pub policy: Policy,
    /// How many codes are used.
    pub conversion: Conversion,
}

impl Service {
    /// The pause that a person's failures have them in now.
    fn pause(&self, failures: FailureRun) -> Option<CoolingOff> {
        self.policy.failure_budget.pause(failures, self.clock.now())
    }
}
