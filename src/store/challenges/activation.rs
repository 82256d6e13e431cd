//! Activation codes: create, read, end. `binding_by_code` has the bindings that use them.
//!
//! The codes of a person have turns, so that of several concurrent requests for one only one is stored. Only the
//! newest can be live: the write that stores a code ends the one before it. Every write locks the code before the
//! person's row.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::challenges::{
    ActivationChallenge, ActivationPurpose, ChallengeId, ChallengeLife, DeliveryMethod, NewActivation, Origin,
};
use crate::domain::person::{PartnerId, PersonId};
use crate::store::audit::record::commit_with_record;
use crate::store::dialect::Dialect;
use crate::store::rows::{column, person_id};
use crate::store::sql_store::SqlStore;
use crate::store::statement::{Batch, Bound, Statement};
use crate::store::{AuditRecord, Result, StoreError, Written};

/// Activation codes.
#[macro_rules_attribute::apply(port)]
pub trait ActivationCodes {
    /// The person's newest code, live or not.
    async fn newest_activation(&self, partner: &PartnerId, person: &PersonId) -> Result<Option<NewActivation>>;

    /// Stores a code and ends the one before it. Overtaken when another one has taken its turn, or when the request's
    /// idempotency claim is lost.
    async fn open_activation(
        &self,
        partner: &PartnerId,
        activation: &NewActivation,
        record: &AuditRecord,
    ) -> Result<Written>;

    /// The code with this id, live or not.
    async fn activation(&self, partner: &PartnerId, id: ChallengeId) -> Result<Option<ActivationChallenge>>;

    /// Ends a code now, if it has not expired.
    async fn end_activation(
        &self,
        partner: &PartnerId,
        id: ChallengeId,
        now: DateTime<Utc>,
        record: &AuditRecord,
    ) -> Result<()>;
}

#[async_trait::async_trait]
impl<DB: Dialect> ActivationCodes for SqlStore<DB> {
    async fn newest_activation(&self, partner: &PartnerId, person: &PersonId) -> Result<Option<NewActivation>> {
        let row = self.row(FindNewest { partner, person }.query()).await?;
        row.map(|row| Ok(NewActivation { challenge: activation::<DB>(&row)?, turn: column::<DB, _>(&row, "turn")? }))
            .transpose()
    }

    async fn open_activation(
        &self,
        partner: &PartnerId,
        activation: &NewActivation,
        record: &AuditRecord,
    ) -> Result<Written> {
        let (transaction, opened) = self.begin_and(OpenActivation { partner, activation }).await?;
        if opened.is_empty() {
            transaction.rollback().await?;
            return Ok(Written::Overtaken);
        }
        let mut rest = Batch::new();
        rest.add(EndPrevious { partner, activation })?;
        commit_with_record(transaction, rest, partner, record).await?;
        Ok(Written::Done(()))
    }

    async fn activation(&self, partner: &PartnerId, id: ChallengeId) -> Result<Option<ActivationChallenge>> {
        let row = self.row(FindActivation { partner, id }.query()).await?;
        row.map(|row| activation::<DB>(&row)).transpose()
    }

    async fn end_activation(
        &self,
        partner: &PartnerId,
        id: ChallengeId,
        now: DateTime<Utc>,
        record: &AuditRecord,
    ) -> Result<()> {
        let (transaction, _) = self.begin_and(EndActivation { partner, id, now }).await?;
        commit_with_record(transaction, Batch::new(), partner, record).await
    }
}

struct FindNewest<'a> {
    partner: &'a PartnerId,
    person: &'a PersonId,
}

impl<DB: Dialect> Statement<DB> for FindNewest<'_> {
    const SQL: &'static str =
        "select code_id, person_id, turn, origin, purpose, delivery_method, otp_version, expires_at, used_at
           from activation_code
          where partner_id = $1
            and person_id = $2
          order by turn desc
          limit 1";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query.bind(self.partner.as_str().to_owned()).bind(self.person.as_str().to_owned())
    }
}

struct FindActivation<'a> {
    partner: &'a PartnerId,
    id: ChallengeId,
}

impl<DB: Dialect> Statement<DB> for FindActivation<'_> {
    const SQL: &'static str =
        "select code_id, person_id, origin, purpose, delivery_method, otp_version, expires_at, used_at
           from activation_code
          where code_id = $1
            and partner_id = $2";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query.bind(self.id.uuid()).bind(self.partner.as_str().to_owned())
    }
}

struct OpenActivation<'a> {
    partner: &'a PartnerId,
    activation: &'a NewActivation,
}

impl<DB: Dialect> Statement<DB> for OpenActivation<'_> {
    const SQL: &'static str = "insert into activation_code
             ( partner_id, code_id, person_id, turn, origin, purpose, delivery_method, otp_version, expires_at )
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         on conflict (partner_id, person_id, turn) do nothing
         returning code_id";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let NewActivation { challenge, turn } = self.activation;
        query
            .bind(self.partner.as_str().to_owned())
            .bind(challenge.id.uuid())
            .bind(challenge.person_id.as_str().to_owned())
            .bind(*turn)
            .bind(challenge.origin.as_str().to_owned())
            .bind(challenge.purpose.as_str().to_owned())
            .bind(challenge.delivery_method.as_str().to_owned())
            .bind(i64::from(challenge.otp_version))
            .bind(challenge.life.expires_at)
    }
}

/// Ends the code of the turn before.
struct EndPrevious<'a> {
    partner: &'a PartnerId,
    activation: &'a NewActivation,
}

impl<DB: Dialect> Statement<DB> for EndPrevious<'_> {
    const SQL: &'static str = "update activation_code
            set expires_at = $4
          where partner_id = $1
            and person_id = $2
            and turn = $3
            and expires_at > $4";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let NewActivation { challenge, turn } = self.activation;
        query
            .bind(self.partner.as_str().to_owned())
            .bind(challenge.person_id.as_str().to_owned())
            .bind(turn - 1)
            .bind(challenge.life.created_at)
    }
}

struct EndActivation<'a> {
    partner: &'a PartnerId,
    id: ChallengeId,
    now: DateTime<Utc>,
}

impl<DB: Dialect> Statement<DB> for EndActivation<'_> {
    const SQL: &'static str = "update activation_code
            set expires_at = $3
          where code_id = $1
            and partner_id = $2
            and expires_at > $3";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query.bind(self.id.uuid()).bind(self.partner.as_str().to_owned()).bind(self.now)
    }
}

/// Reads a row of `activation_code`.
pub(super) fn activation<DB: Dialect>(row: &DB::Row) -> Result<ActivationChallenge> {
    let id = ChallengeId::from(column::<DB, Uuid>(row, "code_id")?);
    Ok(ActivationChallenge {
        id,
        person_id: person_id(&column::<DB, String>(row, "person_id")?)?,
        origin: word::<DB, _>(row, "origin", Origin::parse)?,
        purpose: word::<DB, _>(row, "purpose", ActivationPurpose::parse)?,
        delivery_method: word::<DB, _>(row, "delivery_method", DeliveryMethod::parse)?,
        otp_version: u32::try_from(column::<DB, i64>(row, "otp_version")?)
            .map_err(|_| StoreError::Corrupt { column: "otp_version" })?,
        life: ChallengeLife {
            created_at: id.minted_at().ok_or(StoreError::Corrupt { column: "code_id" })?,
            expires_at: column::<DB, _>(row, "expires_at")?,
        },
        used_at: column::<DB, _>(row, "used_at")?,
    })
}

pub(super) fn word<DB: Dialect, T>(
    row: &DB::Row,
    name: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T> {
    parse(&column::<DB, String>(row, name)?).ok_or(StoreError::Corrupt { column: name })
}
