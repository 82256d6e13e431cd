//! An attempt of a caller to change something, and what is written down about it, whatever becomes of it.
//!
//! What an attempt changes is written down in the commit of the change. A refusal that changes nothing is written down in a
//! commit of its own, before anybody hears of it. Bodies that cannot be read and failures of ours are no attempts.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::audit::{ACCEPTED, AuditAction, AuditEvent, AuditSubject};
use crate::domain::clients::Caller;
use crate::domain::fraud::FraudRecord;
use crate::domain::id::{KeyId, uuid_v7};
use crate::domain::idempotency::{ClaimId, KeptAnswer, StoredAnswer};
use crate::domain::person::{PartnerId, PersonId};
use crate::service::{Failure, Service};
use crate::store::{AuditRecord, StoreError};

/// Why a use case refused.
pub(in crate::service) trait Refusal: From<StoreError> {
    /// In a word, for metrics and the audit trail.
    fn outcome(&self) -> &'static str;

    /// Whether somebody attempted something: a body that cannot be read and a failure of ours are not worth a record.
    fn is_worth_recording(&self) -> bool;
}

/// Turns an outcome into the answer that is kept for retries; `None` for one that a retry must not get.
type Render<T> = Box<dyn Fn(T) -> Option<StoredAnswer> + Send + Sync>;

/// How the outcome of a use case is kept for retries of its request (contract section 1.2).
pub struct Keeping<T>(Option<(ClaimId, Render<T>)>);

impl<T> Keeping<T> {
    /// Not at all: the request has no idempotency key.
    #[must_use]
    pub fn nothing() -> Self {
        Self(None)
    }

    /// Under the claim of the request, as the answer that `render` makes of it.
    pub fn under(claim: ClaimId, render: impl Fn(T) -> Option<StoredAnswer> + Send + Sync + 'static) -> Self {
        Self(Some((claim, Box::new(render))))
    }

    pub(in crate::service) fn keep(&self, outcome: T) -> Option<KeptAnswer> {
        self.0.as_ref().map(|(claim, render)| KeptAnswer { claim: *claim, answer: render(outcome) })
    }

    fn take_back(&self) -> Option<KeptAnswer> {
        self.0.as_ref().map(|(claim, _)| KeptAnswer { claim: *claim, answer: None })
    }
}

/// An attempt under way.
pub(in crate::service) struct AuditScope<'a, S, E> {
    pub(in crate::service) partner: &'a PartnerId,
    event: AuditEvent,
    fraud: Option<FraudRecord>,
    pub(in crate::service) keeping: &'a Keeping<Result<S, E>>,
}

impl Service {
    /// Begins an attempt.
    pub(in crate::service) fn audit_scope<'a, S, E>(
        &self,
        caller: &'a Caller,
        action: AuditAction,
        keeping: &'a Keeping<Result<S, E>>,
    ) -> AuditScope<'a, S, E> {
        let event = event(&caller.client_id, action, self.clock.now(), self.entropy.bytes());
        AuditScope { partner: &caller.partner, event, fraud: None, keeping }
    }

    /// Says whom an attempt is about.
    pub(in crate::service) fn about<S, E>(&self, attempt: &mut AuditScope<'_, S, E>, person: &PersonId) {
        attempt.event.subject = Some(AuditSubject::new(person.clone(), self.entropy.bytes()));
    }

    /// Writes down a refusal that changed nothing, and hands it on.
    pub(in crate::service) async fn refuse<S, E: Refusal>(&self, attempt: &AuditScope<'_, S, E>, refusal: E) -> E {
        if !refusal.is_worth_recording() {
            return refusal;
        }
        let event = attempt.event.clone().with_outcome(refusal.outcome());
        let record = AuditRecord { event, fraud: attempt.fraud.clone(), answer: None };
        match self.store.record(attempt.partner, &record).await {
            Ok(()) => refusal,
            Err(error) => error.into(),
        }
    }
}

impl<S, E> AuditScope<'_, S, E> {
    /// Says which device, challenge or number it is about, if there is one.
    pub(in crate::service) fn on(&mut self, object: impl Into<Option<Uuid>>) {
        self.event.object_id = object.into();
    }

    /// Says which key it is about.
    pub(in crate::service) fn with_key(&mut self, key: KeyId) {
        self.event.key_id = Some(key.uuid());
    }

    /// Adds what the fraud check said. False when it keeps the attempt from going on.
    pub(in crate::service) fn assessed(&mut self, record: Option<FraudRecord>) -> bool {
        self.fraud = record;
        self.fraud.as_ref().is_none_or(|record| record.allowed)
    }

    /// What is written down of a change that has no answer worth keeping.
    pub(in crate::service) fn deed(&self) -> AuditRecord {
        self.event.clone().into()
    }

    /// What is written down when nothing remains of what the attempt did, so that a retry runs anew.
    pub(in crate::service) fn undone(&self, outcome: &'static str) -> AuditRecord {
        // The assessment stands in the record of what is undone.
        AuditRecord { event: self.fresh_event().with_outcome(outcome), fraud: None, answer: self.keeping.take_back() }
    }

    /// The event under an id of its own, for an attempt that is written down twice.
    fn fresh_event(&self) -> AuditEvent {
        AuditEvent { id: successor(self.event.id), ..self.event.clone() }
    }
}

impl<S, E: Refusal> AuditScope<'_, S, E> {
    /// What is written down in the commit of this outcome.
    pub(in crate::service) fn record(&self, outcome: Result<S, E>) -> AuditRecord {
        let word = outcome.as_ref().err().map_or(ACCEPTED, Refusal::outcome);
        AuditRecord {
            event: self.event.clone().with_outcome(word),
            fraud: self.fraud.clone(),
            answer: self.keeping.keep(outcome),
        }
    }
}

/// An event that went well so far and is about nobody in particular yet.
pub(in crate::service) fn event(
    client_id: &str,
    action: AuditAction,
    at: DateTime<Utc>,
    random: [u8; 10],
) -> AuditEvent {
    AuditEvent {
        id: uuid_v7(at, random),
        client_id: client_id.to_owned(),
        action: action.as_str().into(),
        outcome: ACCEPTED.into(),
        subject: None,
        object_id: None,
        key_id: None,
        country: None,
        at,
    }
}

/// The next id after this one, which nothing else has: it differs in its random part alone.
fn successor(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128().wrapping_add(1))
}

impl Refusal for Failure {
    fn outcome(&self) -> &'static str {
        "failure"
    }

    fn is_worth_recording(&self) -> bool {
        false
    }
}
