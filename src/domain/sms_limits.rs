//! How many codes may be sent to a number, for a person and by a partner (contract section 7).
//!
//! Pure arithmetic over what was sent of late. Numbers and persons have windows, counted exactly; a partner has a rate with
//! a burst. Whoever sends writes the history back only if nobody has sent in between, so no limit can be passed by
//! sending in parallel.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

use super::mobile_number::MobileNumber;
use super::person::PersonId;

/// At most so many within any span of such a length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Window {
    count: usize,
    length: TimeDelta,
}

/// Several windows, all of which must have room. Written `1/30s,5/10m,60/1h`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SmsWindows(Vec<Window>);

/// The longest window: what is older is forgotten.
pub const WINDOW_MAX: TimeDelta = TimeDelta::days(1);

/// The largest count of a window: a history is kept in one row.
const COUNT_MAX: usize = 1000;

impl SmsWindows {
    /// For how long to wait until all windows have room; `None` when they have it now.
    fn wait(&self, history: &SmsHistory, now: DateTime<Utc>) -> Option<TimeDelta> {
        self.0.iter().filter_map(|window| window.wait(history, now)).max()
    }

    fn longest(&self) -> TimeDelta {
        self.0.iter().map(|window| window.length).max().unwrap_or_default()
    }
}

impl Window {
    fn wait(self, history: &SmsHistory, now: DateTime<Utc>) -> Option<TimeDelta> {
        // The one that has to leave the window before another fits in.
        let nth_newest = history.sent.len().checked_sub(self.count)?;
        let leaves_at = history.sent[nth_newest] + self.length;
        (leaves_at > now).then(|| leaves_at - now)
    }
}

impl FromStr for SmsWindows {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let windows = text.split(',').map(|word| window(word.trim())).collect::<Option<Vec<_>>>();
        windows.map(Self).ok_or("must look like 1/30s,5/10m,60/1h: counts from 1 to 1000 in up to 24h")
    }
}

fn window(text: &str) -> Option<Window> {
    let (count, length) = text.split_once('/')?;
    let count = count.parse().ok().filter(|count| (1..=COUNT_MAX).contains(count))?;
    let unit = length.chars().last()?;
    let number: i64 = length.strip_suffix(unit)?.parse().ok()?;
    let seconds = number.checked_mul(match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return None,
    })?;
    let length =
        TimeDelta::try_seconds(seconds).filter(|length| (TimeDelta::seconds(1)..=WINDOW_MAX).contains(length))?;
    Some(Window { count, length })
}

/// A rate with room for a burst.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartnerRate {
    /// Messages per second, in the long run.
    pub per_second: u32,
    /// Messages at once, after a rest.
    pub burst: u32,
}

impl PartnerRate {
    /// The time that one message takes at this rate, in microseconds.
    fn interval(self) -> i64 {
        1_000_000 / i64::from(self.per_second.max(1))
    }

    fn horizon(self) -> i64 {
        self.interval() * i64::from(self.burst)
    }

    fn wait(self, ahead_to: i64, now: DateTime<Utc>) -> Option<TimeDelta> {
        let over = ahead_to + self.interval() - now.timestamp_micros() - self.horizon();
        (over > 0 && ahead_to > now.timestamp_micros()).then(|| TimeDelta::microseconds(over))
    }
}

/// When something was sent to a number or for a person.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SmsHistory {
    version: i64,
    sent: Vec<DateTime<Utc>>,
}

impl SmsHistory {
    /// Takes back what [`Self::to_text`] gave to the database. `None` when it cannot be read.
    #[must_use]
    pub fn from_stored(version: i64, text: &str) -> Option<Self> {
        let instants = text.split(',').filter(|word| !word.is_empty());
        let sent = instants.map(|word| DateTime::from_timestamp_micros(word.parse().ok()?)).collect::<Option<_>>()?;
        Some(Self { version, sent })
    }

    /// The instants in microseconds since 1970, oldest first.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.sent.iter().map(|at| at.timestamp_micros().to_string()).collect::<Vec<_>>().join(",")
    }

    /// Counts how often the row was written; 0 when there is none.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The same text without the newest instant.
    #[must_use]
    pub fn without_newest(&self) -> String {
        let mut before = self.clone();
        before.sent.pop();
        before.to_text()
    }

    fn with_another(&self, now: DateTime<Utc>, windows: &SmsWindows) -> Self {
        let oldest = now - windows.longest();
        let sent = self.sent.iter().copied().filter(|at| *at > oldest).chain([now]).collect();
        Self { version: self.version + 1, sent }
    }
}

/// What was sent so far, as far as a message to one number for one person by one partner is concerned.
#[derive(Clone, Debug, Default)]
pub struct SmsUse {
    /// To the number.
    pub number: SmsHistory,
    /// For the person.
    pub person: SmsHistory,
    /// How far ahead of its rate the partner is, in microseconds since 1970.
    pub partner_ahead_to: i64,
}

/// The limits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SmsLimits {
    /// Per number.
    pub per_number: SmsWindows,
    /// Per person, whatever their number.
    pub per_person: SmsWindows,
    /// Per partner.
    pub per_partner: PartnerRate,
}

/// What has to be written back for a message that is sent. It has no effect when anybody else has sent since it was read.
#[derive(Clone, Debug)]
pub struct SmsSpend {
    /// Now.
    pub at: DateTime<Utc>,
    /// The number's history with this message, under [`number_subject`].
    pub number: (String, SmsHistory),
    /// The person's, under [`person_subject`].
    pub person: (String, SmsHistory),
    /// The time that the message takes at the partner's rate, in microseconds.
    pub interval: i64,
    /// How far ahead of its rate the partner may be, in microseconds.
    pub horizon: i64,
}

/// A limit that is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SmsLimitReached {
    /// `number`, `person` or `partner`.
    pub limit: &'static str,
    /// For how long to wait.
    pub wait: TimeDelta,
}

impl SmsLimitReached {
    /// The wait in seconds, rounded up, at least one.
    #[must_use]
    pub fn retry_after_seconds(&self) -> u64 {
        u64::try_from(self.wait.num_milliseconds().max(1)).unwrap_or(1).div_ceil(1000)
    }
}

impl SmsLimits {
    /// The limit that keeps a message from being sent now.
    #[must_use]
    pub fn reached(&self, used: &SmsUse, now: DateTime<Utc>) -> Option<SmsLimitReached> {
        let number = ("number", self.per_number.wait(&used.number, now));
        let person = ("person", self.per_person.wait(&used.person, now));
        let partner = ("partner", self.per_partner.wait(used.partner_ahead_to, now));
        let reached = [number, person, partner].into_iter().filter_map(|(limit, wait)| Some((limit, wait?)));
        reached.max_by_key(|(_, wait)| *wait).map(|(limit, wait)| SmsLimitReached { limit, wait })
    }

    /// What a message costs.
    #[must_use]
    pub fn spend(&self, used: &SmsUse, number: &MobileNumber, person: &PersonId, now: DateTime<Utc>) -> SmsSpend {
        SmsSpend {
            at: now,
            number: (number_subject(number), used.number.with_another(now, &self.per_number)),
            person: (person_subject(person), used.person.with_another(now, &self.per_person)),
            interval: self.per_partner.interval(),
            horizon: self.per_partner.horizon(),
        }
    }
}

/// The name of a number's history.
#[must_use]
pub fn number_subject(number: &MobileNumber) -> String {
    number.as_e164().to_owned()
}

/// The name of a person's history. No number begins like it.
#[must_use]
pub fn person_subject(person: &PersonId) -> String {
    format!("person:{person}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000, 0).unwrap()
    }

    fn windows(text: &str) -> SmsWindows {
        text.parse().unwrap()
    }

    fn history(seconds_ago: &[i64]) -> SmsHistory {
        let sent = seconds_ago.iter().map(|ago| now() - TimeDelta::seconds(*ago)).collect();
        SmsHistory { version: 1, sent }
    }

    #[test]
    fn a_window_has_room_until_its_count_is_reached() {
        let limits = windows("1/30s,3/10m");
        assert_eq!(limits.wait(&history(&[]), now()), None);
        assert_eq!(limits.wait(&history(&[30]), now()), None);
        assert_eq!(limits.wait(&history(&[29]), now()), Some(TimeDelta::seconds(1)));
        assert_eq!(limits.wait(&history(&[599, 300, 31]), now()), Some(TimeDelta::seconds(1)));
        assert_eq!(limits.wait(&history(&[600, 300, 31]), now()), None);
        // The longest wait of all windows.
        assert_eq!(limits.wait(&history(&[400, 300, 10]), now()), Some(TimeDelta::seconds(200)));
    }

    #[test]
    fn a_history_reads_back_and_forgets_what_no_window_reaches() {
        let grown = history(&[700, 500]).with_another(now(), &windows("5/10m"));
        assert_eq!((grown.version, grown.sent.len()), (2, 2));
        assert_eq!(SmsHistory::from_stored(2, &grown.to_text()), Some(grown));
        assert_eq!(SmsHistory::from_stored(0, ""), Some(SmsHistory::default()));
        assert_eq!(SmsHistory::from_stored(1, "yesterday"), None);
    }

    #[test]
    fn a_partner_may_burst_and_then_goes_on_at_its_rate() {
        let rate = PartnerRate { per_second: 10, burst: 3 };
        let mut ahead_to = 0;
        let mut sent_within = |at: DateTime<Utc>| {
            let mut sent = 0;
            while rate.wait(ahead_to, at).is_none() {
                ahead_to = ahead_to.max(at.timestamp_micros()) + rate.interval();
                sent += 1;
            }
            sent
        };
        assert_eq!(sent_within(now()), 3);
        assert_eq!(sent_within(now() + TimeDelta::milliseconds(99)), 0);
        assert_eq!(sent_within(now() + TimeDelta::milliseconds(100)), 1);
        assert_eq!(sent_within(now() + TimeDelta::seconds(60)), 3);
    }

    #[test]
    fn windows_are_read_as_they_are_written() {
        for wrong in ["", "1", "0/30s", "1/30", "1/0s", "1/25h", "1001/1h", "1/30d", "1/-5s", "a/1s", "1/1s,"] {
            assert!(wrong.parse::<SmsWindows>().is_err(), "{wrong}");
        }
        assert_eq!(windows("1/90s, 2/24h").longest(), TimeDelta::hours(24));
    }
}
