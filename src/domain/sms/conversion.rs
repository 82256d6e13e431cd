//! How many of the codes that were sent are used, per partner and country.
//!
//! Whoever earns from messages to certain numbers asks for codes that nobody will ever enter. So where far fewer codes are
//! used than sent, no more are sent. A code counts in the minute in which it was sent, and a minute is judged only when none
//! of its codes can be used any more: a burst of honest requests is not held against anybody.

use std::ops::Range;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use crate::domain::numbers::country::Country;
use crate::domain::person::PartnerId;

const MINUTE: TimeDelta = TimeDelta::minutes(1);

/// For how long after a code's last moment its use may still be on its way into the database, from whichever replica.
const SETTLING: TimeDelta = TimeDelta::minutes(1);

/// Where a partner's codes go. One partner's traffic is never held against another's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Destination {
    /// Whose persons.
    pub partner: PartnerId,
    /// Of which country.
    pub country: Country,
}

/// How many codes went to a destination, and how many of those were used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Messages that a provider took, or may have taken.
    pub sent: i64,
    /// Codes among them that were answered with.
    pub used: i64,
}

impl Tally {
    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { sent: self.sent + other.sent, used: self.used + other.used }
    }

    /// How many of a hundred were used, rounded down. `None` when none was sent.
    #[must_use]
    pub fn percent(self) -> Option<i64> {
        (self.used * 100).checked_div(self.sent)
    }
}

/// The operator's rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConversionRule {
    /// Over how long codes are counted.
    pub window: TimeDelta,
    /// Fewer than this are no evidence.
    pub min_sent: i64,
    /// Of a hundred codes, so many must be used. With 0 nothing is judged.
    pub min_percent: i64,
}

impl ConversionRule {
    /// The minutes that are judged at this moment, by their beginnings.
    #[must_use]
    pub fn judged(&self, now: DateTime<Utc>, code_life: TimeDelta) -> Range<DateTime<Utc>> {
        let until = minute_of(now - code_life - SETTLING);
        until - self.window..until
    }

    /// Whether far fewer codes are used than sent.
    #[must_use]
    pub fn condemns(&self, tally: Tally) -> bool {
        tally.sent >= self.min_sent && tally.used * 100 < tally.sent * self.min_percent
    }

    /// When the last code that was sent in this minute is no longer held against anybody.
    #[must_use]
    pub fn forgotten_at(&self, minute: DateTime<Utc>, code_life: TimeDelta) -> DateTime<Utc> {
        minute + MINUTE + code_life + SETTLING + self.window
    }
}

/// The minute of an instant, by its beginning.
#[must_use]
pub fn minute_of(at: DateTime<Utc>) -> DateTime<Utc> {
    at.duration_trunc(MINUTE).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: ConversionRule = ConversionRule { window: TimeDelta::hours(1), min_sent: 100, min_percent: 10 };

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_minute_is_judged_once_all_its_codes_have_expired_and_settled() {
        let life = TimeDelta::minutes(5);
        let minute = at("2022-03-18T14:50:00Z");
        // A code of its last microsecond expires at 14:55:59.999999.
        let (before, after) = (at("2022-03-18T14:56:59.999999Z"), at("2022-03-18T14:57:00Z"));
        assert!(!RULE.judged(before, life).contains(&minute));
        assert!(RULE.judged(after, life).contains(&minute));
    }

    #[test]
    fn a_minute_is_forgotten_when_the_window_has_moved_on() {
        let life = TimeDelta::minutes(5);
        let minute = at("2022-03-18T14:50:00Z");
        let end = RULE.forgotten_at(minute, life);
        assert_eq!(end, at("2022-03-18T15:57:00Z"));
        assert!(RULE.judged(end - TimeDelta::microseconds(1), life).contains(&minute));
        assert!(!RULE.judged(end, life).contains(&minute));
    }

    #[test]
    fn few_codes_are_no_evidence_and_enough_use_is_no_abuse() {
        let condemned = |sent, used| RULE.condemns(Tally { sent, used });
        assert!(condemned(100, 0) && condemned(100, 9) && condemned(1000, 99));
        assert!(!condemned(99, 0) && !condemned(100, 10) && !condemned(1000, 100) && !condemned(0, 0));
        assert!(!ConversionRule { min_percent: 0, ..RULE }.condemns(Tally { sent: 1000, used: 0 }));
    }

    #[test]
    fn shares_are_told_in_whole_percent() {
        assert_eq!(Tally { sent: 300, used: 29 }.percent(), Some(9));
        assert_eq!(Tally::default().percent(), None);
    }
}
