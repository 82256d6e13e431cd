//! Codes that a person types: to confirm a mobile number, or to answer an SMS challenge.
//!
//! A person has at most one code of each kind, in a row of `challenge`. Sending another overwrites the row; deleting
//! the number deletes it. A wrong answer counts against the code and the person in one commit. To avoid deadlocks every
//! write locks number, code, message, person, in this order.

use chrono::{DateTime, Utc};

use crate::domain::challenges::{ChallengeId, ChallengeRules, ChallengeState};
use crate::domain::failure_budget::FailureRun;
use crate::domain::numbers::MobileNumber;
use crate::domain::person::{PartnerId, PersonId};
use crate::domain::sms::limits::SmsSpend;
use crate::store::audit::record::commit_with_record;
use crate::store::dialect::Dialect;
use crate::store::persons::failures::{forgive, spend};
use crate::store::pool::Transaction;
use crate::store::rows::column;
use crate::store::sms::usage::{spend_sms, take_back_sms};
use crate::store::sql_store::SqlStore;
use crate::store::statement::{Batch, Bound, Statement};
use crate::store::{AuditRecord, Result, StoreError, Written};

/// Stores a code as the person's only one of its kind. The dialect adds the row lock that prevents the number's
/// deletion before commit: deleting a number also deletes its codes.
macro_rules! open_code {
    ($kind:literal, $condition:literal, $lock:literal) => {
        concat!(
            "insert into challenge (challenge_id, partner_id, person_id, kind, otp_version, expires_at)
             select $4, partner_id, person_id, '",
            $kind,
            "', $5, $6
               from mobile_number
              where partner_id = $1
                and person_id = $2
                and number = $3
             ",
            $condition,
            "
             ",
            $lock,
            "
             on conflict (partner_id, person_id, kind) do update
                set challenge_id = excluded.challenge_id
                  , otp_version = excluded.otp_version
                  , expires_at = excluded.expires_at
                  , wrong_answers = 0
             returning challenge_id"
        )
    };
}
pub(in crate::store) use open_code;

/// A code to be sent.
#[derive(Clone, Copy, Debug)]
pub struct TypedCode {
    /// The id that the code is derived from.
    pub id: ChallengeId,
    /// Version of the secret that it is derived with.
    pub otp_version: u32,
    /// The first instant at which it is no longer accepted.
    pub expires_at: DateTime<Utc>,
}

/// A code that was sent, open or not.
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

/// Writes that are the same for every kind of code.
#[macro_rules_attribute::apply(port)]
pub trait TypedCodes {
    /// Closes an open code, and refunds its message if no provider accepted it.
    async fn close_code(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        id: ChallengeId,
        refund: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<()>;

    /// Counts a wrong answer against the open code and the person. Returns the code's number of wrong answers.
    /// Overtaken when the code is not open (any more) or the person is cooling off.
    async fn count_wrong_code(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        attempt: &CodeAnswer,
        record: &AuditRecord,
    ) -> Result<Written<i64>>;
}

#[async_trait::async_trait]
impl<DB: Dialect> TypedCodes for SqlStore<DB> {
    async fn close_code(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        id: ChallengeId,
        refund: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<()> {
        let (mut transaction, _) = self.begin_and(CloseCode { partner, person, id }).await?;
        if refund.is_some() {
            take_back_sms::<DB>(&mut transaction, partner, id.uuid()).await?;
        }
        commit_with_record(transaction, Batch::new(), partner, record).await
    }

    async fn count_wrong_code(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        attempt: &CodeAnswer,
        record: &AuditRecord,
    ) -> Result<Written<i64>> {
        let (mut transaction, counted) = self.begin_and(CountWrongCode { partner, person, attempt }).await?;
        let wrong = counted.first().map(|row| column::<DB, i64>(row, "wrong_answers")).transpose()?;
        // No failure counts during a cool-down that a concurrent failure has begun.
        let spent = spend::<DB>(partner, person, attempt.at, &attempt.rules.budget);
        let spent = spent.fetch_all(&mut *transaction).await?;
        let Some(wrong) = wrong.filter(|_| !spent.is_empty()) else {
            transaction.rollback().await?;
            return Ok(Written::Overtaken);
        };
        commit_with_record(transaction, Batch::new(), partner, record).await?;
        Ok(Written::Done(wrong))
    }
}

impl<DB: Dialect> SqlStore<DB> {
    /// Stores a code by the statement `opening` and counts its message. Overtaken when the statement returns no row or
    /// a limit is reached.
    pub(super) async fn open_code(
        &self,
        opening: impl Statement<DB>,
        OpenCode { partner, person, number, code }: OpenCode<'_>,
        sms: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<Written> {
        let (mut transaction, opened) = self.begin_and(opening).await?;
        let message = (code.id.uuid(), number, person);
        let proceeds = match sms {
            _ if opened.is_empty() => false,
            Some(spend) => spend_sms::<DB>(&mut transaction, partner, message, spend).await?,
            None => true,
        };
        if !proceeds {
            transaction.rollback().await?;
            return Ok(Written::Overtaken);
        }
        commit_with_record(transaction, Batch::new(), partner, record).await?;
        Ok(Written::Done(()))
    }
}

/// Deletes an open code, resets the person's failures and commits. Overtaken, and rolled back, when the code is not
/// open (any more) or the person is cooling off.
pub(super) async fn accept_code<DB: Dialect>(
    mut transaction: Transaction<DB>,
    partner: &PartnerId,
    person: &PersonId,
    attempt: &CodeAnswer,
    record: &AuditRecord,
) -> Result<Written> {
    let answered = transaction.rows(TakeCode { partner, person, attempt }).await?;
    // A right answer does not end a cool-down that a concurrent failure has begun.
    let forgiven =
        forgive::<DB>(partner, person, attempt.at, &attempt.rules.budget).fetch_all(&mut *transaction).await?;
    if answered.is_empty() || forgiven.is_empty() {
        transaction.rollback().await?;
        return Ok(Written::Overtaken);
    }
    commit_with_record(transaction, Batch::new(), partner, record).await?;
    Ok(Written::Done(()))
}

/// The parameters of `open_code!`.
#[derive(Clone, Copy)]
pub(super) struct OpenCode<'a> {
    pub(super) partner: &'a PartnerId,
    pub(super) person: &'a PersonId,
    pub(super) number: &'a MobileNumber,
    pub(super) code: TypedCode,
}

impl OpenCode<'_> {
    pub(super) fn bind<DB: Dialect>(self, query: Bound<DB>) -> Bound<DB> {
        query
            .bind(self.partner.as_str().to_owned())
            .bind(self.person.as_str().to_owned())
            .bind(self.number.as_e164().to_owned())
            .bind(self.code.id.uuid())
            .bind(i64::from(self.code.otp_version))
            .bind(self.code.expires_at)
    }
}

/// Deletes a code that can no longer be answered.
struct CloseCode<'a> {
    partner: &'a PartnerId,
    person: &'a PersonId,
    id: ChallengeId,
}

impl<DB: Dialect> Statement<DB> for CloseCode<'_> {
    const SQL: &'static str = "delete from challenge
          where partner_id = $1
            and person_id = $2
            and challenge_id = $3";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query.bind(self.partner.as_str().to_owned()).bind(self.person.as_str().to_owned()).bind(self.id.uuid())
    }
}

/// Counts a wrong answer against an open code.
struct CountWrongCode<'a> {
    partner: &'a PartnerId,
    person: &'a PersonId,
    attempt: &'a CodeAnswer,
}

impl<DB: Dialect> Statement<DB> for CountWrongCode<'_> {
    const SQL: &'static str = "update challenge
            set wrong_answers = wrong_answers + 1
          where partner_id = $1
            and person_id = $2
            and challenge_id = $3
            and expires_at > $4
            and wrong_answers < $5
         returning wrong_answers";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        bind_answer::<DB>(query, self.partner, self.person, self.attempt)
    }
}

/// Deletes an open code that was answered right.
struct TakeCode<'a> {
    partner: &'a PartnerId,
    person: &'a PersonId,
    attempt: &'a CodeAnswer,
}

impl<DB: Dialect> Statement<DB> for TakeCode<'_> {
    const SQL: &'static str = "delete from challenge
          where partner_id = $1
            and person_id = $2
            and challenge_id = $3
            and expires_at > $4
            and wrong_answers < $5
         returning challenge_id";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        bind_answer::<DB>(query, self.partner, self.person, self.attempt)
    }
}

fn bind_answer<DB: Dialect>(
    query: Bound<DB>,
    partner: &PartnerId,
    person: &PersonId,
    attempt: &CodeAnswer,
) -> Bound<DB> {
    query
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(attempt.id.uuid())
        .bind(attempt.at)
        .bind(attempt.rules.wrong_answers_cap)
}

/// Reads a row of `challenge`.
pub(super) fn sent_code<DB: Dialect>(id: ChallengeId, failures: FailureRun, row: &DB::Row) -> Result<SentCode> {
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
