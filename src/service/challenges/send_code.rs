//! The flow of sending a code by SMS, the same for every kind of challenge: check the rules, check for fraud, open the
//! challenge and count the message, send it; if no provider accepts it, undo both.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::challenges::{ChallengeId, ChallengeLife};
use crate::domain::failure_budget::FailureRun;
use crate::domain::numbers::MobileNumber;
use crate::domain::person::{PartnerId, PersonId};
use crate::domain::sms::app_signature::AppSignature;
use crate::domain::sms::language::Language;
use crate::domain::sms::limits::{SmsSpend, SmsUse};
use crate::service::audit::scope::{AuditScope, Settled};
use crate::service::challenges::answer::TRIES;
use crate::service::fraud_check::ToAssess;
use crate::service::sms::delivery::Message;
use crate::service::{Failure, NotDone, Refusal, Service};
use crate::sms::{CodePurpose, Sms};
use crate::store::{AuditRecord, Written};

/// The part of the flow of sending a code that differs by kind.
pub(in crate::service) trait Sending {
    /// The result of the kind's own check.
    type Cleared;
    /// The result for the caller.
    type Sent: Serialize;

    /// Reads the data that decides whether a code may be sent, and sets the subject of the audit event.
    async fn prospects(
        &self,
        service: &Service,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Prospects<Self::Cleared>, NotDone>;

    /// The input of the fraud check before the challenge is opened.
    fn to_assess(&self) -> Option<ToAssess<'_>> {
        None
    }

    /// Id and lifetime of the new challenge. The id is minted at the start of the lifetime.
    fn begin(&self, service: &Service) -> (ChallengeId, ChallengeLife);

    /// The recipient.
    fn person(&self) -> &PersonId;

    /// Purpose, language and app hash of the message.
    fn wording(&self) -> Wording<'_>;

    /// The result for the caller.
    fn sent(&self, cleared: &Self::Cleared) -> Self::Sent;

    /// Opens the challenge, which supersedes an older one, and counts its message.
    async fn open(
        &self,
        service: &Service,
        code: &NewCode,
        spend: Option<&SmsSpend>,
        record: &AuditRecord,
        attempt: &AuditScope<'_>,
    ) -> Result<Written, NotDone>;

    /// Closes a challenge whose message no provider accepted, and removes the message from the counts.
    async fn take_back(
        &self,
        service: &Service,
        code: &NewCode,
        spend: Option<&SmsSpend>,
        record: &AuditRecord,
        attempt: &AuditScope<'_>,
    ) -> Result<(), NotDone>;

    /// Logs that a code was sent.
    fn log(&self, sent: &Self::Sent);
}

/// The data that decides whether a code may be sent.
pub(in crate::service) struct Prospects<C> {
    /// The recipient.
    pub(in crate::service) number: MobileNumber,
    /// The person's recent failures.
    pub(in crate::service) failures: FailureRun,
    /// Recent messages.
    pub(in crate::service) sms: SmsUse,
    /// The result of the kind's own check. Applies after the country check and before all others.
    pub(in crate::service) own: Result<C, Refusal>,
}

/// Purpose, language and app hash of a message.
pub(in crate::service) struct Wording<'a> {
    /// What the code does.
    pub(in crate::service) purpose: CodePurpose,
    /// `None` is the operator's default language.
    pub(in crate::service) language: Option<Language>,
    /// The app hash by which Android delivers the SMS to the app.
    pub(in crate::service) app_signature: Option<&'a AppSignature>,
}

/// A code to be sent.
pub(in crate::service) struct NewCode {
    /// The challenge, from whose id it is derived.
    pub(in crate::service) id: ChallengeId,
    /// The version of the secret that it is derived from.
    pub(in crate::service) otp_version: u32,
    /// Start and expiry of the challenge.
    pub(in crate::service) life: ChallengeLife,
    /// The recipient.
    pub(in crate::service) number: MobileNumber,
}

impl Service {
    /// Sends a code and ends the attempt.
    ///
    /// One read and one write, with the fraud check between them; a second write only when no provider accepts the
    /// message.
    pub(in crate::service) async fn send_code<K: Sending>(
        &self,
        kind: &K,
        mut attempt: AuditScope<'_>,
    ) -> Result<K::Sent, NotDone> {
        let settled = self.open_and_send(kind, &mut attempt).await;
        self.end(&attempt, settled).await
    }

    async fn open_and_send<K: Sending>(
        &self,
        kind: &K,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<K::Sent>, NotDone> {
        for _ in 0..TRIES {
            let (number, cleared, spend) = self.clear(kind, attempt).await?;
            if !self.passes(kind.to_assess(), attempt).await {
                return Err(Refusal::Declined.into());
            }
            let (id, life) = kind.begin(self);
            let code = NewCode { id, otp_version: self.codes.current_version(), life, number };
            let message = self.message(&code, attempt.partner, kind)?;
            let sent = kind.sent(&cleared);
            let (spend, record) = (spend.as_ref(), attempt.done(&sent));
            if kind.open(self, &code, spend, &record, attempt).await? == Written::Overtaken {
                // The next iteration reads the new state, and may refuse.
                continue;
            }
            if let Err(error) = self.hand_over(message).await {
                let refusal = Refusal::SmsNotTaken(error);
                kind.take_back(self, &code, spend, &attempt.undone(&refusal), attempt).await?;
                return Ok(Settled::Refused(refusal));
            }
            self.count_sent(attempt.partner, &code.number, life.created_at);
            kind.log(&sent);
            return Ok(Settled::Done(sent));
        }
        Ok(Settled::Overtaken)
    }

    /// Id and lifetime of a challenge that starts at this instant.
    pub(in crate::service) fn challenge_from(&self, now: DateTime<Utc>) -> (ChallengeId, ChallengeLife) {
        let id = ChallengeId::mint(now, self.entropy.bytes());
        (id, ChallengeLife::starting(now, self.policy.challenge_life))
    }

    /// Checks all rules. Returns the recipient, the result of the kind's check and the message to count.
    async fn clear<K: Sending>(
        &self,
        kind: &K,
        attempt: &mut AuditScope<'_>,
    ) -> Result<(MobileNumber, K::Cleared, Option<SmsSpend>), NotDone> {
        let Prospects { number, failures, sms, own } = kind.prospects(self, attempt).await?;
        self.admit_for_sms(&number)?;
        let cleared = own?;
        if let Some(cooling) = self.pause(failures) {
            return Err(self.cooling_off(cooling).into());
        }
        self.admit_by_conversion(attempt.partner, &number)?;
        let spend = self.may_send(&sms)?;
        Ok((number, cleared, spend))
    }

    fn message<'a, K: Sending>(
        &self,
        code: &NewCode,
        partner: &'a PartnerId,
        kind: &'a K,
    ) -> Result<Message<'a>, Failure> {
        let otp = self.codes.code(code.otp_version, code.id)?;
        let Wording { purpose, language, app_signature } = kind.wording();
        let language = language.unwrap_or(self.policy.language);
        let text = self.sms_template.text(purpose, language, &otp, app_signature);
        let sms = Sms { to: code.number.clone(), text, reference: code.id.uuid() };
        Ok(Message { sms, partner, person: kind.person(), language, code: Some((purpose, otp)) })
    }
}
