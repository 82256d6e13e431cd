//! The cost of a request in the database: round trips, and that no connection is held during an outbound call.

use chrono::TimeDelta;
use serde_json::json;

use crate::harness::wire::Wire;
use crate::harness::{DEVICE_CHALLENGES, Engine, NUMBER, Phone, TestApp};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_stays_within_its_number_of_round_trips() {
    if !Engine::Postgres.is_there_for("round_trips").await {
        return;
    }
    let app = TestApp::with(Engine::Postgres, &[]).await;
    let wire = Wire::to(app.database.url()).await;
    // In the sandbox, the diagnosis of a wrong answer reads more.
    let router = app.production(&[("DATABASE_URL", wire.url()), ("DATABASE_MAX_CONNECTIONS", "1")]).await;
    let acme = app.partner().through(router);

    // The first round prepares the statements on the one connection; only the second is counted.
    for (person, phone) in [("ada", Phone::new(1)), ("bob", Phone::new(2))] {
        acme.verified_person(person).await;
        app.advance(TimeDelta::seconds(1));
        let counted = person == "bob";
        let check = |what: &str, at_most: usize| {
            let round_trips = wire.round_trips();
            assert!(!counted || round_trips <= at_most, "{what} took {round_trips} round trips");
            assert!(round_trips > 0 || at_most == 0, "{what} did not use the counted connection");
        };
        wire.round_trips();
        let asked = acme.ask_for_device(person, &phone).await;
        check("POST /v1/mfa/devices", 2);
        let challenge = format!("/v1/mfa/challenges/signatures/{}", asked.id);
        acme.get(&challenge).await.assert_status(200);
        check("GET a challenge", 1);
        acme.answer(&asked.id, &phone.sign("wrong")).await.assert_status(403);
        check("PUT a wrong signature", 2);
        acme.answer(&asked.id, &phone.sign(&app.outbox().last().code())).await.assert_status(204);
        check("PUT a right signature", 2);
        let opened = acme.challenge(&asked.id).await;
        check("POST a device challenge", 1);
        acme.get(&format!("{DEVICE_CHALLENGES}/{}", opened.id)).await.assert_status(200);
        check("GET a device challenge", 1);
        acme.sign(&opened.id, &phone.sign(&opened.text)).await.assert_status(204);
        check("PUT a device challenge", 2);
        for path in ["", "/keys", &format!("/keys/{}", asked.key_id)] {
            acme.get(&format!("/v1/mfa/devices/{}{path}", asked.id)).await.assert_status(200);
            check("GET a device", 1);
        }
        acme.get(&format!("/v1/mfa/devices?person_id={person}")).await.assert_status(200);
        check("GET devices", 1);
        acme.get(&format!("/v1/persons/{person}/mobile_number")).await.assert_status(200);
        check("GET a mobile number", 1);
        app.with_token(Some("a.b.c")).get(&challenge).await.assert_status(401);
        check("a bad token", 0);
    }
}

/// The service detects Citus by its catalogue at startup.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_distributed_tables_bindings_are_written_by_plain_statements() {
    if !Engine::Distributed.is_there_for("round_trips").await {
        return;
    }
    let app = TestApp::with(Engine::Distributed, &[]).await;
    let wire = Wire::to(app.database.url()).await;
    // In the sandbox, the diagnosis of a wrong answer reads more.
    let router = app.production(&[("DATABASE_URL", wire.url()), ("DATABASE_MAX_CONNECTIONS", "1")]).await;
    let acme = app.partner().through(router);
    for (person, phone) in [("ada", Phone::new(1)), ("bob", Phone::new(2))] {
        acme.verified_person(person).await;
        app.advance(TimeDelta::seconds(1));
        wire.round_trips();
        let asked = acme.ask_for_device(person, &phone).await;
        // One read, then: begin, the number, the person's row, the event, commit. Messages are not limited here.
        assert_eq!(wire.round_trips(), 1 + 5, "POST a binding");
        acme.answer(&asked.id, &phone.sign("wrong")).await.assert_status(403);
        // One read, then: begin, the count, the event, commit.
        assert_eq!(wire.round_trips(), 1 + 4, "PUT a wrong signature");
        acme.answer(&asked.id, &phone.sign(&app.outbox().last().code())).await.assert_status(204);
        // One read, then: begin, the person's row, the device, its key, the event, commit.
        assert_eq!(wire.round_trips(), 1 + 6, "PUT a right signature");
    }
}

/// With a single connection, holding it during an outbound call would block all other requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_connection_is_held_during_a_call_to_an_sms_provider() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        if !engine.is_there_for("no_connection_is_held").await {
            return;
        }
        let app = TestApp::with(engine, &[("DATABASE_MAX_CONNECTIONS", "1")]).await;
        let acme = app.partner();
        acme.verified_person("ada").await;
        let held = app.outbox().hold();
        let asking = {
            let acme = acme.clone();
            tokio::spawn(async move { acme.ask_for_device("ada", &Phone::new(1)).await })
        };
        held.reached().await;
        let number = acme.get("/v1/persons/ada/mobile_number").await;
        assert_eq!(number.json()["number"], json!(NUMBER));
        acme.verified_person("bob").await;
        held.release();
        asking.await.expect("the request ends");
    }
}

/// The readiness check needs no token, so its cost in the database must not grow with the number of requests.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_checks_cost_one_query_a_second() {
    if !Engine::Postgres.is_there_for("round_trips").await {
        return;
    }
    let app = TestApp::with(Engine::Postgres, &[]).await;
    let wire = Wire::to(app.database.url()).await;
    let replica = app.another(&[("DATABASE_URL", wire.url())]).await;
    let stranger = app.stranger().through(device_management::api::router(replica.clone()));
    for seconds in 0..3 {
        wire.round_trips();
        let crowd: Vec<_> = (0..50)
            .map(|_| {
                let stranger = stranger.clone();
                tokio::spawn(async move { stranger.get("/readyz").await.status.as_u16() })
            })
            .collect();
        for asked in crowd {
            assert_eq!(asked.await.unwrap(), 200);
        }
        app.advance(TimeDelta::milliseconds(999));
        stranger.get("/readyz").await.assert_status(200);
        // On the first connection, the service also queries the kind of server.
        let asked = wire.round_trips();
        assert!(asked == 1 || seconds == 0, "{asked} queries in a second");
        app.advance(TimeDelta::milliseconds(1));
    }
    replica.draining.store(true, std::sync::atomic::Ordering::Relaxed);
    stranger.get("/readyz").await.assert_status(503);
    assert_eq!(wire.round_trips(), 0);
}
