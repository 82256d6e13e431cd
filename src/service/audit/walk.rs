//! One walk along a partner's chain: what each batch should be, and what is wrong with it.
//!
//! After a fault the walk goes on from what is written down, so that one fault is told once and where it is.

use crate::domain::audit::{GENESIS, Hash, seal};
use crate::domain::person::PartnerId;
use crate::store::{AuditChain, AuditSeal, SealedEvent};

use crate::service::audit::verification::AuditVerdict;

/// More faults than these are counted and not told.
const FAULTS_TOLD: usize = 100;

/// A walk under way.
pub(in crate::service) struct Walk<'a> {
    partner: &'a PartnerId,
    kept: &'a [(i64, Hash)],
    /// The number and the hash of the last batch.
    number: i64,
    previous: Hash,
    /// What the events since then amount to.
    digests: Vec<Hash>,
    unreadable: bool,
    /// The last batch that events without a batch were told of.
    stray: Option<i64>,
    events: i64,
    faults: Vec<String>,
    untold: usize,
}

impl<'a> Walk<'a> {
    /// At the beginning of the chain.
    pub(in crate::service) fn new(partner: &'a PartnerId, kept: &'a [(i64, Hash)]) -> Self {
        let mut walk = Self {
            partner,
            kept,
            number: 0,
            previous: GENESIS,
            digests: Vec::new(),
            unreadable: false,
            stray: None,
            events: 0,
            faults: Vec::new(),
            untold: 0,
        };
        walk.hold_against_kept(0, GENESIS);
        walk
    }

    /// An event that stands before the batch with this number, and should stand in it.
    pub(in crate::service) fn event(&mut self, event: &SealedEvent, number: i64) {
        if event.seal != number {
            return self.stray(event.seal);
        }
        match &event.event {
            Ok(event) => {
                if event.subject.as_ref().is_some_and(|subject| !subject.is_genuine()) {
                    self.fault(format!(
                        "seal {number}, event {}: the person is not the one that was recorded",
                        event.id
                    ));
                }
                self.digests.push(event.digest(self.partner));
            }
            Err(error) => {
                self.fault(format!("seal {number}, event {}: {error}", event.id));
                self.unreadable = true;
                self.digests.push(GENESIS);
            }
        }
    }

    /// An event of a batch that is not there.
    pub(in crate::service) fn stray(&mut self, number: i64) {
        if self.stray.replace(number) != Some(number) {
            self.fault(format!("there are events of seal {number}, which is not there"));
        }
    }

    /// A batch; its events have gone before it.
    pub(in crate::service) fn seal(&mut self, batch: &AuditSeal) {
        let number = batch.number;
        let digests = std::mem::take(&mut self.digests);
        let unreadable = std::mem::take(&mut self.unreadable);
        if number <= self.number {
            return self.fault(format!("seal {number} has no place in a chain"));
        }
        if number > self.number + 1 {
            self.missing(self.number + 1, number - 1);
        } else if batch.previous_hash != self.previous {
            self.fault(format!("seal {number} does not follow what is before it"));
        }
        let events = i64::try_from(digests.len()).unwrap_or(i64::MAX);
        if events != batch.events {
            self.fault(format!("seal {number} was put on {} events and there are {events}", batch.events));
        } else if !unreadable && seal(batch.previous_hash, number, digests) != batch.hash {
            self.fault(format!("seal {number} does not fit its events: one of them or the seal was changed"));
        }
        self.hold_against_kept(number, batch.hash);
        self.events += events;
        self.number = number;
        self.previous = batch.hash;
    }

    /// The end of the chain.
    pub(in crate::service) fn end(mut self, chain: &AuditChain) -> AuditVerdict {
        if self.number < chain.seals {
            self.missing(self.number + 1, chain.seals);
        } else if self.previous != chain.head {
            self.fault("the head of the chain is not its last seal".to_owned());
        }
        for last in [chain.last_seal, chain.last_event_seal] {
            if last > chain.seals {
                self.fault(format!("the chain ends with seal {} and something stands under {last}", chain.seals));
                break;
            }
        }
        if let Some((number, _)) = self.kept.iter().rfind(|(number, _)| *number > chain.seals) {
            self.fault(format!("the chain ends with seal {} and had {number} when its head was kept", chain.seals));
        }
        if self.untold > 0 {
            self.faults.push(format!("{}: {} more faults", self.partner, self.untold));
        }
        AuditVerdict {
            partner: self.partner.clone(),
            seals: chain.seals,
            events: self.events,
            waiting: chain.waiting,
            head: chain.head,
            faults: self.faults,
        }
    }

    fn hold_against_kept(&mut self, number: i64, hash: Hash) {
        if self.kept.iter().any(|kept| kept.0 == number && kept.1 != hash) {
            self.fault(format!("seal {number} is not the one that was kept: the chain was rewritten"));
        }
    }

    fn missing(&mut self, first: i64, last: i64) {
        self.fault(if first == last {
            format!("seal {first} is missing")
        } else {
            format!("the seals {first} to {last} are missing")
        });
    }

    fn fault(&mut self, sentence: impl std::fmt::Display) {
        if self.faults.len() < FAULTS_TOLD {
            self.faults.push(format!("{}: {sentence}", self.partner));
        } else {
            self.untold += 1;
        }
    }
}
