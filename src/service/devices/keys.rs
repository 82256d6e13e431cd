//! Adds a key to a device. The request is signed with a key that the device already has.

use serde::{Deserialize, Serialize};

use crate::crypto::{DerSignature, Diagnosis, PublicKey};
use crate::domain::audit::AuditAction;
use crate::domain::clients::Caller;
use crate::domain::devices::DeviceWithKeys;
use crate::domain::devices::device_data::DeviceData;
use crate::domain::devices::key::KeyPurpose;
use crate::domain::id::{DeviceId, KeyId};
use crate::domain::idempotency::Run;
use crate::domain::invalid::Faults;
use crate::fraud::FraudAction;
use crate::service::audit::scope::{AuditScope, Settled};
use crate::service::challenges::answer::{Answering, Standing};
use crate::service::challenges::diagnosis::Investigation;
use crate::service::fraud_check::ToAssess;
use crate::service::{NotDone, Refusal, Service};
use crate::store::{AddedKey, NewKey, Written};

/// A validated request to add a key.
pub struct AddKey {
    /// The new key.
    pub key: PublicKey,
    /// The new key exactly as sent: one of the two forms that may be signed.
    pub key_text: String,
    /// What the new key may sign for.
    pub purpose: KeyPurpose,
    /// The purpose of the key that signed.
    pub signing_key_purpose: KeyPurpose,
    /// The signature over the new key.
    pub signature: DerSignature,
    /// The payload for the fraud check.
    pub device_data: Option<DeviceData>,
}

/// The result of adding a key.
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
        request: Result<AddKey, Faults>,
        run: Option<Run>,
    ) -> Result<KeyAdded, NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::KeyAdded, run);
        attempt.on(device.uuid());
        self.answer(&SignedKey(device), request, attempt).await
    }
}

/// Adding a key to the device with this id. There is no stored challenge: the signature is over the new key.
struct SignedKey(DeviceId);

impl Answering for SignedKey {
    type Challenge = DeviceWithKeys;
    type Answer = AddKey;
    /// The key that signed.
    type Proof = KeyId;
    type Done = KeyAdded;

    const PURPOSE: Option<&'static str> = Some("key");

    async fn load(
        &self,
        service: &Service,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Option<Standing<DeviceWithKeys>>, NotDone> {
        let found = service.store.device_with_keys(attempt.partner, self.0).await?;
        let challenge = found.ok_or(Refusal::DeviceNotFound)?;
        let person = &challenge.device.person_id;
        service.about(attempt, person);
        if challenge.device.deleted_at.is_some() {
            return Ok(None);
        }
        let pause = service.pause(service.store.failures(attempt.partner, person).await?);
        Ok(Some(Standing { challenge, pause }))
    }

    async fn over(
        &self,
        _service: &Service,
        _request: Option<&AddKey>,
        _attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<KeyAdded>, NotDone> {
        Err(Refusal::DeviceNotFound.into())
    }

    fn fits(&self, found: &DeviceWithKeys, request: &AddKey) -> Result<(), Refusal> {
        let has_purpose = found.keys.iter().any(|key| key.purpose == request.signing_key_purpose);
        has_purpose.then_some(()).ok_or(Refusal::NoKeyOfPurpose)
    }

    fn verify(&self, _service: &Service, found: &DeviceWithKeys, request: &AddKey) -> Result<Option<KeyId>, NotDone> {
        let mut candidates = found.keys.iter().filter(|key| key.purpose == request.signing_key_purpose);
        Ok(candidates.find(|key| request.is_signed_by(&key.public_key)).map(|key| key.id))
    }

    fn to_assess<'a>(&self, found: &'a DeviceWithKeys, request: &'a AddKey) -> Option<ToAssess<'a>> {
        Some(ToAssess {
            action: FraudAction::DeviceKeyCreation,
            person: &found.device.person_id,
            object: self.0.uuid(),
            device_data: request.device_data.as_ref()?,
        })
    }

    async fn accept(
        &self,
        service: &Service,
        found: &DeviceWithKeys,
        request: &AddKey,
        signer: KeyId,
        attempt: &mut AuditScope<'_>,
    ) -> Result<Settled<KeyAdded>, NotDone> {
        let now = service.clock.now();
        let key = NewKey {
            id: KeyId::mint(now, service.entropy.bytes()),
            device_id: self.0,
            person_id: found.device.person_id.clone(),
            public_key: request.key.clone(),
            purpose: request.purpose,
            signed_by: signer,
            at: now,
            key_limit: i64::from(service.policy.key_limit),
            budget: service.policy.failure_budget,
        };
        attempt.with_key(key.id);
        let added = KeyAdded { id: key.id };
        match service.store.add_key(attempt.partner, &key, &attempt.done(&added)).await? {
            AddedKey::Added => {
                let device = self.0;
                tracing::info!(target: "audit", { device.id = %device, key.id = %key.id, vouched.by = %signer }, "key added");
                Ok(Settled::Done(added))
            }
            AddedKey::KeyLimit => Err(Refusal::KeyLimit.into()),
            AddedKey::KeyTaken => Err(Refusal::KeyTaken.into()),
            AddedKey::Overtaken => Ok(Settled::Overtaken),
        }
    }

    async fn count_wrong(
        &self,
        service: &Service,
        found: &DeviceWithKeys,
        attempt: &AuditScope<'_>,
    ) -> Result<Settled<KeyAdded>, NotDone> {
        let (now, budget, refusal) = (service.clock.now(), &service.policy.failure_budget, Refusal::WrongSignature);
        let (person, record) = (&found.device.person_id, attempt.refused(&refusal));
        Ok(match service.store.count_failure(attempt.partner, person, now, budget, &record).await? {
            Written::Done(()) => {
                let device = self.0;
                tracing::info!(target: "audit", { device.id = %device }, "wrong signature for a new key");
                Settled::Refused(refusal)
            }
            Written::Overtaken => Settled::Overtaken,
        })
    }

    async fn diagnose(
        &self,
        investigation: Investigation<'_>,
        found: &DeviceWithKeys,
        request: &AddKey,
    ) -> Option<Diagnosis> {
        investigation.of_new_key(found, request).await
    }
}

impl AddKey {
    /// The signature is over the characters that were sent or over the 65 bytes that they encode: see
    /// `docs/decisions/0010-two-ways-to-sign-a-new-key.md`.
    fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verifies(self.key_text.as_bytes(), &self.signature) || key.verifies(self.key.as_bytes(), &self.signature)
    }
}
