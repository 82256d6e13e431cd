//! Erases a person: what is personal goes, and what must be accounted for stays without it.
//!
//! One commit. The locks are taken in the order that everybody keeps: number, person, messages, device, keys. The partner's audit
//! chain comes last, because its holder waits for nobody; while it is held no sealer can carry the person's id past us.
//! Whoever deals with the person meanwhile is done before, or finds that there is no such person.

use chrono::{DateTime, Utc};
use sqlx::query::Query;
use uuid::Uuid;

use super::Result;
use super::audit_events::insert_event;
use super::audit_trail::hold_chain;
use super::engine::Engine;
use super::pool::Transaction;
use super::rows::column;
use super::sql_store::SqlStore;
use crate::domain::audit::AuditEvent;
use crate::domain::person::{PartnerId, PersonId};

/// How many rows of each kind an erasure found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Erased {
    /// Mobile numbers: deleted.
    pub numbers: usize,
    /// Persons, with the open attempt to bind a device: deleted.
    pub persons: usize,
    /// Devices: tombstones of nobody.
    pub devices: usize,
    /// Keys: overwritten.
    pub keys: usize,
    /// Fraud assessments: of nobody.
    pub assessments: usize,
    /// Answers kept for idempotency keys: deleted.
    pub answers: usize,
    /// Audit events: of nobody.
    pub events: usize,
}

/// The erasure of persons.
#[async_trait::async_trait]
pub trait Erasure {
    /// Erases a person and adds `event` to the trail. What stays of their devices and assessments belongs to `nobody` from
    /// now on. `None`, and nothing changed, when there is nothing of the person.
    async fn erase_person(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        nobody: &PersonId,
        event: &AuditEvent,
        now: DateTime<Utc>,
    ) -> Result<Option<Erased>>;
}

#[async_trait::async_trait]
impl<DB: Engine> Erasure for SqlStore<DB> {
    async fn erase_person(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        nobody: &PersonId,
        event: &AuditEvent,
        now: DateTime<Utc>,
    ) -> Result<Option<Erased>> {
        let mut transaction = self.begin().await?;
        let mut erasing = Erasing { transaction: &mut transaction, partner, person, nobody, now };
        let numbers = erasing.numbers().await?;
        let (found, persons) = (numbers.len(), erasing.person().await?);
        erasing.messages(numbers).await?;
        let erased = Erased {
            numbers: found,
            persons,
            devices: erasing.devices().await?,
            keys: erasing.keys().await?,
            assessments: erasing.assessments().await?,
            answers: erasing.answers().await?,
            events: erasing.events().await?,
        };
        if erased == Erased::default() {
            transaction.rollback().await?;
            return Ok(None);
        }
        insert_event::<DB>(partner, event).execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(Some(erased))
    }
}

/// An erasure under way. Its steps run in the order in which they stand here, and each gives how many rows it found.
struct Erasing<'a, DB: Engine> {
    transaction: &'a mut Transaction<DB>,
    partner: &'a PartnerId,
    person: &'a PersonId,
    nobody: &'a PersonId,
    now: DateTime<Utc>,
}

impl<DB: Engine> Erasing<'_, DB> {
    /// Takes the place of the person's number, also where there is none: whoever creates one now waits for our end, instead
    /// of relying on a person's row that is about to go.
    async fn numbers(&mut self) -> Result<Vec<String>> {
        let hold = self.statement(
            "insert into mobile_number (partner_id, person_id, number_id, number, created_at)
             values ($1, $2, $3, '', $4)
             on conflict (partner_id, person_id) do update
                set number = mobile_number.number
             returning number",
        );
        let rows = self.run(hold.bind(Uuid::nil()).bind(self.now)).await?;
        let numbers: Vec<String> = rows.iter().map(|row| column::<DB, _>(row, "number")).collect::<Result<_>>()?;
        let delete = self.statement("delete from mobile_number where partner_id = $1 and person_id = $2");
        self.run(delete).await?;
        Ok(numbers.into_iter().filter(|number| !number.is_empty()).collect())
    }

    /// Messages of late: the person goes out of theirs, and out of all of them the numbers that the person has or had and
    /// no other person has. What is left of a message then counts on against the number, or against another person.
    async fn messages(&mut self, mut numbers: Vec<String>) -> Result<()> {
        let former = self.statement(
            "select distinct number
               from sms_sent
              where partner_id = $1
                and person_id = $2
                and number is not null",
        );
        for row in self.run(former).await? {
            numbers.push(column::<DB, _>(&row, "number")?);
        }
        let of_person_alone =
            self.statement("delete from sms_sent where partner_id = $1 and person_id = $2 and number is null");
        self.run(of_person_alone).await?;
        for number in numbers {
            // A number that another person has is theirs, and its limit holds.
            let others = self.about_number(
                "select person_id from mobile_number where partner_id = $1 and number = $2 limit 1",
                &number,
            );
            if !self.run(others).await?.is_empty() {
                continue;
            }
            let of_no_other = self.about_number(
                "delete from sms_sent
                  where partner_id = $1
                    and number = $2
                    and (person_id is null or person_id = $3)",
                &number,
            );
            let of_no_other = of_no_other.bind(self.person.as_str().to_owned());
            self.run(of_no_other).await?;
            let of_others =
                self.about_number("update sms_sent set number = null where partner_id = $1 and number = $2", &number);
            self.run(of_others).await?;
        }
        let of_person = self.statement("update sms_sent set person_id = null where partner_id = $1 and person_id = $2");
        self.run(of_person).await?;
        Ok(())
    }

    /// The person's row, and in it the attempt that may be open.
    async fn person(&mut self) -> Result<usize> {
        let query = self.statement("delete from person where partner_id = $1 and person_id = $2 returning person_id");
        Ok(self.run(query).await?.len())
    }

    /// Every device becomes a tombstone of nobody. Live and deleted ones are found by an index each.
    async fn devices(&mut self) -> Result<usize> {
        let query = self.statement(
            "update device
                set person_id = $3
                  , name = null
                  , binding_fingerprint = $4
                  , live_keys = 0
                  , deleted_at = coalesce(deleted_at, $5)
              where partner_id = $1
                and person_id = $2
                and (deleted_at is null or deleted_at is not null)
             returning device_id",
        );
        let query = query.bind(self.nobody.as_str().to_owned()).bind(Vec::<u8>::new()).bind(self.now);
        Ok(self.run(query).await?.len())
    }

    /// The keys of those tombstones. They are deleted ones, so that having no content does not make them each other's double.
    async fn keys(&mut self) -> Result<usize> {
        let query = sqlx::query(
            "update device_key
                set public_key = $3
                  , deleted_at = coalesce(deleted_at, $4)
              where partner_id = $1
                and device_id in (select device_id
                                    from device
                                   where partner_id = $1
                                     and person_id = $2
                                     and deleted_at is not null)
             returning key_id",
        )
        .bind(self.partner.as_str().to_owned())
        .bind(self.nobody.as_str().to_owned())
        .bind(Vec::<u8>::new())
        .bind(self.now);
        Ok(self.run(query).await?.len())
    }

    /// What was decided, and why, stays; under the provider's id the provider knows whom it was about.
    async fn assessments(&mut self) -> Result<usize> {
        let query = self.statement(
            "update fraud_assessment
                set person_id = $3
                  , provider_id = null
              where partner_id = $1
                and person_id = $2
             returning assessment_id",
        );
        let query = query.bind(self.nobody.as_str().to_owned());
        Ok(self.run(query).await?.len())
    }

    async fn answers(&mut self) -> Result<usize> {
        let query = self
            .statement("delete from idempotent_request where partner_id = $1 and person_id = $2 returning claim_id");
        Ok(self.run(query).await?.len())
    }

    /// The person's id in the trail, and the salt without which nobody can guess it from the digest.
    async fn events(&mut self) -> Result<usize> {
        hold_chain::<DB>(self.transaction, self.partner).await?;
        let pending = self.statement(
            "update audit_pending
                set person_id = null
                  , person_salt = null
              where partner_id = $1
                and person_id = $2
             returning event_id",
        );
        let sealed = self.statement(
            "update audit_event
                set person_id = null
                  , person_salt = null
              where partner_id = $1
                and person_id = $2
             returning event_id",
        );
        Ok(self.run(pending).await?.len() + self.run(sealed).await?.len())
    }

    /// A statement whose first parameters are the partner and a number.
    fn about_number(&self, sql: &'static str, number: &str) -> Query<'static, DB, DB::Arguments> {
        sqlx::query(sql).bind(self.partner.as_str().to_owned()).bind(number.to_owned())
    }

    /// A statement whose first parameters are the partner and the person.
    fn statement(&self, sql: &'static str) -> Query<'static, DB, DB::Arguments> {
        sqlx::query(sql).bind(self.partner.as_str().to_owned()).bind(self.person.as_str().to_owned())
    }

    async fn run(&mut self, query: Query<'static, DB, DB::Arguments>) -> Result<Vec<DB::Row>> {
        Ok(query.fetch_all(&mut **self.transaction).await?)
    }
}
