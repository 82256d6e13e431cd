//! Pending bindings: opened, looked up, accepted, failed, abandoned.
//!
//! A person's row holds the newest attempt, and every change of it repeats its preconditions in the `where` clause. However
//! many requests run at once, one wrong signature counts once, one right signature binds once, and neither the cap nor
//! the device limit can be passed. See `docs/decisions/0004-one-row-settles-a-person.md`.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::engine::Engine;
use super::error::is_taken;
use super::rows::{column, person_id, public_key, purpose};
use super::sql_store::SqlStore;
use super::{Result, StoreError};
use crate::crypto::PublicKey;
use crate::domain::challenge::{ChallengeLife, OpenBinding, REPEAT_WINDOW};
use crate::domain::device::DeviceName;
use crate::domain::fraud::FraudRecord;
use crate::domain::id::{ChallengeId, KeyId};
use crate::domain::key::KeyPurpose;
use crate::domain::mobile_number::MobileNumber;
use crate::domain::person::{PartnerId, PersonId};

/// What decides whether a person with a verified number may ask for another device.
#[derive(Clone, Debug)]
pub struct BindingProspects {
    /// Where the code would go.
    pub number: MobileNumber,
    /// How many devices are bound now.
    pub bound_devices: i64,
    /// Whether a bound device of the partner already has this key.
    pub key_is_taken: bool,
}

/// An attempt to bind a device, not yet stored.
#[derive(Clone, Debug)]
pub struct NewBinding {
    /// The challenge, and the device to be.
    pub id: ChallengeId,
    /// For whom.
    pub person_id: PersonId,
    /// The id that the device's first key will have.
    pub key_id: KeyId,
    /// The key.
    pub public_key: PublicKey,
    /// What it may sign for once bound.
    pub key_purpose: KeyPurpose,
    /// What the person calls the device.
    pub name: Option<DeviceName>,
    /// Which secret the code is derived under.
    pub otp_version: u32,
    /// When the challenge begins and ends.
    pub life: ChallengeLife,
}

/// A right signature that is about to take effect.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// The challenge that it meets.
    pub id: ChallengeId,
    /// For whom.
    pub person_id: PersonId,
    /// Of the signature, to know a repeat.
    pub fingerprint: [u8; 32],
    /// Now.
    pub at: DateTime<Utc>,
    /// Wrong signatures per challenge.
    pub wrong_signatures_cap: i64,
    /// Bound devices per person.
    pub device_limit: i64,
}

/// What became of an acceptance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Accepted {
    /// The device is bound.
    Bound,
    /// The challenge was met, expired, superseded or closed meanwhile.
    Gone,
    /// The person has as many devices as allowed; the challenge is closed.
    DeviceLimit,
    /// A bound device already has the key; the challenge is closed.
    KeyTaken,
}

/// Pending bindings.
#[async_trait::async_trait]
pub trait Bindings {
    /// What there is to know before asking for a device. `None` when the person has no verified number.
    async fn binding_prospects(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        key: &PublicKey,
    ) -> Result<Option<BindingProspects>>;

    /// Makes this attempt the person's only open one; an older one is superseded. False when the person has no verified
    /// number.
    async fn open_binding(
        &self,
        partner: &PartnerId,
        binding: &NewBinding,
        fraud: Option<&FraudRecord>,
    ) -> Result<bool>;

    /// The open attempt with this id.
    async fn open_binding_with_id(
        &self,
        partner: &PartnerId,
        id: ChallengeId,
        now: DateTime<Utc>,
        wrong_signatures_cap: i64,
    ) -> Result<Option<OpenBinding>>;

    /// Closes an attempt that can no longer succeed. Without effect on one that is closed already.
    async fn close_binding(&self, partner: &PartnerId, id: ChallengeId, now: DateTime<Utc>) -> Result<()>;

    /// Counts a wrong signature against the open attempt. `None` when it is not open (any more).
    async fn count_wrong_signature(
        &self,
        partner: &PartnerId,
        id: ChallengeId,
        now: DateTime<Utc>,
        wrong_signatures_cap: i64,
    ) -> Result<Option<i64>>;

    /// Binds the device, unless something came in between.
    async fn accept_binding(
        &self,
        partner: &PartnerId,
        acceptance: &Acceptance,
        fraud: Option<&FraudRecord>,
    ) -> Result<Accepted>;

    /// Whether this signature bound this device within the last minute, and the device is still there.
    async fn is_repeat(
        &self,
        partner: &PartnerId,
        id: ChallengeId,
        fingerprint: [u8; 32],
        now: DateTime<Utc>,
    ) -> Result<bool>;
}

#[async_trait::async_trait]
impl<DB: Engine> Bindings for SqlStore<DB> {
    async fn binding_prospects(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        key: &PublicKey,
    ) -> Result<Option<BindingProspects>> {
        let query = sqlx::query(
            "select n.number
                  , coalesce(p.bound_devices, 0) as bound_devices
                  , (select count(*) from device_key k
                      where k.partner_id = $1 and k.public_key = $3 and k.deleted_at is null) as devices_with_key
               from mobile_number n
               left join person p on p.partner_id = n.partner_id and p.person_id = n.person_id
              where n.partner_id = $1
                and n.person_id = $2
                and n.verified_at is not null",
        )
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(key.as_bytes().to_vec());
        self.row(query)
            .await?
            .map(|row| {
                Ok(BindingProspects {
                    number: MobileNumber::from_stored(column::<DB, _>(&row, "number")?),
                    bound_devices: column::<DB, _>(&row, "bound_devices")?,
                    key_is_taken: column::<DB, i64>(&row, "devices_with_key")? > 0,
                })
            })
            .transpose()
    }

    async fn open_binding(
        &self,
        partner: &PartnerId,
        binding: &NewBinding,
        fraud: Option<&FraudRecord>,
    ) -> Result<bool> {
        Ok(DB::open_binding(self.writer(), partner, binding, fraud).await?)
    }

    async fn open_binding_with_id(
        &self,
        partner: &PartnerId,
        id: ChallengeId,
        now: DateTime<Utc>,
        wrong_signatures_cap: i64,
    ) -> Result<Option<OpenBinding>> {
        let query = sqlx::query(
            "select person_id
                  , binding_key_id
                  , binding_key
                  , binding_key_purpose
                  , binding_otp_version
                  , binding_created_at
                  , binding_expires_at
               from person
              where binding_id = $1
                and partner_id = $2
                and binding_closed_at is null
                and binding_expires_at > $3
                and binding_wrong_signatures < $4",
        )
        .bind(id.uuid())
        .bind(partner.as_str().to_owned())
        .bind(now)
        .bind(wrong_signatures_cap);
        self.row(query).await?.map(|row| open_binding::<DB>(id, &row)).transpose()
    }

    async fn close_binding(&self, partner: &PartnerId, id: ChallengeId, now: DateTime<Utc>) -> Result<()> {
        let query = sqlx::query(
            "update person
                set binding_closed_at = $3
              where binding_id = $1
                and partner_id = $2
                and binding_closed_at is null",
        )
        .bind(id.uuid())
        .bind(partner.as_str().to_owned())
        .bind(now);
        self.write(query).await?;
        Ok(())
    }

    async fn count_wrong_signature(
        &self,
        partner: &PartnerId,
        id: ChallengeId,
        now: DateTime<Utc>,
        wrong_signatures_cap: i64,
    ) -> Result<Option<i64>> {
        let query = sqlx::query(
            "update person
                set binding_wrong_signatures = binding_wrong_signatures + 1
              where binding_id = $1
                and partner_id = $2
                and binding_closed_at is null
                and binding_expires_at > $3
                and binding_wrong_signatures < $4
             returning binding_wrong_signatures",
        )
        .bind(id.uuid())
        .bind(partner.as_str().to_owned())
        .bind(now)
        .bind(wrong_signatures_cap);
        self.write(query).await?.map(|row| column::<DB, i64>(&row, "binding_wrong_signatures")).transpose()
    }

    async fn accept_binding(
        &self,
        partner: &PartnerId,
        acceptance: &Acceptance,
        fraud: Option<&FraudRecord>,
    ) -> Result<Accepted> {
        match DB::accept_binding(self.writer(), partner, acceptance, fraud).await {
            Ok(true) => Ok(Accepted::Bound),
            Ok(false) if self.close_for_device_limit(partner, acceptance).await? => Ok(Accepted::DeviceLimit),
            Ok(false) => Ok(Accepted::Gone),
            Err(error) if is_taken(&error) => {
                // The statement had no effect at all, so the assessment is not recorded yet either.
                self.close_binding(partner, acceptance.id, acceptance.at).await?;
                self.record_if_any(partner, fraud).await?;
                Ok(Accepted::KeyTaken)
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn is_repeat(
        &self,
        partner: &PartnerId,
        id: ChallengeId,
        fingerprint: [u8; 32],
        now: DateTime<Utc>,
    ) -> Result<bool> {
        let query = sqlx::query(
            "select device_id
               from device
              where device_id = $1
                and partner_id = $2
                and binding_fingerprint = $3
                and bound_at > $4
                and deleted_at is null",
        )
        .bind(id.uuid())
        .bind(partner.as_str().to_owned())
        .bind(fingerprint.to_vec())
        .bind(now - REPEAT_WINDOW);
        Ok(self.row(query).await?.is_some())
    }
}

impl<DB: Engine> SqlStore<DB> {
    /// Tells a full house from a lost race, and closes the challenge in the first case.
    async fn close_for_device_limit(&self, partner: &PartnerId, acceptance: &Acceptance) -> Result<bool> {
        let query = sqlx::query(
            "update person
                set binding_closed_at = $3
              where binding_id = $1
                and partner_id = $2
                and binding_closed_at is null
                and binding_expires_at > $3
                and binding_wrong_signatures < $4
                and bound_devices >= $5
             returning bound_devices",
        )
        .bind(acceptance.id.uuid())
        .bind(partner.as_str().to_owned())
        .bind(acceptance.at)
        .bind(acceptance.wrong_signatures_cap)
        .bind(acceptance.device_limit);
        Ok(self.write(query).await?.is_some())
    }
}

fn open_binding<DB: Engine>(id: ChallengeId, row: &DB::Row) -> Result<OpenBinding> {
    let otp_version = column::<DB, i64>(row, "binding_otp_version")?;
    Ok(OpenBinding {
        id,
        person_id: person_id(&column::<DB, String>(row, "person_id")?)?,
        key_id: column::<DB, Uuid>(row, "binding_key_id")?.into(),
        public_key: public_key(column::<DB, _>(row, "binding_key")?)?,
        key_purpose: purpose(&column::<DB, String>(row, "binding_key_purpose")?)?,
        otp_version: u32::try_from(otp_version).map_err(|_| StoreError::Corrupt { column: "binding_otp_version" })?,
        life: ChallengeLife {
            created_at: column::<DB, _>(row, "binding_created_at")?,
            expires_at: column::<DB, _>(row, "binding_expires_at")?,
        },
    })
}
