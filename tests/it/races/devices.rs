//! Races for the device limit and for a key: a person never exceeds the limit, and a key belongs to one device.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Barrier;

use super::{Crowd, Request, count};
use crate::harness::{Engine, Phone, Start, TestApp, TestClient, books, in_every_form};

in_every_form![
    parallel_bindings_of_a_person_stop_at_the_device_limit,
    fifty_parallel_bindings_for_the_last_free_device_bind_one,
    one_of_many_persons_gets_a_contested_key,
];

/// A service with one code for all challenges, so that parallel tasks need not match messages to challenges.
struct OneCode(TestApp);

impl Start for OneCode {
    async fn start(engine: Engine) -> Self {
        Self(TestApp::with(engine, &[("SANDBOX_OTP", "212212")]).await)
    }
}

/// Rounds of a parallel binder. The binders supersede each other's challenges, so on a busy machine few rounds bind a device.
const PARALLEL_ROUNDS: usize = 50;

async fn parallel_bindings_of_a_person_stop_at_the_device_limit(OneCode(app): OneCode) {
    let here = app.partner();
    let there = here.through(app.replica(&[("SANDBOX_OTP", "212212")]).await);
    here.verified_person("ada").await;
    let tasks: Vec<_> = [here.clone(), there]
        .into_iter()
        .cycle()
        .zip(0..8)
        .map(|(replica, binder)| tokio::spawn(bind_until_refused(replica, binder, PARALLEL_ROUNDS)))
        .collect();
    let mut bound = 0;
    for task in tasks {
        bound += task.await.expect("every answer has an expected status");
    }
    // A binder without rivals binds a device in each round.
    bound += bind_until_refused(here, 8, 6).await;
    assert_eq!(bound, 5);
    let live = "select count(*) from device where deleted_at is null";
    assert_eq!(books::count(&app.database, live).await, 5);
    books::assert_balanced(&app.database).await;
}

/// Binds devices until the limit refuses one, in this many rounds at most. Returns the number of bound devices.
async fn bind_until_refused(replica: TestClient, binder: u32, rounds: usize) -> usize {
    let mut bound = 0;
    for round in 0..rounds {
        let phone = Phone::new(1000 * binder + u32::try_from(round).expect("a small number"));
        let body = json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": phone.key()});
        let asked = replica.post("/v1/mfa/devices", body).await;
        if asked.status == 409 {
            return bound;
        }
        asked.assert_status(202);
        let id = asked.json()["id"].as_str().expect("an id").to_owned();
        // 404: another task's challenge superseded this one. 409: another task reached the limit first.
        match replica.answer(&id, &phone.sign("212212")).await.status.as_u16() {
            204 => bound += 1,
            404 | 409 => {}
            status => panic!("a binder got {status}"),
        }
    }
    bound
}

/// Three steps, each in parallel: all request a device, all answer, all request again. Without the barrier between the
/// steps, the tasks would supersede each other's challenges indefinitely.
async fn fifty_parallel_bindings_for_the_last_free_device_bind_one(OneCode(app): OneCode) {
    const BINDERS: u32 = 50;
    let here = app.partner();
    let there = here.through(app.replica(&[("SANDBOX_OTP", "212212")]).await);
    here.verified_person("ada").await;
    for seed in 0..4 {
        let phone = Phone::new(1000 + seed);
        let asked = here.ask_for_device("ada", &phone).await;
        here.answer(&asked.id, &phone.sign("212212")).await.assert_status(204);
    }
    let step = Arc::new(Barrier::new(BINDERS as usize));
    let tasks: Vec<_> = [here, there]
        .into_iter()
        .cycle()
        .zip(0..BINDERS)
        .map(|(replica, seed)| {
            let step = step.clone();
            tokio::spawn(async move {
                let phone = Phone::new(seed);
                let body = json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": phone.key()});
                step.wait().await;
                let asked = replica.post("/v1/mfa/devices", body.clone()).await;
                step.wait().await;
                let answered = match asked.status.as_u16() {
                    202 => {
                        let id = asked.json()["id"].as_str().expect("an id").to_owned();
                        replica.answer(&id, &phone.sign("212212")).await.status.as_u16()
                    }
                    status => status,
                };
                step.wait().await;
                (answered, replica.post("/v1/mfa/devices", body).await.status.as_u16())
            })
        })
        .collect();
    let (mut answered, mut asked_again) = (Vec::new(), Vec::new());
    for task in tasks {
        let (answer, ask) = task.await.expect("every answer fits openapi.yaml");
        answered.push(answer);
        asked_again.push(ask);
    }
    // 404: another task's challenge superseded this one. 409: the request for the device lost the race.
    assert_eq!(count(&answered, 204), 1, "{answered:?}");
    assert_eq!(count(&answered, 404) + count(&answered, 409), BINDERS - 1, "{answered:?}");
    assert_eq!(count(&asked_again, 409), BINDERS, "{asked_again:?}");
    let live = "select count(*) from device where deleted_at is null";
    assert_eq!(books::count(&app.database, live).await, 5);
    books::assert_balanced(&app.database).await;
}

async fn one_of_many_persons_gets_a_contested_key(app: TestApp) {
    let crowd = Crowd::new(app).await;
    let phone = Phone::new(1);
    let (mut challenges, mut requests) = (Vec::new(), Vec::new());
    for number in 0..30 {
        let person = format!("person-{number}");
        crowd.partner().verified_person(&person).await;
        let (asked, signature) = crowd.challenge(&person, &phone).await;
        requests.push(Request::answer(&asked, &signature));
        challenges.push(asked);
    }
    let statuses = crowd.send(requests).await;
    assert_eq!((count(&statuses, 204), count(&statuses, 409)), (1, 29), "{statuses:?}");
    assert_eq!(books::count(&crowd.app.database, "select count(*) from device").await, 1);
    for asked in challenges {
        crowd.partner().get(&format!("/v1/mfa/challenges/signatures/{}", asked.id)).await.assert_status(404);
    }
}
