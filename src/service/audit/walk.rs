//! One pass over a partner's chain that compares each batch with its expected hash.
//!
//! After a fault it continues from the stored hash, so that each fault is reported once, at its place.

use crate::domain::audit::{GENESIS, Hash, digest_of_text, seal};
use crate::domain::person::PartnerId;
use crate::store::{AuditChain, AuditSeal, SealedEvent};

use crate::service::audit::verification::AuditVerdict;

/// Faults that are reported; further ones are only counted.
const FAULTS_REPORTED: usize = 100;

/// A pass in progress.
pub(in crate::service) struct Walk<'a> {
    partner: &'a PartnerId,
    checkpoints: &'a [(i64, Hash)],
    /// The number and the hash of the last batch.
    number: i64,
    previous: Hash,
    /// The digests of the events since then.
    digests: Vec<Hash>,
    unreadable: bool,
    /// The last missing batch whose events were reported.
    stray: Option<i64>,
    events: i64,
    faults: Vec<String>,
    unreported: usize,
}

impl<'a> Walk<'a> {
    /// Starts at the beginning of the chain.
    pub(in crate::service) fn new(partner: &'a PartnerId, checkpoints: &'a [(i64, Hash)]) -> Self {
        let mut walk = Self {
            partner,
            checkpoints,
            number: 0,
            previous: GENESIS,
            digests: Vec::new(),
            unreadable: false,
            stray: None,
            events: 0,
            faults: Vec::new(),
            unreported: 0,
        };
        walk.compare_with_checkpoint(0, GENESIS);
        walk
    }

    /// Adds an event that comes before the batch with this number and should belong to it.
    pub(in crate::service) fn event(&mut self, event: &SealedEvent, number: i64) {
        if event.seal != number {
            return self.stray(event.seal);
        }
        let text = event.text.as_deref();
        match &event.event {
            Ok(event) => {
                if event.subject.as_ref().is_some_and(|subject| !subject.is_genuine()) {
                    self.fault(format!(
                        "seal {number}, event {}: the person is not the one that was recorded",
                        event.id
                    ));
                }
                let digest = event.answer.map(|answer| answer.text_digest);
                if text.is_some_and(|text| digest != Some(digest_of_text(text))) {
                    self.fault(format!("seal {number}, event {}: the text is not the one that was signed", event.id));
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

    /// Reports an event of a missing batch.
    pub(in crate::service) fn stray(&mut self, number: i64) {
        if self.stray.replace(number) != Some(number) {
            self.fault(format!("there are events of seal {number}, which is missing"));
        }
    }

    /// Checks a batch, after its events were added.
    pub(in crate::service) fn seal(&mut self, batch: &AuditSeal) {
        let number = batch.number;
        let digests = std::mem::take(&mut self.digests);
        let unreadable = std::mem::take(&mut self.unreadable);
        if number <= self.number {
            return self.fault(format!("seal {number} is out of sequence"));
        }
        if number > self.number + 1 {
            self.missing(self.number + 1, number - 1);
        } else if batch.previous_hash != self.previous {
            self.fault(format!("seal {number} has the wrong previous hash"));
        }
        let events = i64::try_from(digests.len()).unwrap_or(i64::MAX);
        if events != batch.events {
            self.fault(format!("seal {number} covers {} events, found {events}", batch.events));
        } else if !unreadable && seal(batch.previous_hash, number, digests) != batch.hash {
            self.fault(format!("seal {number} does not match its events: one of them or the seal was changed"));
        }
        self.compare_with_checkpoint(number, batch.hash);
        self.events += events;
        self.number = number;
        self.previous = batch.hash;
    }

    /// Checks the end of the chain.
    pub(in crate::service) fn end(mut self, chain: &AuditChain) -> AuditVerdict {
        if self.number < chain.seals {
            self.missing(self.number + 1, chain.seals);
        } else if self.previous != chain.head {
            self.fault("the head of the chain is not its last seal".to_owned());
        }
        for last in [chain.last_seal, chain.last_event_seal] {
            if last > chain.seals {
                self.fault(format!("the chain ends with seal {}, but there are rows of seal {last}", chain.seals));
                break;
            }
        }
        if let Some((number, _)) = self.checkpoints.iter().rfind(|(number, _)| *number > chain.seals) {
            self.fault(format!("the chain ends with seal {}, but there is a checkpoint of seal {number}", chain.seals));
        }
        if self.unreported > 0 {
            self.faults.push(format!("{}: {} more faults", self.partner, self.unreported));
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

    fn compare_with_checkpoint(&mut self, number: i64, hash: Hash) {
        if self.checkpoints.iter().any(|checkpoint| checkpoint.0 == number && checkpoint.1 != hash) {
            self.fault(format!("seal {number} differs from its checkpoint: the chain was rewritten"));
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
        if self.faults.len() < FAULTS_REPORTED {
            self.faults.push(format!("{}: {sentence}", self.partner));
        } else {
            self.unreported += 1;
        }
    }
}
