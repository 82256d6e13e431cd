//! Erases a person at the operator's word, for the command line.
//!
//! Step by step, so that no commit is larger than the database can do in its time, however much there is of the person. An
//! erasure that was cut off goes on when it is asked for again. What stays of their devices and assessments belongs to a
//! random id in the person's place, the same for all of it, so that it can still be told from what was others'. The trail
//! says that a person was erased, and not who.

use uuid::Uuid;

use crate::clock::Clock;
use crate::domain::audit::{AuditAction, OPERATOR};
use crate::domain::person::{PartnerId, PersonId};
use crate::entropy::Entropy;
use crate::service::audit::scope::event;
use crate::store::{Erased, Store, StoreError};

/// What an erasure works with.
pub struct PersonErasure<'a> {
    /// Where persons are kept.
    pub store: &'a dyn Store,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Randomness for ids.
    pub entropy: &'a dyn Entropy,
}

impl PersonErasure<'_> {
    /// Erases the person, or the rest of them. `None` when there is nothing of them.
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

/// The person's id that stands where the erased one did.
fn pseudonym(id: Uuid) -> PersonId {
    PersonId::parse(&format!("erased-{id}")).expect("43 visible characters are a person's id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_an_id_that_a_person_could_have_and_nobody_else_has() {
        let (one, other) = (pseudonym(Uuid::from_bytes([1; 16])), pseudonym(Uuid::from_bytes([2; 16])));
        assert_eq!(one.as_str(), "erased-01010101-0101-0101-0101-010101010101");
        assert_ne!(one, other);
    }
}
