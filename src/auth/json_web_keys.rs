//! The identity provider's public keys: asked for in the background, kept, and served while they are asked for anew.
//!
//! The provider is asked at most once per [`PAUSE`], whatever tokens arrive. Only a token whose key is unknown waits, for
//! at most one such asking. While the provider is away the keys that are known go on working.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use super::TokenError;
use super::key_set::KeySet;
use super::provider::{KeysError, Provider};

/// How long the provider is left alone after it was asked.
const PAUSE: TimeDelta = TimeDelta::seconds(10);
/// How long one asking may take, the provider's description included.
const DEADLINE: Duration = Duration::from_secs(3);

/// What is known of the keys.
#[derive(Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    /// When the keys should be asked for again.
    stale_at: Option<DateTime<Utc>>,
    /// When the provider was last asked.
    asked_at: Option<DateTime<Utc>>,
    /// Whether it is being asked now.
    asking: bool,
    /// Why the last asking brought no keys.
    failure: Option<Arc<KeysError>>,
}

impl State {
    fn is_fresh(&self, now: DateTime<Utc>) -> bool {
        self.stale_at.is_some_and(|stale_at| now < stale_at)
    }

    /// How long the provider is still left alone. A clock that was set back does not prolong it.
    fn pause(&self, now: DateTime<Utc>) -> TimeDelta {
        let since = self.asked_at.map_or(PAUSE, |asked_at| (now - asked_at).abs());
        (PAUSE - since).max(TimeDelta::zero())
    }
}

/// So many seconds, rounded up, and at least one.
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

    /// The keys, among which there is one with this id unless the provider has none.
    pub(super) async fn with_key(self: &Arc<Self>, id: &str, now: DateTime<Utc>) -> Result<Arc<KeySet>, TokenError> {
        if let Some(keys) = self.known().filter(|keys| keys.has(id)) {
            return Ok(keys);
        }
        self.ask(now).await;
        let state = self.state.borrow();
        state.keys.clone().ok_or_else(|| TokenError::KeysUnavailable {
            retry_after: whole_seconds(state.pause(now)),
            source: state.failure.clone().unwrap_or_else(|| Arc::new(KeysError::Interrupted)),
        })
    }

    /// Asks for the keys if they are stale, or if there are none.
    pub(super) async fn refresh(self: &Arc<Self>, now: DateTime<Utc>) -> Result<(), Arc<KeysError>> {
        if !self.state.borrow().is_fresh(now) {
            self.ask(now).await;
        }
        let state = self.state.borrow();
        match &state.failure {
            Some(failure) if !state.is_fresh(now) => Err(failure.clone()),
            _ => Ok(()),
        }
    }

    fn known(&self) -> Option<Arc<KeySet>> {
        self.state.borrow().keys.clone()
    }

    /// Has the provider asked, unless that was done within the pause, and waits while it is being asked. The asking goes
    /// on without the request that began it.
    async fn ask(self: &Arc<Self>, now: DateTime<Utc>) {
        let begins = self.state.send_if_modified(|state| {
            let begins = !state.asking && state.pause(now).is_zero();
            if begins {
                (state.asking, state.asked_at, state.failure) = (true, Some(now), None);
            }
            begins
        });
        if begins {
            tokio::spawn(Asking(self.clone()).run(now));
        }
        // The sender lives as long as `self`.
        let _ = self.state.subscribe().wait_for(|state| !state.asking).await;
    }
}

/// The provider is being asked. However that ends, those who wait for it wait no longer.
struct Asking(Arc<JsonWebKeys>);

impl Asking {
    async fn run(self, now: DateTime<Utc>) {
        let JsonWebKeys { provider, state } = &*self.0;
        let answer = tokio::time::timeout(DEADLINE, provider.keys()).await.unwrap_or(Err(KeysError::Timeout));
        let outcome = answer.as_ref().map_or_else(KeysError::as_str, |_| "fetched");
        metrics::counter!("identity_provider_fetches_total", "outcome" => outcome).increment(1);
        match answer {
            Ok((keys, life)) => {
                let keys = Arc::new(keys);
                let known = state.borrow().keys.clone();
                tell_skipped(&keys, known.as_deref());
                state.send_modify(|state| (state.keys, state.stale_at) = (Some(keys), Some(now + life)));
            }
            Err(error) => state.send_modify(|state| state.failure = Some(Arc::new(error))),
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.state.send_modify(|state| state.asking = false);
    }
}

/// Says which members cannot be used, when that is not what it was before.
fn tell_skipped(keys: &KeySet, before: Option<&KeySet>) {
    if before.is_some_and(|before| before.skipped == keys.skipped) {
        return;
    }
    for (reason, members) in &keys.skipped {
        tracing::warn!(reason, members, "members of the identity provider's key set are skipped");
    }
}
