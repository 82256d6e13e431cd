//! Mobile numbers, at most one per person. `challenges::number` has the codes that confirm them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::domain::id::NumberId;
use crate::domain::numbers::MobileNumber;
use crate::domain::person::{PartnerId, PersonId};
use crate::store::audit::record::write_down;
use crate::store::dialect::Dialect;
use crate::store::rows::column;
use crate::store::sql_store::SqlStore;
use crate::store::{AuditRecord, Result};

/// A person's number.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NumberRecord {
    /// Its id.
    pub id: NumberId,
    /// The number.
    #[serde(serialize_with = "in_clear", deserialize_with = "from_stored")]
    pub number: MobileNumber,
    /// Whether a code has confirmed it or a client has asserted it.
    pub verified: bool,
}

fn in_clear<S: Serializer>(number: &MobileNumber, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    serializer.serialize_str(number.as_e164())
}

fn from_stored<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<MobileNumber, D::Error> {
    String::deserialize(deserializer).map(MobileNumber::from_stored)
}

/// How a new number is verified.
#[derive(Clone, Copy, Debug)]
pub enum NumberVerification<'a> {
    /// By a code.
    Pending,
    /// By assertion of this client: verified on creation.
    AssertedBy(&'a str),
}

/// Mobile numbers.
#[macro_rules_attribute::apply(port)]
pub trait MobileNumbers {
    /// The person's number.
    async fn mobile_number(&self, partner: &PartnerId, person: &PersonId) -> Result<Option<NumberRecord>>;

    /// Stores the person's number. False when they already have one.
    async fn create_mobile_number(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: (NumberId, &MobileNumber),
        verification: NumberVerification<'_>,
        now: DateTime<Utc>,
        record: &AuditRecord,
    ) -> Result<bool>;

    /// Deletes the person's number (if `number` is given, only that one) and closes their open challenges. Sets the
    /// recorded event's `object_id` to the number's id.
    async fn delete_mobile_number(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: Option<&MobileNumber>,
        now: DateTime<Utc>,
        record: &AuditRecord,
    ) -> Result<Option<NumberRecord>>;
}

#[async_trait::async_trait]
impl<DB: Dialect> MobileNumbers for SqlStore<DB> {
    async fn mobile_number(&self, partner: &PartnerId, person: &PersonId) -> Result<Option<NumberRecord>> {
        let query = sqlx::query(
            "select number_id, number, verified_at
               from mobile_number
              where partner_id = $1
                and person_id = $2",
        )
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned());
        self.row(query).await?.map(|row| number_record::<DB>(&row)).transpose()
    }

    async fn create_mobile_number(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        (id, number): (NumberId, &MobileNumber),
        verification: NumberVerification<'_>,
        now: DateTime<Utc>,
        record: &AuditRecord,
    ) -> Result<bool> {
        let (verified_at, asserted_by) = match verification {
            NumberVerification::Pending => (None, None),
            NumberVerification::AssertedBy(client) => (Some(now), Some(client.to_owned())),
        };
        let mut transaction = self.begin().await?;
        let created = sqlx::query(
            "insert into mobile_number (partner_id, person_id, number_id, number, created_at, verified_at, asserted_by)
             values ($1, $2, $3, $4, $5, $6, $7)
             on conflict (partner_id, person_id) do nothing
             returning number_id",
        )
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(id.uuid())
        .bind(number.as_e164().to_owned())
        .bind(now)
        .bind(verified_at)
        .bind(asserted_by)
        .fetch_all(&mut *transaction)
        .await?;
        if created.is_empty() {
            transaction.rollback().await?;
            return Ok(false);
        }
        // The row that holds the person's binding and failures.
        sqlx::query("insert into person (partner_id, person_id) values ($1, $2) on conflict do nothing")
            .bind(partner.as_str().to_owned())
            .bind(person.as_str().to_owned())
            .execute(&mut *transaction)
            .await?;
        write_down::<DB>(&mut transaction, partner, record).await?;
        transaction.commit().await?;
        Ok(true)
    }

    async fn delete_mobile_number(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: Option<&MobileNumber>,
        now: DateTime<Utc>,
        record: &AuditRecord,
    ) -> Result<Option<NumberRecord>> {
        let mut transaction = self.begin().await?;
        let deleted = sqlx::query(
            "delete from mobile_number
              where partner_id = $1
                and person_id = $2
                and number = coalesce($3, number)
             returning number_id, number, verified_at",
        )
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(number.map(|number| number.as_e164().to_owned()))
        .fetch_all(&mut *transaction)
        .await?;
        let Some(row) = deleted.first() else {
            transaction.rollback().await?;
            return Ok(None);
        };
        let deleted = number_record::<DB>(row)?;
        sqlx::query("delete from challenge where partner_id = $1 and person_id = $2")
            .bind(partner.as_str().to_owned())
            .bind(person.as_str().to_owned())
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "update person
                set binding_closed_at = $3
              where partner_id = $1
                and person_id = $2
                and binding_closed_at is null",
        )
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        let mut record = record.clone();
        record.event.object_id = Some(deleted.id.uuid());
        write_down::<DB>(&mut transaction, partner, &record).await?;
        transaction.commit().await?;
        Ok(Some(deleted))
    }
}

/// Reads a row of `mobile_number`.
pub(super) fn number_record<DB: Dialect>(row: &DB::Row) -> Result<NumberRecord> {
    Ok(NumberRecord {
        id: column::<DB, Uuid>(row, "number_id")?.into(),
        number: MobileNumber::from_stored(column::<DB, _>(row, "number")?),
        verified: column::<DB, Option<DateTime<Utc>>>(row, "verified_at")?.is_some(),
    })
}
