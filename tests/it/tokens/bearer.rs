//! Which bearer tokens are accepted: those that the service issued, unchanged, between `nbf` and `exp`. No check of a
//! token queries the database.

use axum::body::Body;
use axum::http::Request;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use chrono::TimeDelta;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::block_in_place;

use crate::harness::identity_provider::{hs256, jwt};
use crate::harness::{Answer, Engine, TestApp, on_both_databases};

on_both_databases![tokens_are_checked_without_the_database,];

const SECRET: &str = "a token secret that only this test knows";
const DEVICES: &str = "/v1/mfa/devices";
const INVALID: &str = "the access token is invalid or expired";

async fn tokens_are_checked_without_the_database(app: TestApp) {
    let good = app.partner();
    app.store().close().await;
    for token in ["nonsense", &own_token(&json!({}), b"another secret")] {
        let answer = app.with_token(Some(token)).get(DEVICES).await;
        answer.assert_error(401, "invalid_token", INVALID);
    }
    app.stranger().get(DEVICES).await.assert_status(401);
    // A valid token is accepted, and requests that need no database are answered.
    good.get(&format!("{DEVICES}?page[size]=0")).await.assert_status(400);
    good.get(DEVICES).await.assert_status(503);
}

#[tokio::test]
async fn a_request_without_a_bearer_token_gets_token_required() {
    let app = TestApp::with(Engine::Sqlite, &[]).await;
    let detail = "send an access token: Authorization: Bearer ...";
    app.stranger().get(DEVICES).await.assert_error(401, "token_required", detail);
    for header in ["", "Bearer", "Bearer ", "Basic c2FuZGJveDpzYW5kYm94", "Token abc", "abc", "Bearer\tabc"] {
        let answer = with_header(&app, header).await;
        answer.assert_error(401, "token_required", detail);
        assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"device-management\"", "{header:?}");
    }
}

#[tokio::test]
async fn two_authorization_headers_are_refused() {
    let app = app_with_secret().await;
    let token = format!("Bearer {}", own_token(&json!({}), SECRET.as_bytes()));
    let request = Request::get(DEVICES).header("authorization", &token).header("authorization", &token);
    let answer = app.stranger().request(request.body(Body::empty()).unwrap()).await;
    answer.assert_error(401, "token_required", "send an access token: Authorization: Bearer ...");
}

#[tokio::test]
async fn the_scheme_is_case_insensitive() {
    let app = app_with_secret().await;
    let token = own_token(&json!({}), SECRET.as_bytes());
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR"] {
        with_header(&app, &format!("{scheme} {token}")).await.assert_status(200);
    }
    with_header(&app, &format!("Bearer   {token}")).await.assert_status(200);
    with_header(&app, &format!("Bearer {token} {token}")).await.assert_error(401, "invalid_token", INVALID);
}

#[tokio::test]
async fn a_token_works_from_nbf_to_exp() {
    let app = app_with_secret().await;
    let now = now(&app);
    let client = app.with_token(Some(&own_token(&json!({"nbf": now + 40, "exp": now + 60}), SECRET.as_bytes())));
    // From 30 s before `nbf`, for replicas whose clock is behind.
    for (seconds, status) in [(0, 401), (9, 401), (10, 200), (59, 200), (60, 401), (3600, 401)] {
        let moment = now + seconds - self::now(&app);
        app.advance(TimeDelta::seconds(moment));
        client.get(DEVICES).await.assert_status(status);
    }
}

#[tokio::test]
async fn a_token_not_issued_by_the_service_is_refused() {
    let app = app_with_secret().await;
    let sign = |message: &[u8]| hs256(SECRET.as_bytes(), message);
    let good = claims(&json!({}));
    let valid = jwt(&json!({"alg": "HS256", "typ": "JWT"}), &good, sign);
    app.with_token(Some(&valid)).get(DEVICES).await.assert_status(200);

    let with = |change: Value| own_token(&change, SECRET.as_bytes());
    let critical = |names: Value| jwt(&json!({"alg": "HS256", "crit": names, "b64": true}), &good, sign);
    let parts: Vec<&str> = valid.split('.').collect();
    let part = |json: Value| BASE64_URL_SAFE_NO_PAD.encode(json.to_string());
    let forged = part(claims(&json!({"partner": "globex"})));
    for (what, token) in [
        ("another secret", own_token(&json!({}), b"a secret of another service, unknown")),
        ("the sandbox's secret", own_token(&json!({}), b"the sandbox's access-token secret, which is public")),
        ("no secret", own_token(&json!({}), b"")),
        ("alg none", jwt(&json!({"alg": "none"}), &good, |_| Vec::new())),
        ("alg None", jwt(&json!({"alg": "None"}), &good, |_| Vec::new())),
        ("alg none, but signed", jwt(&json!({"alg": "none"}), &good, sign)),
        ("no alg", jwt(&json!({"typ": "JWT"}), &good, sign)),
        ("a longer hash", jwt(&json!({"alg": "HS512"}), &good, sign)),
        ("an asymmetric algorithm", jwt(&json!({"alg": "RS256"}), &good, sign)),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{valid}.x")),
        ("changed claims", format!("{}.{forged}.{}", parts[0], parts[2])),
        ("truncated", valid[..valid.len() - 1].to_owned()),
        ("padded", format!("{valid}=")),
        ("another issuer", with(json!({"iss": "another"}))),
        ("no issuer", with(json!({"iss": null}))),
        ("another audience", with(json!({"aud": "another"}))),
        ("no audience", with(json!({"aud": null}))),
        ("no exp", with(json!({"exp": null}))),
        ("an exp in words", with(json!({"exp": "tomorrow"}))),
        ("an exp that is a numeric string", with(json!({"exp": "4102444800"}))),
        ("an exp that is true", with(json!({"exp": true}))),
        ("an exp in a list", with(json!({"exp": [4_102_444_800_i64]}))),
        ("an exp in an object", with(json!({"exp": {}}))),
        ("an nbf in words", with(json!({"nbf": "yesterday"}))),
        ("an nbf that is a numeric string", with(json!({"nbf": "0"}))),
        ("an nbf that is true", with(json!({"nbf": true}))),
        ("an nbf in a list", with(json!({"nbf": [0]}))),
        ("an nbf in an object", with(json!({"nbf": {}}))),
        ("issuers in a list", with(json!({"iss": ["device-management"]}))),
        ("the operator as subject", with(json!({"sub": "operator"}))),
        ("a critical extension", critical(json!(["b64"]))),
        ("an empty crit", critical(json!([]))),
        ("a crit that is null", critical(json!(null))),
        ("a crit that is a string", critical(json!("exp"))),
        ("no nbf", with(json!({"nbf": null}))),
        ("no sub", with(json!({"sub": null}))),
        ("no partner", with(json!({"partner": null}))),
        ("an impossible partner", with(json!({"partner": "Acme & Sons"}))),
        ("claims that are a list", jwt(&json!({"alg": "HS256"}), &json!([good]), sign)),
    ] {
        let answer = app.with_token(Some(&token)).get(DEVICES).await;
        assert_eq!(answer.status, 401, "{what}");
        answer.assert_error(401, "invalid_token", INVALID);
        let challenge = "Bearer realm=\"device-management\", error=\"invalid_token\"";
        assert_eq!(answer.headers["www-authenticate"], challenge, "{what}");
    }
}

#[tokio::test]
async fn a_token_under_the_previous_secret_works_until_that_is_removed() {
    let rotated = [("TOKEN_SECRET", "the token secret that came after it"), ("TOKEN_SECRET_PREVIOUS", SECRET)];
    let token = own_token(&json!({}), SECRET.as_bytes());
    let app = TestApp::with(Engine::Sqlite, &rotated).await;
    app.with_token(Some(&token)).get(DEVICES).await.assert_status(200);
    let app = TestApp::with(Engine::Sqlite, &rotated[..1]).await;
    app.with_token(Some(&token)).get(DEVICES).await.assert_status(401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn random_text_is_refused_as_an_invalid_token() {
    let app = app_with_secret().await;
    let base64url = || "[A-Za-z0-9_-]{0,60}".boxed();
    let json = "\\{\"alg\":\"(HS256|RS256|none|ES256|)\"(,\"kid\":\"[ -~]{0,9}\")?(,\"crit\":\\[\"b64\"\\])?\\}";
    let header = json.prop_map(|json| BASE64_URL_SAFE_NO_PAD.encode(json));
    let garbage = prop_oneof![
        "[!-~]{1,200}",
        (prop_oneof![base64url(), header.boxed()], base64url(), base64url())
            .prop_map(|(a, b, c)| format!("{a}.{b}.{c}")),
        "[.=]{1,10}",
    ];
    let mut runner = TestRunner::new(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() });
    let runtime = Handle::current();
    let outcome = runner.run(&garbage, |token| {
        let answer = block_in_place(|| runtime.block_on(with_header(&app, &format!("Bearer {token}"))));
        prop_assert_eq!(answer.status.as_u16(), 401);
        prop_assert_eq!(&answer.json()["errors"][0]["code"], "invalid_token");
        Ok(())
    });
    outcome.unwrap();
}

async fn app_with_secret() -> TestApp {
    TestApp::with(Engine::Sqlite, &[("TOKEN_SECRET", SECRET)]).await
}

/// A token with these claims changed; null removes a claim.
fn own_token(change: &Value, secret: &[u8]) -> String {
    jwt(&json!({"alg": "HS256", "typ": "JWT"}), &claims(change), |message| hs256(secret, message))
}

/// The claims of a token that the service issues, valid at the start of the test clock.
fn claims(change: &Value) -> Value {
    let start = 1_647_615_004; // 2022-03-18T14:50:04Z
    let mut claims = json!({
        "iss": "device-management",
        "aud": "device-management",
        "sub": "a-client",
        "iat": start,
        "nbf": start,
        "exp": start + 3599,
        "scope": "partners",
        "partner": "acme",
        "permissions": "",
    });
    for (name, value) in change.as_object().expect("an object of claims") {
        claims[name] = value.clone();
    }
    claims.as_object_mut().expect("an object of claims").retain(|_, value| !value.is_null());
    claims
}

fn now(app: &TestApp) -> i64 {
    app.app.service.clock.now().timestamp()
}

async fn with_header(app: &TestApp, authorization: &str) -> Answer {
    let request = Request::get(DEVICES).header("authorization", authorization).body(Body::empty()).unwrap();
    app.stranger().request(request).await
}
