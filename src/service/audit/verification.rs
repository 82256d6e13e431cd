//! Verification of the hash chains, and of checkpoints that the operator kept outside the database.
//!
//! All hashes are recomputed from the stored events. An attacker with write access to all tables can recompute them
//! too; only checkpoints reveal a chain that was rewritten or truncated. Events are read page by page; those that are
//! sealed during the run are verified by the next one.

use std::collections::VecDeque;

use uuid::Uuid;

use crate::domain::audit::Hash;
use crate::domain::person::PartnerId;
use crate::service::audit::checkpoints::AuditCheckpoints;
use crate::service::audit::walk::Walk;
use crate::store::{SealedEvent, Store, StoreError};

/// Seals or events per page.
const PAGE: i64 = 500;

/// The verdict on one partner's chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditVerdict {
    /// The partner.
    pub partner: PartnerId,
    /// Sealed batches.
    pub seals: i64,
    /// Sealed events.
    pub events: i64,
    /// Events that are not sealed yet, and so cannot be verified.
    pub waiting: i64,
    /// The hash of the last batch.
    pub head: Hash,
    /// Faults and where they are, in sentences; empty when the chain is intact.
    pub faults: Vec<String>,
}

/// The verification of all chains, one after the other.
pub struct AuditVerification<'a> {
    store: &'a dyn Store,
    checkpoints: &'a AuditCheckpoints,
    last: Option<PartnerId>,
    /// Partners with a checkpoint that were not found in the database so far.
    without_trail: VecDeque<PartnerId>,
}

impl<'a> AuditVerification<'a> {
    /// Covers all partners that have a trail or a checkpoint.
    #[must_use]
    pub fn new(store: &'a dyn Store, checkpoints: &'a AuditCheckpoints) -> Self {
        Self { store, checkpoints, last: None, without_trail: checkpoints.partners() }
    }

    /// The verdict on the next partner's chain; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<AuditVerdict>, StoreError> {
        let partner = match self.store.next_partner_with_trail(self.last.as_ref()).await? {
            Some(partner) => {
                self.without_trail.retain(|other| *other != partner);
                self.last = Some(partner.clone());
                partner
            }
            // Partners with a checkpoint, but without rows in the database.
            None => match self.without_trail.pop_front() {
                Some(partner) => partner,
                None => return Ok(None),
            },
        };
        self.verify(partner).await.map(Some)
    }

    async fn verify(&self, partner: PartnerId) -> Result<AuditVerdict, StoreError> {
        let chain = self.store.audit_chain(&partner).await?;
        let mut walk = Walk::new(&partner, self.checkpoints.of(&partner));
        let mut events =
            Events { store: self.store, partner: &partner, last: chain.seals, page: VecDeque::new(), after: START };
        let mut after = START.0;
        loop {
            let seals = self.store.audit_seals(&partner, after, chain.seals, PAGE).await?;
            let Some(last) = seals.last() else { break };
            after = last.number;
            for seal in &seals {
                while let Some(event) = events.next_up_to(seal.number).await? {
                    walk.event(&event, seal.number);
                }
                walk.seal(seal);
            }
        }
        while let Some(event) = events.next_up_to(chain.seals).await? {
            walk.stray(event.seal);
        }
        Ok(walk.end(&chain))
    }
}

/// The position before every seal and event.
const START: (i64, Uuid) = (i64::MIN, Uuid::nil());

/// A partner's sealed events in chain order.
struct Events<'a> {
    store: &'a dyn Store,
    partner: &'a PartnerId,
    last: i64,
    page: VecDeque<SealedEvent>,
    after: (i64, Uuid),
}

impl Events<'_> {
    /// The next event, unless it belongs to a later batch.
    async fn next_up_to(&mut self, seal: i64) -> Result<Option<SealedEvent>, StoreError> {
        if self.page.is_empty() {
            self.page = self.store.sealed_events(self.partner, self.after, self.last, PAGE).await?.into();
            if let Some(event) = self.page.back() {
                self.after = (event.seal, event.id);
            }
        }
        Ok(self.page.pop_front_if(|event| event.seal <= seal))
    }
}
