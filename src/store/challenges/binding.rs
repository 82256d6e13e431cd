//! Pending bindings: create, read, close. `binding_outcomes` has accepted and wrong answers.
//!
//! A person's row holds their newest binding, and every update repeats its preconditions in the `where` clause. Under
//! any concurrency, one wrong signature counts once, one right signature binds once, and neither the failure cap nor
//! the device limit can be exceeded. See `docs/decisions/0004-one-row-settles-a-person.md`.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::crypto::PublicKey;
use crate::domain::challenges::{Binding, BindingCode, ChallengeId, ChallengeState, NewBinding};
use crate::domain::failure_budget::FailureRun;
use crate::domain::numbers::MobileNumber;
use crate::domain::person::{PartnerId, PersonId};
use crate::domain::sms::limits::{SmsSpend, SmsUse};
use crate::store::audit::record::{commit_with_record, write_down};
use crate::store::dialect::Dialect;
use crate::store::persons::failures::failure_run;
use crate::store::rows::{column, person_id, public_key, purpose};
use crate::store::sms::usage::{charge_partner, count_sms, sms_use, sms_use_columns, take_back_sms};
use crate::store::sql_store::SqlStore;
use crate::store::statement::{Batch, Bound, Statement};
use crate::store::write_form::WriteForm;
use crate::store::{AuditRecord, Result, StoreError, Written};

/// The data that decides whether a person with a verified number may request another device.
#[derive(Clone, Debug)]
pub struct BindingProspects {
    /// The number that the code would be sent to.
    pub number: MobileNumber,
    /// Number of bound devices.
    pub bound_devices: i64,
    /// Whether a bound device of the partner already has this key.
    pub key_is_taken: bool,
    /// The person's recent failures.
    pub failures: FailureRun,
    /// Recent messages to the number, for the person and for the partner.
    pub sms: SmsUse,
}

/// Pending bindings.
#[macro_rules_attribute::apply(port)]
pub trait Bindings {
    /// Reads the preconditions of a new binding. `None` when the person has no verified number.
    async fn binding_prospects(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        key: &PublicKey,
    ) -> Result<Option<BindingProspects>>;

    /// Makes this the person's only open binding (an older one is superseded) and counts its message against the SMS
    /// limits. Overtaken when the number is deleted, the activation code is no longer live, a limit is reached, or the
    /// request's idempotency claim is lost.
    async fn open_binding(
        &self,
        partner: &PartnerId,
        binding: &NewBinding,
        sms: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<Written>;

    /// The binding with this id, open or not. `None` once a newer one has superseded it.
    async fn binding(&self, partner: &PartnerId, id: ChallengeId) -> Result<Option<Binding>>;

    /// Closes a binding that can no longer succeed, and refunds its message if no provider accepted it. If the binding
    /// is already closed, only the record is written.
    async fn close_binding(
        &self,
        partner: &PartnerId,
        id: ChallengeId,
        now: DateTime<Utc>,
        refund: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<()>;
}

#[async_trait::async_trait]
impl<DB: Dialect> Bindings for SqlStore<DB> {
    async fn binding_prospects(
        &self,
        partner: &PartnerId,
        person: &PersonId,
        key: &PublicKey,
    ) -> Result<Option<BindingProspects>> {
        let query = sqlx::query(concat!(
            "select n.number
                  , coalesce(p.bound_devices, 0) as bound_devices
                  , p.failures
                  , p.last_failure_at
                  , cast(case when exists (select 1
                                             from device_key k
                                            where k.partner_id = $1
                                              and k.public_key = $3
                                              and k.deleted_at is null) then 1 else 0 end as bigint) as key_is_taken
         ",
            sms_use_columns!(),
            "      from mobile_number n
               left join person p on p.partner_id = n.partner_id and p.person_id = n.person_id
              where n.partner_id = $1
                and n.person_id = $2
                and n.verified_at is not null"
        ))
        .bind(partner.as_str().to_owned())
        .bind(person.as_str().to_owned())
        .bind(key.as_bytes().to_vec());
        self.row(query)
            .await?
            .map(|row| {
                Ok(BindingProspects {
                    number: MobileNumber::from_stored(column::<DB, _>(&row, "number")?),
                    bound_devices: column::<DB, _>(&row, "bound_devices")?,
                    key_is_taken: column::<DB, i64>(&row, "key_is_taken")? == 1,
                    failures: failure_run::<DB>(&row)?,
                    sms: sms_use::<DB>(&row)?,
                })
            })
            .transpose()
    }

    async fn open_binding(
        &self,
        partner: &PartnerId,
        binding: &NewBinding,
        sms: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<Written> {
        let opened = match (&binding.code, self.write_form().of(record)) {
            // A binding by letter is rare: it has the reference form only.
            (BindingCode::Activation(code), _) => self.open_by_code(partner, binding, *code, record).await,
            (BindingCode::Sms(number), WriteForm::OneStatement) => {
                self.open_in_one_statement(partner, binding, number, sms, record).await
            }
            (BindingCode::Sms(number), WriteForm::Transaction) => {
                self.open_in_transaction(partner, binding, number, sms, record).await
            }
        };
        Ok(Written::if_true(opened?))
    }

    async fn binding(&self, partner: &PartnerId, id: ChallengeId) -> Result<Option<Binding>> {
        let query = FindBinding { partner, id }.query();
        self.row(query).await?.map(|row| binding::<DB>(id, &row)).transpose()
    }

    async fn close_binding(
        &self,
        partner: &PartnerId,
        id: ChallengeId,
        now: DateTime<Utc>,
        refund: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<()> {
        let mut transaction = self.begin().await?;
        if refund.is_some() {
            take_back_sms::<DB>(&mut transaction, partner, id.uuid()).await?;
        }
        sqlx::query(
            "update person
                set binding_closed_at = $3
              where binding_id = $1
                and partner_id = $2
                and binding_closed_at is null",
        )
        .bind(id.uuid())
        .bind(partner.as_str().to_owned())
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        write_down::<DB>(&mut transaction, partner, record).await?;
        Ok(transaction.commit().await?)
    }
}

/// The write as a transaction of plain statements: the reference for `one_statement`.
impl<DB: Dialect> SqlStore<DB> {
    async fn open_in_transaction(
        &self,
        partner: &PartnerId,
        binding: &NewBinding,
        number: &MobileNumber,
        sms: Option<&SmsSpend>,
        record: &AuditRecord,
    ) -> Result<bool> {
        let person = &binding.person_id;
        let (mut transaction, locked) = self.begin_and(LockVerifiedNumber { partner, person, number }).await?;
        let mut proceeds = !locked.is_empty();
        if let Some(sms) = sms.filter(|_| proceeds) {
            let message = (binding.id.uuid(), number, person);
            proceeds = count_sms(&mut transaction, partner, message, sms).await?;
        }
        let mut rest = Batch::new();
        match sms {
            // The partner's row is locked last, because every request of the partner contends for it.
            Some(sms) if proceeds => {
                transaction.rows(OpenBinding { partner, binding }).await?;
                proceeds = charge_partner(&mut transaction, partner, sms).await?;
            }
            _ => rest.add(OpenBinding { partner, binding })?,
        }
        if !proceeds {
            transaction.rollback().await?;
            return Ok(false);
        }
        commit_with_record(transaction, rest, partner, record).await?;
        Ok(true)
    }
}

/// Selects a person's number if it is unchanged and verified. The dialect adds the row lock that prevents its deletion
/// before the binding exists: deleting a number also closes its binding.
macro_rules! lock_verified_number {
    ($lock:literal) => {
        concat!(
            "select number_id
               from mobile_number
              where partner_id = $1
                and person_id = $2
                and number = $3
                and verified_at is not null
             ",
            $lock
        )
    };
}
pub(in crate::store) use lock_verified_number;

struct LockVerifiedNumber<'a> {
    partner: &'a PartnerId,
    person: &'a PersonId,
    number: &'a MobileNumber,
}

impl<DB: Dialect> Statement<DB> for LockVerifiedNumber<'_> {
    const SQL: &'static str = DB::LOCK_VERIFIED_NUMBER;

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query
            .bind(self.partner.as_str().to_owned())
            .bind(self.person.as_str().to_owned())
            .bind(self.number.as_e164().to_owned())
    }
}

/// Stores a binding as the person's newest; it replaces the previous one.
pub(super) struct OpenBinding<'a> {
    pub(super) partner: &'a PartnerId,
    pub(super) binding: &'a NewBinding,
}

impl<DB: Dialect> Statement<DB> for OpenBinding<'_> {
    const SQL: &'static str = "insert into person
             ( partner_id, person_id, binding_id, binding_key_id, binding_key, binding_key_purpose
             , binding_device_name, binding_otp_version, binding_created_at, binding_expires_at
             , binding_activation_id )
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         on conflict (partner_id, person_id) do update
            set binding_id = excluded.binding_id
              , binding_key_id = excluded.binding_key_id
              , binding_key = excluded.binding_key
              , binding_key_purpose = excluded.binding_key_purpose
              , binding_device_name = excluded.binding_device_name
              , binding_otp_version = excluded.binding_otp_version
              , binding_activation_id = excluded.binding_activation_id
              , binding_created_at = excluded.binding_created_at
              , binding_expires_at = excluded.binding_expires_at
              , binding_wrong_signatures = 0
              , binding_closed_at = null";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let binding = self.binding;
        let activation = match &binding.code {
            BindingCode::Sms(_) => None,
            BindingCode::Activation(code) => Some(code.uuid()),
        };
        query
            .bind(self.partner.as_str().to_owned())
            .bind(binding.person_id.as_str().to_owned())
            .bind(binding.id.uuid())
            .bind(binding.key_id.uuid())
            .bind(binding.public_key.as_bytes().to_vec())
            .bind(binding.key_purpose.as_str().to_owned())
            .bind(binding.name.as_ref().map(|name| name.as_str().to_owned()))
            .bind(i64::from(binding.otp_version))
            .bind(binding.life.created_at)
            .bind(binding.life.expires_at)
            .bind(activation)
    }
}

/// Selects a person's newest binding by id.
pub(super) struct FindBinding<'a> {
    partner: &'a PartnerId,
    id: ChallengeId,
}

impl<DB: Dialect> Statement<DB> for FindBinding<'_> {
    const SQL: &'static str = "select p.person_id
              , p.binding_key_id
              , p.binding_key
              , p.binding_key_purpose
              , p.binding_otp_version
              , p.binding_activation_id
              , a.expires_at as activation_expires_at
              , a.used_at as activation_used_at
              , p.binding_created_at
              , p.binding_expires_at
              , p.binding_wrong_signatures
              , p.binding_closed_at
              , p.bound_devices
              , n.number
              , p.failures
              , p.last_failure_at
           from person p
           left join mobile_number n on n.partner_id = p.partner_id
                                    and n.person_id = p.person_id
                                    and n.verified_at is not null
           left join activation_code a on a.partner_id = p.partner_id and a.code_id = p.binding_activation_id
          where p.binding_id = $1
            and p.partner_id = $2";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query.bind(self.id.uuid()).bind(self.partner.as_str().to_owned())
    }
}

fn binding<DB: Dialect>(id: ChallengeId, row: &DB::Row) -> Result<Binding> {
    let otp_version = column::<DB, i64>(row, "binding_otp_version")?;
    let activation = column::<DB, Option<Uuid>>(row, "binding_activation_id")?.map(ChallengeId::from);
    let created_at = column::<DB, DateTime<Utc>>(row, "binding_created_at")?;
    let mut expires_at = column::<DB, DateTime<Utc>>(row, "binding_expires_at")?;
    let mut closed_at = column::<DB, Option<DateTime<Utc>>>(row, "binding_closed_at")?;
    if activation.is_some() {
        // The binding ends with its code, and with the row of its code.
        let code_expires_at = column::<DB, Option<DateTime<Utc>>>(row, "activation_expires_at")?;
        expires_at = expires_at.min(code_expires_at.unwrap_or(created_at));
        closed_at = closed_at.or(column::<DB, Option<DateTime<Utc>>>(row, "activation_used_at")?);
    }
    Ok(Binding {
        id,
        person_id: person_id(&column::<DB, String>(row, "person_id")?)?,
        key_id: column::<DB, Uuid>(row, "binding_key_id")?.into(),
        public_key: public_key(column::<DB, _>(row, "binding_key")?)?,
        key_purpose: purpose(&column::<DB, String>(row, "binding_key_purpose")?)?,
        otp_version: u32::try_from(otp_version).map_err(|_| StoreError::Corrupt { column: "binding_otp_version" })?,
        created_at,
        state: ChallengeState {
            closed_at,
            expires_at,
            wrong_answers: column::<DB, _>(row, "binding_wrong_signatures")?,
            failures: failure_run::<DB>(row)?,
        },
        bound_devices: column::<DB, _>(row, "bound_devices")?,
        number: column::<DB, Option<String>>(row, "number")?.map(MobileNumber::from_stored),
        activation,
    })
}
