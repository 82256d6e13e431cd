//! SMS challenges, for log-ins without a phone's key: the service sends a code to the person's verified number; typing
//! it answers the challenge.

use serde::{Deserialize, Serialize};

use crate::crypto::{Diagnosis, Otp};
use crate::domain::audit::AuditAction;
use crate::domain::challenges::{ChallengeId, ChallengeKind, ChallengeLife};
use crate::domain::clients::Caller;
use crate::domain::devices::device_data::DeviceData;
use crate::domain::idempotency::Run;
use crate::domain::invalid::Faults;
use crate::domain::person::PersonId;
use crate::domain::sms::app_signature::AppSignature;
use crate::domain::sms::language::Language;
use crate::domain::sms::limits::SmsSpend;
use crate::fraud::FraudAction;
use crate::service::audit::scope::{AuditScope, Settled};
use crate::service::challenges::answer::{Answering, Standing};
use crate::service::challenges::diagnosis::Investigation;
use crate::service::challenges::send_code::{NewCode, Prospects, Sending, Wording};
use crate::service::fraud_check::ToAssess;
use crate::service::{NotDone, Refusal, Service};
use crate::sms::CodePurpose;
use crate::store::{AuditRecord, SmsChallenge, TypedCode, Written};

/// The kind of these challenges.
const KIND: ChallengeKind = ChallengeKind::Sms;

/// A validated request for an SMS challenge.
#[derive(Clone, Debug)]
pub struct RequestSmsChallenge {
    /// The person who logs in.
    pub person_id: PersonId,
    /// The app hash by which Android delivers the SMS to the app.
    pub app_signature: Option<AppSignature>,
    /// The language of the SMS.
    pub language: Option<Language>,
    /// The payload for the fraud check.
    pub device_data: Option<DeviceData>,
}

/// An open SMS challenge as returned to the caller.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct OpenSmsChallenge {
    /// Its id.
    pub id: ChallengeId,
    /// Start and expiry.
    pub life: ChallengeLife,
}

impl Service {
    /// Opens a challenge and sends its code. Supersedes an older SMS challenge of the person.
    pub async fn request_sms_challenge(
        &self,
        caller: &Caller,
        request: RequestSmsChallenge,
        run: Option<Run>,
    ) -> Result<OpenSmsChallenge, NotDone> {
        let (id, life) = self.challenge_from(self.clock.now());
        let mut attempt = self.audit_scope(caller, AuditAction::ChallengeAsked(KIND), run);
        self.about(&mut attempt, &request.person_id);
        attempt.on(id.uuid());
        self.send_code(&Requested { request, challenge: OpenSmsChallenge { id, life } }, attempt).await
    }

    /// An open challenge, for a client that did not receive the response to its POST.
    pub async fn sms_challenge(&self, caller: &Caller, id: ChallengeId) -> Result<OpenSmsChallenge, NotDone> {
        let found = self.store.sms_challenge(&caller.partner, id).await?;
        let open = found.and_then(|found| self.standing(KIND, found.code.state, found));
        let code = open.ok_or(Refusal::ChallengeNotOpen(KIND))?.challenge.code;
        // The id is minted at the start of the lifetime; the response shows whole seconds.
        let created_at = id.minted_at().ok_or(Refusal::ChallengeNotOpen(KIND))?;
        Ok(OpenSmsChallenge { id, life: ChallengeLife { created_at, expires_at: code.state.expires_at } })
    }

    /// Accepts the challenge if the code is right.
    pub async fn answer_sms_challenge(
        &self,
        caller: &Caller,
        id: ChallengeId,
        code: Result<Otp, Faults>,
        run: Option<Run>,
    ) -> Result<(), NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::ChallengeAnswered(KIND), run);
        attempt.on(id.uuid());
        self.answer(&Answered { id }, code, attempt).await
    }
}

/// A request for a challenge.
struct Requested {
    request: RequestSmsChallenge,
    /// The same in every retry: id and start belong to the request.
    challenge: OpenSmsChallenge,
}

impl Sending for Requested {
    type Cleared = ();
    type Sent = OpenSmsChallenge;

    async fn prospects(&self, service: &Service, attempt: &mut AuditScope<'_>) -> Result<Prospects<()>, NotDone> {
        let found = service.store.sms_prospects(attempt.partner, &self.request.person_id).await?;
        let found = found.ok_or(Refusal::NoVerifiedNumber)?;
        Ok(Prospects { number: found.number, failures: found.failures, sms: found.sms, own: Ok(()) })
    }

    fn to_assess(&self) -> Option<ToAssess<'_>> {
        Some(ToAssess {
            action: FraudAction::SmsChallenge,
            person: &self.request.person_id,
            object: self.challenge.id.uuid(),
            device_data: self.request.device_data.as_ref()?,
        })
    }

    fn begin(&self, _service: &Service) -> (ChallengeId, ChallengeLife) {
        (self.challenge.id, self.challenge.life)
    }

    fn person(&self) -> &PersonId {
        &self.request.person_id
    }

    fn wording(&self) -> Wording<'_> {
        Wording {
            purpose: CodePurpose::LogIn,
            language: self.request.language,
            app_signature: self.request.app_signature.as_ref(),
        }
    }

    fn sent(&self, (): &()) -> OpenSmsChallenge {
        self.challenge
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
        let code = TypedCode { id: *id, otp_version: *otp_version, expires_at: life.expires_at };
        let (partner, person) = (attempt.partner, &self.request.person_id);
        Ok(service.store.open_sms_challenge(partner, person, number, code, spend, record).await?)
    }

    async fn take_back(
        &self,
        service: &Service,
        code: &NewCode,
        spend: Option<&SmsSpend>,
        record: &AuditRecord,
        attempt: &AuditScope<'_>,
    ) -> Result<(), NotDone> {
        Ok(service.store.close_code(attempt.partner, &self.request.person_id, code.id, spend, record).await?)
    }

    fn log(&self, sent: &OpenSmsChallenge) {
        tracing::info!(target: "audit", { challenge.id = %sent.id }, "sms challenge requested");
    }
}

/// An answer to the challenge with this id.
struct Answered {
    id: ChallengeId,
}

impl Answering for Answered {
    type Challenge = SmsChallenge;
    type Answer = Otp;
    type Proof = ();
    type Done = ();

    const PURPOSE: Option<&'static str> = None;

    async fn load(
        &self,
        service: &Service,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Option<Standing<SmsChallenge>>, NotDone> {
        let Some(found) = service.store.sms_challenge(attempt.partner, self.id).await? else { return Ok(None) };
        service.about(attempt, &found.person_id);
        Ok(service.standing(KIND, found.code.state, found))
    }

    async fn over(
        &self,
        _service: &Service,
        _typed: Option<&Otp>,
        _attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<()>, NotDone> {
        Err(Refusal::ChallengeNotOpen(KIND).into())
    }

    fn verify(&self, service: &Service, challenge: &SmsChallenge, typed: &Otp) -> Result<Option<()>, NotDone> {
        let code = &challenge.code;
        Ok(service.codes.code(code.otp_version, code.id)?.matches(typed).then_some(()))
    }

    async fn accept(
        &self,
        service: &Service,
        challenge: &SmsChallenge,
        _typed: &Otp,
        (): (),
        attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<()>, NotDone> {
        let SmsChallenge { person_id, number, code } = challenge;
        let (answer, record) = (service.code_answer(KIND, code), attempt.done(&()));
        let written = service.store.accept_sms_challenge(attempt.partner, person_id, &answer, &record).await?;
        if written == Written::Overtaken {
            return Ok(Settled::Overtaken);
        }
        if let Some(sent_at) = code.id.minted_at() {
            service.count_used(attempt.partner, number, sent_at);
        }
        tracing::info!(target: "audit", { challenge.id = %code.id }, "sms challenge answered");
        Ok(Settled::Done(()))
    }

    async fn count_wrong(
        &self,
        service: &Service,
        challenge: &SmsChallenge,
        attempt: &AuditScope<'_>,
    ) -> Result<Settled<()>, NotDone> {
        let SmsChallenge { person_id, code, .. } = challenge;
        let refusal = Refusal::WrongCode;
        let (answer, record) = (service.code_answer(KIND, code), attempt.refused(&refusal));
        Ok(match service.store.count_wrong_code(attempt.partner, person_id, &answer, &record).await? {
            Written::Done(wrong) => {
                let left = answer.rules.wrong_answers_cap - wrong;
                tracing::info!(target: "audit", { challenge.id = %code.id, wrong, left }, "wrong code");
                Settled::Refused(refusal)
            }
            Written::Overtaken => Settled::Overtaken,
        })
    }

    async fn diagnose(
        &self,
        investigation: Investigation<'_>,
        challenge: &SmsChallenge,
        typed: &Otp,
    ) -> Option<Diagnosis> {
        investigation.of_typed_code(&challenge.person_id, CodePurpose::LogIn, typed)
    }
}
