//! The number of commands that the coordinator sends to the workers for a request: the hot ones use the partner's worker
//! only, and no request uses two-phase commit.

use std::cell::Cell;

use chrono::TimeDelta;
use device_management::clock::SystemClock;
use device_management::domain::clients::Permissions;
use device_management::domain::person::{PartnerId, PersonId};
use device_management::entropy::SystemEntropy;
use device_management::service::{PersonErasure, Turn};
use secrecy::ExposeSecret;
use serde_json::json;

use super::partners;
use crate::harness::citus::CitusCluster;
use crate::harness::{Engine, Phone, SmsChallenge, Start, TestApp, TestDatabase, sql};
use crate::tokens::registry;

/// Background queries of Citus.
const OF_CITUS: [&str; 3] = ["pg_prepared_xacts", "dump_global_wait_edges", "dump_local_wait_edges"];

/// Commands to the partner's worker for each request and an erasure, with `begin` and `commit`. The clients are on each
/// node, so a token costs none.
const COMMANDS: [(&str, usize); 14] = [
    ("POST a binding", 10),
    ("GET a challenge", 1),
    ("PUT a wrong signature", 5),
    ("PUT a right signature", 7),
    ("POST a device challenge", 5),
    ("PUT a device challenge", 7),
    ("GET a device", 1),
    ("GET devices", 1),
    ("POST an SMS challenge", 9),
    ("PUT an SMS code", 6),
    ("GET a mobile number", 1),
    ("POST a token", 0),
    ("GET readiness", 0),
    ("erase a person", 29),
];

/// Counts the commands in the logs of the workers for one database.
struct Counter {
    cluster: &'static CitusCluster,
    database: String,
    before: Cell<[usize; 2]>,
}

impl Counter {
    async fn of(database: &TestDatabase) -> Self {
        let cluster = CitusCluster::shared().await.expect("the test checked that Citus is installed");
        let name = database.url().rsplit('/').next().expect("a name").to_owned();
        for worker in &cluster.workers {
            let statement = format!("alter database {name} set log_statement = 'all'");
            sql::execute(&worker.url("postgres"), &statement).await;
        }
        Self { cluster, database: name, before: Cell::new([0, 0]) }
    }

    /// The commands so far, on each worker.
    fn commands(&self) -> [Vec<String>; 2] {
        let starts = ["statement: ", "execute "].map(|kind| format!("{}|LOG:  {kind}", self.database));
        self.cluster.workers.each_ref().map(|worker| {
            let log = worker.log();
            let lines = log.lines().filter(|line| starts.iter().any(|start| line.starts_with(start)));
            lines.filter(|line| OF_CITUS.iter().all(|own| !line.contains(own))).map(str::to_owned).collect()
        })
    }

    /// The commands since the last call.
    fn new_commands(&self) -> [Vec<String>; 2] {
        let all = self.commands();
        let before = self.before.replace(all.each_ref().map(Vec::len));
        let mut rest = all.into_iter().zip(before).map(|(all, before)| all[before..].to_vec());
        [rest.next().expect("two workers"), rest.next().expect("two workers")]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_uses_the_worker_of_its_partner_only() {
    if !Engine::Citus.is_there_for("citus::commands::a_request_uses_the_worker_of_its_partner_only").await {
        return;
    }
    let database = TestDatabase::start(Engine::Citus).await;
    let counter = Counter::of(&database).await;
    let [partner, _] = partners(counter.cluster, database.url()).await;
    let settings = [("DATABASE_MAX_CONNECTIONS", "1"), ("SMS_LIMITS", "enforce")];
    let app = TestApp::at(database.url(), &settings).await;
    // In the sandbox, the diagnosis of a wrong answer reads more.
    let router = app.production(&settings).await;
    let stranger = app.stranger().through(router.clone());
    let acme = app.client(&partner, Permissions::all()).through(router);
    let partner = PartnerId::parse(&partner).unwrap();
    let client = registry(&app).create(partner.clone(), None, Permissions::all()).await.unwrap();
    let erasure = PersonErasure { store: app.store(), clock: &SystemClock, entropy: &SystemEntropy };

    // The first round opens the connections to the workers; only the second is counted.
    let mut counts = Vec::new();
    for (person, phone) in [("ada", Phone::new(1)), ("bob", Phone::new(2))] {
        acme.verified_person(person).await;
        app.advance(TimeDelta::minutes(2));
        counts.clear();
        counter.new_commands();
        let mut count = |what: &'static str| {
            let [own, others] = counter.new_commands();
            assert!(others.is_empty(), "{what} uses another worker: {others:#?}");
            assert!(
                own.iter().all(|it| !it.contains("PREPARE TRANSACTION")),
                "{what} needs two-phase commit: {own:#?}"
            );
            counts.push((what, own.len()));
        };
        let asked = acme.ask_for_device(person, &phone).await;
        count("POST a binding");
        let challenge = format!("/v1/mfa/challenges/signatures/{}", asked.id);
        acme.get(&challenge).await.assert_status(200);
        count("GET a challenge");
        acme.answer(&asked.id, &phone.sign("wrong")).await.assert_status(403);
        count("PUT a wrong signature");
        acme.answer(&asked.id, &phone.sign(&app.outbox().last().code())).await.assert_status(204);
        count("PUT a right signature");
        let opened = acme.challenge(&asked.id).await;
        count("POST a device challenge");
        acme.sign(&opened.id, &phone.sign(&opened.text)).await.assert_status(204);
        count("PUT a device challenge");
        acme.get(&format!("/v1/mfa/devices/{}", asked.id)).await.assert_status(200);
        count("GET a device");
        acme.get(&format!("/v1/mfa/devices?person_id={person}")).await.assert_status(200);
        count("GET devices");
        app.advance(TimeDelta::minutes(2));
        let SmsChallenge { id, code } = acme.sms_challenge(person).await;
        count("POST an SMS challenge");
        acme.type_code(&id, &code).await.assert_status(204);
        count("PUT an SMS code");
        acme.get(&format!("/v1/persons/{person}/mobile_number")).await.assert_status(200);
        count("GET a mobile number");
        let json = json!({
            "grant_type": "client_credentials",
            "client_id": client.client_id,
            "client_secret": client.secret.expose_secret(),
        });
        stranger.post("/oauth/token", json).await.assert_status(200);
        count("POST a token");
        acme.get("/readyz").await.assert_status(200);
        count("GET readiness");
        erasure.erase(&partner, &PersonId::parse(person).unwrap()).await.unwrap().expect("the person has rows");
        count("erase a person");
    }
    assert_eq!(counts, COMMANDS);
}

/// Background tasks ask every shard, 8 here, and a change of every worker is a two-phase commit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn background_tasks_cost_a_bounded_number_of_commands() {
    if !Engine::Citus.is_there_for("citus::commands::background_tasks_cost_a_bounded_number_of_commands").await {
        return;
    }
    let database = TestDatabase::start(Engine::Citus).await;
    let counter = Counter::of(&database).await;
    let app = TestApp::at(database.url(), &[("DATABASE_MAX_CONNECTIONS", "1")]).await;
    let service = &app.app.service;
    // The first round opens the connections to the workers.
    for round in 0..2 {
        app.partner().verified_person(&format!("person-{round}")).await;
        counter.new_commands();
        let check = |what: &str, at_most: usize| {
            let found = counter.new_commands().concat();
            assert!(round == 0 || found.len() <= at_most, "{what}: {} commands: {found:#?}", found.len());
        };
        service.seal_audit_trail().await.unwrap();
        check("sealing the events of one partner", 17);
        service.seal_audit_trail().await.unwrap();
        check("sealing when there is nothing to do", 8);
        app.advance(TimeDelta::minutes(6));
        assert_eq!(service.keep_house().await.unwrap(), Turn::Done);
        check("housekeeping when there is nothing to do", 226);
    }
}
