//! The audit trail behind the requests: waiting events are sealed in the background, sealed ones are read by the operator.
//!
//! Sealing is nobody's wait: requests leave their events behind, and any replica, or several, may seal them.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::person::PartnerId;
use crate::service::{Failure, Service};
use crate::store::{SealedEvent, Store, StoreError, WAITING_COUNTED};

/// How many events are sealed in one commit: what a crash can undo, and what the head of the chain moves by.
const BATCH: i64 = 500;

/// So many batches of one partner in one turn. With more waiting, the other partners come first.
const BATCHES_PER_TURN: usize = 40;

/// So many events are read at once.
const PAGE: i64 = 500;

impl Service {
    /// Seals what waits, and tells how much is left. Nothing is in most turns: then nothing is counted, since what came in
    /// meanwhile waits for the next turn.
    pub async fn seal_audit_trail(&self) -> Result<(), Failure> {
        let sealed = self.seal_every_partner().await;
        let waiting = match sealed {
            Ok(Left::Nothing) => Ok(0),
            _ => self.store.waiting_audit_events(WAITING_COUNTED).await,
        };
        if let Ok(waiting) = waiting {
            metrics::gauge!("audit_events_waiting").set(u32::try_from(waiting).unwrap_or(u32::MAX));
        }
        sealed?;
        waiting?;
        Ok(())
    }

    /// A partner whose events cannot be sealed keeps no other from it.
    async fn seal_every_partner(&self) -> Result<Left, Failure> {
        let (mut failure, mut left) = (None, Left::Nothing);
        for partner in self.store.partners_with_pending_events().await? {
            match self.seal_partner(&partner).await {
                Ok(Left::Nothing) => {}
                Ok(Left::Events) => left = Left::Events,
                Err(error) if error.is_transient() => return Err(error.into()),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(left), |error| Err(error.into()))
    }

    async fn seal_partner(&self, partner: &PartnerId) -> Result<Left, StoreError> {
        for _ in 0..BATCHES_PER_TURN {
            let sealed = self.store.seal_audit_events(partner, self.clock.now(), BATCH).await?;
            metrics::counter!("audit_events_sealed_total").increment(sealed.unsigned_abs());
            if sealed < BATCH {
                return Ok(Left::Nothing);
            }
        }
        Ok(Left::Events)
    }
}

/// What a turn leaves of the events that it found.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    Nothing,
    Events,
}

/// The sealed events of one partner, page by page in the order of their chain.
pub struct AuditExport<'a> {
    store: &'a dyn Store,
    partner: &'a PartnerId,
    after: Option<(i64, Uuid)>,
}

impl<'a> AuditExport<'a> {
    /// From the first batch that was sealed at this instant or later. What happened since then is in there.
    pub async fn since(
        store: &'a dyn Store,
        partner: &'a PartnerId,
        since: DateTime<Utc>,
    ) -> Result<AuditExport<'a>, StoreError> {
        let first = store.first_seal_since(partner, since).await?;
        Ok(Self { store, partner, after: first.map(|seal| (seal - 1, Uuid::max())) })
    }

    /// The next page; none behind the last.
    pub async fn page(&mut self) -> Result<Vec<SealedEvent>, StoreError> {
        let Some(after) = self.after else { return Ok(Vec::new()) };
        let page = self.store.sealed_events(self.partner, after, i64::MAX, PAGE).await?;
        self.after = page.last().map(|event| (event.seal, event.id));
        Ok(page)
    }
}
