//! The flow of a code by SMS, the same for every kind of challenge: clear, assess, open and spend, hand over, and take back
//! what no provider took.

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::domain::challenges::{ChallengeId, ChallengeLife};
use crate::domain::failure_budget::FailureRun;
use crate::domain::numbers::MobileNumber;
use crate::domain::sms::app_signature::AppSignature;
use crate::domain::sms::language::Language;
use crate::domain::sms::limits::{SmsSpend, SmsUse};
use crate::service::audit::scope::{AuditScope, Settled};
use crate::service::challenges::answer::TRIES;
use crate::service::fraud_check::ToAssess;
use crate::service::{Failure, NotDone, Refusal, Service};
use crate::sms::{Sms, SmsError};
use crate::store::{AuditRecord, Written};

/// What a kind of challenge adds to the flow of a code.
pub(in crate::service) trait Sending {
    /// What the kind itself finds when it looks whether it may send.
    type Cleared;
    /// What the caller gets.
    type Sent: Serialize;

    /// Reads what decides whether a code may be sent, and says in the attempt what it is about.
    async fn prospects(
        &self,
        service: &Service,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Prospects<Self::Cleared>, NotDone>;

    /// What the fraud check is asked before the first code is opened.
    fn to_assess(&self) -> Option<ToAssess<'_>> {
        None
    }

    /// The challenge that is opened now. Its id is of the instant at which it begins.
    fn begin(&self, service: &Service) -> (ChallengeId, ChallengeLife);

    /// How the message is worded.
    fn wording(&self) -> Wording<'_>;

    /// What the caller gets.
    fn sent(&self, cleared: &Self::Cleared) -> Self::Sent;

    /// Opens the challenge in place of an older one, and spends its message.
    async fn open(
        &self,
        service: &Service,
        code: &NewCode,
        spend: Option<&SmsSpend>,
        record: &AuditRecord,
        attempt: &AuditScope<'_>,
    ) -> Result<Written, NotDone>;

    /// Closes the challenge, whose message no provider took, and takes the message back.
    async fn take_back(
        &self,
        service: &Service,
        code: &NewCode,
        spend: Option<&SmsSpend>,
        record: &AuditRecord,
        attempt: &AuditScope<'_>,
    ) -> Result<(), NotDone>;

    /// Tells the log of a code that was sent.
    fn log(&self, sent: &Self::Sent);
}

/// What decides whether a code may be sent.
pub(in crate::service) struct Prospects<C> {
    /// Where it would go.
    pub(in crate::service) number: MobileNumber,
    /// The person's failures of late.
    pub(in crate::service) failures: FailureRun,
    /// What was sent of late.
    pub(in crate::service) sms: SmsUse,
    /// What the kind itself says, after the number's country and before everything else.
    pub(in crate::service) own: Result<C, Refusal>,
}

/// How a message is worded.
pub(in crate::service) struct Wording<'a> {
    /// The operator's language if `None`.
    pub(in crate::service) language: Option<Language>,
    /// The app's hash, so that Android hands it the SMS.
    pub(in crate::service) app_signature: Option<&'a AppSignature>,
}

/// A code that is about to be sent.
pub(in crate::service) struct NewCode {
    /// What it is derived from.
    pub(in crate::service) id: ChallengeId,
    /// Which secret it is derived under.
    pub(in crate::service) otp_version: u32,
    /// When its challenge begins and ends.
    pub(in crate::service) life: ChallengeLife,
    /// Where it goes.
    pub(in crate::service) number: MobileNumber,
}

impl Service {
    /// Sends a code, and ends the attempt.
    ///
    /// One read and one write, with the fraud check between them; another write only when no provider takes the message.
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
            let message = self.message(&code, &kind.wording())?;
            let sent = kind.sent(&cleared);
            let (spend, record) = (spend.as_ref(), attempt.done(&sent));
            if kind.open(self, &code, spend, &record, attempt).await? == Written::Overtaken {
                // If it is a reason to refuse, the next round finds it.
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

    /// A challenge that begins at this instant.
    pub(in crate::service) fn challenge_from(&self, now: DateTime<Utc>) -> (ChallengeId, ChallengeLife) {
        let id = ChallengeId::mint(now, self.entropy.bytes());
        (id, ChallengeLife::starting(now, self.policy.challenge_life))
    }

    /// Looks at everything that decides before a code is sent. Gives where it goes, what the kind found, and what it costs.
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

    fn message(&self, code: &NewCode, wording: &Wording<'_>) -> Result<Sms, Failure> {
        let otp = self.codes.code(code.otp_version, code.id)?;
        let language = wording.language.unwrap_or(self.policy.language);
        let text = self.sms_template.text(language, &otp, wording.app_signature);
        Ok(Sms { to: code.number.clone(), text, reference: code.id.uuid() })
    }

    /// A message that a provider may have taken counts as taken: the code may arrive, and if it does not, the person asks
    /// again.
    async fn hand_over(&self, message: Sms) -> Result<(), SmsError> {
        match self.sms.send(&message).await {
            Ok(_) | Err(SmsError::Uncertain(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
