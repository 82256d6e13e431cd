//! Where everything is kept: Postgres in production, SQLite so that it just runs.
//!
//! The methods are shaped by the use cases, not by the tables: each is one read, or one write that is atomic and durable
//! when it returns. Races are settled here, by conditions in the statements; nothing above this module locks or retries.
//! Every method takes the partner: another partner's rows do not exist for it.

mod audit_events;
mod audit_trail;
mod bindings;
mod clients;
mod connect;
mod database_url;
mod device_counts;
mod device_lists;
mod devices;
mod engine;
mod erasure;
mod error;
mod failures;
mod fraud_assessments;
mod housekeeping;
mod idempotent_requests;
mod keys;
mod migrate;
mod mobile_numbers;
mod number_challenges;
mod open;
mod pool;
mod postgres;
mod preconditions;
mod record;
mod result_codes;
mod rows;
mod session;
mod sms_conversion;
mod sms_use;
mod sql_store;
mod sqlite;
mod verdicts;

pub use audit_trail::{AuditChain, AuditSeal, AuditTrail, SealedEvent, WAITING_COUNTED};
pub use bindings::{BindingProspects, Bindings};
pub use clients::{Client, ClientSecret, Clients, SecretHash};
pub use connect::{DatabaseSettings, PoolUse, Pooler, connect};
pub use database_url::{DatabaseUrl, Transport};
pub use device_counts::{DeviceCounts, DeviceKind, PartnerDevices};
pub use device_lists::{COUNTED_EXACTLY, DeviceLists, DevicePage, DeviceQuery, PageStart, Position, Tombstones};
pub use devices::{DeleteOutcome, Devices};
pub use erasure::{ERASURE_BATCH, Erased, Erasure, ErasureStep};
pub use error::StoreError;
pub use failures::Failures;
pub use housekeeping::{Housekeeping, Litter, SWEEP_BATCH};
pub use idempotent_requests::IdempotentRequests;
pub use keys::{AddedKey, Keys, NewKey};
pub use migrate::{migrate, migrate_with};
pub use mobile_numbers::{MobileNumbers, NumberRecord, NumberVerification};
pub use number_challenges::{
    NumberChallenge, NumberChallenges, NumberProspects, OpenToken, TokenAttempt, TokenChallenge,
};
pub use record::{Record, Records};
pub use sms_conversion::{ConversionSum, SentMinute, SmsConversion};
pub use verdicts::{Accepted, PastBinding, Verdicts};

/// What every method of the store returns.
pub type Result<T> = std::result::Result<T, StoreError>;

/// The whole store.
#[async_trait::async_trait]
pub trait Store:
    Bindings
    + Verdicts
    + Devices
    + DeviceLists
    + DeviceCounts
    + Keys
    + MobileNumbers
    + NumberChallenges
    + Clients
    + Failures
    + IdempotentRequests
    + Housekeeping
    + Records
    + AuditTrail
    + Erasure
    + SmsConversion
    + Send
    + Sync
{
    /// Answers when the database does, every migration of this build is applied, and SQLite can be written.
    async fn ready(&self) -> Result<()>;

    /// How the connections are used right now, for the metrics.
    fn pool_use(&self) -> PoolUse;

    /// Closes the connections, after the last request.
    async fn close(&self);
}
