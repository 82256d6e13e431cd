//! Device binding: the person gets a code, by SMS or as an activation code; a signature over it by the phone's key
//! binds the device. How a binding with an activation code is opened is in `binding_by_code`.

use serde::{Deserialize, Serialize};

use crate::crypto::{DerSignature, Diagnosis, PublicKey};
use crate::domain::audit::AuditAction;
use crate::domain::challenges::{
    Acceptance, Binding, BindingCode, ChallengeId, ChallengeKind, ChallengeLife, NewBinding, WrongSignature,
};
use crate::domain::clients::Caller;
use crate::domain::devices::DeviceName;
use crate::domain::devices::device_data::DeviceData;
use crate::domain::devices::key::KeyPurpose;
use crate::domain::id::KeyId;
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
use crate::store::{Accepted, AuditRecord, Written};

/// A validated request to bind a device.
#[derive(Clone, Debug)]
pub struct BindDevice {
    /// The owner of the device.
    pub person_id: PersonId,
    /// The phone's key.
    pub key: PublicKey,
    /// What the key may sign for.
    pub key_purpose: KeyPurpose,
    /// The person's name for the device.
    pub name: Option<DeviceName>,
    /// The app hash by which Android delivers the SMS to the app.
    pub app_signature: Option<AppSignature>,
    /// The language of the SMS.
    pub language: Option<Language>,
    /// The payload for the fraud check.
    pub device_data: Option<DeviceData>,
    /// How the person gets the code.
    pub means: BindingMeans,
}

/// How the person gets the code that the phone signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum BindingMeans {
    /// The service sends it by SMS.
    #[default]
    Sms,
    /// The partner has delivered an activation code.
    ActivationCode,
}

/// An open challenge as returned to the caller.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Challenge {
    /// The id of the challenge and of the pending device.
    pub id: ChallengeId,
    /// The id that the key will have.
    pub key_id: KeyId,
    /// Start and expiry.
    pub life: ChallengeLife,
}

/// The phone's answer to a challenge.
pub struct BindingAnswer {
    /// A signature over the characters of the code.
    pub signature: DerSignature,
    /// The payload for the fraud check.
    pub device_data: Option<DeviceData>,
}

impl Service {
    /// Opens a challenge for a new device, and sends its code unless it is an activation code. Supersedes an older open
    /// binding of the person.
    pub async fn bind_device(
        &self,
        caller: &Caller,
        request: BindDevice,
        run: Option<Run>,
    ) -> Result<Challenge, NotDone> {
        let now = self.clock.now();
        let (id, life) = self.challenge_from(now);
        let key_id = KeyId::mint(now, self.entropy.bytes());
        let mut attempt = self.audit_scope(caller, AuditAction::ChallengeAsked(ChallengeKind::Binding), run);
        self.about(&mut attempt, &request.person_id);
        attempt.on(id.uuid());
        attempt.with_key(key_id);
        let challenge = Challenge { id, key_id, life };
        match request.means {
            BindingMeans::Sms => self.send_code(&Requested { request, challenge }, attempt).await,
            BindingMeans::ActivationCode => self.bind_by_code(&request, challenge, attempt).await,
        }
    }

    /// An open challenge, for a client that did not receive the response to its POST.
    pub async fn challenge(&self, caller: &Caller, id: ChallengeId) -> Result<Challenge, NotDone> {
        let open =
            self.open_binding(caller, id).await?.ok_or(Refusal::ChallengeNotOpen(ChallengeKind::Binding))?.challenge;
        Ok(Challenge { id, key_id: open.key_id, life: open.life() })
    }

    /// Binds the device if the answer is right.
    pub async fn verify_binding(
        &self,
        caller: &Caller,
        id: ChallengeId,
        answer: Result<BindingAnswer, Faults>,
        run: Option<Run>,
    ) -> Result<(), NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::ChallengeAnswered(ChallengeKind::Binding), run);
        attempt.on(id.uuid());
        self.answer(&Answered { caller, id }, answer, attempt).await
    }

    /// The binding with this id; `None` when it is over.
    async fn open_binding(&self, caller: &Caller, id: ChallengeId) -> Result<Option<Standing<Binding>>, NotDone> {
        let found = self.store.binding(&caller.partner, id).await?;
        Ok(found.and_then(|found| self.standing(ChallengeKind::Binding, found.state, found)))
    }
}

impl Service {
    /// Whether a person with this number of devices may bind another one.
    pub(super) fn admit_device(&self, bound_devices: i64, key_is_taken: bool) -> Result<(), Refusal> {
        if bound_devices >= i64::from(self.policy.device_limit) {
            Err(Refusal::DeviceLimit)
        } else if key_is_taken {
            Err(Refusal::KeyTaken)
        } else {
            Ok(())
        }
    }
}

impl BindDevice {
    /// The input of the fraud check before the challenge is opened.
    pub(super) fn to_assess(&self, challenge: &Challenge) -> Option<ToAssess<'_>> {
        Some(ToAssess {
            action: FraudAction::DeviceBinding,
            person: &self.person_id,
            object: challenge.id.uuid(),
            device_data: self.device_data.as_ref()?,
        })
    }

    /// The binding to store.
    pub(super) fn binding(&self, challenge: &Challenge, code: BindingCode, otp_version: u32) -> NewBinding {
        NewBinding {
            id: challenge.id,
            person_id: self.person_id.clone(),
            code,
            key_id: challenge.key_id,
            public_key: self.key.clone(),
            key_purpose: self.key_purpose,
            name: self.name.clone(),
            otp_version,
            life: challenge.life,
        }
    }
}

/// A request to bind a device.
struct Requested {
    request: BindDevice,
    /// The same in every retry: id and start belong to the request.
    challenge: Challenge,
}

impl Sending for Requested {
    type Cleared = ();
    type Sent = Challenge;

    async fn prospects(&self, service: &Service, attempt: &mut AuditScope<'_>) -> Result<Prospects<()>, NotDone> {
        let request = &self.request;
        let found = service.store.binding_prospects(attempt.partner, &request.person_id, &request.key).await?;
        let found = found.ok_or(Refusal::NoVerifiedNumber)?;
        let own = service.admit_device(found.bound_devices, found.key_is_taken);
        Ok(Prospects { number: found.number, failures: found.failures, sms: found.sms, own })
    }

    fn to_assess(&self) -> Option<ToAssess<'_>> {
        self.request.to_assess(&self.challenge)
    }

    fn begin(&self, _service: &Service) -> (ChallengeId, ChallengeLife) {
        (self.challenge.id, self.challenge.life)
    }

    fn person(&self) -> &PersonId {
        &self.request.person_id
    }

    fn wording(&self) -> Wording<'_> {
        Wording {
            purpose: CodePurpose::NewPhone,
            language: self.request.language,
            app_signature: self.request.app_signature.as_ref(),
        }
    }

    fn sent(&self, (): &()) -> Challenge {
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
        let binding = self.request.binding(&self.challenge, BindingCode::Sms(code.number.clone()), code.otp_version);
        Ok(service.store.open_binding(attempt.partner, &binding, spend, record).await?)
    }

    async fn take_back(
        &self,
        service: &Service,
        code: &NewCode,
        spend: Option<&SmsSpend>,
        record: &AuditRecord,
        attempt: &AuditScope<'_>,
    ) -> Result<(), NotDone> {
        Ok(service.store.close_binding(attempt.partner, code.id, service.clock.now(), spend, record).await?)
    }

    fn log(&self, sent: &Challenge) {
        tracing::info!(target: "audit", { challenge.id = %sent.id }, "device binding requested");
    }
}

/// An answer to the challenge with this id.
struct Answered<'a> {
    caller: &'a Caller,
    id: ChallengeId,
}

impl Answering for Answered<'_> {
    type Challenge = Binding;
    type Answer = BindingAnswer;
    type Proof = ();
    type Done = ();

    const PURPOSE: Option<&'static str> = Some(ChallengeKind::Binding.as_str());

    async fn load(
        &self,
        service: &Service,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Option<Standing<Binding>>, NotDone> {
        let open = service.open_binding(self.caller, self.id).await?;
        if let Some(Standing { challenge, .. }) = &open {
            service.about(attempt, &challenge.person_id);
            attempt.with_key(challenge.key_id);
        }
        Ok(open)
    }

    async fn over(
        &self,
        service: &Service,
        answer: Option<&BindingAnswer>,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<()>, NotDone> {
        let fingerprint = answer.map(|answer| answer.signature.fingerprint());
        let past = service.store.past_binding(attempt.partner, self.id, fingerprint, service.clock.now()).await?;
        if let Some(past) = past {
            if past.is_repeat {
                // This request may have another idempotency key than the one that bound the device: the outcome is
                // stored under this key, too.
                if let Some(outcome) = attempt.outcome_to_store(&Ok(&())) {
                    service.store.store_outcome(attempt.partner, &outcome).await?;
                }
                return Ok(Settled::Repeated(()));
            }
            service.about(attempt, &past.person_id);
        }
        Err(Refusal::ChallengeNotOpen(ChallengeKind::Binding).into())
    }

    fn verify(&self, service: &Service, binding: &Binding, answer: &BindingAnswer) -> Result<Option<()>, NotDone> {
        let is_right = |code: &str| binding.public_key.verifies(code.as_bytes(), &answer.signature);
        let right = match binding.activation {
            Some(code) => is_right(service.codes.activation_code(binding.otp_version, code)?.expose()),
            None => is_right(service.codes.code(binding.otp_version, binding.id)?.expose()),
        };
        Ok(right.then_some(()))
    }

    fn to_assess<'a>(&self, binding: &'a Binding, answer: &'a BindingAnswer) -> Option<ToAssess<'a>> {
        Some(ToAssess {
            action: FraudAction::DeviceVerification,
            person: &binding.person_id,
            object: binding.id.uuid(),
            device_data: answer.device_data.as_ref()?,
        })
    }

    async fn accept(
        &self,
        service: &Service,
        binding: &Binding,
        answer: &BindingAnswer,
        (): (),
        attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<()>, NotDone> {
        let device_limit = i64::from(service.policy.device_limit);
        if binding.bound_devices >= device_limit {
            return self.close(service, binding, Refusal::DeviceLimit, attempt).await;
        }
        let acceptance = Acceptance {
            id: binding.id,
            person_id: binding.person_id.clone(),
            fingerprint: answer.signature.fingerprint(),
            at: service.clock.now(),
            device_limit,
            rules: service.policy.challenge_rules(ChallengeKind::Binding),
            activation: binding.activation,
        };
        let accepted = service.store.accept_binding(attempt.partner, &acceptance, &attempt.done(&())).await?;
        let was_sent = binding.activation.is_none();
        if let Some(number) = binding.number.as_ref().filter(|_| was_sent && accepted != Accepted::Overtaken) {
            service.count_used(attempt.partner, number, binding.created_at);
        }
        match accepted {
            Accepted::Bound => {
                tracing::info!(target: "audit", { device.id = %binding.id, key.id = %binding.key_id }, "device bound");
                if !was_sent {
                    service.notify_of_binding(attempt.partner, binding).await;
                }
                Ok(Settled::Done(()))
            }
            Accepted::KeyTaken => self.close(service, binding, Refusal::KeyTaken, attempt).await,
            Accepted::Overtaken => Ok(Settled::Overtaken),
        }
    }

    async fn count_wrong(
        &self,
        service: &Service,
        binding: &Binding,
        attempt: &AuditScope<'_>,
    ) -> Result<Settled<()>, NotDone> {
        let rules = service.policy.challenge_rules(ChallengeKind::Binding);
        let (id, activation) = (binding.id, binding.activation);
        let wrong = WrongSignature { id, at: service.clock.now(), rules, activation };
        let (refusal, cap) = (Refusal::WrongSignature, rules.wrong_answers_cap);
        Ok(match service.store.count_wrong_signature(attempt.partner, &wrong, &attempt.refused(&refusal)).await? {
            Written::Done(wrong) => {
                tracing::info!(target: "audit", { challenge.id = %binding.id, wrong, left = cap - wrong }, "wrong signature");
                Settled::Refused(refusal)
            }
            Written::Overtaken => Settled::Overtaken,
        })
    }

    async fn diagnose(
        &self,
        investigation: Investigation<'_>,
        binding: &Binding,
        answer: &BindingAnswer,
    ) -> Option<Diagnosis> {
        investigation.of_binding(binding, &answer.signature).await
    }

    async fn close(
        &self,
        service: &Service,
        binding: &Binding,
        refusal: Refusal,
        attempt: &AuditScope<'_>,
    ) -> Result<Settled<()>, NotDone> {
        let record = attempt.refused(&refusal);
        service.store.close_binding(attempt.partner, binding.id, service.clock.now(), None, &record).await?;
        Ok(Settled::Refused(refusal))
    }
}
