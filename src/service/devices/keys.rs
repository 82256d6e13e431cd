//! Adds a key to a device, vouched for by a key that the device already has.

use serde::{Deserialize, Serialize};

use crate::crypto::{DerSignature, PublicKey};
use crate::domain::audit::AuditAction;
use crate::domain::clients::Caller;
use crate::domain::devices::device_data::DeviceData;
use crate::domain::devices::key::{DeviceKey, KeyPurpose};
use crate::domain::id::{DeviceId, KeyId};
use crate::domain::idempotency::Run;
use crate::domain::invalid::Faults;
use crate::fraud::FraudAction;
use crate::service::audit::scope::AuditScope;
use crate::service::{NotDone, Refusal, Service};
use crate::store::{AddedKey, NewKey};

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

/// A key that was added.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct KeyAdded {
    /// Its id.
    pub id: KeyId,
}

impl Service {
    /// Adds a key to a device.
    pub async fn add_key(
        &self,
        caller: &Caller,
        device: DeviceId,
        wish: Result<AddKey, Faults>,
        run: Option<Run>,
    ) -> Result<KeyAdded, NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::KeyAdded, run);
        attempt.on(device.uuid());
        let outcome = match self.vouch_and_add(device, wish, &mut attempt).await {
            Ok(key) => Ok(key),
            // Counted and written down already.
            Err(error @ NotDone::Refused(Refusal::WrongSignature)) => Err(error),
            Err(refusal) => Err(self.refuse(&attempt, refusal).await),
        };
        let label = outcome.as_ref().map_or_else(NotDone::outcome, |_| "accepted");
        metrics::counter!("signature_verifications_total", "purpose" => "key", "outcome" => label).increment(1);
        outcome
    }

    async fn vouch_and_add(
        &self,
        id: DeviceId,
        wish: Result<AddKey, Faults>,
        attempt: &mut AuditScope<'_>,
    ) -> Result<KeyAdded, NotDone> {
        let partner = attempt.partner;
        let with_keys = self.store.device_with_keys(partner, id).await?;
        let with_keys = with_keys.ok_or(Refusal::DeviceNotFound)?;
        let person = &with_keys.device.person_id;
        self.about(attempt, person);
        if with_keys.device.deleted_at.is_some() {
            return Err(Refusal::DeviceNotFound.into());
        }
        let wish = wish?;

        let vouching: Vec<&DeviceKey> =
            with_keys.keys.iter().filter(|key| key.purpose == wish.vouching_purpose).collect();
        if vouching.is_empty() {
            return Err(Refusal::NoKeyOfPurpose.into());
        }
        if let Some(cooling) = self.pause(self.store.failures(partner, person).await?) {
            return Err(self.cooling_off(cooling).into());
        }
        let signer = vouching.into_iter().find(|key| wish.is_signed_by(&key.public_key));
        let Some(signer) = signer else {
            let (now, budget) = (self.clock.now(), &self.policy.failure_budget);
            let record = attempt.refused(&Refusal::WrongSignature);
            self.store.count_failure(partner, person, now, budget, &record).await?;
            tracing::info!(target: "audit", { device.id = %id }, "wrong signature for a new key");
            return Err(Refusal::WrongSignature.into());
        };

        let record = self.assess(FraudAction::DeviceKeyCreation, person, id, wish.device_data.as_ref()).await;
        if !attempt.assessed(record) {
            return Err(Refusal::Declined.into());
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
        let added = KeyAdded { id: key.id };
        match self.store.add_key(partner, &key, &attempt.done(&added)).await? {
            AddedKey::Added => {
                tracing::info!(target: "audit", { device.id = %id, key.id = %key.id, vouched.by = %signer.id }, "key added");
                Ok(added)
            }
            AddedKey::CoolingOff(cooling) => Err(self.cooling_off(cooling).into()),
            AddedKey::Gone => Err(Refusal::DeviceNotFound.into()),
            AddedKey::KeyLimit => Err(Refusal::KeyLimit.into()),
            AddedKey::KeyTaken => Err(Refusal::KeyTaken.into()),
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
