//! PgBouncer in transaction mode between the service and Postgres: each transaction may run on another backend, so none
//! may depend on session state.

use std::sync::Arc;

use device_management::store::{DatabaseSettings, DatabaseUrl, StoreError, connect, migrate};
use serde_json::json;

use crate::harness::pgbouncer::PgBouncer;
use crate::harness::{Engine, Phone, Start, TestApp, TestClient, TestDatabase, books, sql};

/// Pairs of persons that share three connections to the server.
const PAIRS: u32 = 20;

/// Sets the service's own statement timeout as the default of the database.
const LIMIT_OF_THE_DATABASE: &str = "
    do $$ begin
        execute format('alter database %I set statement_timeout = %L', current_database(), '5s');
    end $$";

/// The settings for a connection through the pooler.
fn through(pooler: &PgBouncer) -> [(&str, &str); 3] {
    [("DATABASE_URL", pooler.url()), ("DATABASE_POOLER", "transaction"), ("MIGRATE_ON_START", "false")]
}

async fn can_run(test: &str) -> bool {
    Engine::Postgres.is_there_for(test).await && PgBouncer::is_there_for(test)
}

/// A person with a unique number and an open challenge for this phone: the id of the challenge and its right signature.
async fn challenge(app: &TestApp, partner: &TestClient, number: u32, phone: &Phone) -> (String, String) {
    let (person, its_number) = (format!("person-{number}"), format!("+491701{number:06}"));
    let given = json!({"number": its_number, "verified": true});
    partner.post(&format!("/v1/persons/{person}/mobile_number"), given).await.assert_status(201);
    let asked = partner.ask_for_device(&person, phone).await;
    partner.answer(&asked.id, &phone.sign("wrong")).await.assert_status(403);
    let message = app.outbox().messages().into_iter().find(|message| message.to == its_number).unwrap();
    (asked.id, phone.sign(&message.code()))
}

/// Two persons bind the same key concurrently: one succeeds, and its repeated requests get the same answer.
async fn two_for_one_key(app: Arc<TestApp>, partner: TestClient, number: u32) {
    let phone = Phone::new(number);
    let (first, right) = challenge(&app, &partner, 2 * number, &phone).await;
    let (second, right_too) = challenge(&app, &partner, 2 * number + 1, &phone).await;
    let answers = [0; 4].map(|_| partner.answer(&first, &right));
    let [one, two, three, four] = answers;
    for answer in <[_; 4]>::from(tokio::join!(one, two, three, four)) {
        answer.assert_status(204);
    }
    // The unique index refuses the key within a transaction.
    partner.answer(&second, &right_too).await.assert_status(409);
    let devices = partner.get(&format!("/v1/mfa/devices?person_id=person-{}", 2 * number)).await.json();
    assert_eq!((devices.as_array().unwrap().len(), &devices[0]["id"]), (1, &json!(first)));
    partner.delete(&format!("/v1/mfa/devices/{first}")).await.assert_status(204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_get_their_own_results() {
    if can_run("pooler::concurrent_requests_get_their_own_results").await {
        send_concurrent_requests(Engine::Postgres).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_citus_concurrent_requests_get_their_own_results() {
    let test = "pooler::on_citus_concurrent_requests_get_their_own_results";
    if Engine::Citus.is_there_for(test).await && PgBouncer::is_there_for(test) {
        send_concurrent_requests(Engine::Citus).await;
    }
}

async fn send_concurrent_requests(engine: Engine) {
    let app = Arc::new(TestApp::with(engine, &[]).await);
    let pooler = PgBouncer::to(app.database.url(), "");
    let replicas = [app.replica(&through(&pooler)).await, app.replica(&through(&pooler)).await];
    let pairs: Vec<_> = (0..PAIRS)
        .map(|number| {
            let partner = app.partner().through(replicas[number as usize % 2].clone());
            tokio::spawn(two_for_one_key(app.clone(), partner, number))
        })
        .collect();
    for pair in pairs {
        pair.await.unwrap();
    }
    books::assert_balanced(&app.database).await;
    assert_eq!(books::count(&app.database, "select count(*) from device").await, i64::from(PAIRS));
}

/// A statement prepared on one backend and executed on another could be a different statement there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unconfigured_pooler_is_detected_at_startup() {
    if !can_run("pooler::an_unconfigured_pooler_is_detected_at_startup").await {
        return;
    }
    let database = TestDatabase::start(Engine::Postgres).await;
    sql::execute(database.url(), LIMIT_OF_THE_DATABASE).await;
    for ignored in ["options,extra_float_digits", "extra_float_digits", ""] {
        let pooler = PgBouncer::to(database.url(), ignored);
        let settings = DatabaseSettings::new(DatabaseUrl::parse(pooler.url()).unwrap());
        // Twice, because the first attempt may leave session state on the server.
        for _ in 0..2 {
            for refused in [connect(&settings).await.map(drop), migrate(&settings).await] {
                let refused = refused.expect_err("session settings are lost");
                assert!(matches!(refused, StoreError::SessionNotKept(_)), "{ignored}: {refused:?}");
                assert!(refused.to_string().contains("DATABASE_POOLER=transaction"));
            }
        }
    }
}
