//! Erases a person, for the command line.
//!
//! Runs in steps, each a transaction of bounded size, so that a person with much data does not run into the statement
//! timeout. An interrupted erasure continues when it is run again. The person's tombstones and fraud assessments stay
//! under one random pseudonym, so they remain distinct from those of others. The audit trail records the erasure
//! without the person's id.

use uuid::Uuid;

use crate::clock::Clock;
use crate::domain::audit::{AuditAction, OPERATOR};
use crate::domain::person::{PartnerId, PersonId};
use crate::entropy::Entropy;
use crate::service::audit::scope::event;
use crate::store::{Erased, Store, StoreError};

/// The erasure of persons.
pub struct PersonErasure<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Randomness for ids.
    pub entropy: &'a dyn Entropy,
}

impl PersonErasure<'_> {
    /// Erases the person, or what an interrupted erasure has left. `None` when there are no rows of the person.
    pub async fn erase(&self, partner: &PartnerId, person: &PersonId) -> Result<Option<Erased>, StoreError> {
        let now = self.clock.now();
        let mut event = event(OPERATOR, AuditAction::PersonErased, now, self.entropy.bytes());
        let id = uuid::Builder::from_random_bytes(self.entropy.bytes()).into_uuid();
        event.object_id = Some(id);
        let pseudonym = pseudonym(id);
        let mut erased = None;
        while let Some(step) = self.store.erase_step(partner, person, &pseudonym, &event, now).await? {
            erased = Some(step.erased.and(erased.unwrap_or_default()));
            if !step.goes_on {
                break;
            }
        }
        Ok(erased)
    }
}

/// The id that replaces the person's.
fn pseudonym(id: Uuid) -> PersonId {
    PersonId::parse(&format!("erased-{id}")).expect("43 visible characters are a valid person id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_is_a_valid_and_unique_person_id() {
        let (one, other) = (pseudonym(Uuid::from_bytes([1; 16])), pseudonym(Uuid::from_bytes([2; 16])));
        assert_eq!(one.as_str(), "erased-01010101-0101-0101-0101-010101010101");
        assert_ne!(one, other);
    }
}
