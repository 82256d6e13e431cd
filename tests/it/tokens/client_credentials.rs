//! The token endpoint: a client sends its credentials in one of three ways, and gets a token or an error of RFC 6749.

use axum::body::Body;
use axum::http::Request;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use device_management::domain::clients::Permissions;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::clients::create;
use super::{GRANT, access_token, ask_for_token, assert_refused};
use crate::harness::{Answer, Engine, TestApp, on_both_databases};

on_both_databases![
    basic_credentials_get_a_token_that_opens_the_api,
    credentials_in_the_form_get_a_token,
    credentials_in_the_older_json_body_get_a_token,
    a_wrong_secret_looks_like_an_unknown_client,
    there_is_one_grant_and_one_scope,
    a_repeated_parameter_is_refused,
    form_encoded_basic_credentials_are_decoded,
    malformed_form_encoding_is_invalid_client,
    a_parameter_without_a_value_counts_as_not_sent,
    a_client_authenticates_in_one_way,
    the_older_route_takes_basic_credentials_and_the_grant_in_its_query,
    a_body_is_parsed_by_its_content_type,
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

    // The sandbox client has every permission.
    let client = app.with_token(Some(&token));
    client.verified_person("ada").await;
    client.get("/v1/mfa/devices").await.assert_status(200);

    for scheme in ["basic", "BASIC"] {
        let header = format!("{scheme} {}", BASE64_STANDARD.encode("sandbox:sandbox"));
        let request = Request::post("/oauth2/token").header("authorization", header);
        app.stranger().request(request.body(Body::from(GRANT)).unwrap()).await.assert_status(200);
    }
}

async fn credentials_in_the_form_get_a_token(app: TestApp) {
    let token = access_token(&ask_for_token(&app, None, &format!("{IN_FORM}&{GRANT}&unknown=1&unknown=2")).await);
    app.with_token(Some(&token)).get("/v1/mfa/devices").await.assert_status(200);
    for half in ["client_id=sandbox", "client_secret=sandbox", ""] {
        assert_refused(&ask_for_token(&app, None, &format!("{GRANT}&{half}")).await, 401, "invalid_client");
    }
}

async fn credentials_in_the_older_json_body_get_a_token(app: TestApp) {
    let good = json!({"grant_type": "client_credentials", "client_id": "sandbox", "client_secret": "sandbox"});
    for extra in [json!({}), json!({"scope": "partners"}), json!({"scope": null, "audience": "any"})] {
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
        ("grant_type", "invalid_request"),
        ("grant_type=", "invalid_request"),
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

async fn a_repeated_parameter_is_refused(app: TestApp) {
    for repeated in [
        format!("{GRANT}&{GRANT}&{IN_FORM}"),
        format!("{GRANT}&scope=partners&scope=partners&{IN_FORM}"),
        format!("{GRANT}&client_id=sandbox&{IN_FORM}"),
        format!("{GRANT}&{IN_FORM}&client%5Fsecret=other"),
    ] {
        assert_refused(&ask_for_token(&app, None, &repeated).await, 400, "invalid_request");
    }
}

async fn form_encoded_basic_credentials_are_decoded(app: TestApp) {
    let client = create(&app, "acme", Permissions::default()).await;
    let (id, secret) = (client.client_id.as_str(), client.secret.expose_secret());
    let every_character = |text: &str| {
        text.bytes().flat_map(|byte| format!("%{byte:02X}").into_bytes()).map(char::from).collect::<String>()
    };
    for (id, secret) in [
        (id.to_owned(), secret.to_owned()),
        (id.replace('-', "%2D"), secret.to_owned()),
        (id.replace('-', "%2d"), secret.to_owned()),
        (every_character(id), every_character(secret)),
        (every_character(id).to_lowercase(), every_character(secret).to_lowercase()),
    ] {
        access_token(&ask_for_token(&app, Some((&id, &secret)), GRANT).await);
    }
    // Encoded twice it is another text. In a form it is encoded like every other value.
    let twice = id.replace('-', "%252D");
    assert_refused(&ask_for_token(&app, Some((&twice, secret)), GRANT).await, 401, "invalid_client");
    let form = format!("{GRANT}&client_id={}&client_secret={secret}", id.replace('-', "%2D"));
    access_token(&ask_for_token(&app, None, &form).await);
}

async fn malformed_form_encoding_is_invalid_client(app: TestApp) {
    for (id, secret) in [
        ("sandbox%", "sandbox"),
        ("sandbox%2", "sandbox"),
        ("%zzsandbox", "sandbox"),
        ("%ff", "sandbox"),
        ("sandbox%00", "sandbox"),
        ("sandbox", "sandbox+"),
        ("sandbox", "%C3%28"),
        ("sandbox%3Asandbox", ""),
    ] {
        let answer = ask_for_token(&app, Some((id, secret)), GRANT).await;
        assert_refused(&answer, 401, "invalid_client");
    }
}

async fn a_parameter_without_a_value_counts_as_not_sent(app: TestApp) {
    for form in [
        format!("{GRANT}&client_id=&client_secret="),
        format!("{GRANT}&client_id&client_secret&scope"),
        format!("{GRANT}&scope="),
        format!("grant_type=&{GRANT}&scope=&scope=partners&unknown="),
    ] {
        access_token(&ask_for_token(&app, SANDBOX, &form).await);
        access_token(&ask_for_token(&app, None, &format!("client_id=&{form}&{IN_FORM}")).await);
    }
    for (form, status, error) in [
        ("grant_type=&client_id=sandbox&client_secret=sandbox".to_owned(), 400, "invalid_request"),
        (format!("{GRANT}&client_id=&client_secret=sandbox"), 401, "invalid_client"),
        (format!("{GRANT}&client_id=sandbox&client_secret="), 401, "invalid_client"),
    ] {
        assert_refused(&ask_for_token(&app, None, &form).await, status, error);
    }
    let json = |grant: &str, scope: &str, secret: &str| json!({"grant_type": grant, "scope": scope, "client_id": "sandbox", "client_secret": secret});
    let older = async |body: Value| app.stranger().post("/oauth/token", body).await;
    access_token(&older(json("client_credentials", "", "sandbox")).await);
    assert_refused(&older(json("", "partners", "sandbox")).await, 400, "invalid_request");
    assert_refused(&older(json("client_credentials", "partners", "")).await, 401, "invalid_client");
}

async fn a_client_authenticates_in_one_way(app: TestApp) {
    // Some clients send the header and repeat their id, but not their secret, in the form.
    access_token(&ask_for_token(&app, SANDBOX, &format!("{GRANT}&client_id=sandbox")).await);
    for form in [IN_FORM, "client_secret=sandbox", "client_id=another"] {
        let answer = ask_for_token(&app, SANDBOX, &format!("{GRANT}&{form}")).await;
        assert_refused(&answer, 400, "invalid_request");
    }
    let basic = format!("Basic {}", BASE64_STANDARD.encode("sandbox:sandbox"));
    let ask = async |headers: &[&str], form: String| {
        let request =
            headers.iter().fold(Request::post("/oauth2/token"), |it, value| it.header("authorization", *value));
        app.stranger().request(request.body(Body::from(form)).unwrap()).await
    };
    let in_form = || format!("{GRANT}&{IN_FORM}");
    assert_refused(&ask(&[&basic, &basic], GRANT.to_owned()).await, 400, "invalid_request");
    assert_refused(&ask(&["Basic !"], in_form()).await, 400, "invalid_request");
    // A header of another scheme is for an API gateway; the client authenticates in the form.
    access_token(&ask(&["Bearer for-the-gateway"], in_form()).await);
}

async fn the_older_route_takes_basic_credentials_and_the_grant_in_its_query(app: TestApp) {
    let basic = format!("Basic {}", BASE64_STANDARD.encode("%73andbox:sandbox"));
    let ask = async |query: &str, content_type: Option<&str>, body: &str, basic: Option<&str>| {
        let mut request = Request::post(format!("/oauth/token{query}"));
        for (name, value) in [("authorization", basic), ("content-type", content_type)] {
            if let Some(value) = value {
                request = request.header(name, value);
            }
        }
        app.stranger().request(request.body(Body::from(body.to_owned())).unwrap()).await
    };
    let (form, json, basic) = ("application/x-www-form-urlencoded", "application/json", Some(basic.as_str()));
    let in_query = "?grant_type=client_credentials";
    for (query, content_type, body) in [
        (in_query, None, ""),
        (in_query, Some(form), ""),
        (in_query, Some(json), ""),
        (in_query, Some("text/plain;charset=UTF-8"), ""),
        (in_query, Some(json), "{}"),
        (in_query, Some(json), r#"{"scope": "partners"}"#),
        ("?grant_type=client%5Fcredentials&scope=partners&scope=&unknown=1", None, ""),
        ("", Some(json), r#"{"grant_type": "client_credentials"}"#),
        ("", Some(form), GRANT),
        (in_query, Some(form), GRANT),
    ] {
        let token = access_token(&ask(query, content_type, body, basic).await);
        app.with_token(Some(&token)).get("/v1/mfa/devices").await.assert_status(200);
    }
    let in_json = r#"{"client_id": "sandbox", "client_secret": "sandbox"}"#;
    access_token(&ask(in_query, Some(json), in_json, None).await);
    for (query, body, basic, status, error) in [
        ("", "", basic, 400, "invalid_request"),
        ("?grant_type=", "", basic, 400, "invalid_request"),
        ("?grant_type=password", "", basic, 400, "unsupported_grant_type"),
        ("?grant_type=password", r#"{"grant_type": "client_credentials"}"#, basic, 400, "invalid_request"),
        ("?grant_type=client_credentials&scope=admin", "", basic, 400, "invalid_scope"),
        ("?grant_type=client_credentials&grant_type=client_credentials", "", basic, 400, "invalid_request"),
        (in_query, "", None, 401, "invalid_client"),
        (in_query, in_json, basic, 400, "invalid_request"),
        // No secrets in a query: URLs are logged.
        ("?grant_type=client_credentials&client_id=sandbox&client_secret=sandbox", "", None, 400, "invalid_request"),
        ("?grant_type=client_credentials&client_secret=sandbox", "", basic, 400, "invalid_request"),
    ] {
        assert_refused(&ask(query, None, body, basic).await, status, error);
    }
    // The route of RFC 6749 takes parameters in the body only.
    let request = Request::post(format!("/oauth2/token{in_query}")).header("authorization", basic.unwrap());
    let answer = app.stranger().request(request.body(Body::empty()).unwrap()).await;
    assert_refused(&answer, 400, "invalid_request");
}

async fn a_body_is_parsed_by_its_content_type(app: TestApp) {
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
        ("/oauth/token", &form, Some(form_type), 200),
        ("/oauth/token", &json, Some(form_type), 400),
        ("/oauth/token", &form, None, 400),
        ("/oauth/token", &form, Some("text/plain"), 415),
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
async fn the_lifetime_of_a_token_is_a_setting() {
    let app = TestApp::with(Engine::Sqlite, &[("TOKEN_LIFETIME_SECONDS", "60")]).await;
    let answer = ask_for_token(&app, SANDBOX, GRANT).await;
    assert_eq!(answer.json()["expires_in"], 60);
    let client = app.with_token(Some(&access_token(&answer)));
    app.advance(chrono::TimeDelta::seconds(59));
    client.get("/v1/mfa/devices").await.assert_status(200);
    app.advance(chrono::TimeDelta::seconds(1));
    client.get("/v1/mfa/devices").await.assert_status(401);
}
