//! Sealing of pending audit events in the background, and the export of sealed events for the operator.
//!
//! Requests only insert events and do not wait for sealing. Any replica may seal, several in parallel.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::person::PartnerId;
use crate::service::{Failure, Service};
use crate::store::{SealedEvent, Store, StoreError, WAITING_COUNTED};

/// Events that are sealed in one commit.
const BATCH: i64 = 500;

/// Maximum number of batches of one partner per turn, so that one partner's backlog does not delay the others.
const BATCHES_PER_TURN: usize = 40;

/// Events per page of the export.
const PAGE: i64 = 500;

impl Service {
    /// Seals pending events and sets the gauge of those that are left. They are only counted when a partner's backlog
    /// was not finished or sealing failed; otherwise the gauge is 0.
    pub async fn seal_audit_trail(&self) -> Result<(), Failure> {
        let sealed = self.seal_every_partner().await;
        let waiting = match sealed {
            Ok(Backlog::Empty) => Ok(0),
            _ => self.store.waiting_audit_events(WAITING_COUNTED).await,
        };
        if let Ok(waiting) = waiting {
            metrics::gauge!("audit_events_waiting").set(u32::try_from(waiting).unwrap_or(u32::MAX));
        }
        sealed?;
        waiting?;
        Ok(())
    }

    /// A non-transient failure of one partner does not stop the others from being sealed.
    async fn seal_every_partner(&self) -> Result<Backlog, Failure> {
        let (mut failure, mut backlog) = (None, Backlog::Empty);
        for partner in self.store.partners_with_pending_events().await? {
            match self.seal_partner(&partner).await {
                Ok(Backlog::Empty) => {}
                Ok(Backlog::Remaining) => backlog = Backlog::Remaining,
                Err(error) if error.is_transient() => return Err(error.into()),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(backlog), |error| Err(error.into()))
    }

    async fn seal_partner(&self, partner: &PartnerId) -> Result<Backlog, StoreError> {
        for _ in 0..BATCHES_PER_TURN {
            let sealed = self.store.seal_audit_events(partner, self.clock.now(), BATCH).await?;
            metrics::counter!("audit_events_sealed_total").increment(sealed.unsigned_abs());
            if sealed < BATCH {
                return Ok(Backlog::Empty);
            }
        }
        Ok(Backlog::Remaining)
    }
}

/// Whether events are still pending after a turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Backlog {
    Empty,
    Remaining,
}

/// The sealed events of one partner in chain order, page by page.
pub struct AuditExport<'a> {
    store: &'a dyn Store,
    partner: &'a PartnerId,
    after: Option<(i64, Uuid)>,
}

impl<'a> AuditExport<'a> {
    /// Starts at the first batch that was sealed at this instant or later, which includes every event since then.
    pub async fn since(
        store: &'a dyn Store,
        partner: &'a PartnerId,
        since: DateTime<Utc>,
    ) -> Result<AuditExport<'a>, StoreError> {
        let first = store.first_seal_since(partner, since).await?;
        Ok(Self { store, partner, after: first.map(|seal| (seal - 1, Uuid::max())) })
    }

    /// The next page; empty after the last.
    pub async fn page(&mut self) -> Result<Vec<SealedEvent>, StoreError> {
        let Some(after) = self.after else { return Ok(Vec::new()) };
        let page = self.store.sealed_events(self.partner, after, i64::MAX, PAGE).await?;
        self.after = page.last().map(|event| (event.seal, event.id));
        Ok(page)
    }
}
