//! Audit events and the SHA-256 digests that the hash chain is built from.
//!
//! An event holds ids only: no number, name, key, code or signature. It covers the person's id by a separate salted
//! digest, so the id can be erased and the chain still verifies.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::person::{PartnerId, PersonId};
use crate::domain::challenges::{ChallengeKind, Decision, DeclineReason};
use crate::domain::numbers::country::Country;

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// The `client_id` of the operator's actions on the command line.
pub const OPERATOR: &str = "operator";

/// The outcome of success. Every other outcome is the reason of a refusal.
pub const ACCEPTED: &str = "accepted";

/// Generates the enum of actions, the list of them and their names from one table. The actions on challenges are named
/// by [`ChallengeKind`].
macro_rules! actions {
    [$($(#[$doc:meta])+ $action:ident = $name:literal,)+] => {
        /// The action that a client or the operator attempted.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum AuditAction {
            /// A client requested a challenge.
            ChallengeAsked(ChallengeKind),
            /// A client sent an answer to a challenge.
            ChallengeAnswered(ChallengeKind),
            $($(#[$doc])+ $action,)+
        }

        impl AuditAction {
            /// Every action.
            pub fn all() -> impl Iterator<Item = Self> {
                let of_kind = |kind| [Self::ChallengeAsked(kind), Self::ChallengeAnswered(kind)];
                ChallengeKind::ALL.into_iter().flat_map(of_kind).chain([$(Self::$action,)+])
            }

            /// Its name in the trail.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    Self::ChallengeAsked(kind) => kind.asked(),
                    Self::ChallengeAnswered(kind) => kind.answered(),
                    $(Self::$action => $name,)+
                }
            }
        }
    };
}

actions![
    /// A client asked to add a key to a device.
    KeyAdded = "key.added",
    /// A client deleted a device.
    DeviceDeleted = "device.deleted",
    /// A client stored a number for a person.
    NumberCreated = "number.created",
    /// A client asserted that a person's number is verified.
    NumberAsserted = "number.asserted",
    /// A client deleted a person's number.
    NumberDeleted = "number.deleted",
    /// A client asked for an activation code.
    ActivationAsked = "activation_code.asked",
    /// A client ended an activation code.
    ActivationDeleted = "activation_code.deleted",
    /// A client reported an event of the delivery of an activation code.
    DeliveryReported = "activation_code.delivery_reported",
    /// The operator created a client.
    ClientCreated = "client.created",
    /// The operator rotated a client's secret.
    ClientRotated = "client.rotated",
    /// The operator revoked a client.
    ClientRevoked = "client.revoked",
    /// The operator erased a person.
    PersonErased = "person.erased",
    /// The operator resumed sending SMS to a country.
    SmsResumed = "sms.resumed",
];

/// The person that an event is about. Id and salt can be erased; the digest stays.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditSubject {
    /// The partner's id of the person, and a random salt against guessing the digest; `None` once erased.
    pub known: Option<(PersonId, [u8; 16])>,
    /// SHA-256 over salt and id.
    pub digest: Hash,
}

impl AuditSubject {
    /// A subject that has not been erased.
    #[must_use]
    pub fn new(person: PersonId, salt: [u8; 16]) -> Self {
        let digest = digest_of_person(&person, salt);
        Self { known: Some((person, salt)), digest }
    }

    /// Whether the id matches the digest. True for an erased subject.
    #[must_use]
    pub fn is_genuine(&self) -> bool {
        self.known.as_ref().is_none_or(|(person, salt)| digest_of_person(person, *salt) == self.digest)
    }
}

fn digest_of_person(person: &PersonId, salt: [u8; 16]) -> Hash {
    Sha256::new().chain_update(salt).chain_update(person.as_str()).finalize().into()
}

/// Evidence of the answer that a device signed. It names no person; the text itself is kept elsewhere, and not forever.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnswerEvidence {
    /// What the person decided.
    pub decision: Decision,
    /// The reason; `None` for an approval.
    pub reason: Option<DeclineReason>,
    /// SHA-256 of the text that was signed: the digest that the signature is over. It reveals nothing about the text, which
    /// has a random nonce.
    pub text_digest: Hash,
    /// The signature's fingerprint (docs/operations.md#audit-trail).
    pub signature_digest: Hash,
}

/// The digest of a text that a device signed.
#[must_use]
pub fn digest_of_text(text: &str) -> Hash {
    Sha256::digest(text).into()
}

/// One entry of the trail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AuditEvent {
    /// Its id, a `UUIDv7`.
    pub id: Uuid,
    /// The client that asked, or [`OPERATOR`].
    pub client_id: String,
    /// The name of an [`AuditAction`].
    pub action: Cow<'static, str>,
    /// [`ACCEPTED`], or the reason of the refusal.
    pub outcome: Cow<'static, str>,
    /// The person, when known.
    pub subject: Option<AuditSubject>,
    /// The device, its challenge, the number or the client; for an erasure, the random id that replaces the person's.
    pub object_id: Option<Uuid>,
    /// The key.
    pub key_id: Option<Uuid>,
    /// The country.
    pub country: Option<Country>,
    /// The answer of a device that was accepted.
    pub answer: Option<AnswerEvidence>,
    /// When.
    pub at: DateTime<Utc>,
}

impl AuditEvent {
    /// The same event with another outcome.
    #[must_use]
    pub fn with_outcome(self, outcome: &'static str) -> Self {
        Self { outcome: Cow::Borrowed(outcome), ..self }
    }

    /// SHA-256 over the fields in a fixed order, each prefixed by its length, so that no two events hash the same
    /// bytes.
    #[must_use]
    pub fn digest(&self, partner: &PartnerId) -> Hash {
        let mut fields = Fields(Sha256::new());
        fields.add(Some(self.id.as_bytes()));
        fields.add(Some(partner.as_str().as_bytes()));
        fields.add(Some(self.client_id.as_bytes()));
        fields.add(Some(self.action.as_bytes()));
        fields.add(Some(self.outcome.as_bytes()));
        fields.add(self.subject.as_ref().map(|subject| &subject.digest[..]));
        fields.add(self.object_id.as_ref().map(|id| &id.as_bytes()[..]));
        fields.add(self.key_id.as_ref().map(|id| &id.as_bytes()[..]));
        fields.add(Some(&self.at.timestamp_micros().to_be_bytes()));
        // Last, and only as far as present: events from before these fields existed keep their digests.
        if self.country.is_some() || self.answer.is_some() {
            fields.add(self.country.as_ref().map(|country| country.as_str().as_bytes()));
        }
        if let Some(AnswerEvidence { decision, reason, text_digest, signature_digest }) = &self.answer {
            fields.add(Some(decision.as_str().as_bytes()));
            fields.add(reason.map(|reason| reason.as_str().as_bytes()));
            fields.add(Some(text_digest));
            fields.add(Some(signature_digest));
        }
        fields.0.finalize().into()
    }
}

struct Fields(Sha256);

impl Fields {
    fn add(&mut self, field: Option<&[u8]>) {
        // `u32::MAX` marks an absent field; no present field has that length.
        let length = field.map_or(u32::MAX, |bytes| u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1));
        self.0.update(length.to_be_bytes());
        self.0.update(field.unwrap_or_default());
    }
}

/// The hash of a batch: SHA-256 over the hash before it, the batch's number and the digest of every event in it.
#[must_use]
pub fn seal(previous: Hash, number: i64, digests: impl IntoIterator<Item = Hash>) -> Hash {
    let mut hash = Sha256::new().chain_update(previous).chain_update(number.to_be_bytes());
    for digest in digests {
        hash.update(digest);
    }
    hash.finalize().into()
}

/// The previous hash of a partner's first batch.
pub const GENESIS: Hash = [0; 32];

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> AuditEvent {
        AuditEvent {
            id: Uuid::from_u128(7),
            client_id: "client".to_owned(),
            action: AuditAction::ChallengeAsked(ChallengeKind::Binding).as_str().into(),
            outcome: ACCEPTED.into(),
            subject: Some(AuditSubject::new(PersonId::parse("ada").unwrap(), [1; 16])),
            object_id: Some(Uuid::from_u128(8)),
            key_id: None,
            country: None,
            answer: None,
            at: DateTime::from_timestamp(1_700_000_000, 123_456_000).unwrap(),
        }
    }

    fn answer() -> AnswerEvidence {
        AnswerEvidence {
            decision: Decision::Declined,
            reason: Some(DeclineReason::NotMe),
            text_digest: [2; 32],
            signature_digest: [3; 32],
        }
    }

    #[test]
    fn every_field_changes_the_digest() {
        let acme = PartnerId::parse("acme").unwrap();
        let original = event().digest(&acme);
        let other_person = AuditSubject::new(PersonId::parse("bob").unwrap(), [1; 16]);
        let changed = [
            AuditEvent { id: Uuid::from_u128(9), ..event() },
            AuditEvent { client_id: "other".to_owned(), ..event() },
            AuditEvent { action: "binding.answered".into(), ..event() },
            event().with_outcome("cooling_off"),
            AuditEvent { subject: None, ..event() },
            AuditEvent { subject: Some(other_person), ..event() },
            AuditEvent { object_id: None, ..event() },
            AuditEvent { object_id: None, key_id: event().object_id, ..event() },
            AuditEvent { country: Country::parse("DE"), ..event() },
            AuditEvent { at: event().at + chrono::TimeDelta::microseconds(1), ..event() },
            AuditEvent { answer: Some(answer()), ..event() },
        ];
        for event in changed {
            assert_ne!(event.digest(&acme), original, "{event:?}");
        }
        let answered = AuditEvent { answer: Some(answer()), ..event() };
        let changed = [
            AnswerEvidence { decision: Decision::Approved, ..answer() },
            AnswerEvidence { reason: Some(DeclineReason::Other), ..answer() },
            AnswerEvidence { reason: None, ..answer() },
            AnswerEvidence { text_digest: [9; 32], ..answer() },
            AnswerEvidence { signature_digest: [9; 32], ..answer() },
            AnswerEvidence { text_digest: [3; 32], signature_digest: [2; 32], ..answer() },
        ];
        for answer in changed {
            let event = AuditEvent { answer: Some(answer), ..event() };
            assert_ne!(event.digest(&acme), answered.digest(&acme), "{event:?}");
        }
        assert_ne!(event().digest(&PartnerId::parse("globex").unwrap()), original);
    }

    #[test]
    fn moving_bytes_between_neighbouring_fields_changes_the_digest() {
        let acme = PartnerId::parse("acme").unwrap();
        let one = AuditEvent { client_id: "ab".to_owned(), action: "c".into(), ..event() };
        let two = AuditEvent { client_id: "a".to_owned(), action: "bc".into(), ..event() };
        assert_ne!(one.digest(&acme), two.digest(&acme));
    }

    #[test]
    fn erasing_the_person_keeps_the_digest() {
        let acme = PartnerId::parse("acme").unwrap();
        let mut erased = event();
        erased.subject.as_mut().unwrap().known = None;
        assert_eq!(erased.digest(&acme), event().digest(&acme));
        assert!(erased.subject.unwrap().is_genuine());
    }

    #[test]
    fn a_replaced_person_id_is_not_genuine() {
        let mut forged = event().subject.unwrap();
        forged.known = Some((PersonId::parse("bob").unwrap(), [1; 16]));
        assert!(!forged.is_genuine());
    }

    #[test]
    fn a_seal_depends_on_the_previous_hash_the_number_and_the_order_of_events() {
        let (a, b) = ([1; 32], [2; 32]);
        let original = seal(GENESIS, 1, [a, b]);
        for other in [seal(a, 1, [a, b]), seal(GENESIS, 2, [a, b]), seal(GENESIS, 1, [b, a]), seal(GENESIS, 1, [a])] {
            assert_ne!(other, original);
        }
    }
}
