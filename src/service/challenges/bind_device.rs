//! Asks for a device: checks that the person may have another, opens a challenge, and sends its code.

use serde::{Deserialize, Serialize};

use crate::crypto::PublicKey;
use crate::domain::audit::AuditAction;
use crate::domain::challenges::{ChallengeId, ChallengeLife, NewBinding};
use crate::domain::clients::Caller;
use crate::domain::devices::DeviceName;
use crate::domain::devices::device_data::DeviceData;
use crate::domain::devices::key::KeyPurpose;
use crate::domain::id::KeyId;
use crate::domain::idempotency::Run;
use crate::domain::numbers::MobileNumber;
use crate::domain::person::PersonId;
use crate::domain::sms::app_signature::AppSignature;
use crate::domain::sms::language::Language;
use crate::domain::sms::limits::SmsSpend;
use crate::fraud::FraudAction;
use crate::service::{Failure, NotDone, Refusal, Service};
use crate::sms::{Sms, SmsError};

/// A wish for a device, already valid in itself.
#[derive(Clone, Debug)]
pub struct BindDevice {
    /// For whom.
    pub person_id: PersonId,
    /// The phone's key.
    pub key: PublicKey,
    /// What the key may sign for.
    pub key_purpose: KeyPurpose,
    /// What the person calls the device.
    pub name: Option<DeviceName>,
    /// The app's hash, so that Android hands it the SMS.
    pub app_signature: Option<AppSignature>,
    /// The language of the SMS.
    pub language: Option<Language>,
    /// For the fraud check.
    pub device_data: Option<DeviceData>,
}

/// An open challenge as the caller sees it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Challenge {
    /// Its id, and the device's.
    pub id: ChallengeId,
    /// The id that the key will have.
    pub key_id: KeyId,
    /// When it began and when it ends.
    pub life: ChallengeLife,
}

/// How often a binding is tried anew when another request of the person has come in between.
const TRIES: usize = 3;

impl Service {
    /// Opens a challenge for a new device and sends its code. An older open challenge of the person ends with this.
    ///
    /// Two round trips to the database, one before and one after the fraud check; a third only when the SMS fails.
    pub async fn bind_device(&self, caller: &Caller, wish: BindDevice, run: Option<Run>) -> Result<Challenge, NotDone> {
        let now = self.clock.now();
        let (id, key_id) = (ChallengeId::mint(now, self.entropy.bytes()), KeyId::mint(now, self.entropy.bytes()));
        // The instant in the id, so that the order of ids is that of `created_at`.
        let life = ChallengeLife::starting(now, self.policy.challenge_life);
        let mut attempt = self.audit_scope(caller, AuditAction::BindingAsked, run);
        self.about(&mut attempt, &wish.person_id);
        attempt.on(id.uuid());
        attempt.with_key(key_id);

        let mut cleared = match self.clear(caller, &wish).await {
            Ok(cleared) => cleared,
            Err(refusal) => return Err(self.refuse(&attempt, refusal).await),
        };
        let record = self
            .assess(FraudAction::DeviceBinding, &wish.person_id, id.bound_device(), wish.device_data.as_ref())
            .await;
        if !attempt.assessed(record) {
            return Err(self.refuse(&attempt, Refusal::Declined).await);
        }

        for _ in 0..TRIES {
            let binding = NewBinding {
                id,
                person_id: wish.person_id.clone(),
                number: cleared.number,
                key_id,
                public_key: wish.key.clone(),
                key_purpose: wish.key_purpose,
                name: wish.name.clone(),
                otp_version: self.codes.current_version(),
                life,
            };
            let challenge = Challenge { id, key_id, life };
            let spend = cleared.spend;
            if self.store.open_binding(attempt.partner, &binding, spend.as_ref(), &attempt.done(&challenge)).await? {
                let language = wish.language.unwrap_or(self.policy.language);
                if let Err(error) = self.send_code(&binding, language, wish.app_signature.as_ref()).await? {
                    let (now, record) = (self.clock.now(), attempt.undone("sms_not_taken"));
                    self.store.close_binding(attempt.partner, id, now, spend.as_ref(), &record).await?;
                    return Err(Refusal::SmsNotTaken(error).into());
                }
                self.count_sent(attempt.partner, &binding.number, life.created_at);
                tracing::info!(target: "audit", { challenge.id = %id }, "device binding asked for");
                return Ok(challenge);
            }
            // Something came in between; if it is a reason to refuse, this finds it.
            cleared = match self.clear(caller, &wish).await {
                Ok(cleared) => cleared,
                Err(refusal) => return Err(self.refuse(&attempt, refusal).await),
            };
        }
        Err(Failure::Overtaken.into())
    }

    /// Looks at everything that decides before the fraud check.
    async fn clear(&self, caller: &Caller, wish: &BindDevice) -> Result<Cleared, NotDone> {
        let prospects = self
            .store
            .binding_prospects(&caller.partner, &wish.person_id, &wish.key)
            .await?
            .ok_or(Refusal::NoVerifiedNumber)?;
        self.admit_for_sms(&prospects.number)?;
        if prospects.bound_devices >= i64::from(self.policy.device_limit) {
            return Err(Refusal::DeviceLimit.into());
        }
        if prospects.key_is_taken {
            return Err(Refusal::KeyTaken.into());
        }
        if let Some(cooling) = self.pause(prospects.failures) {
            return Err(self.cooling_off(cooling).into());
        }
        if let Some(stopped) = self.stopped_sending(&caller.partner, &prospects.number) {
            return Err(Refusal::SendingStopped { retry_after: stopped.retry_after }.into());
        }
        let spend = self.may_send(&prospects.sms)?;
        Ok(Cleared { number: prospects.number, spend })
    }

    async fn send_code(
        &self,
        binding: &NewBinding,
        language: Language,
        app_signature: Option<&AppSignature>,
    ) -> Result<Result<(), SmsError>, Failure> {
        let version = binding.otp_version;
        let code = self.codes.code(version, binding.id.uuid()).ok_or(Failure::MissingOtpSecret { version })?;
        let text = self.sms_template.text(language, &code, app_signature);
        Ok(self.hand_over(Sms { to: binding.number.clone(), text, reference: binding.id.uuid() }).await)
    }

    /// Sends an SMS. A message that may have been taken counts as taken: the code may arrive, and if it does not, the
    /// person asks again (contract section 8).
    pub(in crate::service) async fn hand_over(&self, sms: Sms) -> Result<(), SmsError> {
        match self.sms.send(&sms).await {
            Ok(_) | Err(SmsError::Uncertain(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A wish that nothing stands against.
struct Cleared {
    number: MobileNumber,
    spend: Option<SmsSpend>,
}
