//! The scope of one attempt of a client to change something: it collects the audit event, the fraud assessment and the
//! idempotency claim, and makes the audit record of them.
//!
//! A change is recorded in its own commit. A refusal that changes nothing is recorded in a separate commit, before the
//! response. Malformed bodies and failures of the service are not recorded.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::domain::audit::{ACCEPTED, AnswerEvidence, AuditAction, AuditEvent, AuditSubject};
use crate::domain::clients::Caller;
use crate::domain::fraud::FraudAssessment;
use crate::domain::id::{KeyId, uuid_v7};
use crate::domain::idempotency::{OutcomeToStore, Run};
use crate::domain::person::{PartnerId, PersonId};
use crate::service::{Failure, NotDone, Refusal, Service};
use crate::store::AuditRecord;

/// An attempt in progress.
pub(in crate::service) struct AuditScope<'a> {
    pub(in crate::service) partner: &'a PartnerId,
    event: AuditEvent,
    fraud: Option<FraudAssessment>,
    run: Option<Run>,
}

/// The result of an attempt that is committed, its record included, or that was overtaken.
///
/// A refusal that changes nothing is the error [`NotDone::Refused`]: it has no commit yet.
pub(in crate::service) enum Settled<T> {
    /// It took effect.
    Done(T),
    /// It took effect when the caller sent the same request before.
    Repeated(T),
    /// It was refused, and the count or close that belongs to the refusal is committed.
    Refused(Refusal),
    /// A concurrent request won the race, and nothing was changed.
    Overtaken,
}

impl Service {
    /// Begins an attempt, under the run of its idempotency key if it has one.
    pub(in crate::service) fn audit_scope<'a>(
        &self,
        caller: &'a Caller,
        action: AuditAction,
        run: Option<Run>,
    ) -> AuditScope<'a> {
        let event = event(&caller.client_id, action, self.clock.now(), self.entropy.bytes());
        AuditScope { partner: &caller.partner, event, fraud: None, run }
    }

    /// Sets the person of the attempt's audit event.
    pub(in crate::service) fn about(&self, attempt: &mut AuditScope<'_>, person: &PersonId) {
        attempt.about(person, self.entropy.bytes());
    }

    /// Ends an attempt. The only place that records a refusal that changed nothing.
    pub(in crate::service) async fn end<T>(
        &self,
        attempt: &AuditScope<'_>,
        settled: Result<Settled<T>, NotDone>,
    ) -> Result<T, NotDone> {
        match settled {
            Ok(Settled::Done(value) | Settled::Repeated(value)) => Ok(value),
            Ok(Settled::Refused(refusal)) => Err(refusal.into()),
            Ok(Settled::Overtaken) => Err(Failure::Overtaken.into()),
            Err(NotDone::Refused(refusal)) => Err(self.record_refusal(attempt, refusal).await),
            Err(failed @ NotDone::Failed(_)) => Err(failed),
        }
    }

    async fn record_refusal(&self, attempt: &AuditScope<'_>, refusal: Refusal) -> NotDone {
        if !refusal.is_worth_recording() {
            return refusal.into();
        }
        let event = attempt.event.clone().with_outcome(refusal.outcome());
        let record = AuditRecord { event, fraud: attempt.fraud.clone(), to_store: None };
        match self.store.record(attempt.partner, &record).await {
            Ok(()) => refusal.into(),
            Err(error) => error.into(),
        }
    }
}

impl AuditScope<'_> {
    /// Sets the person of the audit event, and the salt of their digest.
    pub(in crate::service) fn about(&mut self, person: &PersonId, salt: [u8; 16]) {
        self.event.subject = Some(AuditSubject::new(person.clone(), salt));
    }

    /// Sets the device, challenge or number of the audit event, if there is one.
    pub(in crate::service) fn on(&mut self, object: impl Into<Option<Uuid>>) {
        self.event.object_id = object.into();
    }

    /// Sets the key of the audit event.
    pub(in crate::service) fn with_key(&mut self, key: KeyId) {
        self.event.key_id = Some(key.uuid());
    }

    /// Whether the request has an idempotency key.
    pub(in crate::service) fn has_idempotency_key(&self) -> bool {
        self.run.is_some()
    }

    /// Sets the evidence of an accepted answer.
    pub(in crate::service) fn with_answer(&mut self, answer: AnswerEvidence) {
        self.event.answer = Some(answer);
    }

    /// Removes key and evidence of an answer that was overtaken.
    pub(in crate::service) fn without_answer(&mut self) {
        self.event.key_id = None;
        self.event.answer = None;
    }

    /// The fraud assessment, if one was made.
    pub(in crate::service) fn assessment(&mut self) -> &mut Option<FraudAssessment> {
        &mut self.fraud
    }

    /// The record for the commit of a success.
    pub(in crate::service) fn done<T: Serialize>(&self, value: &T) -> AuditRecord {
        self.record(ACCEPTED, &Ok(value))
    }

    /// The record for the commit of a refusal that counts or closes something.
    pub(in crate::service) fn refused(&self, refusal: &Refusal) -> AuditRecord {
        self.record::<()>(refusal.outcome(), &Err(refusal))
    }

    /// The record for the commit that undoes the attempt. It frees the idempotency key, so that a repetition runs
    /// again.
    pub(in crate::service) fn undone(&self, refusal: &Refusal) -> AuditRecord {
        // The record of the change that is undone has the assessment already.
        let to_store = self.run.clone().map(|run| OutcomeToStore { run, outcome: None, person: None });
        AuditRecord { event: self.fresh_event().with_outcome(refusal.outcome()), fraud: None, to_store }
    }

    /// The outcome to store for repetitions; `None` for a request without a key.
    pub(in crate::service) fn outcome_to_store<T: Serialize>(
        &self,
        outcome: &Result<&T, &Refusal>,
    ) -> Option<OutcomeToStore> {
        // A refusal that must not be stored fails to serialize: then the key is freed.
        let run = self.run.clone()?;
        let person =
            self.event.subject.as_ref().and_then(|subject| subject.known.as_ref()).map(|(person, _)| person.clone());
        Some(OutcomeToStore { run, outcome: serde_json::to_string(outcome).ok(), person })
    }

    fn record<T: Serialize>(&self, word: &'static str, outcome: &Result<&T, &Refusal>) -> AuditRecord {
        let event = self.event.clone().with_outcome(word);
        AuditRecord { event, fraud: self.fraud.clone(), to_store: self.outcome_to_store(outcome) }
    }

    /// The event under another id, for an attempt that is recorded twice.
    fn fresh_event(&self) -> AuditEvent {
        AuditEvent { id: successor(self.event.id), ..self.event.clone() }
    }
}

/// An event with the outcome `accepted` and without a subject.
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
        answer: None,
        at,
    }
}

/// The id plus one. Unique, since it changes only the random part.
fn successor(id: Uuid) -> Uuid {
    Uuid::from_u128(id.as_u128().wrapping_add(1))
}
