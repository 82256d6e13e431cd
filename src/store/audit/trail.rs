//! The audit trail: seals waiting events into their partner's chain, and reads the chain.
//!
//! Sealing and erasure lock the partner's row in `audit_chain`, so a chain never forks. Requests only insert into
//! `audit_pending` and wait for no lock. A batch is sealed in one transaction, so a crash leaves all of it or nothing.
//! Reads are paged; sealed rows do not change except by erasure. See `docs/decisions/0019-audit-chain.md`.

use chrono::{DateTime, Utc};
use sqlx::query::Query;
use uuid::Uuid;

use crate::domain::audit::{AuditEvent, GENESIS, Hash, seal};
use crate::domain::person::PartnerId;
use crate::store::audit::events::{audit_event, hash};
use crate::store::dialect::Dialect;
use crate::store::pool::Transaction;
use crate::store::rows::{column, partner};
use crate::store::sql_store::SqlStore;
use crate::store::{Result, StoreError};

/// Waiting events of a partner are counted up to this number; the statement repeats it.
pub const WAITING_COUNTED: i64 = 100_000;

/// A snapshot of a partner's chain.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditChain {
    /// Number of batches.
    pub seals: i64,
    /// Hash of the last batch.
    pub head: Hash,
    /// Number of events that wait to be sealed, counted up to [`WAITING_COUNTED`].
    pub waiting: i64,
    /// The highest batch number in `audit_seal`.
    pub last_seal: i64,
    /// The highest batch number in `audit_event`.
    pub last_event_seal: i64,
}

/// A row of `audit_seal`: one sealed batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AuditSeal {
    /// Its number, from 1.
    pub number: i64,
    /// Number of events in it.
    pub events: i64,
    /// Hash of the batch before it.
    pub previous_hash: Hash,
    /// Its hash.
    pub hash: Hash,
}

/// One sealed event.
#[derive(Debug)]
pub struct SealedEvent {
    /// Number of its batch.
    pub seal: i64,
    /// Its id.
    pub id: Uuid,
    /// The event; `Corrupt` when the row cannot be one.
    pub event: Result<AuditEvent>,
    /// The text of an approval that was answered, while it is kept.
    pub text: Option<String>,
}

/// The audit trail.
#[macro_rules_attribute::apply(port)]
pub trait AuditTrail {
    /// The partners with events that wait to be sealed.
    async fn partners_with_pending_events(&self) -> Result<Vec<PartnerId>>;

    /// The next partner after this one with rows in the audit trail.
    async fn next_partner_with_trail(&self, after: Option<&PartnerId>) -> Result<Option<PartnerId>>;

    /// Seals the partner's oldest waiting events, at most `batch`, in one transaction. Returns their number.
    async fn seal_audit_events(&self, partner: &PartnerId, now: DateTime<Utc>, batch: i64) -> Result<i64>;

    /// Number of events of all partners that wait to be sealed, counted up to `limit`.
    async fn waiting_audit_events(&self, limit: i64) -> Result<i64>;

    /// The current state of the partner's chain.
    async fn audit_chain(&self, partner: &PartnerId) -> Result<AuditChain>;

    /// A page of the partner's batches in order, with numbers above `after` and up to `last`.
    async fn audit_seals(&self, partner: &PartnerId, after: i64, last: i64, limit: i64) -> Result<Vec<AuditSeal>>;

    /// A page of the partner's sealed events in chain order, after `after` and up to batch `last`.
    async fn sealed_events(
        &self,
        partner: &PartnerId,
        after: (i64, Uuid),
        last: i64,
        limit: i64,
    ) -> Result<Vec<SealedEvent>>;

    /// The number of the first batch that was sealed at this instant or later.
    async fn first_seal_since(&self, partner: &PartnerId, since: DateTime<Utc>) -> Result<Option<i64>>;
}

#[async_trait::async_trait]
impl<DB: Dialect> AuditTrail for SqlStore<DB> {
    async fn partners_with_pending_events(&self) -> Result<Vec<PartnerId>> {
        // Not a recursive CTE that skips from partner to partner: Citus rejects it on a distributed table.
        let query = sqlx::query("select distinct partner_id from audit_pending order by partner_id");
        self.rows(query).await?.iter().map(partner::<DB>).collect()
    }

    async fn next_partner_with_trail(&self, after: Option<&PartnerId>) -> Result<Option<PartnerId>> {
        // One index lookup per table: tables may be large, partners are few.
        let query = sqlx::query(
            "select min(partner_id) as partner_id
               from (select min(partner_id) as partner_id from audit_chain where partner_id > $1
                     union all
                     select min(partner_id) from audit_pending where partner_id > $1
                     union all
                     select min(partner_id) from audit_seal where partner_id > $1
                     union all
                     select min(partner_id) from audit_event where partner_id > $1) found",
        );
        self.partner(query, after).await
    }

    async fn seal_audit_events(&self, partner: &PartnerId, now: DateTime<Utc>, batch: i64) -> Result<i64> {
        let mut transaction = self.begin().await?;
        let (seals, head) = hold_chain::<DB>(&mut transaction, partner).await?;
        let number = seals + 1;
        let moved = move_pending::<DB>(partner, number, batch).fetch_all(&mut *transaction).await?;
        if moved.is_empty() {
            transaction.rollback().await?;
            return Ok(0);
        }
        let mut events = moved.iter().map(audit_event::<DB>).collect::<Result<Vec<_>>>()?;
        events.sort_unstable_by_key(|event| event.id);
        let hash = seal(head, number, events.iter().map(|event| event.digest(partner)));
        let sealed = i64::try_from(events.len()).unwrap_or(i64::MAX);
        // Deletes only the moved events, not ones inserted meanwhile. A correlated subquery instead of a join, because
        // the statistics of `audit_pending` always show an almost empty table and Postgres would choose a nested loop
        // over all pairs.
        sqlx::query(
            "delete from audit_pending
              where partner_id = $1
                and event_id <= $3
                and (select true
                       from audit_event moved
                      where moved.partner_id = $1
                        and moved.seal = $2
                        and moved.event_id = audit_pending.event_id)",
        )
        .bind(partner.as_str().to_owned())
        .bind(number)
        .bind(events.last().map(|event| event.id))
        .execute(&mut *transaction)
        .await?;
        // Never earlier than the preceding batch, even with clock skew between replicas, so that the first batch since
        // an instant can be found by that instant.
        sqlx::query(
            "insert into audit_seal (partner_id, seal, events, previous_hash, hash, sealed_at)
             select $1, $2, $3, $4, $5, coalesce((select sealed_at
                                                    from audit_seal
                                                   where partner_id = $1
                                                     and seal = $2 - 1
                                                     and sealed_at > $6), $6)",
        )
        .bind(partner.as_str().to_owned())
        .bind(number)
        .bind(sealed)
        .bind(head.to_vec())
        .bind(hash.to_vec())
        .bind(now)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("update audit_chain set seals = $2, head = $3 where partner_id = $1")
            .bind(partner.as_str().to_owned())
            .bind(number)
            .bind(hash.to_vec())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(sealed)
    }

    async fn waiting_audit_events(&self, limit: i64) -> Result<i64> {
        // Ordered by the primary key, to force an index scan: the table is full of dead rows that sealed events have
        // left.
        let query = sqlx::query(
            "select count(*) as waiting
               from (select partner_id, event_id
                       from audit_pending
                      order by partner_id, event_id
                      limit $1) counted",
        );
        let row = self.row(query.bind(limit)).await?.ok_or(StoreError::Corrupt { column: "waiting" })?;
        column::<DB, _>(&row, "waiting")
    }

    async fn audit_chain(&self, partner: &PartnerId) -> Result<AuditChain> {
        // One statement, for a consistent snapshot.
        let query = sqlx::query(
            "select coalesce((select seals from audit_chain where partner_id = $1), 0) as seals
                  , coalesce((select head from audit_chain where partner_id = $1), $2) as head
                  , (select count(*)
                       from (select event_id
                               from audit_pending
                              where partner_id = $1
                              order by event_id
                              limit 100000) counted) as waiting
                  , coalesce((select max(seal) from audit_seal where partner_id = $1), 0) as last_seal
                  , coalesce((select max(seal) from audit_event where partner_id = $1), 0) as last_event_seal",
        )
        .bind(partner.as_str().to_owned())
        .bind(GENESIS.to_vec());
        let row = self.row(query).await?.ok_or(StoreError::Corrupt { column: "seals" })?;
        Ok(AuditChain {
            seals: column::<DB, _>(&row, "seals")?,
            head: hash::<DB>(&row, "head")?,
            waiting: column::<DB, _>(&row, "waiting")?,
            last_seal: column::<DB, _>(&row, "last_seal")?,
            last_event_seal: column::<DB, _>(&row, "last_event_seal")?,
        })
    }

    async fn audit_seals(&self, partner: &PartnerId, after: i64, last: i64, limit: i64) -> Result<Vec<AuditSeal>> {
        let query = sqlx::query(
            "select seal, events, previous_hash, hash
               from audit_seal
              where partner_id = $1
                and seal > $2
                and seal <= $3
              order by seal
              limit $4",
        )
        .bind(partner.as_str().to_owned())
        .bind(after)
        .bind(last)
        .bind(limit);
        self.rows(query)
            .await?
            .iter()
            .map(|row| {
                Ok(AuditSeal {
                    number: column::<DB, _>(row, "seal")?,
                    events: column::<DB, _>(row, "events")?,
                    previous_hash: hash::<DB>(row, "previous_hash")?,
                    hash: hash::<DB>(row, "hash")?,
                })
            })
            .collect()
    }

    async fn sealed_events(
        &self,
        partner: &PartnerId,
        (seal, id): (i64, Uuid),
        last: i64,
        limit: i64,
    ) -> Result<Vec<SealedEvent>> {
        let query = sqlx::query(
            "select seal, event_id, client_id, action, outcome, person_id, person_salt, person_digest
                  , object_id, key_id, occurred_at, country, decision, decline_reason, text_digest, signature_digest
                  , case when decision is not null
                         then (select kept.string_to_sign
                                 from approval_text kept
                                where kept.partner_id = $1
                                  and kept.event_id = audit_event.event_id) end as approval_text
               from audit_event
              where partner_id = $1
                and (seal, event_id) > ($2, $3)
                and seal <= $4
              order by seal, event_id
              limit $5",
        )
        .bind(partner.as_str().to_owned())
        .bind(seal)
        .bind(id)
        .bind(last)
        .bind(limit);
        self.rows(query)
            .await?
            .iter()
            .map(|row| {
                Ok(SealedEvent {
                    seal: column::<DB, _>(row, "seal")?,
                    id: column::<DB, _>(row, "event_id")?,
                    event: audit_event::<DB>(row),
                    text: column::<DB, _>(row, "approval_text")?,
                })
            })
            .collect()
    }

    async fn first_seal_since(&self, partner: &PartnerId, since: DateTime<Utc>) -> Result<Option<i64>> {
        let query = sqlx::query(
            "select seal
               from audit_seal
              where partner_id = $1
                and sealed_at >= $2
              order by sealed_at, seal
              limit 1",
        )
        .bind(partner.as_str().to_owned())
        .bind(since);
        self.row(query).await?.map(|row| column::<DB, _>(&row, "seal")).transpose()
    }
}

impl<DB: Dialect> SqlStore<DB> {
    /// The partner that a statement returns as the next one after `after`.
    pub(in crate::store) async fn partner(
        &self,
        query: Query<'_, DB, DB::Arguments>,
        after: Option<&PartnerId>,
    ) -> Result<Option<PartnerId>> {
        let after = after.map(PartnerId::as_str).unwrap_or_default();
        let Some(row) = self.row(query.bind(after.to_owned())).await? else { return Ok(None) };
        column::<DB, Option<String>>(&row, "partner_id")?
            .map(|name| PartnerId::parse(&name).ok_or(StoreError::Corrupt { column: "partner_id" }))
            .transpose()
    }
}

/// Locks the partner's chain until the transaction ends, and creates it if it does not exist. Returns the number of
/// batches and the hash of the last.
pub(in crate::store) async fn hold_chain<DB: Dialect>(
    transaction: &mut Transaction<DB>,
    partner: &PartnerId,
) -> Result<(i64, Hash)> {
    let held = sqlx::query(
        "insert into audit_chain (partner_id, seals, head)
         values ($1, 0, $2)
         on conflict (partner_id) do update
            set seals = audit_chain.seals
         returning seals, head",
    )
    .bind(partner.as_str().to_owned())
    .bind(GENESIS.to_vec())
    .fetch_one(&mut **transaction)
    .await?;
    Ok((column::<DB, _>(&held, "seals")?, hash::<DB>(&held, "head")?))
}

/// Copies the oldest waiting events into a batch and returns them in no particular order.
fn move_pending<DB: Dialect>(partner: &PartnerId, seal: i64, batch: i64) -> Query<'static, DB, DB::Arguments> {
    sqlx::query(
        "insert into audit_event
             ( partner_id, seal, event_id, client_id, action, outcome, person_id, person_salt, person_digest
             , object_id, key_id, occurred_at, country, decision, decline_reason, text_digest, signature_digest )
         select partner_id, $2, event_id, client_id, action, outcome, person_id, person_salt, person_digest
              , object_id, key_id, occurred_at, country, decision, decline_reason, text_digest, signature_digest
           from audit_pending
          where partner_id = $1
          order by event_id
          limit $3
         returning event_id, client_id, action, outcome, person_id, person_salt, person_digest
                 , object_id, key_id, occurred_at, country, decision, decline_reason, text_digest, signature_digest",
    )
    .bind(partner.as_str().to_owned())
    .bind(seal)
    .bind(batch)
}
