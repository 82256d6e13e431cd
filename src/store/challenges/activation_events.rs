//! Delivery events of activation codes. A code has a bounded number of them, so they are listed whole.

use uuid::Uuid;

use crate::domain::challenges::{
    ChallengeId, DELIVERY_EVENTS_MAX, DeliveryEvent, DeliveryEventId, DeliveryEventType, Detail, Provider,
};
use crate::domain::person::PartnerId;
use crate::store::audit::record::commit_with_record;
use crate::store::challenges::activation::word;
use crate::store::dialect::Dialect;
use crate::store::rows::column;
use crate::store::sql_store::SqlStore;
use crate::store::statement::{Batch, Bound, Statement};
use crate::store::{AuditRecord, Result, StoreError};

/// The result of adding an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EventAdded {
    /// Added.
    Yes,
    /// The code has as many events as allowed.
    Full,
    /// There is no such code.
    NoCode,
}

/// Delivery events.
#[macro_rules_attribute::apply(port)]
pub trait DeliveryEvents {
    /// Adds an event to a code.
    async fn add_delivery_event(
        &self,
        partner: &PartnerId,
        code: ChallengeId,
        event: &DeliveryEvent,
        record: &AuditRecord,
    ) -> Result<EventAdded>;

    /// The events of a code, the newest first.
    async fn delivery_events(&self, partner: &PartnerId, code: ChallengeId) -> Result<Vec<DeliveryEvent>>;

    /// One event of a code.
    async fn delivery_event(
        &self,
        partner: &PartnerId,
        code: ChallengeId,
        event: DeliveryEventId,
    ) -> Result<Option<DeliveryEvent>>;
}

#[async_trait::async_trait]
impl<DB: Dialect> DeliveryEvents for SqlStore<DB> {
    async fn add_delivery_event(
        &self,
        partner: &PartnerId,
        code: ChallengeId,
        event: &DeliveryEvent,
        record: &AuditRecord,
    ) -> Result<EventAdded> {
        let (mut transaction, held) = self.begin_and(HoldCode { partner, code }).await?;
        let refused = if held.is_empty() {
            Some(EventAdded::NoCode)
        } else if transaction.rows(InsertEvent { partner, code, event }).await?.is_empty() {
            Some(EventAdded::Full)
        } else {
            None
        };
        if let Some(refused) = refused {
            transaction.rollback().await?;
            return Ok(refused);
        }
        commit_with_record(transaction, Batch::new(), partner, record).await?;
        Ok(EventAdded::Yes)
    }

    async fn delivery_events(&self, partner: &PartnerId, code: ChallengeId) -> Result<Vec<DeliveryEvent>> {
        let rows = self.rows(FindEvents { partner, code }.query()).await?;
        rows.iter().map(delivery_event::<DB>).collect()
    }

    async fn delivery_event(
        &self,
        partner: &PartnerId,
        code: ChallengeId,
        event: DeliveryEventId,
    ) -> Result<Option<DeliveryEvent>> {
        let row = self.row(FindEvent { partner, code, event }.query()).await?;
        row.map(|row| delivery_event::<DB>(&row)).transpose()
    }
}

/// Locks a code, so that concurrent requests add no more events than allowed.
struct HoldCode<'a> {
    partner: &'a PartnerId,
    code: ChallengeId,
}

impl<DB: Dialect> Statement<DB> for HoldCode<'_> {
    const SQL: &'static str = "update activation_code
            set failures = failures
          where code_id = $1
            and partner_id = $2
         returning code_id";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query.bind(self.code.uuid()).bind(self.partner.as_str().to_owned())
    }
}

struct InsertEvent<'a> {
    partner: &'a PartnerId,
    code: ChallengeId,
    event: &'a DeliveryEvent,
}

impl<DB: Dialect> Statement<DB> for InsertEvent<'_> {
    const SQL: &'static str = "insert into delivery_event
             ( partner_id, code_id, event_id, type, occurred_at, provider, details )
         select partner_id, code_id, $3, $4, $5, $6, $7
           from activation_code
          where code_id = $1
            and partner_id = $2
            and (select count(*)
                   from delivery_event
                  where partner_id = $2
                    and code_id = $1) < $8
         returning event_id";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        let event = self.event;
        query
            .bind(self.code.uuid())
            .bind(self.partner.as_str().to_owned())
            .bind(event.id.uuid())
            .bind(event.kind.as_str().to_owned())
            .bind(event.at)
            .bind(event.provider.as_ref().map(|provider| provider.as_str().to_owned()))
            .bind(event.details.as_ref().map(|details| details.as_str().to_owned()))
            .bind(DELIVERY_EVENTS_MAX)
    }
}

struct FindEvents<'a> {
    partner: &'a PartnerId,
    code: ChallengeId,
}

impl<DB: Dialect> Statement<DB> for FindEvents<'_> {
    const SQL: &'static str = "select event_id, type, occurred_at, provider, details
           from delivery_event
          where partner_id = $1
            and code_id = $2
          order by occurred_at desc, event_id desc";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query.bind(self.partner.as_str().to_owned()).bind(self.code.uuid())
    }
}

struct FindEvent<'a> {
    partner: &'a PartnerId,
    code: ChallengeId,
    event: DeliveryEventId,
}

impl<DB: Dialect> Statement<DB> for FindEvent<'_> {
    const SQL: &'static str = "select event_id, type, occurred_at, provider, details
           from delivery_event
          where partner_id = $1
            and code_id = $2
            and event_id = $3";

    fn bind(self, query: Bound<DB>) -> Bound<DB> {
        query.bind(self.partner.as_str().to_owned()).bind(self.code.uuid()).bind(self.event.uuid())
    }
}

fn delivery_event<DB: Dialect>(row: &DB::Row) -> Result<DeliveryEvent> {
    let provider = column::<DB, Option<String>>(row, "provider")?;
    let details = column::<DB, Option<String>>(row, "details")?;
    Ok(DeliveryEvent {
        id: column::<DB, Uuid>(row, "event_id")?.into(),
        kind: word::<DB, _>(row, "type", DeliveryEventType::parse)?,
        at: column::<DB, _>(row, "occurred_at")?,
        provider: provider
            .map(|text| Provider::parse(&text).ok_or(StoreError::Corrupt { column: "provider" }))
            .transpose()?,
        details: details
            .map(|text| Detail::parse(&text).ok_or(StoreError::Corrupt { column: "details" }))
            .transpose()?,
    })
}
