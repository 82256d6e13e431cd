//! Answers to challenges of bound devices: accepted, wrong, or closed by a refusal.
//!
//! The challenge's row decides which of several parallel answers takes effect. Locks are taken in the order person,
//! challenge, device, key, as the deletion of a device takes them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::challenges::signing_text::TextToSign;
use crate::domain::challenges::{AcceptedAnswer, ChallengeId, DeviceAcceptance, WrongDeviceSignature};
use crate::domain::person::PartnerId;
use crate::store::audit::record::commit_with_record;
use crate::store::dialect::Dialect;
use crate::store::rows::column;
use crate::store::sql_store::SqlStore;
use crate::store::statement::{Batch, Bound, Statement};
use crate::store::write_form::WriteForm;
use crate::store::{AuditRecord, Result, Written};

/// Outcomes of answers to challenges of bound devices.
#[macro_rules_attribute::apply(port)]
pub trait DeviceOutcomes {
    /// Accepts the answer: closes the challenge, marks the key as used and resets the device's failures. Overtaken when the
    /// challenge is not open, the device is deleted or has to wait, or the claim of the request is lost.
    async fn accept_device_answer(
        &self,
        partner: &PartnerId,
        acceptance: &DeviceAcceptance,
        record: &AuditRecord,
    ) -> Result<Written>;

    /// Counts a wrong signature against the challenge and the device. Gives how many the challenge has had.
    async fn count_wrong_device_signature(
        &self,
        partner: &PartnerId,
        wrong: &WrongDeviceSignature,
        record: &AuditRecord,
    ) -> Result<Written<i64>>;

    /// Closes an open challenge without an answer.
    async fn close_device_challenge(
        &self,
        partner: &PartnerId,
        id: ChallengeId,
        now: DateTime<Utc>,
        record: &AuditRecord,
    ) -> Result<()>;
}

#[async_trait::async_trait]
impl<DB: Dialect> DeviceOutcomes for SqlStore<DB> {
    async fn accept_device_answer(
        &self,
        partner: &PartnerId,
        acceptance: &DeviceAcceptance,
        record: &AuditRecord,
    ) -> Result<Written> {
        if self.write_form().of(record) == WriteForm::OneStatement {
            return self.accept_device_answer_in_one_statement(partner, acceptance, record).await;
        }
        let (transaction, answered) = self.begin_and(AnswerDeviceChallenge { partner, acceptance }).await?;
        if answered.is_empty() {
            transaction.rollback().await?;
            return Ok(Written::Overtaken);
        }
        let mut rest = Batch::new();
        rest.add(ForgiveDevice { partner, acceptance })?;
        rest.add(UseKey { partner, acceptance })?;
        if let Some(text) = &acceptance.text_to_keep {
            rest.add(KeepText { partner, acceptance, text, event: record.event.id })?;
        }
        commit_with_record(transaction, rest, partner, record).await?;
        Ok(Written::Done(()))
    }

    async fn count_wrong_device_signature(
        &self,
        partner: &PartnerId,
        wrong: &WrongDeviceSignature,
        record: &AuditRecord,
    ) -> Result<Written<i64>> {
        let (mut transaction, counted) = self.begin_and(CountWrongAnswer { partner, wrong }).await?;
        let counted = counted.first().map(|row| column::<DB, i64>(row, "wrong_answers")).transpose()?;
        let Some(counted) = counted else {
            transaction.rollback().await?;
            return Ok(Written::Overtaken);
        };
        // A failure does not count during a pause that another one began meanwhile.
        if transaction.rows(CountDeviceFailure { partner, wrong }).await?.is_empty() {
            transaction.rollback().await?;
            return Ok(Written::Overtaken);
        }
        commit_with_record(transaction, Batch::new(), partner, record).await?;
        Ok(Written::Done(counted))
    }

    async fn close_device_challenge(
        &self,
        partner: &PartnerId,
        id: ChallengeId,
        now: DateTime<Utc>,
        record: &AuditRecord,
    ) -> Result<()> {
        let (transaction, _) = self.begin_and(CloseDeviceChallenge { partner, id, now }).await?;
        commit_with_record(transaction, Batch::new(), partner, record).await
    }
}

/// Closes an open challenge with its answer, while the conditions still hold under which the answer was judged.
struct AnswerDeviceChallenge<'a> {
    partner: &'a PartnerId,
    acceptance: &'a DeviceAcceptance,
}

impl<DB: Dialect> Statement<DB> for AnswerDeviceChallenge<'_> {
    const SQL: &'static str = "update device_challenge
            set closed_at = $3
              , decision = $4
              , answered_by = $5
              , fingerprint = $6
              , reason = $12
          where challenge_id = $1
            and partner_id = $2
            and closed_at is null
            and expires_at > $3
            and wrong_answers < $7
            and exists (select 1
                          from device d
                         where d.partner_id = $2
                           and d.device_id = $8
                           and d.state = 'live'
                           and (d.failures < $9 or d.last_failure_at <= $10 or d.last_failure_at >= $11))
         returning challenge_id";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let DeviceAcceptance { id, device_id, answer, rules, .. } = self.acceptance;
        let (pausing_after, pausing_before) = rules.budget.pausing_between(answer.at);
        query
            .bind(id.uuid())
            .bind(self.partner.as_str().to_owned())
            .bind(answer.at)
            .bind(answer.decision.as_str().to_owned())
            .bind(answer.key_id.uuid())
            .bind(answer.fingerprint.to_vec())
            .bind(rules.wrong_answers_cap)
            .bind(device_id.uuid())
            .bind(rules.budget.cap)
            .bind(pausing_after)
            .bind(pausing_before)
            .bind(reason(answer))
    }
}

/// The client's words.
pub(super) fn reason(answer: &AcceptedAnswer) -> Option<String> {
    answer.reason.as_ref().map(ToString::to_string)
}

/// Resets the failures of a device, unless a pause has begun.
struct ForgiveDevice<'a> {
    partner: &'a PartnerId,
    acceptance: &'a DeviceAcceptance,
}

impl<DB: Dialect> Statement<DB> for ForgiveDevice<'_> {
    const SQL: &'static str = "update device
            set failures = 0
              , last_failure_at = null
          where partner_id = $1
            and device_id = $2
            and failures > 0
            and (failures < $3 or last_failure_at <= $4 or last_failure_at >= $5)";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let DeviceAcceptance { device_id, answer, rules, .. } = self.acceptance;
        let (pausing_after, pausing_before) = rules.budget.pausing_between(answer.at);
        query
            .bind(self.partner.as_str().to_owned())
            .bind(device_id.uuid())
            .bind(rules.budget.cap)
            .bind(pausing_after)
            .bind(pausing_before)
    }
}

struct UseKey<'a> {
    partner: &'a PartnerId,
    acceptance: &'a DeviceAcceptance,
}

impl<DB: Dialect> Statement<DB> for UseKey<'_> {
    const SQL: &'static str = "update device_key
            set used_at = $4
          where partner_id = $1
            and device_id = $2
            and key_id = $3";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let DeviceAcceptance { device_id, answer, .. } = self.acceptance;
        query.bind(self.partner.as_str().to_owned()).bind(device_id.uuid()).bind(answer.key_id.uuid()).bind(answer.at)
    }
}

/// Keeps the text that was signed, beside the audit event that has its digest.
struct KeepText<'a> {
    partner: &'a PartnerId,
    acceptance: &'a DeviceAcceptance,
    text: &'a TextToSign,
    event: Uuid,
}

impl<DB: Dialect> Statement<DB> for KeepText<'_> {
    const SQL: &'static str = "insert into approval_text
             ( event_id, partner_id, person_id, string_to_sign, reason, answered_at )
         values ($1, $2, $3, $4, $5, $6)";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let DeviceAcceptance { person_id, answer, .. } = self.acceptance;
        query
            .bind(self.event)
            .bind(self.partner.as_str().to_owned())
            .bind(person_id.as_str().to_owned())
            .bind(self.text.as_str().to_owned())
            .bind(reason(answer))
            .bind(answer.at)
    }
}

struct CountWrongAnswer<'a> {
    partner: &'a PartnerId,
    wrong: &'a WrongDeviceSignature,
}

impl<DB: Dialect> Statement<DB> for CountWrongAnswer<'_> {
    const SQL: &'static str = "update device_challenge
            set wrong_answers = wrong_answers + 1
          where challenge_id = $1
            and partner_id = $2
            and closed_at is null
            and expires_at > $3
            and wrong_answers < $4
         returning wrong_answers";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let WrongDeviceSignature { id, at, rules, .. } = *self.wrong;
        query.bind(id.uuid()).bind(self.partner.as_str().to_owned()).bind(at).bind(rules.wrong_answers_cap)
    }
}

/// Counts a failure of the device. Returns no row, and counts nothing, during a pause and for a deleted device.
struct CountDeviceFailure<'a> {
    partner: &'a PartnerId,
    wrong: &'a WrongDeviceSignature,
}

impl<DB: Dialect> Statement<DB> for CountDeviceFailure<'_> {
    const SQL: &'static str = "update device
            set failures = case when failures < $5 and last_failure_at > $4 then failures + 1 else 1 end
              , last_failure_at = $3
          where partner_id = $1
            and device_id = $2
            and state = 'live'
            and (failures < $5 or last_failure_at <= $6 or last_failure_at >= $7)
         returning device_id";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let WrongDeviceSignature { device_id, at, rules, .. } = *self.wrong;
        let (pausing_after, pausing_before) = rules.budget.pausing_between(at);
        query
            .bind(self.partner.as_str().to_owned())
            .bind(device_id.uuid())
            .bind(at)
            .bind(rules.budget.continued_since(at))
            .bind(rules.budget.cap)
            .bind(pausing_after)
            .bind(pausing_before)
    }
}

struct CloseDeviceChallenge<'a> {
    partner: &'a PartnerId,
    id: ChallengeId,
    now: DateTime<Utc>,
}

impl<DB: Dialect> Statement<DB> for CloseDeviceChallenge<'_> {
    const SQL: &'static str = "update device_challenge
            set closed_at = $3
          where challenge_id = $1
            and partner_id = $2
            and closed_at is null";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query.bind(self.id.uuid()).bind(self.partner.as_str().to_owned()).bind(self.now)
    }
}
