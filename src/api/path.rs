//! Ids in paths. A malformed id is answered like an unknown one, with 404.

use std::collections::HashMap;
use std::convert::Infallible;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use crate::domain::challenges::{ChallengeId, ChallengeKind, DeliveryEventId};
use crate::domain::id::{DeviceId, KeyId};
use crate::domain::person::PersonId;
use crate::service::Refusal;

/// The longest id that an error message quotes. Longer ones are truncated, and control characters are removed.
const SHOWN_MAX: usize = 64;

/// The variable parts of a path, percent-decoded.
pub(super) struct PathIds(HashMap<String, String>);

impl PathIds {
    /// The device of `/devices/{id}`.
    pub(super) fn device(&self) -> Result<DeviceId, Refusal> {
        DeviceId::parse(self.text("id")).ok_or(Refusal::DeviceNotFound)
    }

    /// The key of `/keys/{key_id}`.
    pub(super) fn key(&self) -> Result<KeyId, Refusal> {
        KeyId::parse(self.text("key_id")).ok_or(Refusal::KeyNotFound)
    }

    /// The challenge of `/challenges/.../{id}`, of the kind that the route is for.
    pub(super) fn challenge(&self, kind: ChallengeKind) -> Result<ChallengeId, Refusal> {
        ChallengeId::parse(self.text("id")).ok_or(Refusal::ChallengeNotOpen(kind))
    }

    /// The activation code of `/challenges/activation/{id}`.
    pub(super) fn activation(&self) -> Result<ChallengeId, Refusal> {
        ChallengeId::parse(self.text("id")).ok_or(Refusal::ActivationNotFound)
    }

    /// The event of `/delivery_events/{event_id}`.
    pub(super) fn delivery_event(&self) -> Result<DeliveryEventId, Refusal> {
        DeliveryEventId::parse(self.text("event_id")).ok_or(Refusal::DeliveryEventNotFound)
    }

    /// The person of `/persons/{person_id}`.
    pub(super) fn person(&self) -> Result<PersonId, Refusal> {
        PersonId::parse(self.text("person_id")).ok_or(Refusal::NumberNotFound)
    }

    /// A path parameter as the client wrote it, for an error message.
    pub(super) fn shown(&self, name: &str) -> String {
        self.text(name).chars().filter(|c| !c.is_control()).take(SHOWN_MAX).collect()
    }

    fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathIds {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        // A parameter that is not UTF-8 after decoding counts as an unknown id.
        let ids = Path::<HashMap<String, String>>::from_request_parts(parts, state).await;
        Ok(Self(ids.map(|Path(ids)| ids).unwrap_or_default()))
    }
}
