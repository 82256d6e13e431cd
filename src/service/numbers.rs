//! Creates, reads and deletes a person's mobile number. Its confirmation by a code is in `challenges::number`.

use crate::domain::audit::AuditAction;
use crate::domain::clients::{Caller, Permission};
use crate::domain::id::NumberId;
use crate::domain::idempotency::Run;
use crate::domain::numbers::MobileNumber;
use crate::domain::person::PersonId;
use crate::service::audit::scope::{AuditScope, Settled};
use crate::service::{NotDone, Refusal, Service};
use crate::store::{NumberRecord, NumberVerification};

impl Service {
    /// The person's number.
    pub async fn mobile_number(&self, caller: &Caller, person: &PersonId) -> Result<NumberRecord, NotDone> {
        self.store.mobile_number(&caller.partner, person).await?.ok_or(Refusal::NumberNotFound.into())
    }

    /// Stores a number for the person that has to be confirmed by a code.
    pub async fn create_mobile_number(
        &self,
        caller: &Caller,
        person: &PersonId,
        number: MobileNumber,
        run: Option<Run>,
    ) -> Result<NumberRecord, NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::NumberCreated, run);
        self.about(&mut attempt, person);
        let outcome = self.create(&mut attempt, person, number, NumberVerification::Pending).await;
        self.end(&attempt, outcome).await
    }

    /// Stores a number that the partner has verified itself. The asserting client and the time are recorded.
    pub async fn assert_mobile_number(
        &self,
        caller: &Caller,
        person: &PersonId,
        number: MobileNumber,
        run: Option<Run>,
    ) -> Result<NumberRecord, NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::NumberAsserted, run);
        self.about(&mut attempt, person);
        let outcome = if caller.permissions.allow(Permission::AssertNumbers) {
            self.create(&mut attempt, person, number, NumberVerification::AssertedBy(&caller.client_id)).await
        } else {
            Err(Refusal::MayNotAssert.into())
        };
        self.end(&attempt, outcome).await
    }

    async fn create(
        &self,
        attempt: &mut AuditScope<'_>,
        person: &PersonId,
        number: MobileNumber,
        verification: NumberVerification<'_>,
    ) -> Result<Settled<NumberRecord>, NotDone> {
        self.policy.sms_countries.admit(&number).map_err(Refusal::from)?;
        let now = self.clock.now();
        let id = NumberId::mint(now, self.entropy.bytes());
        let verified = matches!(verification, NumberVerification::AssertedBy(_));
        let created = NumberRecord { id, number, verified };
        attempt.on(id.uuid());
        let record = attempt.done(&created);
        let number = (id, &created.number);
        if !self.store.create_mobile_number(attempt.partner, person, number, verification, now, &record).await? {
            let existing = self.store.mobile_number(attempt.partner, person).await?;
            attempt.on(existing.map(|existing| existing.id.uuid()));
            return Err(Refusal::NumberExists.into());
        }
        tracing::info!(target: "audit", { number.id = %id, verified }, "mobile number created");
        Ok(Settled::Done(created))
    }

    /// Deletes the number and closes the person's open challenges. If `number` is given, only when it is the stored
    /// one.
    pub async fn delete_mobile_number(
        &self,
        caller: &Caller,
        person: &PersonId,
        number: Option<&MobileNumber>,
    ) -> Result<NumberRecord, NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::NumberDeleted, None);
        self.about(&mut attempt, person);
        let (now, record) = (self.clock.now(), attempt.done(&()));
        let deleted = self.store.delete_mobile_number(attempt.partner, person, number, now, &record).await?;
        let outcome = deleted.map(Settled::Done).ok_or(Refusal::NumberNotFound.into());
        if let Ok(Settled::Done(deleted)) = &outcome {
            tracing::info!(target: "audit", { number.id = %deleted.id }, "mobile number deleted");
        }
        self.end(&attempt, outcome).await
    }
}
