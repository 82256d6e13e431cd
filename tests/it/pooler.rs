//! A pooler in transaction mode between the service and Postgres: each transaction may come to another server process, so
//! nothing may be left behind for the next.

use std::sync::Arc;

use device_management::store::{DatabaseSettings, DatabaseUrl, StoreError, connect, migrate};
use serde_json::json;

use crate::harness::pgbouncer::PgBouncer;
use crate::harness::{Engine, Phone, Start, TestApp, TestClient, TestDatabase, books, sql};

/// So many pairs of persons share three connections to the server.
const PAIRS: u32 = 20;

/// The limit that the service asks for, from somebody else.
const LIMIT_OF_THE_DATABASE: &str = "
    do $$ begin
        execute format('alter database %I set statement_timeout = %L', current_database(), '5s');
    end $$";

/// A way to the database that leads through the pooler.
fn through(pooler: &PgBouncer) -> [(&str, &str); 3] {
    [("DATABASE_URL", pooler.url()), ("DATABASE_POOLER", "transaction"), ("MIGRATE_ON_START", "false")]
}

async fn are_there_for(test: &str) -> bool {
    Engine::Postgres.is_there_for(test).await && PgBouncer::is_there_for(test)
}

/// A person with a number of their own, and a challenge for this phone that is open.
async fn challenge(app: &TestApp, partner: &TestClient, number: u32, phone: &Phone) -> (String, String) {
    let (person, its_number) = (format!("person-{number}"), format!("+491701{number:06}"));
    let given = json!({"number": its_number, "verified": true});
    partner.post(&format!("/v1/persons/{person}/mobile_number"), given).await.assert_status(201);
    let asked = partner.ask_for_device(&person, phone).await;
    partner.answer(&asked.id, &phone.sign("wrong")).await.assert_status(403);
    let message = app.outbox().messages().into_iter().find(|message| message.to == its_number).unwrap();
    (asked.id, phone.sign(&message.code()))
}

/// Two persons want the same key at the same time: one gets it, and is answered the same as often as it asks.
async fn two_for_one_key(app: Arc<TestApp>, partner: TestClient, number: u32) {
    let phone = Phone::new(number);
    let (first, right) = challenge(&app, &partner, 2 * number, &phone).await;
    let (second, right_too) = challenge(&app, &partner, 2 * number + 1, &phone).await;
    let answers = [0; 4].map(|_| partner.answer(&first, &right));
    let [one, two, three, four] = answers;
    for answer in <[_; 4]>::from(tokio::join!(one, two, three, four)) {
        answer.assert_status(204);
    }
    // The index refuses it in the middle of a transaction.
    partner.answer(&second, &right_too).await.assert_status(409);
    let devices = partner.get(&format!("/v1/mfa/devices?person_id=person-{}", 2 * number)).await.json();
    assert_eq!((devices.as_array().unwrap().len(), &devices[0]["id"]), (1, &json!(first)));
    partner.delete(&format!("/v1/mfa/devices/{first}")).await.assert_status(204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_get_what_each_of_them_asked_for() {
    if !are_there_for("pooler::many_at_once_get_what_each_of_them_asked_for").await {
        return;
    }
    let app = Arc::new(TestApp::with(Engine::Postgres, &[]).await);
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

/// Statements that are prepared on one server process and run on another could be each other's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_nobody_has_told_of_is_noticed_at_the_start() {
    if !are_there_for("pooler::a_pooler_that_nobody_has_told_of_is_noticed_at_the_start").await {
        return;
    }
    let database = TestDatabase::start(Engine::Postgres).await;
    sql::execute(database.url(), LIMIT_OF_THE_DATABASE).await;
    for ignored in ["options,extra_float_digits", "extra_float_digits", ""] {
        let pooler = PgBouncer::to(database.url(), ignored);
        let settings = DatabaseSettings::new(DatabaseUrl::parse(pooler.url()).unwrap());
        // Again and again, whatever the attempt before has left on the server.
        for _ in 0..2 {
            for refused in [connect(&settings).await.map(drop), migrate(&settings).await] {
                let refused = refused.expect_err("the session's settings do not hold");
                assert!(matches!(refused, StoreError::SessionNotKept(_)), "{ignored}: {refused:?}");
                assert!(refused.to_string().contains("DATABASE_POOLER=transaction"));
            }
        }
    }
}
