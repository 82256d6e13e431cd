//! What a fraud check said and what followed: never the payload that was assessed.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::person::PersonId;

/// One fraud assessment.
#[derive(Clone, Debug)]
pub struct FraudAssessment {
    /// The id that we gave the provider as `transaction_id`.
    pub id: Uuid,
    /// The person that was assessed.
    pub person_id: PersonId,
    /// What it was about: the device, or device to be.
    pub object_id: Uuid,
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
