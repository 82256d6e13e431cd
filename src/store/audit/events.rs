//! Writing and reading of audit events as rows.
//!
//! A row that cannot be an event is `StoreError::Corrupt`, which names the column: the row was modified outside the
//! service.

use std::borrow::Cow;

use uuid::Uuid;

use crate::domain::audit::{AnswerEvidence, AuditEvent, AuditSubject, Hash};
use crate::domain::challenges::{Decision, DeclineReason};
use crate::domain::numbers::country::Country;
use crate::domain::person::PartnerId;
use crate::store::dialect::Dialect;
use crate::store::rows::{column, person_id};
use crate::store::statement::{Bound, Statement};
use crate::store::{Result, StoreError};

/// Inserts an event, to be sealed later.
pub(in crate::store) struct InsertEvent<'a> {
    pub(in crate::store) partner: &'a PartnerId,
    pub(in crate::store) event: &'a AuditEvent,
}

impl<DB: Dialect> Statement<DB> for InsertEvent<'_> {
    const SQL: &'static str = "insert into audit_pending
             ( partner_id, event_id, client_id, action, outcome, person_id, person_salt, person_digest
             , object_id, key_id, occurred_at, country, decision, decline_reason, text_digest, signature_digest )
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let event = self.event;
        bind_answer(self.bind_without_answer(query), event)
    }
}

/// Binds the four columns of the answer of a device.
pub(in crate::store) fn bind_answer<DB: Dialect>(query: Bound<DB>, event: &AuditEvent) -> Bound<DB> {
    let answer = event.answer;
    let reason = answer.and_then(|answer| answer.reason);
    query
        .bind(answer.map(|answer| answer.decision.as_str().to_owned()))
        .bind(reason.map(|reason| reason.as_str().to_owned()))
        .bind(answer.map(|answer| answer.text_digest.to_vec()))
        .bind(answer.map(|answer| answer.signature_digest.to_vec()))
}

impl InsertEvent<'_> {
    /// Binds $1 to $12: all but the answer of a device.
    pub(in crate::store) fn bind_without_answer<DB: Dialect>(self, query: Bound<DB>) -> Bound<DB> {
        let event = self.event;
        let subject = SubjectColumns::of(event);
        query
            .bind(self.partner.as_str().to_owned())
            .bind(event.id)
            .bind(event.client_id.clone())
            .bind(event.action.clone().into_owned())
            .bind(event.outcome.clone().into_owned())
            .bind(subject.id.map(str::to_owned))
            .bind(subject.salt.map(<[u8]>::to_vec))
            .bind(subject.digest.map(<[u8]>::to_vec))
            .bind(event.object_id)
            .bind(event.key_id)
            .bind(event.at)
            .bind(event.country.map(|country| country.as_str().to_owned()))
    }
}

/// The columns of an event's subject.
struct SubjectColumns<'a> {
    id: Option<&'a str>,
    salt: Option<&'a [u8]>,
    digest: Option<&'a [u8]>,
}

impl<'a> SubjectColumns<'a> {
    fn of(event: &'a AuditEvent) -> Self {
        let subject = event.subject.as_ref();
        let known = subject.and_then(|subject| subject.known.as_ref());
        Self {
            id: known.map(|(person, _)| person.as_str()),
            salt: known.map(|(_, salt)| &salt[..]),
            digest: subject.map(|subject| &subject.digest[..]),
        }
    }
}

/// Reads an event's row, sealed or not.
pub(in crate::store) fn audit_event<DB: Dialect>(row: &DB::Row) -> Result<AuditEvent> {
    Ok(AuditEvent {
        id: column::<DB, Uuid>(row, "event_id")?,
        client_id: column::<DB, _>(row, "client_id")?,
        action: Cow::Owned(column::<DB, _>(row, "action")?),
        outcome: Cow::Owned(column::<DB, _>(row, "outcome")?),
        subject: subject::<DB>(row)?,
        object_id: column::<DB, _>(row, "object_id")?,
        key_id: column::<DB, _>(row, "key_id")?,
        country: column::<DB, Option<String>>(row, "country")?
            .map(|code| Country::parse(&code).ok_or(StoreError::Corrupt { column: "country" }))
            .transpose()?,
        answer: answer::<DB>(row)?,
        at: column::<DB, _>(row, "occurred_at")?,
    })
}

/// Id and salt are either both present or both absent, and neither is present without the digest.
fn subject<DB: Dialect>(row: &DB::Row) -> Result<Option<AuditSubject>> {
    let person = column::<DB, Option<String>>(row, "person_id")?;
    let salt = column::<DB, Option<Vec<u8>>>(row, "person_salt")?;
    let digest = column::<DB, Option<Vec<u8>>>(row, "person_digest")?;
    let known = match (person, salt) {
        (Some(person), Some(salt)) => Some((person_id(&person)?, exactly(salt, "person_salt")?)),
        (None, None) => None,
        (Some(_), None) => return Err(StoreError::Corrupt { column: "person_salt" }),
        (None, Some(_)) => return Err(StoreError::Corrupt { column: "person_id" }),
    };
    match digest {
        Some(digest) => Ok(Some(AuditSubject { known, digest: exactly(digest, "person_digest")? })),
        None if known.is_none() => Ok(None),
        None => Err(StoreError::Corrupt { column: "person_digest" }),
    }
}

/// A decision is never without its digests, nor are they without it.
fn answer<DB: Dialect>(row: &DB::Row) -> Result<Option<AnswerEvidence>> {
    let decision = column::<DB, Option<String>>(row, "decision")?;
    let reason = column::<DB, Option<String>>(row, "decline_reason")?;
    let text = column::<DB, Option<Vec<u8>>>(row, "text_digest")?;
    let signature = column::<DB, Option<Vec<u8>>>(row, "signature_digest")?;
    let (decision, text, signature) = match (decision, text, signature) {
        (Some(decision), Some(text), Some(signature)) => (decision, text, signature),
        (None, None, None) if reason.is_none() => return Ok(None),
        _ => return Err(StoreError::Corrupt { column: "decision" }),
    };
    Ok(Some(AnswerEvidence {
        decision: Decision::parse(&decision).ok_or(StoreError::Corrupt { column: "decision" })?,
        reason: reason
            .map(|name| DeclineReason::parse(&name).ok_or(StoreError::Corrupt { column: "decline_reason" }))
            .transpose()?,
        text_digest: exactly(text, "text_digest")?,
        signature_digest: exactly(signature, "signature_digest")?,
    }))
}

/// Reads a hash.
pub(in crate::store) fn hash<DB: Dialect>(row: &DB::Row, name: &'static str) -> Result<Hash> {
    exactly(column::<DB, _>(row, name)?, name)
}

fn exactly<const N: usize>(bytes: Vec<u8>, column: &'static str) -> Result<[u8; N]> {
    bytes.try_into().map_err(|_| StoreError::Corrupt { column })
}
