//! A client shows its credentials in one of three ways, and gets a token or a refusal.

use axum::body::Body;
use axum::http::Request;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Value, json};

use super::{GRANT, access_token, ask_for_token, assert_refused};
use crate::harness::{Answer, Engine, TestApp, on_both_databases};

on_both_databases![
    basic_credentials_get_a_token_that_opens_the_api,
    credentials_in_the_form_do_too,
    the_older_json_form_does_too,
    a_wrong_secret_looks_like_an_unknown_client,
    there_is_one_grant_and_one_scope,
    nothing_may_come_twice,
    a_form_is_a_form_and_json_is_json,
];

const SANDBOX: Option<(&str, &str)> = Some(("sandbox", "sandbox"));
const IN_FORM: &str = "client_id=sandbox&client_secret=sandbox";

async fn basic_credentials_get_a_token_that_opens_the_api(app: TestApp) {
    let answer = ask_for_token(&app, SANDBOX, GRANT).await;
    let token = access_token(&answer);
    let expected = json!({"access_token": token, "token_type": "bearer", "expires_in": 3599, "scope": "partners"});
    assert_eq!(answer.json(), expected);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(token.split('.').count(), 3, "a JWT");

    // The sandbox's client may do everything.
    let client = app.with_token(Some(&token));
    client.verified_person("ada").await;
    client.get("/v1/mfa/devices").await.assert_status(200);

    for scheme in ["basic", "BASIC"] {
        let header = format!("{scheme} {}", BASE64_STANDARD.encode("sandbox:sandbox"));
        let request = Request::post("/oauth2/token").header("authorization", header);
        app.stranger().request(request.body(Body::from(GRANT)).unwrap()).await.assert_status(200);
    }
}

async fn credentials_in_the_form_do_too(app: TestApp) {
    let token = access_token(&ask_for_token(&app, None, &format!("{IN_FORM}&{GRANT}&unknown=1&unknown=2")).await);
    app.with_token(Some(&token)).get("/v1/mfa/devices").await.assert_status(200);
    for half in ["client_id=sandbox", "client_secret=sandbox", ""] {
        assert_refused(&ask_for_token(&app, None, &format!("{GRANT}&{half}")).await, 401, "invalid_client");
    }
    // With HTTP Basic some clients repeat their id, not their secret, in the form.
    ask_for_token(&app, SANDBOX, &format!("{GRANT}&client_id=sandbox")).await.assert_status(200);
    assert_refused(&ask_for_token(&app, SANDBOX, &format!("{GRANT}&{IN_FORM}")).await, 400, "invalid_request");
}

async fn the_older_json_form_does_too(app: TestApp) {
    let good = json!({"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox"});
    for extra in [json!({}), json!({"scope": "partners"}), json!({"scope": null, "audience": "anybody"})] {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        let answer = app.stranger().post("/oauth/token", body).await;
        let token = access_token(&answer);
        assert_eq!((&answer.json()["expires_in"], &answer.json()["token_type"]), (&json!(3599), &json!("bearer")));
        app.with_token(Some(&token)).get("/v1/mfa/devices").await.assert_status(200);
    }
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    for (body, status, error) in [
        (json!({}), 400, "invalid_request"),
        (json!([]), 400, "invalid_request"),
        (with("grant_type", json!(["client_credentials"])), 400, "invalid_request"),
        (with("grant_type", json!("password")), 400, "unsupported_grant_type"),
        (with("scope", json!("admin")), 400, "invalid_scope"),
        (with("client_id", json!(7)), 400, "invalid_request"),
        (with("client_id", json!(null)), 401, "invalid_client"),
        (with("client_id", json!("a\u{0}b")), 401, "invalid_client"),
        (with("client_secret", json!("Sandbox")), 401, "invalid_client"),
    ] {
        assert_refused(&app.stranger().post("/oauth/token", body).await, status, error);
    }
    let broken = Request::post("/oauth/token").body(Body::from("{")).unwrap();
    assert_refused(&app.stranger().request(broken).await, 400, "invalid_request");
}

async fn a_wrong_secret_looks_like_an_unknown_client(app: TestApp) {
    let body = |answer: &Answer| answer.body.clone();
    let wrong = ask_for_token(&app, Some(("sandbox", "wrong")), GRANT).await;
    assert_refused(&wrong, 401, "invalid_client");
    for (id, secret) in [
        ("sandbox", ""),
        ("sandbox", "sandbox "),
        ("SANDBOX", "sandbox"),
        ("", ""),
        ("unknown", "sandbox"),
        ("a\0b", "sandbox"),
        ("é", "sandbox"),
    ] {
        let answer = ask_for_token(&app, Some((id, secret)), GRANT).await;
        assert_refused(&answer, 401, "invalid_client");
        assert_eq!(body(&answer), body(&wrong), "{id:?} {secret:?}");
    }
    let encoded = |text: &[u8]| format!("Basic {}", BASE64_STANDARD.encode(text));
    for header in ["Basic", "Basic ", "Basic !", "Bearer x", &encoded(b"sandbox"), &encoded(b"sandbox:\xff")] {
        let request = Request::post("/oauth2/token").header("authorization", header).body(Body::from(GRANT)).unwrap();
        assert_refused(&app.stranger().request(request).await, 401, "invalid_client");
    }
}

async fn there_is_one_grant_and_one_scope(app: TestApp) {
    for (form, error) in [
        ("", "invalid_request"),
        ("grant_type", "unsupported_grant_type"),
        ("grant_type=", "unsupported_grant_type"),
        ("grant_type=password", "unsupported_grant_type"),
        ("grant_type=Client_Credentials", "unsupported_grant_type"),
        (&format!("{GRANT}&scope=admin"), "invalid_scope"),
        (&format!("{GRANT}&scope=partners+admin"), "invalid_scope"),
        (&format!("{GRANT}&scope=Partners"), "invalid_scope"),
    ] {
        assert_refused(&ask_for_token(&app, SANDBOX, form).await, 400, error);
    }
    for scope in ["partners", "", "partners+partners", "%70artners"] {
        let answer = ask_for_token(&app, SANDBOX, &format!("{GRANT}&scope={scope}")).await;
        assert_eq!(answer.assert_status(200).json()["scope"], "partners", "{scope:?}");
    }
}

async fn nothing_may_come_twice(app: TestApp) {
    for repeated in [
        format!("{GRANT}&{GRANT}&{IN_FORM}"),
        format!("{GRANT}&scope=partners&scope=partners&{IN_FORM}"),
        format!("{GRANT}&client_id=sandbox&{IN_FORM}"),
        format!("{GRANT}&{IN_FORM}&client%5Fsecret=other"),
    ] {
        assert_refused(&ask_for_token(&app, None, &repeated).await, 400, "invalid_request");
    }
}

async fn a_form_is_a_form_and_json_is_json(app: TestApp) {
    let form = format!("{GRANT}&{IN_FORM}");
    let json =
        json!({"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox"}).to_string();
    let form_type = "application/x-www-form-urlencoded";
    for (path, body, content_type, status) in [
        ("/oauth2/token", &form, Some("application/x-www-form-urlencoded; charset=utf-8"), 200),
        ("/oauth2/token", &form, Some("Application/X-WWW-Form-Urlencoded"), 200),
        ("/oauth2/token", &form, None, 200),
        ("/oauth2/token", &json, Some("application/json"), 415),
        ("/oauth2/token", &form, Some("text/plain"), 415),
        ("/oauth2/token", &form, Some("multipart/form-data; boundary=x"), 415),
        ("/oauth/token", &json, Some("application/json;charset=UTF-8"), 200),
        ("/oauth/token", &json, None, 200),
        ("/oauth/token", &form, Some(form_type), 415),
    ] {
        let mut request = Request::post(path);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = app.stranger().request(request.body(Body::from(body.clone())).unwrap()).await;
        assert_eq!(answer.status, status, "{path} {content_type:?}");
        if status == 415 {
            assert_eq!(answer.json()["errors"][0]["code"], "unsupported_media_type", "{path} {content_type:?}");
        }
    }
}

#[tokio::test]
async fn without_the_sandbox_its_client_is_unknown() {
    let app = TestApp::with(Engine::Sqlite, &[("SANDBOX_CLIENT", "false")]).await;
    assert_refused(&ask_for_token(&app, SANDBOX, GRANT).await, 401, "invalid_client");
}

#[tokio::test]
async fn a_token_lives_as_long_as_the_operator_says() {
    let app = TestApp::with(Engine::Sqlite, &[("TOKEN_LIFETIME_SECONDS", "60")]).await;
    let answer = ask_for_token(&app, SANDBOX, GRANT).await;
    assert_eq!(answer.json()["expires_in"], 60);
    let client = app.with_token(Some(&access_token(&answer)));
    app.advance(chrono::TimeDelta::seconds(59));
    client.get("/v1/mfa/devices").await.assert_status(200);
    app.advance(chrono::TimeDelta::seconds(1));
    client.get("/v1/mfa/devices").await.assert_status(401);
}
