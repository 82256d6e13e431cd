//! A cache of the identity provider's public keys, refreshed in the background.
//!
//! The keys are fetched at most once per [`PAUSE`], regardless of the tokens that arrive. Only a token with an unknown
//! key waits, for at most one fetch. While the provider is unavailable, the cached keys stay in use.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use super::TokenError;
use super::key_set::KeySet;
use super::provider::{KeysError, Provider};
use crate::traces::in_this_trace;

/// The minimum interval between two fetches.
const PAUSE: TimeDelta = TimeDelta::seconds(10);

/// The cached keys and the state of the fetch.
#[derive(Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    /// When the keys become stale.
    stale_at: Option<DateTime<Utc>>,
    /// When the last fetch started.
    fetched_at: Option<DateTime<Utc>>,
    /// Whether a fetch is running.
    fetching: bool,
    /// The error of the last fetch.
    failure: Option<Arc<KeysError>>,
}

impl State {
    fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.stale_at.is_some_and(|stale_at| now < stale_at)
    }

    /// The time until the next fetch is allowed. A clock that was set back does not prolong it.
    fn pause(&self, now: DateTime<Utc>) -> TimeDelta {
        let since = self.fetched_at.map_or(PAUSE, |fetched_at| (now - fetched_at).abs());
        (PAUSE - since).max(TimeDelta::zero())
    }
}

/// Seconds, rounded up, at least one.
fn whole_seconds(pause: TimeDelta) -> u64 {
    u64::try_from(pause.num_milliseconds()).unwrap_or(0).div_ceil(1000).max(1)
}

pub(super) struct JsonWebKeys {
    provider: Provider,
    state: watch::Sender<State>,
}

impl JsonWebKeys {
    pub(super) fn new(provider: Provider) -> Arc<Self> {
        Arc::new(Self { provider, state: watch::Sender::new(State::default()) })
    }

    /// The keys. If the cache has none with this id, they are fetched first.
    pub(super) async fn with_key(self: &Arc<Self>, id: &str, now: DateTime<Utc>) -> Result<Arc<KeySet>, TokenError> {
        if let Some(keys) = self.known().filter(|keys| keys.has(id)) {
            return Ok(keys);
        }
        self.fetch(now).await;
        let state = self.state.borrow();
        state.keys.clone().ok_or_else(|| TokenError::KeysUnavailable {
            retry_after: whole_seconds(state.pause(now)),
            source: state.failure.clone().unwrap_or_else(|| Arc::new(KeysError::Interrupted)),
        })
    }

    /// Fetches the keys if they are stale, or if there are none.
    pub(super) async fn refresh(self: &Arc<Self>, now: DateTime<Utc>) -> Result<(), Arc<KeysError>> {
        if !self.state.borrow().is_fresh(now) {
            self.fetch(now).await;
        }
        let state = self.state.borrow();
        match &state.failure {
            Some(failure) if !state.is_fresh(now) => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    /// Fetches the keys without the cache.
    pub(super) async fn fetch_uncached(&self) -> Result<KeySet, KeysError> {
        self.provider.keys_in_time().await.map(|(keys, _)| keys)
    }

    fn known(&self) -> Option<Arc<KeySet>> {
        self.state.borrow().keys.clone()
    }

    /// Starts a fetch, unless one was started within the pause, and waits for the running one. The fetch continues if
    /// the request that started it is cancelled.
    async fn fetch(self: &Arc<Self>, now: DateTime<Utc>) {
        let starts = self.state.send_if_modified(|state| {
            let starts = !state.fetching && state.pause(now).is_zero();
            if starts {
                (state.fetching, state.fetched_at, state.failure) = (true, Some(now), None);
            }
            starts
        });
        if starts {
            tokio::spawn(in_this_trace(Fetch(self.clone()).run(now)));
        }
        // The sender lives as long as `self`.
        let _ = self.state.subscribe().wait_for(|state| !state.fetching).await;
    }
}

/// A running fetch. Dropping it wakes the waiting requests, after a panic too.
struct Fetch(Arc<JsonWebKeys>);

impl Fetch {
    async fn run(self, now: DateTime<Utc>) {
        let JsonWebKeys { provider, state } = &*self.0;
        let answer = provider.keys_in_time().await;
        let outcome = answer.as_ref().map_or_else(KeysError::as_str, |_| "fetched");
        metrics::counter!("identity_provider_fetches_total", "outcome" => outcome).increment(1);
        match answer {
            Ok((keys, life)) => {
                let keys = Arc::new(keys);
                let known = state.borrow().keys.clone();
                log_skipped(&keys, known.as_deref());
                state.send_modify(|state| (state.keys, state.stale_at) = (Some(keys), Some(now + life)));
            }
            Err(error) => state.send_modify(|state| state.failure = Some(Arc::new(error))),
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.0.state.send_modify(|state| state.fetching = false);
    }
}

/// Logs the skipped keys by reason, if they changed since the last fetch.
fn log_skipped(keys: &KeySet, before: Option<&KeySet>) {
    if before.is_some_and(|before| before.skipped == keys.skipped) {
        return;
    }
    for (reason, members) in &keys.skipped {
        tracing::warn!(reason, members, "identity provider keys skipped");
    }
}
