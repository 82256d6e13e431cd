//! Reads and deletes devices.

pub(in crate::service) mod counts;
pub(in crate::service) mod keys;

use crate::domain::audit::AuditAction;
use crate::domain::clients::Caller;
use crate::domain::devices::key::DeviceKey;
use crate::domain::devices::{Device, DeviceWithKeys};
use crate::domain::id::{DeviceId, KeyId};
use crate::service::audit::scope::Settled;
use crate::service::{Failure, NotDone, Refusal, Service};
use crate::store::{DeleteOutcome, DevicePage, DeviceQuery};

impl Service {
    /// A page of the partner's devices.
    pub async fn devices(&self, caller: &Caller, query: &DeviceQuery) -> Result<DevicePage, Failure> {
        Ok(self.store.devices(&caller.partner, query).await?)
    }

    /// One device, also a deleted one.
    pub async fn device(&self, caller: &Caller, id: DeviceId) -> Result<Device, NotDone> {
        self.store.device(&caller.partner, id).await?.ok_or(Refusal::DeviceNotFound.into())
    }

    /// A device, also a deleted one, with the keys that can sign for it.
    pub async fn device_with_keys(&self, caller: &Caller, id: DeviceId) -> Result<DeviceWithKeys, NotDone> {
        self.store.device_with_keys(&caller.partner, id).await?.ok_or(Refusal::DeviceNotFound.into())
    }

    /// One key that can sign for a device.
    pub async fn key(&self, caller: &Caller, device: DeviceId, key: KeyId) -> Result<DeviceKey, NotDone> {
        self.store.key(&caller.partner, device, key).await?.ok_or(Refusal::KeyNotFound.into())
    }

    /// Deletes a device with all its keys, effective immediately on every replica.
    pub async fn delete_device(&self, caller: &Caller, id: DeviceId) -> Result<(), NotDone> {
        let mut attempt = self.audit_scope(caller, AuditAction::DeviceDeleted, None);
        attempt.on(id.uuid());
        let (now, salt) = (self.clock.now(), self.entropy.bytes());
        let deleted = match self.store.delete_device(attempt.partner, id, now, &attempt.done(&()), salt).await? {
            DeleteOutcome::Deleted => {
                tracing::info!(target: "audit", { device.id = %id }, "device deleted");
                Ok(Settled::Done(()))
            }
            DeleteOutcome::DeletedBefore(person) => {
                self.about(&mut attempt, &person);
                Err(Refusal::DeviceNotFound.into())
            }
            DeleteOutcome::NotFound => Err(Refusal::DeviceNotFound.into()),
        };
        self.end(&attempt, deleted).await
    }
}
