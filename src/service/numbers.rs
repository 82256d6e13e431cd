//! A person's mobile number: given, confirmed by a code, looked at, taken away.

use crate::crypto::Otp;
use crate::domain::audit::AuditAction;
use crate::domain::challenges::{ChallengeId, ChallengeKind, Judgement};
use crate::domain::clients::{Caller, Permission};
use crate::domain::id::NumberId;
use crate::domain::idempotency::Run;
use crate::domain::numbers::MobileNumber;
use crate::domain::person::PersonId;
use crate::domain::sms::language::Language;
use crate::domain::sms::limits::SmsSpend;
use crate::service::audit::scope::AuditScope;
use crate::service::{Failure, NotDone, Refusal, Service};
use crate::sms::Sms;
use crate::store::{NumberRecord, NumberVerification, TokenAttempt, TokenChallenge};

/// How often a code is opened anew when another request of the person has come in between.
const TRIES: usize = 3;

impl Service {
    /// The person's number.
    pub async fn mobile_number(&self, caller: &Caller, person: &PersonId) -> Result<NumberRecord, NotDone> {
        self.store.mobile_number(&caller.partner, person).await?.ok_or(Refusal::NumberNotFound.into())
    }

    /// Gives the person a number that a code has yet to confirm.
    pub async fn create_mobile_number(
        &self,
        caller: &Caller,
        person: &PersonId,
        number: MobileNumber,
        run: Option<Run>,
    ) -> Result<NumberRecord, NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::NumberCreated, run);
        self.about(&mut attempt, person);
        self.create(&mut attempt, person, number, NumberVerification::Pending).await
    }

    /// Gives the person a number that the partner has verified itself. Who said so, and when, is recorded.
    pub async fn assert_mobile_number(
        &self,
        caller: &Caller,
        person: &PersonId,
        number: MobileNumber,
        run: Option<Run>,
    ) -> Result<NumberRecord, NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::NumberAsserted, run);
        self.about(&mut attempt, person);
        if !caller.permissions.allow(Permission::AssertNumbers) {
            return Err(self.refuse(&attempt, Refusal::MayNotAssert).await);
        }
        self.create(&mut attempt, person, number, NumberVerification::AssertedBy(&caller.client_id)).await
    }

    async fn create(
        &self,
        attempt: &mut AuditScope<'_>,
        person: &PersonId,
        number: MobileNumber,
        verification: NumberVerification<'_>,
    ) -> Result<NumberRecord, NotDone> {
        if let Err(refused) = self.policy.sms_countries.admit(&number) {
            return Err(self.refuse(attempt, Refusal::from(refused)).await);
        }
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
            return Err(self.refuse(attempt, Refusal::NumberExists).await);
        }
        tracing::info!(target: "audit", { number.id = %id, verified }, "mobile number created");
        Ok(created)
    }

    /// Sends a code to the number. An older code ends with this.
    pub async fn authorize_mobile_number(
        &self,
        caller: &Caller,
        person: &PersonId,
        number: &MobileNumber,
        language: Option<Language>,
        run: Option<Run>,
    ) -> Result<NumberRecord, NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::NumberCodeAsked, run);
        self.about(&mut attempt, person);
        for _ in 0..TRIES {
            let (record, spend) = match self.clear_number(&mut attempt, person, number).await {
                Ok(cleared) => cleared,
                Err(refusal) => return Err(self.refuse(&attempt, refusal).await),
            };
            let (now, version) = (self.clock.now(), self.codes.current_version());
            let challenge = TokenChallenge {
                id: ChallengeId::mint(now, self.entropy.bytes()),
                otp_version: version,
                expires_at: now + self.policy.challenge_life,
            };
            let kept = attempt.done(&record);
            let (partner, spend) = (attempt.partner, spend.as_ref());
            if !self.store.open_token_challenge(partner, person, number, challenge, spend, &kept).await? {
                // Something came in between; if it is a reason to refuse, the next round finds it.
                continue;
            }
            let code = self.codes.code(version, challenge.id.uuid()).ok_or(Failure::MissingOtpSecret { version })?;
            let text = self.sms_template.text(language.unwrap_or(self.policy.language), &code, None);
            let sms = Sms { to: record.number.clone(), text, reference: challenge.id.uuid() };
            if let Err(error) = self.hand_over(sms).await {
                let undone = attempt.undone("sms_not_taken");
                self.store.close_token_challenge(partner, person, challenge.id, spend, &undone).await?;
                return Err(Refusal::SmsNotTaken(error).into());
            }
            self.count_sent(partner, number, now);
            tracing::info!(target: "audit", { number.id = %record.id }, "mobile number confirmation asked for");
            return Ok(record);
        }
        Err(Failure::Overtaken.into())
    }

    /// Looks at everything that decides before a code is sent.
    async fn clear_number(
        &self,
        attempt: &mut AuditScope<'_>,
        person: &PersonId,
        number: &MobileNumber,
    ) -> Result<(NumberRecord, Option<SmsSpend>), NotDone> {
        let prospects = self.store.number_prospects(attempt.partner, person, number).await?;
        attempt.on(prospects.as_ref().map(|prospects| prospects.record.id.uuid()));
        self.admit_for_sms(number)?;
        let prospects = prospects.ok_or(Refusal::NumberNotFound)?;
        if let Some(cooling) = self.pause(prospects.failures) {
            return Err(self.cooling_off(cooling).into());
        }
        if let Some(stopped) = self.stopped_sending(attempt.partner, number) {
            return Err(Refusal::SendingStopped { retry_after: stopped.retry_after }.into());
        }
        let spend = self.may_send(&prospects.sms)?;
        Ok((prospects.record, spend))
    }

    /// Marks the number as verified if the token is the code that was sent to it.
    pub async fn confirm_mobile_number(
        &self,
        caller: &Caller,
        person: &PersonId,
        number: &MobileNumber,
        token: &Otp,
        run: Option<Run>,
    ) -> Result<NumberRecord, NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::NumberConfirmed, run);
        self.about(&mut attempt, person);
        let partner = attempt.partner;
        let Some(found) = self.store.number_challenge(partner, person, number).await? else {
            return Err(self.refuse(&attempt, Refusal::NumberNotFound).await);
        };
        attempt.on(found.record.id.uuid());
        if let Some(cooling) = self.pause(found.failures) {
            return Err(self.refuse(&attempt, self.cooling_off(cooling)).await);
        }
        let open = found.code.filter(|code| self.judge(ChallengeKind::Number, &code.state) == Judgement::Open);
        let Some(open) = open else { return Err(self.refuse(&attempt, Refusal::WrongToken).await) };
        let rules = self.policy.challenge_rules(ChallengeKind::Number);
        let tried = TokenAttempt { id: open.id, at: self.clock.now(), rules };
        let version = open.otp_version;
        let code = self.codes.code(version, open.id.uuid()).ok_or(Failure::MissingOtpSecret { version })?;
        if code.matches(token) {
            let verified = NumberRecord { verified: true, ..found.record };
            let record = attempt.done(&verified);
            if self.store.confirm_mobile_number(partner, person, &tried, &record).await? {
                if let Some(sent_at) = open.id.minted_at() {
                    self.count_used(partner, number, sent_at);
                }
                tracing::info!(target: "audit", { number.id = %verified.id }, "mobile number verified");
                return Ok(verified);
            }
        } else {
            let record = attempt.refused(&Refusal::WrongToken);
            let wrong = self.store.count_wrong_token(partner, person, &tried, &record).await?;
            tracing::info!(target: "audit", { number.id = %found.record.id, wrong }, "wrong token");
            if wrong.is_some() {
                return Err(Refusal::WrongToken.into());
            }
        }
        // The code was used up, replaced or ended meanwhile.
        Err(self.refuse(&attempt, Refusal::WrongToken).await)
    }

    /// Takes the number away; open challenges of the person die with it. With a number, only if it is that one.
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
        let Some(deleted) = deleted else { return Err(self.refuse(&attempt, Refusal::NumberNotFound).await) };
        tracing::info!(target: "audit", { number.id = %deleted.id }, "mobile number deleted");
        Ok(deleted)
    }
}
