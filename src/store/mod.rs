//! The database: Postgres in production; SQLite for development without a server.
//!
//! Each method serves one use case and is either one read, or one write that is atomic, and durable when it returns.
//! Races are resolved here by conditions in the statements; no caller locks or retries. Every method takes the partner
//! and sees only that partner's rows.

#[macro_use]
mod port;

mod audit;
mod challenges;
mod clients;
mod connect;
mod devices;
mod dialect;
mod error;
mod fraud_assessments;
mod housekeeping;
mod idempotency;
mod inspect;
mod lists;
mod migrate;
mod numbers;
mod persons;
mod pool;
mod postgres;
mod result_codes;
mod rows;
mod sms;
mod sql_store;
mod sqlite;
mod statement;
mod write_form;
mod written;

pub use audit::record::{AuditRecord, AuditRecords};
pub use audit::trail::{AuditChain, AuditSeal, AuditTrail, SealedEvent, WAITING_COUNTED};
pub use challenges::*;
pub use clients::{Client, ClientSecret, Clients, SecretHash};
pub use connect::database_url::{DatabaseUrl, Transport, is_local};
pub use connect::{DatabaseSettings, PoolUse, Pooler, Synchronous, connect};
pub use devices::counts::{DeviceCounts, DeviceKind, PartnerDevices};
pub use devices::keys::{AddedKey, Keys, NewKey};
pub use devices::lists::{COUNTED_EXACTLY, DeviceLists, DevicePage, DeviceQuery, Tombstones};
pub use devices::{DeleteOutcome, Devices};
pub use error::StoreError;
pub use housekeeping::{ExpiredRows, Housekeeping, SWEEP_BATCH};
pub use idempotency::IdempotentRequests;
pub use inspect::Inspection;
pub use lists::{Listed, Page, PageStart, Position};
pub use migrate::{migrate, migrate_with};
pub use numbers::{MobileNumbers, NumberRecord, NumberVerification};
pub use persons::erased::Erased;
pub use persons::erasure::{ERASURE_BATCH, Erasure, ErasureStep};
pub use persons::failures::Failures;
pub use port::{Call, Intercept};
pub use sms::conversion::{ConversionSum, SentMinute, SmsConversion};
pub use written::Written;

/// The result of every method of the store.
pub type Result<T> = std::result::Result<T, StoreError>;

/// The whole store.
#[async_trait::async_trait]
pub trait Store:
    Challenges
    + Devices
    + DeviceLists
    + DeviceCounts
    + Keys
    + MobileNumbers
    + Clients
    + Failures
    + IdempotentRequests
    + Housekeeping
    + AuditRecords
    + AuditTrail
    + Erasure
    + SmsConversion
    + Send
    + Sync
{
    /// Readiness check: the database answers, every migration of this build is applied, and SQLite is writable.
    async fn ready(&self) -> Result<()>;

    /// Current use of the connection pool, for metrics.
    fn pool_use(&self) -> PoolUse;

    /// Closes the connections. To be called after the last request.
    async fn close(&self);
}
