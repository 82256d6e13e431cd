//! Confirmation of a mobile number: the service sends a code by SMS; the code as answer verifies the number.

use crate::crypto::{Diagnosis, Otp};
use crate::domain::audit::AuditAction;
use crate::domain::challenges::{ChallengeId, ChallengeKind, ChallengeLife};
use crate::domain::clients::Caller;
use crate::domain::failure_budget::FailureRun;
use crate::domain::idempotency::Run;
use crate::domain::numbers::MobileNumber;
use crate::domain::person::PersonId;
use crate::domain::sms::language::Language;
use crate::domain::sms::limits::{SmsSpend, SmsUse};
use crate::service::audit::scope::{AuditScope, Settled};
use crate::service::challenges::answer::{Answering, Standing};
use crate::service::challenges::diagnosis::Investigation;
use crate::service::challenges::send_code::{NewCode, Prospects, Sending, Wording};
use crate::service::{NotDone, Refusal, Service};
use crate::sms::CodePurpose;
use crate::store::{AuditRecord, CodeAnswer, NumberRecord, SentCode, TypedCode, Written};

impl Service {
    /// Sends a code to the number. Supersedes an older code.
    pub async fn authorize_mobile_number(
        &self,
        caller: &Caller,
        person: &PersonId,
        number: &MobileNumber,
        language: Option<Language>,
        run: Option<Run>,
    ) -> Result<NumberRecord, NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::ChallengeAsked(ChallengeKind::Number), run);
        self.about(&mut attempt, person);
        self.send_code(&Requested { person, number, language }, attempt).await
    }

    /// Marks the number as verified if the code is the one that was sent to it.
    pub async fn confirm_mobile_number(
        &self,
        caller: &Caller,
        person: &PersonId,
        number: &MobileNumber,
        code: Otp,
        run: Option<Run>,
    ) -> Result<NumberRecord, NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::ChallengeAnswered(ChallengeKind::Number), run);
        self.about(&mut attempt, person);
        self.answer(&Answered { person, number }, Ok(code), attempt).await
    }
}

/// A request to send a code.
struct Requested<'a> {
    person: &'a PersonId,
    number: &'a MobileNumber,
    language: Option<Language>,
}

impl Sending for Requested<'_> {
    type Cleared = NumberRecord;
    type Sent = NumberRecord;

    async fn prospects(
        &self,
        service: &Service,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Prospects<NumberRecord>, NotDone> {
        let found = service.store.number_prospects(attempt.partner, self.person, self.number).await?;
        attempt.on(found.as_ref().map(|found| found.record.id.uuid()));
        let number = self.number.clone();
        Ok(match found {
            Some(found) => Prospects { number, failures: found.failures, sms: found.sms, own: Ok(found.record) },
            None => Prospects {
                number,
                failures: FailureRun::default(),
                sms: SmsUse::default(),
                own: Err(Refusal::NumberNotFound),
            },
        })
    }

    fn begin(&self, service: &Service) -> (ChallengeId, ChallengeLife) {
        service.challenge_from(service.clock.now())
    }

    fn person(&self) -> &PersonId {
        self.person
    }

    fn wording(&self) -> Wording<'_> {
        Wording { purpose: CodePurpose::Number, language: self.language, app_signature: None }
    }

    fn sent(&self, found: &NumberRecord) -> NumberRecord {
        found.clone()
    }

    async fn open(
        &self,
        service: &Service,
        code: &NewCode,
        spend: Option<&SmsSpend>,
        record: &AuditRecord,
        attempt: &AuditScope<'_>,
    ) -> Result<Written, NotDone> {
        let NewCode { id, otp_version, life, number } = code;
        let challenge = TypedCode { id: *id, otp_version: *otp_version, expires_at: life.expires_at };
        let (partner, person) = (attempt.partner, self.person);
        Ok(service.store.open_number_code(partner, person, number, challenge, spend, record).await?)
    }

    async fn take_back(
        &self,
        service: &Service,
        code: &NewCode,
        spend: Option<&SmsSpend>,
        record: &AuditRecord,
        attempt: &AuditScope<'_>,
    ) -> Result<(), NotDone> {
        Ok(service.store.close_code(attempt.partner, self.person, code.id, spend, record).await?)
    }

    fn log(&self, sent: &NumberRecord) {
        tracing::info!(target: "audit", { number.id = %sent.id }, "mobile number confirmation requested");
    }
}

/// An answer to the open code of this number.
struct Answered<'a> {
    person: &'a PersonId,
    number: &'a MobileNumber,
}

impl Answering for Answered<'_> {
    type Challenge = (NumberRecord, SentCode);
    type Answer = Otp;
    type Proof = ();
    type Done = NumberRecord;

    const PURPOSE: Option<&'static str> = None;

    async fn load(
        &self,
        service: &Service,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Option<Standing<Self::Challenge>>, NotDone> {
        let found = service.store.number_challenge(attempt.partner, self.person, self.number).await?;
        let found = found.ok_or(Refusal::NumberNotFound)?;
        attempt.on(found.record.id.uuid());
        // The cool-down takes precedence, whether a code is open or not.
        if let Some(cooling) = service.pause(found.failures) {
            return Err(service.cooling_off(cooling).into());
        }
        let Some(code) = found.code else { return Ok(None) };
        Ok(service.standing(ChallengeKind::Number, code.state, (found.record, code)))
    }

    async fn over(
        &self,
        _service: &Service,
        _typed: Option<&Otp>,
        _attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<NumberRecord>, NotDone> {
        // The same response as for a wrong code: see `docs/decisions/0014-confirming-without-an-open-code-is-403.md`.
        Err(Refusal::WrongCode.into())
    }

    fn verify(&self, service: &Service, (_, code): &Self::Challenge, typed: &Otp) -> Result<Option<()>, NotDone> {
        Ok(service.codes.code(code.otp_version, code.id)?.matches(typed).then_some(()))
    }

    async fn accept(
        &self,
        service: &Service,
        (found, code): &Self::Challenge,
        _typed: &Otp,
        (): (),
        attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<NumberRecord>, NotDone> {
        let verified = NumberRecord { verified: true, ..found.clone() };
        let (answer, record) = (service.code_answer(ChallengeKind::Number, code), attempt.done(&verified));
        let written = service.store.confirm_mobile_number(attempt.partner, self.person, &answer, &record).await?;
        if written == Written::Overtaken {
            return Ok(Settled::Overtaken);
        }
        if let Some(sent_at) = code.id.minted_at() {
            service.count_used(attempt.partner, self.number, sent_at);
        }
        tracing::info!(target: "audit", { number.id = %verified.id }, "mobile number verified");
        Ok(Settled::Done(verified))
    }

    async fn count_wrong(
        &self,
        service: &Service,
        (found, code): &Self::Challenge,
        attempt: &AuditScope<'_>,
    ) -> Result<Settled<NumberRecord>, NotDone> {
        let refusal = Refusal::WrongCode;
        let (answer, record) = (service.code_answer(ChallengeKind::Number, code), attempt.refused(&refusal));
        Ok(match service.store.count_wrong_code(attempt.partner, self.person, &answer, &record).await? {
            Written::Done(wrong) => {
                tracing::info!(target: "audit", { number.id = %found.id, wrong }, "wrong code");
                Settled::Refused(refusal)
            }
            Written::Overtaken => Settled::Overtaken,
        })
    }

    async fn diagnose(
        &self,
        investigation: Investigation<'_>,
        _challenge: &Self::Challenge,
        typed: &Otp,
    ) -> Option<Diagnosis> {
        investigation.of_typed_code(self.person, CodePurpose::Number, typed)
    }
}

impl Service {
    /// The answer to a code, for the store.
    pub(super) fn code_answer(&self, kind: ChallengeKind, code: &SentCode) -> CodeAnswer {
        CodeAnswer { id: code.id, at: self.clock.now(), rules: self.policy.challenge_rules(kind) }
    }
}
