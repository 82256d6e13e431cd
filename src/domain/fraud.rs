//! The result of a fraud check, without the payload that was assessed.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::person::PersonId;

/// One fraud assessment.
#[derive(Clone, Debug)]
pub struct FraudAssessment {
    /// The id sent to the provider as `transaction_id`.
    pub id: Uuid,
    /// The assessed person.
    pub person_id: PersonId,
    /// The device or pending device.
    pub object_id: Uuid,
    /// `device_binding`, `device_verification` or `device_key_creation`.
    pub action: &'static str,
    /// `approve`, `review`, `decline`, or the reason why there is no verdict, such as `timeout`.
    pub state: &'static str,
    /// The provider's score, if any.
    pub score: Option<f64>,
    /// The provider's id of the assessment.
    pub provider_id: Option<String>,
    /// Latency of the provider, in milliseconds.
    pub latency_ms: i64,
    /// Whether the request was allowed to proceed.
    pub allowed: bool,
    /// When the provider was called.
    pub assessed_at: DateTime<Utc>,
}
