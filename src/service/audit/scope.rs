//! An attempt of a caller to change something, and what is written down about it, whatever becomes of it.
//!
//! What an attempt changes is written down in the commit of the change. A refusal that changes nothing is written down in a
//! commit of its own, before the caller hears of it. Bodies that cannot be read and failures of ours are no attempts.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::domain::audit::{ACCEPTED, AuditAction, AuditEvent, AuditSubject};
use crate::domain::clients::Caller;
use crate::domain::fraud::FraudAssessment;
use crate::domain::id::{KeyId, uuid_v7};
use crate::domain::idempotency::{KeptOutcome, Run};
use crate::domain::person::{PartnerId, PersonId};
use crate::service::{Failure, NotDone, Refusal, Service};
use crate::store::AuditRecord;

/// An attempt under way.
pub(in crate::service) struct AuditScope<'a> {
    pub(in crate::service) partner: &'a PartnerId,
    event: AuditEvent,
    fraud: Option<FraudAssessment>,
    run: Option<Run>,
}

/// How an attempt was settled: with one commit, its record included, or with none.
///
/// A refusal that changes nothing is an error, [`NotDone::Refused`]: it has no commit yet.
pub(in crate::service) enum Settled<T> {
    /// It took effect.
    Done(T),
    /// It had taken effect when the caller sent the same before.
    Repeated(T),
    /// It was refused. What the refusal counts or closes is committed.
    Refused(Refusal),
    /// Another request has come in between, and nothing was changed.
    Overtaken,
}

impl Service {
    /// Begins an attempt, and says under which run of its request.
    pub(in crate::service) fn audit_scope<'a>(
        &self,
        caller: &'a Caller,
        action: AuditAction,
        run: Option<Run>,
    ) -> AuditScope<'a> {
        let event = event(&caller.client_id, action, self.clock.now(), self.entropy.bytes());
        AuditScope { partner: &caller.partner, event, fraud: None, run }
    }

    /// Says whom an attempt is about.
    pub(in crate::service) fn about(&self, attempt: &mut AuditScope<'_>, person: &PersonId) {
        attempt.event.subject = Some(AuditSubject::new(person.clone(), self.entropy.bytes()));
    }

    /// Ends an attempt. Here, and nowhere else, a refusal that changed nothing is written down.
    pub(in crate::service) async fn end<T>(
        &self,
        attempt: &AuditScope<'_>,
        settled: Result<Settled<T>, NotDone>,
    ) -> Result<T, NotDone> {
        match settled {
            Ok(Settled::Done(value) | Settled::Repeated(value)) => Ok(value),
            Ok(Settled::Refused(refusal)) => Err(refusal.into()),
            Ok(Settled::Overtaken) => Err(Failure::Overtaken.into()),
            Err(NotDone::Refused(refusal)) => Err(self.write_down(attempt, refusal).await),
            Err(failed @ NotDone::Failed(_)) => Err(failed),
        }
    }

    async fn write_down(&self, attempt: &AuditScope<'_>, refusal: Refusal) -> NotDone {
        if !refusal.is_worth_recording() {
            return refusal.into();
        }
        let event = attempt.event.clone().with_outcome(refusal.outcome());
        let record = AuditRecord { event, fraud: attempt.fraud.clone(), kept: None };
        match self.store.record(attempt.partner, &record).await {
            Ok(()) => refusal.into(),
            Err(error) => error.into(),
        }
    }
}

impl AuditScope<'_> {
    /// Says which device, challenge or number it is about, if there is one.
    pub(in crate::service) fn on(&mut self, object: impl Into<Option<Uuid>>) {
        self.event.object_id = object.into();
    }

    /// Says which key it is about.
    pub(in crate::service) fn with_key(&mut self, key: KeyId) {
        self.event.key_id = Some(key.uuid());
    }

    /// What the fraud check said, if it was asked and said something.
    pub(in crate::service) fn assessment(&mut self) -> &mut Option<FraudAssessment> {
        &mut self.fraud
    }

    /// What is written down in the commit that does what was asked.
    pub(in crate::service) fn done<T: Serialize>(&self, value: &T) -> AuditRecord {
        self.record(ACCEPTED, &Ok(value))
    }

    /// What is written down in the commit of a refusal that counts or closes something.
    pub(in crate::service) fn refused(&self, refusal: &Refusal) -> AuditRecord {
        self.record::<()>(refusal.outcome(), &Err(refusal))
    }

    /// What is written down when nothing remains of what the attempt did, so that a repetition runs anew.
    pub(in crate::service) fn undone(&self, refusal: &Refusal) -> AuditRecord {
        // The assessment stands in the record of what is undone.
        let kept = self.run.clone().map(|run| KeptOutcome { run, outcome: None });
        AuditRecord { event: self.fresh_event().with_outcome(refusal.outcome()), fraud: None, kept }
    }

    /// What is kept for repetitions; nothing for a request without a key.
    pub(in crate::service) fn kept<T: Serialize>(&self, outcome: &Result<&T, &Refusal>) -> Option<KeptOutcome> {
        // A refusal that may not be kept has no form as JSON: the key is free then.
        let run = self.run.clone()?;
        Some(KeptOutcome { run, outcome: serde_json::to_string(outcome).ok() })
    }

    fn record<T: Serialize>(&self, word: &'static str, outcome: &Result<&T, &Refusal>) -> AuditRecord {
        let event = self.event.clone().with_outcome(word);
        AuditRecord { event, fraud: self.fraud.clone(), kept: self.kept(outcome) }
    }

    /// The event under an id of its own, for an attempt that is written down twice.
    fn fresh_event(&self) -> AuditEvent {
        AuditEvent { id: successor(self.event.id), ..self.event.clone() }
    }
}

/// An event with the outcome `accepted` and without a subject yet.
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
