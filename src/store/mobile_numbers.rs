//! Mobile numbers and the codes that confirm them.
//!
//! One number per person, and one open code per number: sending another ends the one before.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::engine::Engine;
use super::rows::column;
use super::sql_store::SqlStore;
use super::{Result, StoreError};
use crate::domain::id::{NumberId, TokenChallengeId};
use crate::domain::mobile_number::MobileNumber;
use crate::domain::person::{PartnerId, PersonId};

/// A person's number.
#[derive(Clone, Debug)]
pub struct NumberRecord {
    /// Its id.
    pub id: NumberId,
    /// The number.
    pub number: MobileNumber,
    /// Whether the person, or the partner, has shown that it is theirs.
    pub verified: bool,
}

/// How a new number comes to be trusted.
#[derive(Clone, Copy, Debug)]
pub enum NumberVerification<'a> {
    /// By a code, later.
    Pending,
    /// By the word of this client, now.
    AssertedBy(&'a str),
}

/// A code that is about to be sent.
#[derive(Clone, Copy, Debug)]
pub struct TokenChallenge {
    /// What the code is derived from.
    pub id: TokenChallengeId,
    /// Which secret it is derived under.
    pub otp_version: u32,
    /// The first instant at which it is no longer accepted.
    pub expires_at: DateTime<Utc>,
}

/// A code that was sent and can still be confirmed.
#[derive(Clone, Copy, Debug)]
pub struct OpenToken {
    /// What the code is derived from.
    pub id: TokenChallengeId,
    /// Which secret it is derived under.
    pub otp_version: u32,
}

/// A number together with its open code, if there is one.
#[derive(Clone, Debug)]
pub struct NumberChallenge {
    /// The number.
    pub record: NumberRecord,
    /// `None` when no code was sent, or it expired, was used, or has no attempts left.
    pub open: Option<OpenToken>,
}

/// Mobile numbers.
#[async_trait::async_trait]
pub trait MobileNumbers {
    /// The person's number.
    async fn mobile_number(&self, partner: &PartnerId, person: &PersonId) -> Result<Option<NumberRecord>>;

    /// Gives the person a number. False when they have one already.
    async fn create_mobile_number(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: (NumberId, &MobileNumber),
        verification: NumberVerification<'_>,
        now: DateTime<Utc>,
    ) -> Result<bool>;

    /// Makes this the number's only open code. `None` when the number is not this person's.
    async fn open_token_challenge(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: &MobileNumber,
        challenge: TokenChallenge,
    ) -> Result<Option<NumberRecord>>;

    /// Ends an open code.
    async fn close_token_challenge(&self, partner: &PartnerId, person: &PersonId, id: TokenChallengeId) -> Result<()>;

    /// The number with its open code. `None` when the number is not this person's.
    async fn number_challenge(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: &MobileNumber,
        now: DateTime<Utc>,
        wrong_tokens_cap: i64,
    ) -> Result<Option<NumberChallenge>>;

    /// Counts a wrong token against the open code. `None` when it is not open (any more).
    async fn count_wrong_token(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        id: TokenChallengeId,
        now: DateTime<Utc>,
        wrong_tokens_cap: i64,
    ) -> Result<Option<i64>>;

    /// Uses the open code up and marks the number as verified. False when the code is not open (any more).
    async fn confirm_mobile_number(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        id: TokenChallengeId,
        now: DateTime<Utc>,
        wrong_tokens_cap: i64,
    ) -> Result<bool>;

    /// Removes the person's number, if it is this one, and closes their open challenges with it.
    async fn delete_mobile_number(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: Option<&MobileNumber>,
        now: DateTime<Utc>,
    ) -> Result<Option<NumberRecord>>;
}

#[async_trait::async_trait]
impl<DB: Engine> MobileNumbers for SqlStore<DB> {
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
    ) -> Result<bool> {
        let (verified_at, asserted_by) = match verification {
            NumberVerification::Pending => (None, None),
            NumberVerification::AssertedBy(client) => (Some(now), Some(client.to_owned())),
        };
        let query = sqlx::query(
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
        .bind(asserted_by);
        Ok(self.write(query).await?.is_some())
    }

    async fn open_token_challenge(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: &MobileNumber,
        challenge: TokenChallenge,
    ) -> Result<Option<NumberRecord>> {
        let query = sqlx::query(
            "update mobile_number
                set challenge_id = $4
                  , challenge_otp_version = $5
                  , challenge_expires_at = $6
                  , challenge_wrong_tokens = 0
              where partner_id = $1
                and person_id = $2
                and number = $3
             returning number_id, number, verified_at",
        )
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(number.as_e164().to_owned())
        .bind(challenge.id.uuid())
        .bind(i64::from(challenge.otp_version))
        .bind(challenge.expires_at);
        self.write(query).await?.map(|row| number_record::<DB>(&row)).transpose()
    }

    async fn close_token_challenge(&self, partner: &PartnerId, person: &PersonId, id: TokenChallengeId) -> Result<()> {
        let query = sqlx::query(
            "update mobile_number
                set challenge_id = null
              where partner_id = $1
                and person_id = $2
                and challenge_id = $3",
        )
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(id.uuid());
        self.write(query).await?;
        Ok(())
    }

    async fn number_challenge(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: &MobileNumber,
        now: DateTime<Utc>,
        wrong_tokens_cap: i64,
    ) -> Result<Option<NumberChallenge>> {
        let query = sqlx::query(
            "select number_id
                  , number
                  , verified_at
                  , case when challenge_expires_at > $4 and challenge_wrong_tokens < $5 then challenge_id end as open_id
                  , coalesce(challenge_otp_version, 0) as otp_version
               from mobile_number
              where partner_id = $1
                and person_id = $2
                and number = $3",
        )
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(number.as_e164().to_owned())
        .bind(now)
        .bind(wrong_tokens_cap);
        self.row(query).await?.map(|row| number_challenge::<DB>(&row)).transpose()
    }

    async fn count_wrong_token(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        id: TokenChallengeId,
        now: DateTime<Utc>,
        wrong_tokens_cap: i64,
    ) -> Result<Option<i64>> {
        let query = sqlx::query(
            "update mobile_number
                set challenge_wrong_tokens = challenge_wrong_tokens + 1
              where partner_id = $1
                and person_id = $2
                and challenge_id = $3
                and challenge_expires_at > $4
                and challenge_wrong_tokens < $5
             returning challenge_wrong_tokens",
        )
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(id.uuid())
        .bind(now)
        .bind(wrong_tokens_cap);
        self.write(query).await?.map(|row| column::<DB, i64>(&row, "challenge_wrong_tokens")).transpose()
    }

    async fn confirm_mobile_number(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        id: TokenChallengeId,
        now: DateTime<Utc>,
        wrong_tokens_cap: i64,
    ) -> Result<bool> {
        let query = sqlx::query(
            "update mobile_number
                set verified_at = coalesce(verified_at, $4)
                  , challenge_id = null
              where partner_id = $1
                and person_id = $2
                and challenge_id = $3
                and challenge_expires_at > $4
                and challenge_wrong_tokens < $5
             returning number_id",
        )
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(id.uuid())
        .bind(now)
        .bind(wrong_tokens_cap);
        Ok(self.write(query).await?.is_some())
    }

    async fn delete_mobile_number(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: Option<&MobileNumber>,
        now: DateTime<Utc>,
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
        let record = number_record::<DB>(row)?;
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
        transaction.commit().await?;
        Ok(Some(record))
    }
}

fn number_record<DB: Engine>(row: &DB::Row) -> Result<NumberRecord> {
    Ok(NumberRecord {
        id: column::<DB, Uuid>(row, "number_id")?.into(),
        number: MobileNumber::from_stored(column::<DB, _>(row, "number")?),
        verified: column::<DB, Option<DateTime<Utc>>>(row, "verified_at")?.is_some(),
    })
}

fn number_challenge<DB: Engine>(row: &DB::Row) -> Result<NumberChallenge> {
    let otp_version = u32::try_from(column::<DB, i64>(row, "otp_version")?)
        .map_err(|_| StoreError::Corrupt { column: "challenge_otp_version" })?;
    let open = column::<DB, Option<Uuid>>(row, "open_id")?.map(|id| OpenToken { id: id.into(), otp_version });
    Ok(NumberChallenge { record: number_record::<DB>(row)?, open })
}
