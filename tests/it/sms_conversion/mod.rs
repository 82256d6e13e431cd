//! The breaker against SMS pumping: where too few codes are used, no more are sent.

mod pausing;
mod settling;
mod status;
mod telling;

use axum::Router;
use chrono::TimeDelta;
use device_management::api::{self, App};
use serde_json::json;

use crate::harness::{Answer, Engine, Phone, Start, TestApp, TestClient};

const GERMAN: &str = "+4915112345678";
const AUSTRIAN: &str = "+436641234567";

const PAUSED: &str = "too few of the codes sent to this country are used; sending is paused";

/// Ten codes within ten minutes are enough to judge by; two of them must be used.
const RULE: [(&str, &str); 6] = [
    ("SMS_LIMITS", "enforce"),
    // The other limits are not in the way.
    ("LIMIT_SMS_PER_NUMBER", "1000/1s"),
    ("LIMIT_SMS_PER_PERSON", "1000/1s"),
    ("SMS_CONVERSION_WINDOW_SECONDS", "600"),
    ("SMS_CONVERSION_MIN_SENT", "10"),
    ("SMS_CONVERSION_MIN_PERCENT", "20"),
];

/// How long it takes until a code counts: its life, a minute in which its use may settle, and the rest of its own minute.
const JUDGED: TimeDelta = TimeDelta::minutes(7);

/// When people who take their time answer.
const LATER: TimeDelta = TimeDelta::minutes(4);

/// Until the codes of a minute count no more: that, and the window.
const FORGOTTEN: TimeDelta = TimeDelta::minutes(17);

/// A service that watches.
pub(crate) struct Watched(pub(crate) TestApp);

impl Start for Watched {
    async fn start(engine: Engine) -> Self {
        Self(TestApp::with(engine, &RULE).await)
    }
}

async fn settle(app: &App) {
    app.service.settle_conversion().await.expect("the test's database is there");
}

fn router(app: &App) -> Router {
    api::router(app.clone())
}

/// Asks for a code to a number of the person's.
async fn ask_for_code(client: &TestClient, person: &str, number: &str) -> Answer {
    let path = format!("/v1/persons/{person}/mobile_number");
    let given = client.post(&path, json!({"number": number})).await;
    assert!([201, 409].contains(&given.status.as_u16()), "{}", given.status);
    client.post(&format!("{path}/authorize"), json!({"number": number})).await
}

/// So many persons ask for a code, and nobody uses it.
async fn pump(client: &TestClient, number: &str, times: usize) {
    for person in 0..times {
        ask_for_code(client, &format!("bot-{person}"), number).await.assert_status(201);
    }
}

/// Asks for a code and uses it.
async fn use_code(app: &TestApp, client: &TestClient, person: &str, number: &str) {
    ask_for_code(client, person, number).await.assert_status(201);
    let token = app.outbox().last().code();
    let path = format!("/v1/persons/{person}/mobile_number/confirm");
    client.post(&path, json!({"number": number, "token": token})).await.assert_status(201);
}

/// Pumps, and waits until that is held against the partner.
pub(crate) async fn trip(app: &TestApp, client: &TestClient, number: &str) {
    pump(client, number, 10).await;
    settle(&app.app).await;
    app.advance(JUDGED);
    settle(&app.app).await;
    assert_paused(&ask_for_code(client, "ada", number).await);
}

#[track_caller]
fn assert_paused(answer: &Answer) {
    answer.assert_error(429, "too_many_requests", PAUSED);
}

async fn ask_for_device(client: &TestClient, person: &str, phone: &Phone) -> Answer {
    client.post("/v1/mfa/devices", json!({"person_id": person, "key_type": "ecdsa-p256", "key": phone.key()})).await
}
