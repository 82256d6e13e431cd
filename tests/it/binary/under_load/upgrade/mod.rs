//! A rolling upgrade and the way back, under mixed load: the last release and this build serve one database while the
//! migrations of this build, and samples of the changes that CONTRIBUTING.md allows, are applied.
//!
//! Migrations run as the owner, the replicas with the documented grants. On SQLite one process at a time uses the file.

mod across;

use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use device_management::store::{DatabaseSettings, DatabaseUrl, migrate_with};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::caller::Caller;
use super::processes::Processes;
use super::sms_gateway::SmsGateway;
use super::{CALLERS, Load, consistency};
use crate::binary::{PATIENCE, run, sandbox_on};
use crate::grants::{AUDITOR, Granted, OWNER, SERVICE, grants};
use crate::harness::{
    Engine, PostgresServer, Program, ReleasedBuild, TestDatabase, can_start_servers_for, number_from_environment,
    released_build_for, sql,
};
use crate::migrations::samples;

/// Requests, answers and messages between two steps of an upgrade.
const EVENTS: u64 = 60;

/// A database at the schema of the last release, and the programs of both builds.
struct Upgrade {
    database: TestDatabase,
    /// On Postgres, the server with its roles.
    granted: Option<(PostgresServer, Granted)>,
    released: Option<ReleasedBuild>,
    gateway: Arc<SmsGateway>,
    /// The samples that have been applied.
    applied: Vec<&'static str>,
}

impl Upgrade {
    /// Without a released build, this build takes its place.
    async fn on(engine: Engine, released: Option<ReleasedBuild>) -> Self {
        let gateway = Arc::new(SmsGateway::start().await);
        let (database, granted) = if engine == Engine::Sqlite {
            (crate::migrations::empty(engine).await, None)
        } else {
            let granted = Granted::with_roles().await;
            (TestDatabase::Own { url: granted.1.0.clone() }, Some(granted))
        };
        let it = Self { database, granted, released, gateway, applied: Vec::new() };
        assert_eq!(run(&it.released(OWNER), &["migrate"]).0, 0);
        let released = it.released.as_ref().map(|build| std::fs::read_to_string(&build.grants).unwrap());
        it.grant(released.as_deref().unwrap_or(grants())).await;
        it
    }

    fn current(&self, role: &str) -> Program {
        let program = match &self.granted {
            Some((_, granted)) => granted.program(role),
            None => sandbox_on(&self.database).with("MIGRATE_ON_START", "false"),
        };
        self.gateway.used_by(program.with("SANDBOX_OTP", "random"))
    }

    fn released(&self, role: &str) -> Program {
        let program = self.current(role);
        self.released.as_ref().map_or(program.clone(), |build| program.of_build(&build.executable))
    }

    async fn grant(&self, statements: &str) {
        if let Some((_, granted)) = &self.granted {
            sql::execute(&granted.url_of(OWNER), statements).await;
        }
    }

    /// Starts replicas of the released build.
    async fn start(&self, replicas: usize) -> Arc<Processes> {
        let programs = (0..replicas).map(|_| self.released(SERVICE)).collect();
        Arc::new(Processes::start(programs, &self.database, &self.gateway).await)
    }

    /// Migrates with this build's executable, as an operator does.
    async fn migrate(&self) {
        let program = self.current(OWNER);
        assert_eq!(spawn_blocking(move || run(&program, &["migrate"]).0).await.unwrap(), 0);
        self.grant(grants()).await;
    }

    /// Applies one more migration.
    async fn apply(&mut self, sample: &'static str) {
        self.applied.push(sample);
        let url = self.granted.as_ref().map_or(self.database.url().to_owned(), |(_, granted)| granted.url_of(OWNER));
        let settings = DatabaseSettings::new(DatabaseUrl::parse(&url).unwrap());
        migrate_with(&samples::and_then(self.database.engine(), &self.applied), &settings).await.unwrap();
    }

    async fn expand(&mut self) {
        for sample in samples::expanding(self.database.engine()) {
            self.apply(sample).await;
        }
        self.grant(samples::GRANTS).await;
    }
}

/// The same under load: lets requests through between the steps.
struct Rollout {
    upgrade: Upgrade,
    processes: Arc<Processes>,
    load: Load,
    across: Caller,
    accounts: Vec<super::Acknowledged>,
    seed: u64,
    started: Instant,
}

impl Rollout {
    async fn start(upgrade: Upgrade, replicas: usize) -> Self {
        let (seed, started) = (number_from_environment("SEED", 1), Instant::now());
        let mut seeds = StdRng::seed_from_u64(seed);
        let processes = upgrade.start(replicas).await;
        let across = Caller::new(CALLERS, processes.clone(), upgrade.gateway.clone(), StdRng::seed_from_u64(seed));
        let load = Load::start(&processes, &upgrade.gateway, &mut seeds, true);
        let mut it = Self { upgrade, processes, load, across, accounts: Vec::new(), seed, started };
        it.some_requests().await;
        it
    }

    async fn some_requests(&mut self) {
        sql::execute(self.upgrade.database.url(), hold_housekeeping(self.upgrade.database.engine())).await;
        self.load.during(self.processes.events(EVENTS)).await;
    }

    async fn replace(&mut self, replica: usize, program: Program) {
        let replaced = async {
            self.processes.stop_one(replica).await;
            self.processes.start_one(replica, program).await;
        };
        self.load.during(replaced).await;
        self.some_requests().await;
    }

    async fn migrate(&mut self) {
        self.load.during(self.upgrade.migrate()).await;
        self.some_requests().await;
    }

    async fn apply(&mut self, sample: &'static str) {
        self.load.during(self.upgrade.apply(sample)).await;
        self.some_requests().await;
    }

    /// Sequences of requests that begin at one of two replicas and continue at the other.
    async fn go_across(&mut self) {
        for (here, there) in [(0, 1), (1, 0)] {
            let account = self.load.during(across::check(&mut self.across, here, there)).await;
            self.accounts.push(account);
        }
    }

    /// Stops everything and checks the database.
    async fn end(mut self) {
        let (accounts, figures) = self.load.stop().await;
        self.accounts.extend(accounts);
        self.processes.stop().await;
        for program in [self.upgrade.released(AUDITOR), self.upgrade.current(AUDITOR)] {
            consistency::assert_sealed(&program);
        }
        let messages = self.upgrade.gateway.messages();
        consistency::assert_right(&self.upgrade.database, &self.accounts, &messages).await;
        figures.assert_covered_with_reads_and_codes();
        assert_eq!(self.processes.unavailable(), 0, "no request is answered with 503 during an upgrade");
        let (engine, took) = (self.upgrade.database.engine(), self.started.elapsed());
        let (seed, persons) = (self.seed, self.accounts.len());
        let report =
            format!("{engine:?}: upgrade and back with SEED={seed}, {persons} persons, {figures}, {took:.1?}\n");
        std::io::stderr().write_all(report.as_bytes()).unwrap();
    }
}

/// Takes the lease of housekeeping, which deletes ended challenges after two minutes: the comparison with the audit trail
/// needs them.
fn hold_housekeeping(engine: Engine) -> &'static str {
    match engine {
        Engine::Sqlite => {
            "insert into housekeeping_lease (task, holder, held_until)
             values ('housekeeping', x'00000000000000000000000000000001'
                   , strftime('%Y-%m-%dT%H:%M:%S+00:00', 'now', '4 minutes'))
             on conflict (task) do update set holder = excluded.holder, held_until = excluded.held_until"
        }
        Engine::Postgres | Engine::Distributed | Engine::Citus => {
            "insert into housekeeping_lease (task, holder, held_until)
             values ('housekeeping', '00000000-0000-0000-0000-000000000001', now() + interval '4 minutes')
             on conflict (task) do update set holder = excluded.holder, held_until = excluded.held_until"
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_release_and_this_build_serve_one_database_during_an_upgrade_and_back() {
    const TEST: &str =
        "binary::under_load::upgrade::the_last_release_and_this_build_serve_one_database_during_an_upgrade_and_back";
    let Some(build) = released_build_for(TEST) else { return };
    if !can_start_servers_for(TEST) {
        return;
    }
    let upgrade = Upgrade::on(Engine::Postgres, Some(build)).await;
    let (released, current) = (upgrade.released(SERVICE), upgrade.current(SERVICE));
    let mut rollout = Rollout::start(upgrade, 2).await;
    rollout.migrate().await;
    rollout.replace(1, current.clone()).await;
    rollout.go_across().await;
    // What a later release may change.
    for sample in samples::expanding(Engine::Postgres) {
        rollout.apply(sample).await;
    }
    rollout.upgrade.grant(samples::GRANTS).await;
    rollout.go_across().await;
    rollout.replace(0, current.clone()).await;
    // Back.
    rollout.replace(1, released.clone()).await;
    rollout.go_across().await;
    rollout.replace(0, released).await;
    // Forward again; the release that used the columns is gone.
    for replica in 0..2 {
        rollout.replace(replica, current.clone()).await;
    }
    for sample in samples::contracting(Engine::Postgres) {
        rollout.apply(sample).await;
    }
    rollout.go_across().await;
    rollout.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn this_build_continues_on_a_sqlite_file_of_the_last_release_and_back() {
    const TEST: &str =
        "binary::under_load::upgrade::this_build_continues_on_a_sqlite_file_of_the_last_release_and_back";
    let Some(build) = released_build_for(TEST) else { return };
    let upgrade = Upgrade::on(Engine::Sqlite, Some(build)).await;
    let (released, current) = (upgrade.released(SERVICE), upgrade.current(SERVICE));
    let mut rollout = Rollout::start(upgrade, 1).await;
    rollout.load.during(rollout.processes.stop_one(0)).await;
    rollout.load.during(rollout.upgrade.migrate()).await;
    rollout.load.during(rollout.upgrade.expand()).await;
    rollout.load.during(rollout.processes.start_one(0, current.clone())).await;
    rollout.some_requests().await;
    rollout.replace(0, released).await;
    rollout.load.during(rollout.processes.stop_one(0)).await;
    for sample in samples::contracting(Engine::Sqlite) {
        rollout.load.during(rollout.upgrade.apply(sample)).await;
    }
    rollout.load.during(rollout.processes.start_one(0, current)).await;
    rollout.some_requests().await;
    rollout.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "waits until the load meets the fault: `bash .ci/run alone` runs it"]
async fn a_migration_that_breaks_the_running_version_is_noticed_in_an_upgrade() {
    if !can_start_servers_for(
        "binary::under_load::upgrade::a_migration_that_breaks_the_running_version_is_noticed_in_an_upgrade",
    ) {
        return;
    }
    for breaking in samples::BREAKING {
        let mut rollout = Rollout::start(Upgrade::on(Engine::Postgres, None).await, 2).await;
        rollout.upgrade.apply(breaking).await;
        let fault = timeout(2 * PATIENCE, rollout.load.fault()).await;
        let fault = fault.unwrap_or_else(|_| panic!("no client got a wrong answer after: {breaking}")).to_string();
        assert!([": 500", "got 500"].iter().any(|answer| fault.contains(answer)), "{breaking}: {fault}");
    }
}
