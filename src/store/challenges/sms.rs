//! SMS challenges: create, read, accept. The rest of their life is in `code`.

use crate::domain::challenges::ChallengeId;
use crate::domain::failure_budget::FailureRun;
use crate::domain::numbers::MobileNumber;
use crate::domain::person::{PartnerId, PersonId};
use crate::domain::sms::limits::{SmsSpend, SmsUse};
use crate::store::challenges::code::{CodeAnswer, OpenCode, SentCode, TypedCode, accept_code, sent_code};
use crate::store::dialect::Dialect;
use crate::store::persons::failures::failure_run;
use crate::store::rows::{column, person_id};
use crate::store::sms::usage::{sms_use, sms_use_columns};
use crate::store::sql_store::SqlStore;
use crate::store::statement::{Bound, Statement};
use crate::store::{AuditRecord, Result, Written};

/// The data that decides whether a code may be sent to a person's verified number.
#[derive(Clone, Debug)]
pub struct SmsProspects {
    /// The number.
    pub number: MobileNumber,
    /// The person's recent failures.
    pub failures: FailureRun,
    /// Recent messages to the number, for the person and for the partner.
    pub sms: SmsUse,
}

/// An SMS challenge, open or not.
#[derive(Clone, Debug)]
pub struct SmsChallenge {
    /// Its person.
    pub person_id: PersonId,
    /// The number that its code was sent to.
    pub number: MobileNumber,
    /// Its code.
    pub code: SentCode,
}

/// SMS challenges.
#[macro_rules_attribute::apply(port)]
pub trait SmsChallenges {
    /// Reads the preconditions of a new challenge. `None` when the person has no verified number.
    async fn sms_prospects(&self, partner: &PartnerId, person: &PersonId) -> Result<Option<SmsProspects>>;

    /// Makes this the person's only SMS challenge and counts its message against the SMS limits. Overtaken when the
    /// number is deleted or a limit is reached.
    async fn open_sms_challenge(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: &MobileNumber,
        code: TypedCode,
        sms: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<Written>;

    /// The challenge with this id. `None` once it was answered right, superseded or closed.
    async fn sms_challenge(&self, partner: &PartnerId, id: ChallengeId) -> Result<Option<SmsChallenge>>;

    /// Deletes the open challenge and resets the person's failures. Overtaken when the challenge is not open (any
    /// more) or the person is cooling off.
    async fn accept_sms_challenge(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        attempt: &CodeAnswer,
        record: &AuditRecord,
    ) -> Result<Written>;
}

#[async_trait::async_trait]
impl<DB: Dialect> SmsChallenges for SqlStore<DB> {
    async fn sms_prospects(&self, partner: &PartnerId, person: &PersonId) -> Result<Option<SmsProspects>> {
        let Some(row) = self.row(FindProspects { partner, person }.query()).await? else { return Ok(None) };
        Ok(Some(SmsProspects {
            number: MobileNumber::from_stored(column::<DB, _>(&row, "number")?),
            failures: failure_run::<DB>(&row)?,
            sms: sms_use::<DB>(&row)?,
        }))
    }

    async fn open_sms_challenge(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        number: &MobileNumber,
        code: TypedCode,
        sms: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<Written> {
        let opening = OpenSmsChallenge(OpenCode { partner, person, number, code });
        self.open_code(opening, opening.0, sms, record).await
    }

    async fn sms_challenge(&self, partner: &PartnerId, id: ChallengeId) -> Result<Option<SmsChallenge>> {
        let Some(row) = self.row(FindSmsChallenge { partner, id }.query()).await? else { return Ok(None) };
        Ok(Some(SmsChallenge {
            person_id: person_id(&column::<DB, String>(&row, "person_id")?)?,
            number: MobileNumber::from_stored(column::<DB, _>(&row, "number")?),
            code: sent_code::<DB>(id, failure_run::<DB>(&row)?, &row)?,
        }))
    }

    async fn accept_sms_challenge(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        attempt: &CodeAnswer,
        record: &AuditRecord,
    ) -> Result<Written> {
        let transaction = self.begin().await?;
        accept_code(transaction, partner, person, attempt, record).await
    }
}

/// Selects a person's verified number with the data that limits messages to it.
struct FindProspects<'a> {
    partner: &'a PartnerId,
    person: &'a PersonId,
}

impl<DB: Dialect> Statement<DB> for FindProspects<'_> {
    const SQL: &'static str = concat!(
        "select n.number
              , p.failures
              , p.last_failure_at
     ",
        sms_use_columns!(),
        "  from mobile_number n
           left join person p on p.partner_id = n.partner_id and p.person_id = n.person_id
          where n.partner_id = $1
            and n.person_id = $2
            and n.verified_at is not null"
    );

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query.bind(self.partner.as_str().to_owned()).bind(self.person.as_str().to_owned())
    }
}

/// Stores a challenge of a person whose number is unchanged and verified.
#[derive(Clone, Copy)]
struct OpenSmsChallenge<'a>(OpenCode<'a>);

impl<DB: Dialect> Statement<DB> for OpenSmsChallenge<'_> {
    const SQL: &'static str = DB::OPEN_SMS_CHALLENGE;

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        self.0.bind::<DB>(query)
    }
}

/// Selects a challenge by id. Deleting a number deletes its person's challenges, so a challenge has a number.
struct FindSmsChallenge<'a> {
    partner: &'a PartnerId,
    id: ChallengeId,
}

impl<DB: Dialect> Statement<DB> for FindSmsChallenge<'_> {
    const SQL: &'static str = "select c.person_id
              , c.otp_version
              , c.expires_at
              , c.wrong_answers
              , n.number
              , p.failures
              , p.last_failure_at
           from challenge c
           join mobile_number n on n.partner_id = c.partner_id and n.person_id = c.person_id
           left join person p on p.partner_id = c.partner_id and p.person_id = c.person_id
          where c.challenge_id = $1
            and c.partner_id = $2
            and c.kind = 'sms'";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query.bind(self.id.uuid()).bind(self.partner.as_str().to_owned())
    }
}
