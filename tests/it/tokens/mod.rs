//! Access tokens: how clients get them, which are accepted, and what they permit (docs/api-design.md#access-tokens).

mod bearer;
mod client_credentials;
mod clients;
mod external_issuer;

use axum::body::Body;
use axum::http::{HeaderValue, Request};
use base64::prelude::{BASE64_STANDARD, Engine as _};

pub(crate) use clients::registry;

use crate::harness::{Answer, TestApp};

/// RFC 6749 section 5.1.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");

const GRANT: &str = "grant_type=client_credentials";

/// Requests a token with a form and optional HTTP Basic credentials.
async fn ask_for_token(app: &TestApp, basic: Option<(&str, &str)>, form: &str) -> Answer {
    let mut request = Request::post("/oauth2/token").header("content-type", "application/x-www-form-urlencoded");
    if let Some((id, secret)) = basic {
        let credentials = BASE64_STANDARD.encode(format!("{id}:{secret}"));
        request = request.header("authorization", format!("Basic {credentials}"));
    }
    app.stranger().request(request.body(Body::from(form.to_owned())).unwrap()).await
}

/// The token of a successful answer.
fn access_token(answer: &Answer) -> String {
    answer.assert_status(200);
    assert_eq!((&answer.headers["cache-control"], &answer.headers["pragma"]), (&NO_STORE, &NO_CACHE));
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

/// An error response of RFC 6749 section 5.2 that must not be cached.
#[track_caller]
fn assert_refused(answer: &Answer, status: u16, error: &str) {
    answer.assert_status(status);
    assert_eq!(answer.json()["error"], error);
    assert_eq!((&answer.headers["cache-control"], &answer.headers["pragma"]), (&NO_STORE, &NO_CACHE));
    let challenge = answer.headers.get("www-authenticate").map(|value| value.to_str().unwrap());
    let expected = (status == 401).then_some("Basic realm=\"device-management\"");
    assert_eq!(challenge, expected, "401 and only 401 has a Basic challenge");
}
