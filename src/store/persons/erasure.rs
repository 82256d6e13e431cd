//! Erasure of a person: deletes or overwrites personal data, and keeps accountable records under a pseudonym.
//!
//! Runs in steps of bounded size, one transaction each. Each step first deletes the number, messages and the person's
//! row and marks the live devices as deleted, so that a concurrent request either commits before or finds no such
//! person. It then processes one batch of each other kind of row, found by the person's id. A row of `person_erasure`
//! exists from the first commit to the last; it holds the pseudonym, so that an interrupted erasure resumes with the
//! same one when it is requested again.
//!
//! Locks are taken in the order of all writes: number, messages, code, person, device, keys. The partner's audit chain is
//! locked last; while it is held, no sealer can copy the person's id to `audit_event`.
//!
//! As in `housekeeping`, the batch size is a literal in the statements.

use chrono::{DateTime, Utc};
use sqlx::query::Query;
use uuid::Uuid;

use crate::domain::audit::AuditEvent;
use crate::domain::person::{PartnerId, PersonId};
use crate::store::Result;
use crate::store::audit::events::InsertEvent;
use crate::store::audit::trail::hold_chain;
use crate::store::dialect::Dialect;
use crate::store::persons::erased::Erased;
use crate::store::pool::Transaction;
use crate::store::rows::{column, person_id};
use crate::store::sql_store::SqlStore;
use crate::store::statement::Statement;

/// Maximum number of rows of one kind in one transaction, unless another limit bounds them.
pub const ERASURE_BATCH: usize = 1000;

/// The result of one step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ErasureStep {
    /// The rows that it found.
    pub erased: Erased,
    /// Whether another step is needed.
    pub goes_on: bool,
}

/// The erasure of persons.
#[macro_rules_attribute::apply(port)]
pub trait Erasure {
    /// Runs one step. The first adds `event` to the audit trail. The remaining rows of the person get the id
    /// `pseudonym`, or the pseudonym with which an interrupted erasure began. `None`, and nothing changed, when there
    /// are no rows of the person and no erasure to resume.
    async fn erase_step(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        pseudonym: &PersonId,
        event: &AuditEvent,
        now: DateTime<Utc>,
    ) -> Result<Option<ErasureStep>>;
}

#[async_trait::async_trait]
impl<DB: Dialect> Erasure for SqlStore<DB> {
    async fn erase_step(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        pseudonym: &PersonId,
        event: &AuditEvent,
        now: DateTime<Utc>,
    ) -> Result<Option<ErasureStep>> {
        let mut transaction = self.begin().await?;
        let (kept_pseudonym, is_first) =
            begin_or_resume::<DB>(&mut transaction, partner, person, pseudonym, now).await?;
        let mut erasing = Erasing { transaction: &mut transaction, partner, person, pseudonym: &kept_pseudonym, now };
        let numbers = erasing.numbers().await?;
        let found = numbers.len();
        erasing.messages(numbers).await?;
        erasing.activation_codes().await?;
        let persons = erasing.person().await?;
        erasing.device_challenges().await?;
        erasing.live_devices().await?;
        let keys = erasing.keys().await?;
        let devices = erasing.devices().await?;
        let (assessments, outcomes) = (erasing.assessments().await?, erasing.outcomes().await?);
        let approval_texts = erasing.approval_texts().await?;
        let (pending, sealed) = (erasing.pending_events().await?, erasing.sealed_events().await?);
        let events = pending + sealed;
        let erased = Erased { numbers: found, persons, devices, keys, assessments, approval_texts, outcomes, events };
        if is_first && erased == Erased::default() {
            transaction.rollback().await?;
            return Ok(None);
        }
        let batches = [devices, assessments, approval_texts, outcomes, pending, sealed];
        let goes_on = batches.iter().any(|found| *found >= ERASURE_BATCH);
        if !goes_on {
            erasing.end().await?;
        }
        if is_first {
            InsertEvent { partner, event }.query().execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
        Ok(Some(ErasureStep { erased, goes_on }))
    }
}

/// Inserts the row of an erasure, or locks the existing one. Returns the pseudonym and whether this is the first step.
async fn begin_or_resume<DB: Dialect>(
    transaction: &mut Transaction<DB>,
    partner: &PartnerId,
    person: &PersonId,
    pseudonym: &PersonId,
    now: DateTime<Utc>,
) -> Result<(PersonId, bool)> {
    let row = sqlx::query(
        "insert into person_erasure (partner_id, person_id, pseudonym, begun_at, steps)
         values ($1, $2, $3, $4, 1)
         on conflict (partner_id, person_id) do update
            set steps = person_erasure.steps + 1
         returning pseudonym, steps",
    )
    .bind(partner.as_str().to_owned())
    .bind(person.as_str().to_owned())
    .bind(pseudonym.as_str().to_owned())
    .bind(now)
    .fetch_one(&mut **transaction)
    .await?;
    Ok((person_id(&column::<DB, String>(&row, "pseudonym")?)?, column::<DB, i64>(&row, "steps")? == 1))
}

/// A step in progress. Its methods run in the order below; most return the number of rows found.
struct Erasing<'a, DB: Dialect> {
    transaction: &'a mut Transaction<DB>,
    partner: &'a PartnerId,
    person: &'a PersonId,
    pseudonym: &'a PersonId,
    now: DateTime<Utc>,
}

impl<DB: Dialect> Erasing<'_, DB> {
    /// Locks and deletes the person's number and challenges. A person without a number gets a temporary row, so that a
    /// concurrent request that creates a number waits for this commit instead of using a person's row that is about to
    /// be deleted.
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
        let codes = self.statement("delete from challenge where partner_id = $1 and person_id = $2");
        self.run(codes).await?;
        Ok(numbers.into_iter().filter(|number| !number.is_empty()).collect())
    }

    /// Recent messages: removes the person from theirs, and from all messages those numbers of the person, current or
    /// former, that no other person has. The rest of a row still counts against the number, or against the other
    /// person.
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
            // Another person has this number: its limit stays in force.
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

    /// The person's activation codes, with their delivery events. Every write locks the code before the person's row.
    async fn activation_codes(&mut self) -> Result<()> {
        let query = self.statement("delete from activation_code where partner_id = $1 and person_id = $2");
        self.run(query).await.map(drop)
    }

    /// The person's row, with its binding.
    async fn person(&mut self) -> Result<usize> {
        let query = self.statement("delete from person where partner_id = $1 and person_id = $2 returning person_id");
        Ok(self.run(query).await?.len())
    }

    /// The challenges of the person's devices. Deleted devices have none.
    async fn device_challenges(&mut self) -> Result<()> {
        let query = self.statement(
            "delete from device_challenge
              where partner_id = $1
                and device_id in (select device_id
                                    from device
                                   where partner_id = $1
                                     and person_id = $2
                                     and state = 'live')",
        );
        self.run(query).await.map(drop)
    }

    /// Live devices become tombstones. The device limit bounds their number.
    async fn live_devices(&mut self) -> Result<()> {
        let query = self.statement(
            "update device
                set state = 'deleted'
                  , live_keys = 0
                  , deleted_at = $3
              where partner_id = $1
                and person_id = $2
                and state = 'live'",
        );
        self.run(query.bind(self.now)).await?;
        Ok(())
    }

    /// The keys of a batch of tombstones; the key limit bounds their number. They are marked as deleted, so that their
    /// empty contents do not violate the uniqueness of live keys.
    async fn keys(&mut self) -> Result<usize> {
        let query = self.statement(
            "update device_key
                set public_key = $3
                  , deleted_at = coalesce(deleted_at, $4)
              where partner_id = $1
                and device_id in (select device_id
                                    from device
                                   where partner_id = $1
                                     and person_id = $2
                                     and state = 'deleted'
                                   order by device_id desc
                                   limit 1000)
             returning key_id",
        );
        Ok(self.run(query.bind(Vec::<u8>::new()).bind(self.now)).await?.len())
    }

    /// The same batch of tombstones.
    async fn devices(&mut self) -> Result<usize> {
        let query = self.statement(
            "update device
                set person_id = $3
                  , name = null
                  , binding_fingerprint = $4
              where partner_id = $1
                and state = 'deleted'
                and device_id in (select device_id
                                    from device
                                   where partner_id = $1
                                     and person_id = $2
                                     and state = 'deleted'
                                   order by device_id desc
                                   limit 1000)
             returning device_id",
        );
        let query = query.bind(self.pseudonym.as_str().to_owned()).bind(Vec::<u8>::new());
        Ok(self.run(query).await?.len())
    }

    /// Keeps decision and reason. Removes the provider's id, by which the provider could identify the person.
    async fn assessments(&mut self) -> Result<usize> {
        let query = self.statement(
            "update fraud_assessment
                set person_id = $3
                  , provider_id = null
              where partner_id = $1
                and assessment_id in (select assessment_id
                                        from fraud_assessment
                                       where partner_id = $1
                                         and person_id = $2
                                       order by assessment_id desc
                                       limit 1000)
             returning assessment_id",
        );
        let query = query.bind(self.pseudonym.as_str().to_owned());
        Ok(self.run(query).await?.len())
    }

    /// The texts name the person; their digests stay in the audit trail.
    async fn approval_texts(&mut self) -> Result<usize> {
        let query = self.statement(
            "delete from approval_text
              where partner_id = $1
                and event_id in (select event_id
                                   from approval_text
                                  where partner_id = $1
                                    and person_id = $2
                                  order by event_id desc
                                  limit 1000)
             returning event_id",
        );
        Ok(self.run(query).await?.len())
    }

    async fn outcomes(&mut self) -> Result<usize> {
        let query = self.statement(
            "delete from idempotent_request
              where partner_id = $1
                and scope in (select scope
                                from idempotent_request
                               where partner_id = $1
                                 and person_id = $2
                               order by claimed_at
                               limit 1000)
             returning claim_id",
        );
        Ok(self.run(query).await?.len())
    }

    /// Removes the person's id from events that wait to be sealed, and the salt, without which the id cannot be guessed
    /// from the digest. Events that are sealed later have neither.
    async fn pending_events(&mut self) -> Result<usize> {
        hold_chain::<DB>(self.transaction, self.partner).await?;
        let query = self.statement(
            "update audit_pending
                set person_id = null
                  , person_salt = null
              where partner_id = $1
                and event_id in (select event_id
                                   from audit_pending
                                  where partner_id = $1
                                    and person_id = $2
                                  order by event_id
                                  limit 1000)
             returning event_id",
        );
        Ok(self.run(query).await?.len())
    }

    /// Removes the same from sealed events.
    async fn sealed_events(&mut self) -> Result<usize> {
        let query = self.statement(
            "update audit_event
                set person_id = null
                  , person_salt = null
              where partner_id = $1
                and (seal, event_id) in (select seal, event_id
                                           from audit_event
                                          where partner_id = $1
                                            and person_id = $2
                                          order by event_id
                                          limit 1000)
             returning event_id",
        );
        Ok(self.run(query).await?.len())
    }

    /// Deletes the row of the erasure.
    async fn end(&mut self) -> Result<()> {
        let query = self.statement("delete from person_erasure where partner_id = $1 and person_id = $2");
        self.run(query).await?;
        Ok(())
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
