//! Protection against SMS pumping: sending to a country stops when too few of its codes are used.

mod aggregation;
mod logs_and_metrics;
mod status;
mod stops;

use axum::Router;
use chrono::TimeDelta;
use device_management::api::{self, App};
use serde_json::json;

use crate::harness::{Answer, Engine, Phone, Start, TestApp, TestClient};

const GERMAN: &str = "+4915112345678";
const AUSTRIAN: &str = "+436641234567";

const STOPPED: &str = "too few of the codes sent to this country are used; sending is stopped";

/// The rule: of at least ten codes within ten minutes, 20 % must be used.
const RULE: [(&str, &str); 6] = [
    ("SMS_LIMITS", "enforce"),
    // The other limits are too high to matter.
    ("LIMIT_SMS_PER_NUMBER", "1000/1s"),
    ("LIMIT_SMS_PER_PERSON", "1000/1s"),
    ("SMS_CONVERSION_WINDOW_SECONDS", "600"),
    ("SMS_CONVERSION_MIN_SENT", "10"),
    ("SMS_CONVERSION_MIN_PERCENT", "20"),
];

/// The time until a code counts: its lifetime, a minute for settling its use, and the rest of its own minute.
const JUDGED: TimeDelta = TimeDelta::minutes(7);

/// A late answer within the code's lifetime.
const LATER: TimeDelta = TimeDelta::minutes(4);

/// The time until the codes of a minute no longer count: `JUDGED` and the window.
const FORGOTTEN: TimeDelta = TimeDelta::minutes(17);

/// A service that enforces the rule.
pub(crate) struct Watched(pub(crate) TestApp);

impl Start for Watched {
    async fn start(engine: Engine) -> Self {
        Self(TestApp::with(engine, &RULE).await)
    }
}

async fn settle(app: &App) {
    app.service.settle_conversion().await.expect("the test's database is reachable");
}

fn router(app: &App) -> Router {
    api::router(app.clone())
}

/// Requests a code for the person's number, which is created if needed.
async fn ask_for_code(client: &TestClient, person: &str, number: &str) -> Answer {
    let path = format!("/v1/persons/{person}/mobile_number");
    let given = client.post(&path, json!({"number": number})).await;
    assert!([201, 409].contains(&given.status.as_u16()), "{}", given.status);
    client.post(&format!("{path}/authorize"), json!({"number": number})).await
}

/// Requests a code for each of `times` persons and uses none.
async fn pump(client: &TestClient, number: &str, times: usize) {
    for person in 0..times {
        ask_for_code(client, &format!("bot-{person}"), number).await.assert_status(201);
    }
}

/// Requests a code and uses it.
async fn use_code(app: &TestApp, client: &TestClient, person: &str, number: &str) {
    ask_for_code(client, person, number).await.assert_status(201);
    let token = app.outbox().last().code();
    let path = format!("/v1/persons/{person}/mobile_number/confirm");
    client.post(&path, json!({"number": number, "token": token})).await.assert_status(201);
}

/// Requests codes without using them until sending to the country stops.
pub(crate) async fn trip(app: &TestApp, client: &TestClient, number: &str) {
    pump(client, number, 10).await;
    settle(&app.app).await;
    app.advance(JUDGED);
    settle(&app.app).await;
    assert_paused(&ask_for_code(client, "ada", number).await);
}

#[track_caller]
fn assert_paused(answer: &Answer) {
    answer.assert_error(429, "too_many_requests", STOPPED);
}

async fn ask_for_device(client: &TestClient, person: &str, phone: &Phone) -> Answer {
    client.post("/v1/mfa/devices", json!({"person_id": person, "key_type": "ecdsa-p256", "key": phone.key()})).await
}
