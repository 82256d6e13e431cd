//! Codes that confirm a mobile number: create, read, count wrong answers, confirm, close.
//!
//! A person has at most one code, in a row of `challenge`. Sending another overwrites the row; deleting the number
//! deletes it. A wrong answer counts against the code and the person in one commit. To avoid deadlocks every write
//! locks number, code, message, person, in this order.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::challenges::{ChallengeId, ChallengeRules, ChallengeState};
use crate::domain::failure_budget::FailureRun;
use crate::domain::numbers::MobileNumber;
use crate::domain::person::{PartnerId, PersonId};
use crate::domain::sms::limits::{SmsSpend, SmsUse};
use crate::store::audit::record::write_down;
use crate::store::dialect::Dialect;
use crate::store::numbers::{NumberRecord, number_record};
use crate::store::persons::failures::{failure_run, forgive, spend};
use crate::store::rows::column;
use crate::store::sms::usage::{sms_use, sms_use_columns, spend_sms, take_back_sms};
use crate::store::sql_store::SqlStore;
use crate::store::{AuditRecord, Result, StoreError, Written};

/// Stores a code as the person's only one. The dialect adds the row lock that prevents the number's deletion before
/// commit: deleting a number also deletes its code.
macro_rules! open_number_code {
    ($lock:literal) => {
        concat!(
            "insert into challenge (challenge_id, partner_id, person_id, kind, otp_version, expires_at)
             select $4, partner_id, person_id, 'number', $5, $6
               from mobile_number
              where partner_id = $1
                and person_id = $2
                and number = $3
             ",
            $lock,
            "
             on conflict (partner_id, person_id) where kind = 'number' do update
                set challenge_id = excluded.challenge_id
                  , otp_version = excluded.otp_version
                  , expires_at = excluded.expires_at
                  , wrong_answers = 0
             returning challenge_id"
        )
    };
}
pub(in crate::store) use open_number_code;

/// A code to be sent.
#[derive(Clone, Copy, Debug)]
pub struct NumberCode {
    /// The id that the code is derived from.
    pub id: ChallengeId,
    /// Version of the secret that it is derived with.
    pub otp_version: u32,
    /// The first instant at which it is no longer accepted.
    pub expires_at: DateTime<Utc>,
}

/// The most recently sent code, open or not.
#[derive(Clone, Copy, Debug)]
pub struct SentCode {
    /// The id that the code is derived from.
    pub id: ChallengeId,
    /// Version of the secret that it is derived with.
    pub otp_version: u32,
    /// Whether it is open, cooling off or over.
    pub state: ChallengeState,
}

/// A person's answer to a code.
#[derive(Clone, Copy, Debug)]
pub struct CodeAnswer {
    /// The code that it answers.
    pub id: ChallengeId,
    /// Now.
    pub at: DateTime<Utc>,
    /// The rules that the answer was judged by.
    pub rules: ChallengeRules,
}

/// A number with the most recently sent code, if there is one.
#[derive(Clone, Debug)]
pub struct NumberChallenge {
    /// The number.
    pub record: NumberRecord,
    /// `None` when no code was sent, or the last one was used or closed.
    pub code: Option<SentCode>,
    /// The person's recent failures.
    pub failures: FailureRun,
}

/// The data that decides whether a code may be sent to a number.
#[derive(Clone, Debug)]
pub struct NumberProspects {
    /// The number.
    pub record: NumberRecord,
    /// The person's recent failures.
    pub failures: FailureRun,
    /// Recent messages to the number, for the person and for the partner.
    pub sms: SmsUse,
}

/// Codes that confirm a mobile number.
#[macro_rules_attribute::apply(port)]
pub trait NumberChallenges {
    /// Reads the preconditions of a new code. `None` when the person does not have this number.
    async fn number_prospects(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: &MobileNumber,
    ) -> Result<Option<NumberProspects>>;

    /// Makes this the number's only open code and counts its message against the SMS limits. Overtaken when the number
    /// is deleted or a limit is reached.
    async fn open_number_code(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: &MobileNumber,
        challenge: NumberCode,
        sms: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<Written>;

    /// Closes an open code, and refunds its message if no provider accepted it.
    async fn close_number_code(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        id: ChallengeId,
        refund: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<()>;

    /// Reads the number with its code. `None` when the person does not have this number.
    async fn number_challenge(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: &MobileNumber,
    ) -> Result<Option<NumberChallenge>>;

    /// Counts a wrong answer against the open code and the person. Returns the code's number of wrong answers.
    /// Overtaken when the code is not open (any more) or the person is cooling off.
    async fn count_wrong_code(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        attempt: &CodeAnswer,
        record: &AuditRecord,
    ) -> Result<Written<i64>>;

    /// Deletes the open code, marks the number as verified and resets the person's failures. Overtaken when the code
    /// is not open (any more) or the person is cooling off.
    async fn confirm_mobile_number(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        attempt: &CodeAnswer,
        record: &AuditRecord,
    ) -> Result<Written>;
}

#[async_trait::async_trait]
impl<DB: Dialect> NumberChallenges for SqlStore<DB> {
    async fn number_prospects(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: &MobileNumber,
    ) -> Result<Option<NumberProspects>> {
        let query = sqlx::query(concat!(
            "select n.number_id
                  , n.number
                  , n.verified_at
                  , p.failures
                  , p.last_failure_at
         ",
            sms_use_columns!(),
            "      from mobile_number n
               left join person p on p.partner_id = n.partner_id and p.person_id = n.person_id
              where n.partner_id = $1
                and n.person_id = $2
                and n.number = $3"
        ))
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(number.as_e164().to_owned());
        let Some(row) = self.row(query).await? else { return Ok(None) };
        Ok(Some(NumberProspects {
            record: number_record::<DB>(&row)?,
            failures: failure_run::<DB>(&row)?,
            sms: sms_use::<DB>(&row)?,
        }))
    }

    async fn open_number_code(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: &MobileNumber,
        challenge: NumberCode,
        sms: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<Written> {
        let mut transaction = self.begin().await?;
        let opened = sqlx::query(DB::OPEN_NUMBER_CODE)
            .bind(partner.as_str().to_owned())
            .bind(person.as_str().to_owned())
            .bind(number.as_e164().to_owned())
            .bind(challenge.id.uuid())
            .bind(i64::from(challenge.otp_version))
            .bind(challenge.expires_at)
            .fetch_all(&mut *transaction)
            .await?;
        let message = (challenge.id.uuid(), number, person);
        let proceeds = match sms {
            _ if opened.is_empty() => false,
            Some(spend) => spend_sms::<DB>(&mut transaction, partner, message, spend).await?,
            None => true,
        };
        if !proceeds {
            transaction.rollback().await?;
            return Ok(Written::Overtaken);
        }
        write_down::<DB>(&mut transaction, partner, record).await?;
        transaction.commit().await?;
        Ok(Written::Done(()))
    }

    async fn close_number_code(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        id: ChallengeId,
        refund: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<()> {
        let mut transaction = self.begin().await?;
        sqlx::query(
            "delete from challenge
              where partner_id = $1
                and person_id = $2
                and challenge_id = $3
                and kind = 'number'",
        )
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(id.uuid())
        .execute(&mut *transaction)
        .await?;
        if refund.is_some() {
            take_back_sms::<DB>(&mut transaction, partner, id.uuid()).await?;
        }
        write_down::<DB>(&mut transaction, partner, record).await?;
        Ok(transaction.commit().await?)
    }

    async fn number_challenge(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: &MobileNumber,
    ) -> Result<Option<NumberChallenge>> {
        let query = sqlx::query(
            "select n.number_id
                  , n.number
                  , n.verified_at
                  , c.challenge_id
                  , c.otp_version
                  , c.expires_at
                  , c.wrong_answers
                  , p.failures
                  , p.last_failure_at
               from mobile_number n
               left join challenge c on c.partner_id = n.partner_id and c.person_id = n.person_id and c.kind = 'number'
               left join person p on p.partner_id = n.partner_id and p.person_id = n.person_id
              where n.partner_id = $1
                and n.person_id = $2
                and n.number = $3",
        )
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(number.as_e164().to_owned());
        self.row(query).await?.map(|row| number_challenge::<DB>(&row)).transpose()
    }

    async fn count_wrong_code(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        attempt: &CodeAnswer,
        record: &AuditRecord,
    ) -> Result<Written<i64>> {
        let mut transaction = self.begin().await?;
        let counted = sqlx::query(
            "update challenge
                set wrong_answers = wrong_answers + 1
              where partner_id = $1
                and person_id = $2
                and challenge_id = $3
                and kind = 'number'
                and expires_at > $4
                and wrong_answers < $5
             returning wrong_answers",
        )
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(attempt.id.uuid())
        .bind(attempt.at)
        .bind(attempt.rules.wrong_answers_cap)
        .fetch_all(&mut *transaction)
        .await?;
        let wrong = counted.first().map(|row| column::<DB, i64>(row, "wrong_answers")).transpose()?;
        // No failure counts during a cool-down that a concurrent failure has begun.
        let spent = spend::<DB>(partner, person, attempt.at, &attempt.rules.budget);
        let spent = spent.fetch_all(&mut *transaction).await?;
        let Some(wrong) = wrong.filter(|_| !spent.is_empty()) else {
            transaction.rollback().await?;
            return Ok(Written::Overtaken);
        };
        write_down::<DB>(&mut transaction, partner, record).await?;
        transaction.commit().await?;
        Ok(Written::Done(wrong))
    }

    async fn confirm_mobile_number(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        attempt: &CodeAnswer,
        record: &AuditRecord,
    ) -> Result<Written> {
        let mut transaction = self.begin().await?;
        // Rolled back below if the code is not open.
        let verified = sqlx::query(
            "update mobile_number
                set verified_at = coalesce(verified_at, $3)
              where partner_id = $1
                and person_id = $2
             returning number_id",
        )
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(attempt.at)
        .fetch_all(&mut *transaction)
        .await?;
        let answered = sqlx::query(
            "delete from challenge
              where partner_id = $1
                and person_id = $2
                and challenge_id = $3
                and kind = 'number'
                and expires_at > $4
                and wrong_answers < $5
             returning challenge_id",
        )
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(attempt.id.uuid())
        .bind(attempt.at)
        .bind(attempt.rules.wrong_answers_cap)
        .fetch_all(&mut *transaction)
        .await?;
        // A right answer does not end a cool-down that a concurrent failure has begun.
        let forgiven =
            forgive::<DB>(partner, person, attempt.at, &attempt.rules.budget).fetch_all(&mut *transaction).await?;
        if [verified, answered, forgiven].iter().any(Vec::is_empty) {
            transaction.rollback().await?;
            return Ok(Written::Overtaken);
        }
        write_down::<DB>(&mut transaction, partner, record).await?;
        transaction.commit().await?;
        Ok(Written::Done(()))
    }
}

fn number_challenge<DB: Dialect>(row: &DB::Row) -> Result<NumberChallenge> {
    let failures = failure_run::<DB>(row)?;
    let code = column::<DB, Option<Uuid>>(row, "challenge_id")?.map(|id| sent_code::<DB>(id.into(), failures, row));
    Ok(NumberChallenge { record: number_record::<DB>(row)?, code: code.transpose()?, failures })
}

fn sent_code<DB: Dialect>(id: ChallengeId, failures: FailureRun, row: &DB::Row) -> Result<SentCode> {
    let otp_version = column::<DB, i64>(row, "otp_version")?;
    Ok(SentCode {
        id,
        otp_version: u32::try_from(otp_version).map_err(|_| StoreError::Corrupt { column: "otp_version" })?,
        state: ChallengeState {
            closed_at: None,
            expires_at: column::<DB, _>(row, "expires_at")?,
            wrong_answers: column::<DB, _>(row, "wrong_answers")?,
            failures,
        },
    })
}
