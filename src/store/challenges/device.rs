//! Challenges of bound devices: the device's state before one is made, opening and finding one. How one is answered is in
//! `device_outcomes`.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::approvals::{Approval, LineValue};
use crate::domain::audit::AuditEvent;
use crate::domain::challenges::signing_text::TextToSign;
use crate::domain::challenges::{
    AcceptedAnswer, ChallengeId, ChallengeState, Decision, DeviceChallenge, NewDeviceChallenge, UnreadDeviceChallenge,
};
use crate::domain::devices::key::KeyPurpose;
use crate::domain::failure_budget::FailureRun;
use crate::domain::id::DeviceId;
use crate::domain::person::{PartnerId, PersonId};
use crate::store::audit::record::commit_with_record;
use crate::store::dialect::Dialect;
use crate::store::persons::failures::failure_run;
use crate::store::rows::{column, person_id, public_key, purpose};
use crate::store::sql_store::SqlStore;
use crate::store::statement::{Batch, Bound, Statement};
use crate::store::write_form::WriteForm;
use crate::store::{AuditRecord, Result, StoreError, Written};

/// What decides whether a device gets another challenge.
#[derive(Clone, Debug)]
pub struct DeviceProspects {
    /// The device's person.
    pub person_id: PersonId,
    /// The purposes of its live keys.
    pub purposes: Vec<KeyPurpose>,
    /// Its recent failures.
    pub failures: FailureRun,
    /// How many of its challenges are open.
    pub open: i64,
    /// The turn of its last challenge; 0 without one.
    pub last_turn: i64,
}

/// Challenges of bound devices.
#[macro_rules_attribute::apply(port)]
pub trait DeviceChallenges {
    /// The state of a device before it gets a challenge. A challenge with `wrong_answers_cap` wrong answers is not open.
    /// `None` when the partner has no such bound device.
    async fn device_prospects(
        &self,
        partner: &PartnerId,
        device: DeviceId,
        now: DateTime<Utc>,
        wrong_answers_cap: i64,
    ) -> Result<Option<DeviceProspects>>;

    /// Opens a challenge. Overtaken when another one of the device has taken its turn, when the device was deleted, or when
    /// the claim of the request is lost.
    async fn open_device_challenge(
        &self,
        partner: &PartnerId,
        challenge: &NewDeviceChallenge,
        record: &AuditRecord,
    ) -> Result<Written>;

    /// Opens a challenge in one round trip and gives its text. `None`, and nothing written, when the device may not have it,
    /// when another challenge of the device has taken its turn, and on a database with another form of the hot writes.
    ///
    /// The commit does not wait for the disk: a crash of Postgres may lose an unanswered challenge of the last moment, and
    /// its audit event with it.
    async fn open_unread_device_challenge(
        &self,
        partner: &PartnerId,
        challenge: &UnreadDeviceChallenge,
        event: &AuditEvent,
    ) -> Result<Option<TextToSign>>;

    /// The challenge with this id, open or not. `None` without one, and when its device is deleted.
    async fn device_challenge(&self, partner: &PartnerId, id: ChallengeId) -> Result<Option<DeviceChallenge>>;
}

#[async_trait::async_trait]
impl<DB: Dialect> DeviceChallenges for SqlStore<DB> {
    async fn device_prospects(
        &self,
        partner: &PartnerId,
        device: DeviceId,
        now: DateTime<Utc>,
        wrong_answers_cap: i64,
    ) -> Result<Option<DeviceProspects>> {
        let query = FindDeviceProspects { partner, device, now, wrong_answers_cap }.query();
        let Some(row) = self.row(query).await? else { return Ok(None) };
        let mut purposes = Vec::new();
        for (name, purpose) in [("unrestricted", KeyPurpose::Unrestricted), ("restricted", KeyPurpose::Restricted)] {
            if column::<DB, i64>(&row, name)? == 1 {
                purposes.push(purpose);
            }
        }
        Ok(Some(DeviceProspects {
            person_id: person_id(&column::<DB, String>(&row, "person_id")?)?,
            purposes,
            failures: failure_run::<DB>(&row)?,
            open: column::<DB, _>(&row, "open")?,
            last_turn: column::<DB, _>(&row, "last_turn")?,
        }))
    }

    async fn open_device_challenge(
        &self,
        partner: &PartnerId,
        challenge: &NewDeviceChallenge,
        record: &AuditRecord,
    ) -> Result<Written> {
        let (transaction, opened) = self.begin_and(OpenDeviceChallenge { partner, challenge }).await?;
        if opened.is_empty() {
            transaction.rollback().await?;
            return Ok(Written::Overtaken);
        }
        commit_with_record(transaction, Batch::new(), partner, record).await?;
        Ok(Written::Done(()))
    }

    async fn open_unread_device_challenge(
        &self,
        partner: &PartnerId,
        challenge: &UnreadDeviceChallenge,
        event: &AuditEvent,
    ) -> Result<Option<TextToSign>> {
        match self.write_form() {
            WriteForm::OneStatement => self.open_device_challenge_in_one_statement(partner, challenge, event).await,
            WriteForm::Transaction => Ok(None),
        }
    }

    async fn device_challenge(&self, partner: &PartnerId, id: ChallengeId) -> Result<Option<DeviceChallenge>> {
        let rows = self.rows(FindDeviceChallenge { partner, id }.query()).await?;
        let Some(first) = rows.first() else { return Ok(None) };
        let mut challenge = device_challenge::<DB>(id, first)?;
        for row in &rows {
            if let Some(key) = column::<DB, Option<Uuid>>(row, "key_id")? {
                challenge.keys.push((key.into(), public_key(column::<DB, _>(row, "public_key")?)?));
            }
        }
        Ok(Some(challenge))
    }
}

struct FindDeviceProspects<'a> {
    partner: &'a PartnerId,
    device: DeviceId,
    now: DateTime<Utc>,
    wrong_answers_cap: i64,
}

impl<DB: Dialect> Statement<DB> for FindDeviceProspects<'_> {
    const SQL: &'static str = "select d.person_id
              , d.failures
              , d.last_failure_at
              , cast(case when exists (select 1
                                         from device_key k
                                        where k.partner_id = $1
                                          and k.device_id = $2
                                          and k.purpose = 'unrestricted'
                                          and cast(k.deleted_at as text) is null) then 1 else 0 end as bigint) as unrestricted
              , cast(case when exists (select 1
                                         from device_key k
                                        where k.partner_id = $1
                                          and k.device_id = $2
                                          and k.purpose = 'restricted'
                                          and cast(k.deleted_at as text) is null) then 1 else 0 end as bigint) as restricted
              , (select coalesce(max(c.turn), 0)
                   from device_challenge c
                  where c.partner_id = $1
                    and c.device_id = $2) as last_turn
              , (select count(*)
                   from device_challenge c
                  where c.partner_id = $1
                    and c.device_id = $2
                    and c.closed_at is null
                    and c.expires_at > $3
                    and c.wrong_answers < $4) as open
           from device d
          where d.partner_id = $1
            and d.device_id = $2
            and d.state = 'live'";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query
            .bind(self.partner.as_str().to_owned())
            .bind(self.device.uuid())
            .bind(self.now)
            .bind(self.wrong_answers_cap)
    }
}

struct OpenDeviceChallenge<'a> {
    partner: &'a PartnerId,
    challenge: &'a NewDeviceChallenge,
}

impl<DB: Dialect> Statement<DB> for OpenDeviceChallenge<'_> {
    const SQL: &'static str = "insert into device_challenge
             ( partner_id, device_id, challenge_id, turn, person_id, key_purpose, string_to_sign, approval, expires_at )
         select partner_id, device_id, $3, $4, person_id, $5, $6, $7, $8
           from device
          where partner_id = $1
            and device_id = $2
            and state = 'live'
         on conflict (partner_id, device_id, turn) do nothing
         returning challenge_id";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let challenge = self.challenge;
        query
            .bind(self.partner.as_str().to_owned())
            .bind(challenge.device_id.uuid())
            .bind(challenge.id.uuid())
            .bind(challenge.turn)
            .bind(challenge.key_purpose.as_str().to_owned())
            .bind(challenge.text.as_str().to_owned())
            .bind(challenge.approval.as_ref().map(Approval::to_json))
            .bind(challenge.life.expires_at)
    }
}

/// The subqueries give Postgres the device's id as a value, so that it finds device and keys by their primary keys. As a join
/// condition, Postgres would take it for as good as any other on a table that was never analysed, and read all keys of the
/// partner.
struct FindDeviceChallenge<'a> {
    partner: &'a PartnerId,
    id: ChallengeId,
}

impl<DB: Dialect> Statement<DB> for FindDeviceChallenge<'_> {
    const SQL: &'static str = "select c.device_id
              , c.person_id
              , c.key_purpose
              , c.string_to_sign
              , c.approval
              , c.expires_at
              , c.wrong_answers
              , c.closed_at
              , c.decision
              , c.answered_by
              , c.fingerprint
              , c.reason
              , d.failures
              , d.last_failure_at
              , k.key_id
              , k.public_key
           from device_challenge c
           join device d on d.partner_id = $2
                        and d.device_id = (select i.device_id
                                             from device_challenge i
                                            where i.challenge_id = $1
                                              and i.partner_id = $2)
                        and d.state = 'live'
           left join device_key k on k.partner_id = $2
                                and k.device_id = (select i.device_id
                                                     from device_challenge i
                                                    where i.challenge_id = $1
                                                      and i.partner_id = $2)
                                and k.purpose = c.key_purpose
                                and cast(k.deleted_at as text) is null
          where c.challenge_id = $1
            and c.partner_id = $2";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query.bind(self.id.uuid()).bind(self.partner.as_str().to_owned())
    }
}

fn device_challenge<DB: Dialect>(id: ChallengeId, row: &DB::Row) -> Result<DeviceChallenge> {
    let closed_at = column::<DB, Option<DateTime<Utc>>>(row, "closed_at")?;
    Ok(DeviceChallenge {
        id,
        device_id: column::<DB, Uuid>(row, "device_id")?.into(),
        person_id: person_id(&column::<DB, String>(row, "person_id")?)?,
        key_purpose: purpose(&column::<DB, String>(row, "key_purpose")?)?,
        text: TextToSign::from_stored(column::<DB, _>(row, "string_to_sign")?),
        approval: column::<DB, Option<String>>(row, "approval")?
            .map(|json| Approval::from_json(&json).ok_or(StoreError::Corrupt { column: "approval" }))
            .transpose()?,
        created_at: id.minted_at().ok_or(StoreError::Corrupt { column: "challenge_id" })?,
        state: ChallengeState {
            closed_at,
            expires_at: column::<DB, _>(row, "expires_at")?,
            wrong_answers: column::<DB, _>(row, "wrong_answers")?,
            failures: failure_run::<DB>(row)?,
        },
        answer: accepted_answer::<DB>(closed_at, row)?,
        keys: Vec::new(),
    })
}

fn accepted_answer<DB: Dialect>(closed_at: Option<DateTime<Utc>>, row: &DB::Row) -> Result<Option<AcceptedAnswer>> {
    let Some(decision) = column::<DB, Option<String>>(row, "decision")? else { return Ok(None) };
    let fingerprint = column::<DB, Vec<u8>>(row, "fingerprint")?;
    let reason = column::<DB, Option<String>>(row, "reason")?;
    Ok(Some(AcceptedAnswer {
        decision: Decision::parse(&decision).ok_or(StoreError::Corrupt { column: "decision" })?,
        reason: reason
            .map(|text| LineValue::parse(&text).map_err(|_| StoreError::Corrupt { column: "reason" }))
            .transpose()?,
        key_id: column::<DB, Uuid>(row, "answered_by")?.into(),
        fingerprint: fingerprint.try_into().map_err(|_| StoreError::Corrupt { column: "fingerprint" })?,
        at: closed_at.ok_or(StoreError::Corrupt { column: "closed_at" })?,
    }))
}
