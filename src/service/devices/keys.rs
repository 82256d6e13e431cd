//! Adds a key to a device, vouched for by a key that the device already has.

use crate::crypto::{DerSignature, PublicKey};
use crate::domain::audit::AuditAction;
use crate::domain::clients::Caller;
use crate::domain::devices::device_data::DeviceData;
use crate::domain::devices::key::{DeviceKey, KeyPurpose};
use crate::domain::id::{DeviceId, KeyId};
use crate::domain::invalid::Faults;
use crate::fraud::FraudAction;
use crate::service::audit::scope::{AuditScope, Keeping, Refusal};
use crate::service::{Failure, Service};
use crate::store::{AddedKey, NewKey, StoreError};

/// A wish for another key, already valid in itself.
pub struct AddKey {
    /// The new key.
    pub key: PublicKey,
    /// The new key exactly as it was sent: one of the two forms that may have been signed.
    pub key_text: String,
    /// What it may sign for.
    pub purpose: KeyPurpose,
    /// Which of the device's keys signed.
    pub vouching_purpose: KeyPurpose,
    /// What it signed: the new key (contract section 3).
    pub signature: DerSignature,
    /// For the fraud check.
    pub device_data: Option<DeviceData>,
}

/// Why the key was not added.
#[derive(Debug, thiserror::Error)]
pub enum AddKeyError {
    /// No such device, or it was deleted.
    #[error("there is no such device")]
    DeviceNotFound,
    /// The device is there, but the wish cannot be read.
    #[error("the body is malformed")]
    Malformed(Faults),
    /// The device has no key of the purpose that is said to have signed.
    #[error("the device has no key of that purpose")]
    NoKeyOfPurpose,
    /// The person has failed too often and has to wait; nothing was verified.
    #[error("the person has failed too often")]
    CoolingOff {
        /// For how long, in seconds.
        retry_after: u64,
    },
    /// No key of that purpose made the signature.
    #[error("the signature is wrong")]
    WrongSignature,
    /// The fraud check said no.
    #[error("the fraud check declined the device")]
    Declined,
    /// The device has as many keys as allowed.
    #[error("the device has as many keys as allowed")]
    KeyLimit,
    /// A bound device, perhaps this one, already has the key.
    #[error("a bound device already has the key")]
    KeyTaken,
    /// Our failure.
    #[error(transparent)]
    Failure(#[from] Failure),
}

impl From<StoreError> for AddKeyError {
    fn from(error: StoreError) -> Self {
        Self::Failure(error.into())
    }
}

impl Refusal for AddKeyError {
    fn outcome(&self) -> &'static str {
        match self {
            Self::DeviceNotFound => "not_found",
            Self::Malformed(_) => "malformed",
            Self::NoKeyOfPurpose => "no_key_of_purpose",
            Self::CoolingOff { .. } => "cooling_off",
            Self::WrongSignature => "wrong",
            Self::Declined => "declined",
            Self::KeyLimit => "key_limit",
            Self::KeyTaken => "key_taken",
            Self::Failure(failure) => failure.outcome(),
        }
    }

    fn is_worth_recording(&self) -> bool {
        !matches!(self, Self::Malformed(_) | Self::Failure(_))
    }
}

impl Service {
    /// Adds a key to a device.
    pub async fn add_key(
        &self,
        caller: &Caller,
        device: DeviceId,
        wish: Result<AddKey, Faults>,
        keeping: &Keeping<Result<KeyId, AddKeyError>>,
    ) -> Result<KeyId, AddKeyError> {
        let mut attempt = self.audit_scope(caller, AuditAction::KeyAdded, keeping);
        attempt.on(device.uuid());
        let outcome = match self.vouch_and_add(device, wish, &mut attempt).await {
            Ok(key) => Ok(key),
            // Counted and written down already.
            Err(AddKeyError::WrongSignature) => Err(AddKeyError::WrongSignature),
            Err(refusal) => Err(self.refuse(&attempt, refusal).await),
        };
        let label = outcome.as_ref().map_or_else(Refusal::outcome, |_| "accepted");
        metrics::counter!("signature_verifications_total", "purpose" => "key", "outcome" => label).increment(1);
        outcome
    }

    async fn vouch_and_add(
        &self,
        id: DeviceId,
        wish: Result<AddKey, Faults>,
        attempt: &mut AuditScope<'_, KeyId, AddKeyError>,
    ) -> Result<KeyId, AddKeyError> {
        let partner = attempt.partner;
        let with_keys = self.store.device_with_keys(partner, id).await?;
        let with_keys = with_keys.ok_or(AddKeyError::DeviceNotFound)?;
        let person = &with_keys.device.person_id;
        self.about(attempt, person);
        if with_keys.device.deleted_at.is_some() {
            return Err(AddKeyError::DeviceNotFound);
        }
        let wish = wish.map_err(AddKeyError::Malformed)?;

        let vouching: Vec<&DeviceKey> =
            with_keys.keys.iter().filter(|key| key.purpose == wish.vouching_purpose).collect();
        if vouching.is_empty() {
            return Err(AddKeyError::NoKeyOfPurpose);
        }
        if let Some(cooling) = self.pause(self.store.failures(partner, person).await?) {
            return Err(AddKeyError::CoolingOff { retry_after: self.wait(cooling) });
        }
        let signer = vouching.into_iter().find(|key| wish.is_signed_by(&key.public_key));
        let Some(signer) = signer else {
            let (now, budget) = (self.clock.now(), &self.policy.failure_budget);
            let record = attempt.record(Err(AddKeyError::WrongSignature));
            self.store.count_failure(partner, person, now, budget, &record).await?;
            tracing::info!(target: "audit", { device.id = %id }, "wrong signature for a new key");
            return Err(AddKeyError::WrongSignature);
        };

        let record = self.assess(FraudAction::DeviceKeyCreation, person, id, wish.device_data.as_ref()).await;
        if !attempt.assessed(record) {
            return Err(AddKeyError::Declined);
        }
        let now = self.clock.now();
        let key = NewKey {
            id: KeyId::mint(now, self.entropy.bytes()),
            device_id: id,
            person_id: person.clone(),
            public_key: wish.key,
            purpose: wish.purpose,
            vouched_by: signer.id,
            at: now,
            key_limit: i64::from(self.policy.key_limit),
            budget: self.policy.failure_budget,
        };
        attempt.with_key(key.id);
        match self.store.add_key(partner, &key, &attempt.record(Ok(key.id))).await? {
            AddedKey::Added => {
                tracing::info!(target: "audit", { device.id = %id, key.id = %key.id, vouched.by = %signer.id }, "key added");
                Ok(key.id)
            }
            AddedKey::CoolingOff(cooling) => Err(AddKeyError::CoolingOff { retry_after: self.wait(cooling) }),
            AddedKey::Gone => Err(AddKeyError::DeviceNotFound),
            AddedKey::KeyLimit => Err(AddKeyError::KeyLimit),
            AddedKey::KeyTaken => Err(AddKeyError::KeyTaken),
        }
    }
}

impl AddKey {
    /// Signed are either the characters that were sent or the 65 bytes that they stand for: no public source says which,
    /// and both bind exactly this key (contract section 3).
    fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verifies(self.key_text.as_bytes(), &self.signature) || key.verifies(self.key.as_bytes(), &self.signature)
    }
}
