//! The circuit breaker against SMS pumping: stops sending to a country while the conversion is too low.
//!
//! Requests count in memory. A background task adds the counts to the database and reads back where sending is stopped,
//! so all replicas decide from the same sums, a few seconds late. A killed process loses the counts since the last run,
//! of sent and used codes alike, so the conversion hardly changes. See `docs/decisions/0018-conversion-breaker.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::clock::Clock;
use crate::domain::audit::{AuditAction, OPERATOR};
use crate::domain::numbers::MobileNumber;
use crate::domain::numbers::country::Country;
use crate::domain::person::PartnerId;
use crate::domain::sms::conversion::{Destination, Tally, minute_of};
use crate::domain::sms::enforcement::Enforcement;
use crate::entropy::Entropy;
use crate::service::audit::scope::event;
use crate::service::{Failure, Policy, Refusal, Service};
use crate::store::{ConversionSum, SentMinute, Store};

/// The interval of the background task.
pub const SETTLING_INTERVAL: Duration = Duration::from_secs(5);

/// The least `Retry-After` of a refusal, in seconds.
const RETRY_AFTER_MIN: u64 = 60;

/// The counts that this process has not settled yet, and the destinations where sending is stopped as of the last run.
#[derive(Default)]
pub struct Conversion {
    counted: Mutex<BTreeMap<SentMinute, Tally>>,
    /// With the latest time at which sending resumes.
    stopped: Mutex<BTreeMap<Destination, DateTime<Utc>>>,
}

impl Conversion {
    fn count(&self, sent: SentMinute, tally: Tally) {
        let mut counted = lock(&self.counted);
        let before = counted.entry(sent).or_default();
        *before = before.and(tally);
    }

    fn take(&self) -> Vec<(SentMinute, Tally)> {
        std::mem::take(&mut *lock(&self.counted)).into_iter().collect()
    }

    fn stopped_until(&self, destination: &Destination) -> Option<DateTime<Utc>> {
        lock(&self.stopped).get(destination).copied()
    }

    /// Replaces the stopped destinations, and logs the changes.
    fn stop(&self, now_stopped: BTreeMap<Destination, DateTime<Utc>>) {
        let mut stopped = lock(&self.stopped);
        for Destination { partner, country } in now_stopped.keys().filter(|place| !stopped.contains_key(place)) {
            tracing::warn!(%partner, %country, "SMS sending stopped, conversion is too low");
        }
        for Destination { partner, country } in stopped.keys().filter(|place| !now_stopped.contains_key(place)) {
            tracing::info!(%partner, %country, "SMS sending resumed");
        }
        let countries: BTreeSet<Country> =
            stopped.keys().chain(now_stopped.keys()).map(|destination| destination.country).collect();
        for country in countries {
            let partners = now_stopped.keys().filter(|destination| destination.country == country).count();
            let partners = f64::from(u32::try_from(partners).unwrap_or(u32::MAX));
            metrics::gauge!("sms_conversion_open", "country" => country.to_string()).set(partners);
        }
        *stopped = now_stopped;
    }
}

/// Ignores poisoning: no code panics while it holds a lock here, and updates replace whole values.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service {
    /// Refuses codes for this number while sending to its country is stopped.
    pub(in crate::service) fn admit_by_conversion(
        &self,
        partner: &PartnerId,
        number: &MobileNumber,
    ) -> Result<(), Refusal> {
        if !self.policy.watches_conversion() {
            return Ok(());
        }
        let destination = Destination { partner: partner.clone(), country: number.country() };
        let Some(until) = self.conversion.stopped_until(&destination) else { return Ok(()) };
        if !self.refuses_sms("conversion") {
            return Ok(());
        }
        let wait = u64::try_from((until - self.clock.now()).num_milliseconds()).unwrap_or(0).div_ceil(1000);
        Err(Refusal::SendingStopped { retry_after: wait.max(RETRY_AFTER_MIN) })
    }

    /// Counts a code that a provider accepted.
    pub(in crate::service) fn count_sent(&self, partner: &PartnerId, number: &MobileNumber, sent_at: DateTime<Utc>) {
        self.count(partner, number, sent_at, Tally { sent: 1, used: 0 });
    }

    /// Counts a used code, in the minute in which it was sent.
    pub(in crate::service) fn count_used(&self, partner: &PartnerId, number: &MobileNumber, sent_at: DateTime<Utc>) {
        self.count(partner, number, sent_at, Tally { sent: 0, used: 1 });
    }

    fn count(&self, partner: &PartnerId, number: &MobileNumber, sent_at: DateTime<Utc>, tally: Tally) {
        if self.policy.watches_conversion() {
            let destination = Destination { partner: partner.clone(), country: number.country() };
            self.conversion.count(SentMinute { destination, minute: minute_of(sent_at) }, tally);
        }
    }

    /// Adds the counts to the database, and reads where sending is stopped.
    pub async fn settle_conversion(&self) -> Result<(), Failure> {
        if !self.policy.watches_conversion() {
            return Ok(());
        }
        let counts = self.conversion.take();
        if !counts.is_empty()
            && let Err(error) = self.store.add_sms_conversion(&counts).await
        {
            // If the commit succeeded after all, sent and used codes are both counted twice.
            for (sent, tally) in counts {
                self.conversion.count(sent, tally);
            }
            return Err(error.into());
        }
        let book =
            ConversionBook { store: &*self.store, clock: &*self.clock, entropy: &*self.entropy, policy: &self.policy };
        let stopped = book.entries().await?.into_iter().filter(|entry| entry.stopped);
        let until =
            |sum: &ConversionSum| self.policy.sms_conversion.forgotten_at(sum.last_minute, self.policy.challenge_life);
        self.conversion.stop(stopped.map(|entry| (entry.sum.destination.clone(), until(&entry.sum))).collect());
        Ok(())
    }
}

impl Policy {
    fn watches_conversion(&self) -> bool {
        self.sms_enforcement != Enforcement::Off && self.sms_conversion.min_percent > 0
    }
}

/// Conversion for the operator's command line: shows the counts and resumes sending.
pub struct ConversionBook<'a> {
    /// The store.
    pub store: &'a dyn Store,
    /// The time.
    pub clock: &'a dyn Clock,
    /// Randomness for ids.
    pub entropy: &'a dyn Entropy,
    /// The rules.
    pub policy: &'a Policy,
}

/// One partner's traffic to one country.
#[derive(Clone, Debug)]
pub struct ConversionEntry {
    /// Codes of the minutes that are evaluated now.
    pub sum: ConversionSum,
    /// Whether sending is stopped.
    pub stopped: bool,
}

impl ConversionBook<'_> {
    /// All destinations with recent codes.
    pub async fn entries(&self) -> Result<Vec<ConversionEntry>, Failure> {
        let rule = self.policy.sms_conversion;
        let now = self.clock.now();
        let sums = self.store.sms_conversion(rule.judged(now, self.policy.challenge_life), now).await?;
        let watched = self.policy.watches_conversion();
        Ok(sums.into_iter().map(|sum| ConversionEntry { stopped: watched && rule.condemns(sum.tally), sum }).collect())
    }

    /// Resumes sending: codes that were sent before now are no longer counted.
    pub async fn resume(&self, destination: &Destination) -> Result<(), Failure> {
        let now = self.clock.now();
        let mut resumption = event(OPERATOR, AuditAction::SmsResumed, now, self.entropy.bytes());
        resumption.country = Some(destination.country);
        Ok(self.store.reset_sms_conversion(destination, now, &resumption.into()).await?)
    }
}
