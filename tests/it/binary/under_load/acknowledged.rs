//! What was acknowledged to clients, to be compared with the database afterwards, and counts of requests.

use std::collections::BTreeMap;
use std::fmt;

/// All that the partner knows about one person.
pub(super) struct Acknowledged {
    pub(super) person: String,
    pub(super) number: String,
    /// Whether each of the person's requests had an idempotency key.
    pub(super) uses_keys: bool,
    /// The number of requests for a device: with idempotency keys each key counts once, otherwise each request.
    pub(super) asks: usize,
    pub(super) challenges: Vec<Challenge>,
    pub(super) devices: Vec<Device>,
    pub(super) signed: Vec<Signed>,
    pub(super) letters: Vec<Letter>,
}

/// A challenge whose id was in an answer.
pub(super) struct Challenge {
    pub(super) id: String,
    pub(super) wrong: Wrong,
}

/// A device whose right answer got 204, or that was found bound after a lost answer.
pub(super) struct Device {
    pub(super) id: String,
    /// The public keys.
    pub(super) keys: Vec<String>,
    /// Wrong signatures for further keys.
    pub(super) wrong: Wrong,
    /// Whether its deletion was acknowledged.
    pub(super) deleted: bool,
}

/// A challenge of a bound device whose id was in an answer.
pub(super) struct Signed {
    pub(super) id: String,
    pub(super) wrong: Wrong,
    /// The decision that got 204; `None` if wrong signatures closed the challenge first.
    pub(super) decision: Option<&'static str>,
}

/// An activation code whose id was in an answer.
pub(super) struct Letter {
    pub(super) id: String,
    /// Whether it bound a device.
    pub(super) is_used: bool,
}

/// Wrong signatures.
#[derive(Clone, Copy, Default)]
pub(super) struct Wrong {
    /// Those that got 403.
    pub(super) answered: i64,
    /// Those whose answer was lost: they may or may not be counted.
    pub(super) unknown: i64,
}

impl Wrong {
    pub(super) fn most(self) -> i64 {
        self.answered + self.unknown
    }
}

/// Counts of answered requests and lost answers.
#[derive(Default)]
pub(super) struct Figures {
    by_kind: BTreeMap<(&'static str, bool), Count>,
    /// Replayed answers.
    pub(super) replayed: usize,
    /// Claims of killed processes whose lease was made to expire.
    pub(super) expired_claims: usize,
}

#[derive(Default)]
pub(super) struct Count {
    pub(super) answered: usize,
    pub(super) cut: usize,
}

/// The kinds of requests, with and without an idempotency key.
const KINDS: [(&str, &[bool]); 11] = [
    ("number", &[false, true]),
    ("device", &[false, true]),
    ("wrong answer", &[false, true]),
    ("right answer", &[false, true]),
    ("wrong key", &[false, true]),
    ("key", &[false, true]),
    ("activation code", &[false, true]),
    ("device challenge", &[false, true]),
    ("wrong signature", &[false, true]),
    ("signature", &[false, true]),
    ("deletion", &[false]),
];

/// The kinds of [`number_story`](super::caller::Caller::number_story).
const READS_AND_CODES: [(&str, &[bool]); 6] = [
    ("code for a number", &[true]),
    ("confirmation", &[true]),
    ("SMS challenge", &[true]),
    ("wrong code", &[true]),
    ("code", &[true]),
    ("read", &[false]),
];

impl Figures {
    pub(super) fn count(&mut self, kind: &'static str, has_key: bool) -> &mut Count {
        self.by_kind.entry((kind, has_key)).or_default()
    }

    pub(super) fn add(&mut self, other: Self) {
        for ((kind, has_key), count) in other.by_kind {
            let sum = self.count(kind, has_key);
            sum.answered += count.answered;
            sum.cut += count.cut;
        }
        self.replayed += other.replayed;
        self.expired_claims += other.expired_claims;
    }

    /// Checks that each kind was answered, that kills cut requests, and that keys were replayed.
    pub(super) fn assert_covered(&self, kills: usize) {
        self.assert_answered(&KINDS);
        assert!(self.cut() >= kills, "fewer requests than kills were cut: {self}");
        assert!(self.replayed > 0 && self.expired_claims > 0, "no idempotency key was replayed or waited for: {self}");
    }

    /// Checks that each kind was answered without a kill, and that keys were replayed.
    pub(super) fn assert_covered_with_reads_and_codes(&self) {
        self.assert_answered(&KINDS);
        self.assert_answered(&READS_AND_CODES);
        assert!(self.replayed > 0, "no idempotency key was replayed: {self}");
    }

    fn assert_answered(&self, kinds: &[(&'static str, &[bool])]) {
        for (kind, with_key) in kinds {
            for has_key in *with_key {
                let answered = self.by_kind.get(&(kind, *has_key)).map_or(0, |count| count.answered);
                assert!(answered > 0, "no {kind} (with a key: {has_key}) was answered: {self}");
            }
        }
    }

    fn cut(&self) -> usize {
        self.by_kind.values().map(|count| count.cut).sum()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let answered: usize = self.by_kind.values().map(|count| count.answered).sum();
        write!(f, "{answered} requests answered and {} cut (", self.cut())?;
        for ((kind, has_key), count) in &self.by_kind {
            let with_key = if *has_key { " with a key" } else { "" };
            write!(f, "{kind}{with_key} {}/{}, ", count.answered, count.cut)?;
        }
        write!(f, "replayed {}, expired claims {})", self.replayed, self.expired_claims)
    }
}
