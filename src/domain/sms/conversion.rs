//! SMS conversion, the share of sent codes that are used, per partner and country: the rule against SMS pumping.
//!
//! A fraudster who earns from SMS traffic requests codes that are never entered. So the service stops sending where
//! conversion is too low. A code counts in the minute in which it was sent, and a minute is evaluated only when all its
//! codes have expired, so a burst of legitimate requests does not lower the conversion.

use std::ops::Range;

use chrono::{DateTime, DurationRound, TimeDelta, Utc};

use crate::domain::numbers::country::Country;
use crate::domain::person::PartnerId;

const MINUTE: TimeDelta = TimeDelta::minutes(1);

/// Allowance for replicas to write the use of a code to the database after the code has expired.
const SETTLING: TimeDelta = TimeDelta::minutes(1);

/// One partner's traffic to one country. Partners are evaluated separately.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Destination {
    /// The partner.
    pub partner: PartnerId,
    /// The country of the numbers.
    pub country: Country,
}

/// Sent and used codes of a destination.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Messages that a provider accepted, or may have accepted.
    pub sent: i64,
    /// Codes among them that were used in a right answer.
    pub used: i64,
}

impl Tally {
    /// The sum of both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { sent: self.sent + other.sent, used: self.used + other.used }
    }

    /// The conversion in percent, rounded down. `None` when none was sent.
    #[must_use]
    pub fn percent(self) -> Option<i64> {
        (self.used * 100).checked_div(self.sent)
    }
}

/// The operator's rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConversionRule {
    /// The time over which codes are counted.
    pub window: TimeDelta,
    /// With fewer codes than this, sending never stops.
    pub min_sent: i64,
    /// The minimum conversion in percent. 0 disables the rule.
    pub min_percent: i64,
}

impl ConversionRule {
    /// The starts of the minutes that are evaluated now.
    #[must_use]
    pub fn judged(&self, now: DateTime<Utc>, code_life: TimeDelta) -> Range<DateTime<Utc>> {
        let until = minute_of(now - code_life - SETTLING);
        until - self.window..until
    }

    /// Whether the conversion is too low.
    #[must_use]
    pub fn condemns(&self, tally: Tally) -> bool {
        tally.sent >= self.min_sent && tally.used * 100 < tally.sent * self.min_percent
    }

    /// When this minute leaves the evaluated window.
    #[must_use]
    pub fn forgotten_at(&self, minute: DateTime<Utc>, code_life: TimeDelta) -> DateTime<Utc> {
        minute + MINUTE + code_life + SETTLING + self.window
    }
}

/// The start of the minute of an instant.
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
    fn a_minute_is_evaluated_once_all_its_codes_have_expired_and_settled() {
        let life = TimeDelta::minutes(5);
        let minute = at("2022-03-18T14:50:00Z");
        // A code of its last microsecond expires at 14:55:59.999999.
        let (before, after) = (at("2022-03-18T14:56:59.999999Z"), at("2022-03-18T14:57:00Z"));
        assert!(!RULE.judged(before, life).contains(&minute));
        assert!(RULE.judged(after, life).contains(&minute));
    }

    #[test]
    fn a_minute_is_no_longer_evaluated_after_the_window() {
        let life = TimeDelta::minutes(5);
        let minute = at("2022-03-18T14:50:00Z");
        let end = RULE.forgotten_at(minute, life);
        assert_eq!(end, at("2022-03-18T15:57:00Z"));
        assert!(RULE.judged(end - TimeDelta::microseconds(1), life).contains(&minute));
        assert!(!RULE.judged(end, life).contains(&minute));
    }

    #[test]
    fn sending_stops_only_with_enough_codes_and_too_low_a_conversion() {
        let condemned = |sent, used| RULE.condemns(Tally { sent, used });
        assert!(condemned(100, 0) && condemned(100, 9) && condemned(1000, 99));
        assert!(!condemned(99, 0) && !condemned(100, 10) && !condemned(1000, 100) && !condemned(0, 0));
        assert!(!ConversionRule { min_percent: 0, ..RULE }.condemns(Tally { sent: 1000, used: 0 }));
    }

    #[test]
    fn conversion_is_rounded_down_to_whole_percent() {
        assert_eq!(Tally { sent: 300, used: 29 }.percent(), Some(9));
        assert_eq!(Tally::default().percent(), None);
    }
}
