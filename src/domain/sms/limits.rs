//! Rate limits of SMS per number, person and partner (docs/api-design.md#limits).
//!
//! Numbers and persons have sliding windows with exact counts; a partner has a rate with a burst (GCRA). No I/O: the
//! store counts a message only if no other was counted since the limits were read (compare-and-set), so parallel
//! requests cannot exceed a limit.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};

/// A sliding window: at most `count` messages in any span of `length`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Window {
    count: usize,
    length: TimeDelta,
}

/// Several windows, all of which must have room. Format: `1/30s,5/10m,60/1h`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SmsWindows(Vec<Window>);

/// The longest window. Older messages are removed.
pub const WINDOW_MAX: TimeDelta = TimeDelta::days(1);

/// The largest count of a window. The store reads twice as many messages, so up to a thousand may have been taken back.
const COUNT_MAX: usize = 1000;

impl SmsWindows {
    /// The wait until all windows have room; `None` when they have room now.
    fn wait(&self, history: &SmsHistory, now: DateTime<Utc>) -> Option<TimeDelta> {
        self.0.iter().filter_map(|window| window.wait(history, now)).max()
    }
}

impl Window {
    fn wait(self, history: &SmsHistory, now: DateTime<Utc>) -> Option<TimeDelta> {
        // A message further in the future than the length of the window was counted by a wrong clock.
        let counted = history.sent.partition_point(|sent| *sent < now + self.length);
        // The message that has to leave the window before another fits.
        let nth_newest = counted.checked_sub(self.count)?;
        let leaves_at = history.sent[nth_newest] + self.length;
        (leaves_at > now).then(|| leaves_at - now)
    }
}

impl FromStr for SmsWindows {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Rust's integer parser accepts a leading plus sign.
        let text = Some(text).filter(|text| !text.contains('+')).unwrap_or_default();
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

/// A rate limit with a burst.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PartnerRate {
    /// Messages per second, on average.
    pub per_second: u32,
    /// Messages that may be sent immediately after a pause.
    pub burst: u32,
}

impl PartnerRate {
    /// The emission interval of this rate, in microseconds.
    fn interval(self) -> i64 {
        1_000_000 / i64::from(self.per_second.max(1))
    }

    fn horizon(self) -> i64 {
        self.interval() * i64::from(self.burst)
    }

    fn wait(self, ahead_to: i64, now: DateTime<Utc>) -> Option<TimeDelta> {
        let micros = now.timestamp_micros();
        if !(micros..too_far_ahead(self.horizon(), now)).contains(&ahead_to) {
            return None;
        }
        let over = ahead_to + self.interval() - micros - self.horizon();
        (over > 0 && ahead_to > micros).then(|| TimeDelta::microseconds(over))
    }
}

/// One message in the history of a number or a person.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SmsTurn {
    /// The sequence number of the message within that history, from 1.
    pub turn: i64,
    /// When it was sent, in microseconds since 1970. 0 when no provider accepted it.
    pub sent_at: i64,
}

/// The recent messages to a number or for a person.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SmsHistory {
    /// When each message was sent, oldest first.
    sent: Vec<DateTime<Utc>>,
    last: SmsTurn,
}

impl SmsHistory {
    /// From messages in any order. `None` when a `sent_at` is out of range.
    #[must_use]
    pub fn of(messages: &[SmsTurn]) -> Option<Self> {
        let taken = messages.iter().filter(|message| message.sent_at != 0);
        let sent = taken.map(|message| DateTime::from_timestamp_micros(message.sent_at));
        let mut sent = sent.collect::<Option<Vec<_>>>()?;
        sent.sort_unstable();
        let last = messages.iter().max_by_key(|message| message.turn).copied().unwrap_or_default();
        Some(Self { sent, last })
    }
}

/// The usage that counts against the limits of one message.
#[derive(Clone, Debug, Default)]
pub struct SmsUse {
    /// Messages to the number.
    pub number: SmsHistory,
    /// Messages for the person.
    pub person: SmsHistory,
    /// The partner's theoretical arrival time (GCRA), in microseconds since 1970.
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

/// The input of the write that counts a message. It is counted only if it is the first since the limits were read.
#[derive(Clone, Copy, Debug)]
pub struct SmsSpend {
    /// Now.
    pub at: DateTime<Utc>,
    /// The last message to the number when the limits were read; turn 0 when there was none.
    pub last_to_number: SmsTurn,
    /// The last message for the person when the limits were read; turn 0 when there was none.
    pub last_for_person: SmsTurn,
    /// The emission interval of the partner's rate, in microseconds.
    pub interval: i64,
    /// How far the partner's theoretical arrival time may lie in the future, in microseconds.
    pub horizon: i64,
}

impl SmsSpend {
    /// A theoretical arrival time from this instant on, in microseconds since 1970, was written by a wrong clock.
    #[must_use]
    pub fn too_far_ahead(&self) -> i64 {
        too_far_ahead(self.horizon, self.at)
    }
}

/// Twice the horizon: the second half allows for clock skew between replicas.
fn too_far_ahead(horizon: i64, now: DateTime<Utc>) -> i64 {
    now.timestamp_micros().saturating_add(horizon.saturating_mul(2))
}

/// A limit that was reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SmsLimitReached {
    /// `number`, `person` or `partner`.
    pub limit: &'static str,
    /// The wait until the limit has room.
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
    /// The limit with the longest wait, if any is reached.
    #[must_use]
    pub fn reached(&self, used: &SmsUse, now: DateTime<Utc>) -> Option<SmsLimitReached> {
        let number = ("number", self.per_number.wait(&used.number, now));
        let person = ("person", self.per_person.wait(&used.person, now));
        let partner = ("partner", self.per_partner.wait(used.partner_ahead_to, now));
        let reached = [number, person, partner].into_iter().filter_map(|(limit, wait)| Some((limit, wait?)));
        reached.max_by_key(|(_, wait)| *wait).map(|(limit, wait)| SmsLimitReached { limit, wait })
    }

    /// The input of the write that counts a message.
    #[must_use]
    pub fn spend(&self, used: &SmsUse, now: DateTime<Utc>) -> SmsSpend {
        SmsSpend {
            at: now,
            last_to_number: used.number.last,
            last_for_person: used.person.last,
            interval: self.per_partner.interval(),
            horizon: self.per_partner.horizon(),
        }
    }
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
        let sent_at = |ago: &i64| (now() - TimeDelta::seconds(*ago)).timestamp_micros();
        let messages: Vec<_> =
            (1..).zip(seconds_ago).map(|(turn, ago)| SmsTurn { turn, sent_at: sent_at(ago) }).collect();
        SmsHistory::of(&messages).unwrap()
    }

    #[test]
    fn a_message_that_no_provider_accepted_keeps_its_sequence_number_and_is_not_counted() {
        let taken_back = SmsTurn { turn: 2, sent_at: 0 };
        let history = SmsHistory::of(&[taken_back, SmsTurn { turn: 1, sent_at: now().timestamp_micros() }]).unwrap();
        assert_eq!(history.last, taken_back);
        assert_eq!(windows("2/30s").wait(&history, now()), None);
        assert_eq!(windows("1/30s").wait(&history, now()), Some(TimeDelta::seconds(30)));
    }

    #[test]
    fn a_window_has_room_until_its_count_is_reached() {
        let limits = windows("1/30s,3/10m");
        assert_eq!(limits.wait(&history(&[]), now()), None);
        assert_eq!(limits.wait(&history(&[30]), now()), None);
        assert_eq!(limits.wait(&history(&[29]), now()), Some(TimeDelta::seconds(1)));
        assert_eq!(limits.wait(&history(&[599, 300, 31]), now()), Some(TimeDelta::seconds(1)));
        assert_eq!(limits.wait(&history(&[600, 300, 31]), now()), None);
        // The longest wait of all windows decides.
        assert_eq!(limits.wait(&history(&[400, 300, 10]), now()), Some(TimeDelta::seconds(200)));
    }

    #[test]
    fn a_message_counted_far_in_the_future_by_a_wrong_clock_blocks_no_other() {
        let limits = windows("1/30s,3/10m");
        assert_eq!(limits.wait(&history(&[-30]), now()), None);
        assert_eq!(limits.wait(&history(&[-29]), now()), Some(TimeDelta::seconds(59)));
        assert_eq!(limits.wait(&history(&[31, -31, -600]), now()), None);
    }

    #[test]
    fn a_partner_may_send_a_burst_and_then_sends_at_its_rate() {
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
    fn an_arrival_time_far_in_the_future_from_a_wrong_clock_does_not_block_the_partner() {
        let rate = PartnerRate { per_second: 10, burst: 3 };
        let ahead_by = |millis| (now() + TimeDelta::milliseconds(millis)).timestamp_micros();
        assert_eq!(rate.wait(ahead_by(599), now()), Some(TimeDelta::milliseconds(399)));
        assert_eq!(rate.wait(ahead_by(600), now()), None);
    }

    #[test]
    fn windows_are_parsed_from_counts_and_lengths() {
        for wrong in [
            "", "1", "0/30s", "1/30", "1/0s", "1/25h", "1001/1h", "1/30d", "1/-5s", "+1/30s", "1/+30s", "a/1s", "1/1s,",
        ] {
            assert!(wrong.parse::<SmsWindows>().is_err(), "{wrong}");
        }
        let [short, long] = windows("1/90s, 2/24h").0[..] else { panic!("two windows") };
        assert_eq!((short.count, short.length), (1, TimeDelta::seconds(90)));
        assert_eq!((long.count, long.length), (2, TimeDelta::hours(24)));
    }
}
