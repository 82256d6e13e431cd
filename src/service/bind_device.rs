//! Asks for a device: checks that the person may have another, opens a challenge, and sends its code.

use super::{Failure, Service};
use crate::crypto::PublicKey;
use crate::domain::app_signature::AppSignature;
use crate::domain::challenge::{ChallengeLife, NewBinding};
use crate::domain::client::Caller;
use crate::domain::country::CountryNotServed;
use crate::domain::device::DeviceName;
use crate::domain::device_data::DeviceData;
use crate::domain::id::{ChallengeId, KeyId};
use crate::domain::key::KeyPurpose;
use crate::domain::language::Language;
use crate::domain::mobile_number::MobileNumber;
use crate::domain::person::PersonId;
use crate::fraud::FraudAction;
use crate::sms::{Sms, SmsError};
use crate::store::StoreError;

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
#[derive(Clone, Copy, Debug)]
pub struct Challenge {
    /// Its id, and the device's.
    pub id: ChallengeId,
    /// The id that the key will have.
    pub key_id: KeyId,
    /// When it began and when it ends.
    pub life: ChallengeLife,
}

/// Why there is no challenge.
#[derive(Debug, thiserror::Error)]
pub enum BindDeviceError {
    /// Unknown person, no number, or an unverified one: nobody may tell which.
    #[error("the person has no verified mobile number")]
    NoVerifiedNumber,
    /// Codes are not sent to the number's country (any more).
    #[error("the number {0}")]
    CountryNotServed(#[from] CountryNotServed),
    /// The person has as many devices as allowed.
    #[error("the person has as many devices as allowed")]
    DeviceLimit,
    /// A bound device already has the key.
    #[error("a bound device already has the key")]
    KeyTaken,
    /// The person has failed too often and has to wait.
    #[error("the person has failed too often")]
    CoolingOff {
        /// For how long, in seconds.
        retry_after: u64,
    },
    /// Too few of the codes that were sent to the number's country are used.
    #[error("sending to the country is stopped")]
    SendingStopped {
        /// For how long, in seconds.
        retry_after: u64,
    },
    /// The fraud check said no.
    #[error("the fraud check declined the device")]
    Declined,
    /// No provider took the SMS.
    #[error("no SMS provider took the message")]
    SmsNotTaken(#[source] SmsError),
    /// Our failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<StoreError> for BindDeviceError {
    fn from(error: StoreError) -> Self {
        Self::Failure(error.into())
    }
}

impl Service {
    /// Opens a challenge for a new device and sends its code. An older open challenge of the person ends with this.
    ///
    /// Two round trips to the database, one before and one after the fraud check; a third only when the SMS fails.
    pub async fn bind_device(&self, caller: &Caller, wish: BindDevice) -> Result<Challenge, BindDeviceError> {
        let partner = &caller.partner;
        let prospects = self
            .store
            .binding_prospects(partner, &wish.person_id, &wish.key, self.clock.now())
            .await?
            .ok_or(BindDeviceError::NoVerifiedNumber)?;
        self.admit_for_sms(&prospects.number)?;
        if prospects.bound_devices >= i64::from(self.policy.device_limit) {
            return Err(BindDeviceError::DeviceLimit);
        }
        if prospects.key_is_taken {
            return Err(BindDeviceError::KeyTaken);
        }
        if let Some(cooling) = prospects.cooling {
            return Err(BindDeviceError::CoolingOff { retry_after: self.wait(cooling) });
        }
        if let Some(stopped) = self.stopped_sending(partner, &prospects.number) {
            return Err(BindDeviceError::SendingStopped { retry_after: stopped.retry_after });
        }

        let now = self.clock.now();
        let binding = NewBinding {
            id: ChallengeId::mint(now, self.entropy.bytes()),
            person_id: wish.person_id,
            key_id: KeyId::mint(now, self.entropy.bytes()),
            public_key: wish.key,
            key_purpose: wish.key_purpose,
            name: wish.name,
            otp_version: self.codes.current_version(),
            life: ChallengeLife::starting(now, self.policy.challenge_life),
        };
        let record =
            self.assess(FraudAction::DeviceBinding, &binding.person_id, binding.id, wish.device_data.as_ref()).await;
        if let Some(record) = record.as_ref().filter(|record| !record.allowed) {
            self.store.record_fraud_assessment(partner, record).await?;
            return Err(BindDeviceError::Declined);
        }

        if !self.store.open_binding(partner, &binding, record.as_ref()).await? {
            return Err(BindDeviceError::NoVerifiedNumber);
        }
        let language = wish.language.unwrap_or(self.policy.language);
        let number = prospects.number;
        if let Err(error) = self.send_code(&binding, number.clone(), language, wish.app_signature.as_ref()).await? {
            self.store.close_binding(partner, binding.id, self.clock.now()).await?;
            return Err(BindDeviceError::SmsNotTaken(error));
        }
        self.count_sent(partner, &number, binding.life.created_at);
        tracing::info!(target: "audit", { challenge.id = %binding.id }, "device binding asked for");
        Ok(Challenge { id: binding.id, key_id: binding.key_id, life: binding.life })
    }

    async fn send_code(
        &self,
        binding: &NewBinding,
        to: MobileNumber,
        language: Language,
        app_signature: Option<&AppSignature>,
    ) -> Result<Result<(), SmsError>, Failure> {
        let version = binding.otp_version;
        let code = self.codes.code(version, binding.id.uuid()).ok_or(Failure::MissingOtpSecret { version })?;
        let text = self.sms_template.text(language, &code, app_signature);
        Ok(self.hand_over(Sms { to, text, reference: binding.id.uuid() }).await)
    }

    /// Sends an SMS. A message that may have been taken counts as taken: the code may arrive, and if it does not, the
    /// person asks again (contract section 8).
    pub(super) async fn hand_over(&self, sms: Sms) -> Result<(), SmsError> {
        match self.sms.send(&sms).await {
            Ok(_) | Err(SmsError::Uncertain(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
