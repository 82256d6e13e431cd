//! Activation codes: create, list, read, end, and the events of their delivery. A binding uses one in `binding`.

use chrono::{DateTime, Utc};

use crate::crypto::ActivationCode;
use crate::domain::audit::AuditAction;
use crate::domain::challenges::{
    ActivationChallenge, ActivationPurpose, ChallengeId, ChallengeLife, DeliveryEvent, DeliveryEventId,
    DeliveryEventType, DeliveryMethod, Detail, NewActivation, Origin, Provider,
};
use crate::domain::clients::Caller;
use crate::domain::idempotency::Run;
use crate::domain::invalid::Faults;
use crate::domain::person::PersonId;
use crate::service::audit::scope::{AuditScope, Settled};
use crate::service::challenges::answer::TRIES;
use crate::service::{Failure, NotDone, Refusal, Service};
use crate::store::{ActivationPage, ActivationQuery, EventAdded, Written};

/// What to do with the code that the person has.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ExistingCode {
    /// Keep it, and refuse the request while it is live.
    #[default]
    Keep,
    /// End it.
    End,
}

/// A validated request for an activation code.
#[derive(Clone, Debug)]
pub struct AskForActivation {
    /// The person whose device it binds.
    pub person_id: PersonId,
    /// Where the person asked for it.
    pub origin: Origin,
    /// What it may be used for.
    pub purpose: ActivationPurpose,
    /// How it is delivered.
    pub delivery_method: DeliveryMethod,
    /// What to do with the code that the person has.
    pub existing: ExistingCode,
}

/// A validated report of a delivery event.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// The type.
    pub kind: DeliveryEventType,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The postal service.
    pub provider: Option<Provider>,
    /// More about it.
    pub details: Option<Detail>,
}

impl Service {
    /// Creates an activation code.
    pub async fn ask_for_activation(
        &self,
        caller: &Caller,
        wish: AskForActivation,
        run: Option<Run>,
    ) -> Result<ActivationChallenge, NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::ActivationAsked, run);
        self.about(&mut attempt, &wish.person_id);
        let opened = self.open_activation(&wish, &mut attempt).await;
        self.end(&attempt, opened).await
    }

    async fn open_activation(
        &self,
        wish: &AskForActivation,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<ActivationChallenge>, NotDone> {
        for _ in 0..TRIES {
            let now = self.clock.now();
            let newest = self.store.newest_activation(attempt.partner, &wish.person_id).await?;
            let live = newest.as_ref().map(|newest| &newest.challenge).filter(|challenge| challenge.is_live(now));
            if let Some(live) = live.filter(|_| wish.existing == ExistingCode::Keep) {
                attempt.on(live.id.uuid());
                return Err(Refusal::ActivationExists.into());
            }
            let challenge = ActivationChallenge {
                id: ChallengeId::mint(now, self.entropy.bytes()),
                person_id: wish.person_id.clone(),
                origin: wish.origin,
                purpose: wish.purpose,
                delivery_method: wish.delivery_method,
                otp_version: self.codes.current_version(),
                life: ChallengeLife::starting(now, self.policy.activation_code_life),
                used_at: None,
            };
            attempt.on(challenge.id.uuid());
            let record = attempt.done(&challenge);
            let activation = NewActivation { challenge, turn: newest.map_or(0, |newest| newest.turn) + 1 };
            if self.store.open_activation(attempt.partner, &activation, &record).await? == Written::Done(()) {
                let id = activation.challenge.id;
                tracing::info!(target: "audit", { challenge.id = %id }, "activation code created");
                return Ok(Settled::Done(activation.challenge));
            }
        }
        Ok(Settled::Overtaken)
    }

    /// The code of a challenge; `None` when it can no longer bind a device, also because its secret is not configured.
    #[must_use]
    pub fn activation_code(&self, challenge: &ActivationChallenge) -> Option<ActivationCode> {
        let is_live = challenge.is_live(self.clock.now());
        is_live.then(|| self.codes.activation_code(challenge.otp_version, challenge.id).ok()).flatten()
    }

    /// A page of the partner's activation codes.
    pub async fn activations(&self, caller: &Caller, query: &ActivationQuery) -> Result<ActivationPage, Failure> {
        Ok(self.store.activations(&caller.partner, query).await?)
    }

    /// One activation code, also one that is used or has expired.
    pub async fn activation(&self, caller: &Caller, id: ChallengeId) -> Result<ActivationChallenge, NotDone> {
        self.store.activation(&caller.partner, id).await?.ok_or(Refusal::ActivationNotFound.into())
    }

    /// Ends an activation code now. One that has expired is left as it is.
    pub async fn delete_activation(&self, caller: &Caller, id: ChallengeId) -> Result<ActivationChallenge, NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::ActivationDeleted, None);
        attempt.on(id.uuid());
        let ended = self.end_activation(caller, id, &mut attempt).await;
        self.end(&attempt, ended).await
    }

    async fn end_activation(
        &self,
        caller: &Caller,
        id: ChallengeId,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<ActivationChallenge>, NotDone> {
        let found = self.activation(caller, id).await?;
        self.about(attempt, &found.person_id);
        let now = self.clock.now();
        self.store.end_activation(attempt.partner, id, now, &attempt.done(&())).await?;
        tracing::info!(target: "audit", { challenge.id = %id }, "activation code deleted");
        let life = ChallengeLife { expires_at: found.life.expires_at.min(now), ..found.life };
        Ok(Settled::Done(ActivationChallenge { life, ..found }))
    }

    /// Adds an event to the delivery of a code. Returns the code.
    pub async fn report_delivery(
        &self,
        caller: &Caller,
        id: ChallengeId,
        wish: Result<NewDelivery, Faults>,
        run: Option<Run>,
    ) -> Result<ActivationChallenge, NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::DeliveryReported, run);
        attempt.on(id.uuid());
        let added = self.add_delivery_event(caller, id, wish, &mut attempt).await;
        self.end(&attempt, added).await
    }

    async fn add_delivery_event(
        &self,
        caller: &Caller,
        id: ChallengeId,
        wish: Result<NewDelivery, Faults>,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<ActivationChallenge>, NotDone> {
        let found = self.activation(caller, id).await?;
        self.about(attempt, &found.person_id);
        let NewDelivery { kind, at, provider, details } = wish?;
        let event_id = DeliveryEventId::mint(self.clock.now(), self.entropy.bytes());
        let event = DeliveryEvent { id: event_id, kind, at, provider, details };
        let record = attempt.done(&found);
        match self.store.add_delivery_event(attempt.partner, id, &event, &record).await? {
            EventAdded::Yes => {
                tracing::info!(target: "audit", { challenge.id = %id, event.id = %event_id }, "delivery event reported");
                Ok(Settled::Done(found))
            }
            EventAdded::Full => Err(Refusal::DeliveryEventLimit.into()),
            EventAdded::NoCode => Err(Refusal::ActivationNotFound.into()),
        }
    }

    /// The events of the delivery of a code, the newest first.
    pub async fn delivery_events(&self, caller: &Caller, id: ChallengeId) -> Result<Vec<DeliveryEvent>, NotDone> {
        self.activation(caller, id).await?;
        Ok(self.store.delivery_events(&caller.partner, id).await?)
    }

    /// One event of the delivery of a code.
    pub async fn delivery_event(
        &self,
        caller: &Caller,
        id: ChallengeId,
        event: DeliveryEventId,
    ) -> Result<DeliveryEvent, NotDone> {
        let found = self.store.delivery_event(&caller.partner, id, event).await?;
        found.ok_or(Refusal::DeliveryEventNotFound.into())
    }
}
