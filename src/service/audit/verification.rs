//! Holds a partner's chain against itself, and against what was kept of it elsewhere.
//!
//! Everything is computed anew from what stands in the events. Whoever can write to all tables can compute it anew as well:
//! only the heads that somebody kept outside of the database show a chain that was rewritten or cut off at its end.
//! Reading goes page by page; what is sealed meanwhile is left to the next time.

use std::collections::VecDeque;

use uuid::Uuid;

use crate::domain::audit::Hash;
use crate::domain::person::PartnerId;
use crate::service::audit::checkpoints::AuditCheckpoints;
use crate::service::audit::walk::Walk;
use crate::store::{SealedEvent, Store, StoreError};

/// So many seals or events are read at once.
const PAGE: i64 = 500;

/// What was found of one partner's chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditVerdict {
    /// Whose chain.
    pub partner: PartnerId,
    /// How many batches it has.
    pub seals: i64,
    /// How many events are in them.
    pub events: i64,
    /// How many events wait to be sealed. Nothing is known of them yet.
    pub waiting: i64,
    /// The hash of the last batch.
    pub head: Hash,
    /// What does not hold and where, in sentences; none when the chain holds.
    pub faults: Vec<String>,
}

/// The verification of every chain, one after the other.
pub struct AuditVerification<'a> {
    store: &'a dyn Store,
    kept: &'a AuditCheckpoints,
    last: Option<PartnerId>,
    unseen: VecDeque<PartnerId>,
}

impl<'a> AuditVerification<'a> {
    /// Of all partners that have a trail or had one.
    #[must_use]
    pub fn new(store: &'a dyn Store, kept: &'a AuditCheckpoints) -> Self {
        Self { store, kept, last: None, unseen: kept.partners() }
    }

    /// The verdict on the next partner's chain; none behind the last.
    pub async fn next(&mut self) -> Result<Option<AuditVerdict>, StoreError> {
        let partner = match self.store.next_partner_with_trail(self.last.as_ref()).await? {
            Some(partner) => {
                self.unseen.retain(|unseen| *unseen != partner);
                self.last = Some(partner.clone());
                partner
            }
            // The database knows nothing of them any more.
            None => match self.unseen.pop_front() {
                Some(partner) => partner,
                None => return Ok(None),
            },
        };
        self.verify(partner).await.map(Some)
    }

    async fn verify(&self, partner: PartnerId) -> Result<AuditVerdict, StoreError> {
        let chain = self.store.audit_chain(&partner).await?;
        let mut walk = Walk::new(&partner, self.kept.of(&partner));
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

/// Before every seal and event.
const START: (i64, Uuid) = (i64::MIN, Uuid::nil());

/// A partner's sealed events in the order of the chain.
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
