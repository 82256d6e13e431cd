//! What a fraud check said and what we did about it, as it is recorded: never the payload that was assessed.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::id::DeviceId;
use super::person::PersonId;

/// One assessment, as the record keeps it (contract section 6).
#[derive(Clone, Debug)]
pub struct FraudRecord {
    /// The id that we gave the provider as `transaction_id`.
    pub id: Uuid,
    /// The person that was assessed.
    pub person_id: PersonId,
    /// The device, or device to be, that it was about.
    pub device_id: DeviceId,
    /// `device_binding`, `device_verification` or `device_key_creation`.
    pub action: &'static str,
    /// `approve`, `review`, `decline`, or in a word why there is no verdict, such as `timeout`.
    pub state: &'static str,
    /// The provider's score, when it gave one.
    pub score: Option<f64>,
    /// The provider's own id of the assessment.
    pub provider_id: Option<String>,
    /// How long the provider took.
    pub latency_ms: i64,
    /// Whether the request went on.
    pub allowed: bool,
    /// When we asked.
    pub assessed_at: DateTime<Utc>,
}
