//! Codes that confirm a mobile number: create, read, confirm. The rest of their life is in `code`.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::failure_budget::FailureRun;
use crate::domain::numbers::MobileNumber;
use crate::domain::person::{PartnerId, PersonId};
use crate::domain::sms::limits::{SmsSpend, SmsUse};
use crate::store::challenges::code::{CodeAnswer, OpenCode, SentCode, TypedCode, accept_code, sent_code};
use crate::store::dialect::Dialect;
use crate::store::numbers::{NumberRecord, number_record};
use crate::store::persons::failures::failure_run;
use crate::store::rows::column;
use crate::store::sms::usage::{sms_use, sms_use_columns};
use crate::store::sql_store::SqlStore;
use crate::store::statement::{Bound, Statement};
use crate::store::{AuditRecord, Result, Written};

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
        code: TypedCode,
        sms: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<Written>;

    /// Reads the number with its code. `None` when the person does not have this number.
    async fn number_challenge(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: &MobileNumber,
    ) -> Result<Option<NumberChallenge>>;

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
        code: TypedCode,
        sms: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<Written> {
        let opening = OpenNumberCode(OpenCode { partner, person, number, code });
        self.open_code(opening, opening.0, sms, record).await
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

    async fn confirm_mobile_number(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        attempt: &CodeAnswer,
        record: &AuditRecord,
    ) -> Result<Written> {
        // Rolled back by `accept_code` if the code is not open.
        let (transaction, _) = self.begin_and(VerifyNumber { partner, person, at: attempt.at }).await?;
        accept_code(transaction, partner, person, attempt, record).await
    }
}

/// Stores a code for a person's number.
#[derive(Clone, Copy)]
struct OpenNumberCode<'a>(OpenCode<'a>);

impl<DB: Dialect> Statement<DB> for OpenNumberCode<'_> {
    const SQL: &'static str = DB::OPEN_NUMBER_CODE;

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        self.0.bind::<DB>(query)
    }
}

/// Marks a person's number as verified.
struct VerifyNumber<'a> {
    partner: &'a PartnerId,
    person: &'a PersonId,
    at: DateTime<Utc>,
}

impl<DB: Dialect> Statement<DB> for VerifyNumber<'_> {
    const SQL: &'static str = "update mobile_number
            set verified_at = coalesce(verified_at, $3)
          where partner_id = $1
            and person_id = $2
         returning number_id";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query.bind(self.partner.as_str().to_owned()).bind(self.person.as_str().to_owned()).bind(self.at)
    }
}

fn number_challenge<DB: Dialect>(row: &DB::Row) -> Result<NumberChallenge> {
    let failures = failure_run::<DB>(row)?;
    let code = column::<DB, Option<Uuid>>(row, "challenge_id")?.map(|id| sent_code::<DB>(id.into(), failures, row));
    Ok(NumberChallenge { record: number_record::<DB>(row)?, code: code.transpose()?, failures })
}
