//! The whole service in this process, on its own database, with a clock, randomness and an SMS outbox that the test
//! controls.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use chrono::TimeDelta;
use device_management::api::{self, App};
use device_management::app::{Surroundings, assemble};
use device_management::clock::Clock;
use device_management::config::{Config, Mode};
use device_management::domain::clients::{Caller, Permissions};
use device_management::domain::person::PartnerId;
use device_management::sms::SmsSender;
use device_management::store::{Store, connect};
use secrecy::ExposeSecret;

use super::outbox::Network;
use super::surroundings::{ManualClock, RepeatableEntropy};
use super::{Engine, Outbox, Start, TestClient, TestDatabase};

/// The service with the sandbox's settings, but with random codes as in production.
pub(crate) struct TestApp {
    pub(crate) app: App,
    pub(crate) database: TestDatabase,
    router: Router,
    clock: Arc<ManualClock>,
    outbox: Arc<Outbox>,
    replicas: AtomicU64,
}

impl Start for TestApp {
    async fn start(engine: Engine) -> Self {
        Self::with(engine, &[]).await
    }
}

impl TestApp {
    /// Starts the service with `settings` added to the usual ones; they win.
    pub(crate) async fn with(engine: Engine, settings: &[(&str, &str)]) -> Self {
        let database = TestDatabase::start(engine).await;
        Self::on(database, settings).await
    }

    /// Starts the service on a Postgres database that the test manages and has migrated.
    pub(crate) async fn at(url: &str, settings: &[(&str, &str)]) -> Self {
        Self::on(TestDatabase::Own { url: url.to_owned() }, settings).await
    }

    async fn on(database: TestDatabase, settings: &[(&str, &str)]) -> Self {
        let clock = Arc::new(ManualClock::new());
        let outbox = Arc::new(Outbox::default());
        let parts = (clock.clone() as _, RepeatableEntropy::of_replica(0), Some(outbox.clone() as _));
        let app = Self::assemble(database.url(), settings, parts).await;
        Self { router: api::router(app.clone()), app, database, clock, outbox, replicas: AtomicU64::new(1) }
    }

    /// Another replica: it shares the database, the clock and the outbox, and nothing else.
    pub(crate) async fn replica(&self, settings: &[(&str, &str)]) -> Router {
        api::router(self.another(settings).await)
    }

    /// The same, for a test that calls the service without HTTP.
    pub(crate) async fn another(&self, settings: &[(&str, &str)]) -> App {
        self.another_on(|store| store, settings).await
    }

    /// Another replica in the mode of production, with the usual settings otherwise.
    pub(crate) async fn production(&self, settings: &[(&str, &str)]) -> Router {
        api::router(self.another_in(Some(Mode::Production), |store| store, settings).await)
    }

    /// Another replica, whose store is replaced by the result of `store`.
    pub(super) async fn another_on(
        &self,
        store: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
        settings: &[(&str, &str)],
    ) -> App {
        self.another_in(None, store, settings).await
    }

    /// The same in this mode; with `None` in that of the settings.
    pub(super) async fn another_in(
        &self,
        mode: Option<Mode>,
        store: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>,
        settings: &[(&str, &str)],
    ) -> App {
        let entropy = RepeatableEntropy::of_replica(self.replicas.fetch_add(1, Ordering::Relaxed));
        let parts = (self.clock.clone() as _, entropy, Some(self.outbox.clone() as _));
        let (config, surroundings) = Self::gather(self.database.url(), settings, parts).await;
        let config = Config { mode: mode.unwrap_or(config.mode), ..config };
        let surroundings = Surroundings { store: store(surroundings.store), ..surroundings };
        assemble(&config, surroundings).expect("the parts fit together")
    }

    /// The service on the given clock, randomness and SMS sender.
    pub(super) async fn assemble(
        url: &str,
        settings: &[(&str, &str)],
        parts: (Arc<dyn Clock>, RepeatableEntropy, Option<Arc<dyn SmsSender>>),
    ) -> App {
        let (config, surroundings) = Self::gather(url, settings, parts).await;
        assemble(&config, surroundings).expect("the parts fit together")
    }

    async fn gather(
        url: &str,
        settings: &[(&str, &str)],
        (clock, entropy, sms): (Arc<dyn Clock>, RepeatableEntropy, Option<Arc<dyn SmsSender>>),
    ) -> (Config, Surroundings) {
        let usual = [("DATABASE_URL", url), ("SANDBOX_OTP", "random"), ("DATABASE_ACQUIRE_TIMEOUT_SECONDS", "30")];
        let environment: HashMap<&str, &str> = usual.into_iter().chain(settings.iter().copied()).collect();
        let config = Config::load(&environment.iter().collect(), None).expect("the test's settings are valid");
        let store = connect(&config.database).await.expect("the test's database is reachable");
        let sms = sms.filter(|_| !environment.contains_key("SMS_PROVIDERS"));
        (config, Surroundings { store, clock, entropy: Arc::new(entropy), sms })
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.app.service.store
    }

    /// Moves the clock.
    pub(crate) fn advance(&self, by: TimeDelta) {
        self.clock.advance(by);
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// Sets how the SMS network behaves from now on.
    pub(crate) fn network(&self, network: Network) {
        self.outbox.network(network);
    }

    /// A client of the partner that most tests use, with every permission.
    pub(crate) fn partner(&self) -> TestClient {
        self.client("acme", Permissions::all())
    }

    /// A client of a second partner, with every permission.
    pub(crate) fn other_partner(&self) -> TestClient {
        self.client("globex", Permissions::all())
    }

    /// A client with exactly these permissions.
    pub(crate) fn client(&self, partner: &str, permissions: Permissions) -> TestClient {
        let partner = PartnerId::parse(partner).expect("the test's partner id is valid");
        let caller = Caller { client_id: format!("client-of-{partner}"), partner, permissions };
        let token = self.app.tokens.own.issue(&caller, self.app.service.clock.now()).token;
        self.with_token(Some(token.expose_secret()))
    }

    /// A caller without a token.
    pub(crate) fn stranger(&self) -> TestClient {
        self.with_token(None)
    }

    /// A caller with this token.
    pub(crate) fn with_token(&self, token: Option<&str>) -> TestClient {
        TestClient { router: self.router.clone(), outbox: self.outbox.clone(), token: token.map(str::to_owned) }
    }
}

impl TestClient {
    /// The same client, sending its requests to another replica.
    pub(crate) fn through(&self, router: Router) -> Self {
        Self { router, ..self.clone() }
    }
}
