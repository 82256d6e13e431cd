//! Races for places and for keys: a person has no more devices than allowed, and a key proves one device.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Barrier;

use super::{Crowd, Request, count};
use crate::harness::{Engine, Phone, Start, TestApp, TestClient, books, in_every_form};

in_every_form![
    a_person_who_binds_everywhere_at_once_gets_as_many_devices_as_allowed,
    fifty_who_want_the_last_place_get_one_device,
    one_of_many_persons_gets_the_key_that_all_want,
];

/// With one code for all challenges, which a crowd can answer without telling its messages apart.
struct OneCode(TestApp);

impl Start for OneCode {
    async fn start(engine: Engine) -> Self {
        Self(TestApp::with(engine, &[("SANDBOX_OTP", "212212")]).await)
    }
}

/// More than enough rounds: each ends with a new device for somebody, nearly always.
const ROUNDS_MAX: usize = 200;

async fn a_person_who_binds_everywhere_at_once_gets_as_many_devices_as_allowed(OneCode(app): OneCode) {
    let here = app.partner();
    let there = here.through(app.replica(&[("SANDBOX_OTP", "212212")]).await);
    here.verified_person("ada").await;
    let tasks: Vec<_> = [here.clone(), there]
        .into_iter()
        .cycle()
        .zip(0..8)
        .map(|(replica, binder)| tokio::spawn(bind_until_refused(replica, binder)))
        .collect();
    let mut bound = 0;
    for task in tasks {
        bound += task.await.expect("every answer is one that a binder may get");
    }
    assert_eq!(bound, 5);
    let live = "select count(*) from device where deleted_at is null";
    assert_eq!(books::count(&app.database, live).await, 5);
    books::assert_balanced(&app.database).await;
}

/// Asks and answers until there is no place left; how many devices that bound.
async fn bind_until_refused(replica: TestClient, binder: u32) -> usize {
    let mut bound = 0;
    for round in 0..ROUNDS_MAX {
        let phone = Phone::new(1000 * binder + u32::try_from(round).expect("a small number"));
        let wish = json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": phone.key()});
        let asked = replica.post("/v1/mfa/devices", wish).await;
        if asked.status == 409 {
            return bound;
        }
        asked.assert_status(202);
        let id = asked.json()["id"].as_str().expect("an id").to_owned();
        // 404: somebody else has asked since. 409: somebody else took the last place.
        match replica.answer(&id, &phone.sign("212212")).await.status.as_u16() {
            204 => bound += 1,
            404 | 409 => {}
            status => panic!("a binder got {status}"),
        }
    }
    panic!("after {ROUNDS_MAX} rounds there is still a place");
}

/// All ask, then all answer, then all ask again, each time at once: without the steps fifty would supersede each other's
/// challenges for ever.
async fn fifty_who_want_the_last_place_get_one_device(OneCode(app): OneCode) {
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
                let wish = json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": phone.key()});
                step.wait().await;
                let asked = replica.post("/v1/mfa/devices", wish.clone()).await;
                step.wait().await;
                let answered = match asked.status.as_u16() {
                    202 => {
                        let id = asked.json()["id"].as_str().expect("an id").to_owned();
                        replica.answer(&id, &phone.sign("212212")).await.status.as_u16()
                    }
                    status => status,
                };
                step.wait().await;
                (answered, replica.post("/v1/mfa/devices", wish).await.status.as_u16())
            })
        })
        .collect();
    let (mut answered, mut asked_again) = (Vec::new(), Vec::new());
    for task in tasks {
        let (answer, ask) = task.await.expect("every answer keeps to the contract");
        answered.push(answer);
        asked_again.push(ask);
    }
    // 404: somebody else's challenge is younger. 409: overtaken already when asking.
    assert_eq!(count(&answered, 204), 1, "{answered:?}");
    assert_eq!(count(&answered, 404) + count(&answered, 409), BINDERS - 1, "{answered:?}");
    assert_eq!(count(&asked_again, 409), BINDERS, "{asked_again:?}");
    let live = "select count(*) from device where deleted_at is null";
    assert_eq!(books::count(&app.database, live).await, 5);
    books::assert_balanced(&app.database).await;
}

async fn one_of_many_persons_gets_the_key_that_all_want(app: TestApp) {
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
