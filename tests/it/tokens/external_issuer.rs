//! Tokens of an external issuer, the identity provider of the operator's company. Its keys are fetched in the
//! background, at most once in ten seconds. No check of a token queries the database.

use chrono::TimeDelta;
use device_management::background::{Background, token_duties};
use serde_json::{Value, json};

use crate::harness::identity_provider::{AUDIENCE, IdentityProvider, IssuerKey, hs256, jwt};
use crate::harness::sql::texts;
use crate::harness::{Answer, Engine, NUMBER, TestApp};

const DEVICES: &str = "/v1/mfa/devices";
const INVALID: &str = "the access token is invalid or expired";

#[tokio::test]
async fn tokens_signed_with_rsa_and_ec_keys_are_accepted() {
    let (rsa, ec) = (IssuerKey::rsa("rsa"), IssuerKey::ec("ec", 1));
    let (app, provider) = app_that_trusts(&[&rsa, &ec]).await;
    for key in [&rsa, &ec] {
        let client = app.with_token(Some(&key.token(&claims(&app, &provider, &json!({})))));
        client.get(DEVICES).await.assert_status(200);
    }
    assert_eq!(provider.request_count().await, 1, "one fetch covers both keys");
    // The service's own tokens still work.
    app.partner().get(DEVICES).await.assert_status(200);
}

#[tokio::test]
async fn the_keys_are_found_through_the_issuers_discovery_document() {
    let key = IssuerKey::ec("ec", 1);
    let provider = IdentityProvider::with(&[&key]).await;
    let settings = [("EXTERNAL_ISSUER", provider.issuer()), ("EXTERNAL_AUDIENCE", AUDIENCE.to_owned())];
    let app = app_with(&settings).await;
    let token = key.token(&claims(&app, &provider, &json!({})));
    app.with_token(Some(&token)).get(DEVICES).await.assert_status(200);
    assert_eq!(provider.request_count().await, 2, "the discovery document and the keys");
}

#[tokio::test]
async fn a_token_with_other_claims_or_another_signature_is_refused() {
    let (key, stranger) = (IssuerKey::ec("ec", 1), IssuerKey::ec("ec", 2));
    let (app, provider) = app_that_trusts(&[&key]).await;
    let now = now(&app);
    let good = claims(&app, &provider, &json!({}));
    app.with_token(Some(&key.token(&good))).get(DEVICES).await.assert_status(200);

    let with = |change: Value| key.token(&claims(&app, &provider, &change));
    let with_header = |header: Value| jwt(&header, &good, |message| key.sign(message));
    for (what, token) in [
        ("another audience", with(json!({"aud": "device-management"}))),
        ("other audiences", with(json!({"aud": ["a", "b"]}))),
        ("no audience", with(json!({"aud": null}))),
        ("another issuer", with(json!({"iss": "https://login.example"}))),
        ("the service itself as issuer", with(json!({"iss": "device-management", "aud": "device-management"}))),
        ("no issuer", with(json!({"iss": null}))),
        ("no exp", with(json!({"exp": null}))),
        ("issuers in a list", with(json!({"iss": [provider.issuer()]}))),
        ("an exp in words", with(json!({"exp": "2099-01-01"}))),
        ("an exp that is a numeric string", with(json!({"exp": (now + 60).to_string()}))),
        ("an exp that is true", with(json!({"exp": true}))),
        ("an exp in a list", with(json!({"exp": [now + 60]}))),
        ("an exp in an object", with(json!({"exp": {"seconds": now + 60}}))),
        ("an nbf in words", with(json!({"nbf": "now"}))),
        ("an nbf that is a numeric string", with(json!({"nbf": now.to_string()}))),
        ("an nbf that is true", with(json!({"nbf": true}))),
        ("an nbf in a list", with(json!({"nbf": [now]}))),
        ("an nbf in an object", with(json!({"nbf": {"seconds": now}}))),
        (
            "an nbf that is null",
            key.token(&{
                let mut claims = good.clone();
                claims["nbf"] = Value::Null;
                claims
            }),
        ),
        ("the operator as subject", with(json!({"sub": "operator"}))),
        ("a critical extension", with_header(json!({"alg": "ES256", "kid": "ec", "crit": ["b64"], "b64": true}))),
        ("a critical extension that is absent", with_header(json!({"alg": "ES256", "kid": "ec", "crit": ["exp"]}))),
        ("an empty crit", with_header(json!({"alg": "ES256", "kid": "ec", "crit": []}))),
        ("a crit that is null", with_header(json!({"alg": "ES256", "kid": "ec", "crit": null}))),
        ("a crit that is a string", with_header(json!({"alg": "ES256", "kid": "ec", "crit": "exp"}))),
        ("expired", with(json!({"exp": now - 31}))),
        ("not valid yet", with(json!({"nbf": now + 31}))),
        ("no sub", with(json!({"sub": null}))),
        ("a sub that is a number", with(json!({"sub": 7}))),
        ("a sub that is empty", with(json!({"sub": ""}))),
        ("a sub with a NUL character", with(json!({"sub": "a\u{0}b"}))),
        ("a sub that is too long", with(json!({"sub": "x".repeat(256)}))),
        ("another key under the same id", stranger.token(&good)),
        ("no key id", with_header(json!({"alg": "ES256"}))),
        ("another algorithm for this key", with_header(json!({"alg": "ES384", "kid": "ec"}))),
        ("an RSA algorithm for this key", with_header(json!({"alg": "RS256", "kid": "ec"}))),
        ("no algorithm", with_header(json!({"alg": "none", "kid": "ec"}))),
        ("no signature", jwt(&key.header(), &good, |_| Vec::new())),
    ] {
        let answer = app.with_token(Some(&token)).get(DEVICES).await;
        assert_eq!(answer.status, 401, "{what}");
        answer.assert_error(401, "invalid_token", INVALID);
    }
    // Clock skew of 30 s is allowed, and `aud` may name several services.
    for change in
        [json!({"exp": now - 29}), json!({"nbf": now + 30}), json!({"aud": ["other", AUDIENCE]}), json!({"exp": 4e9})]
    {
        app.with_token(Some(&with(change))).get(DEVICES).await.assert_status(200);
    }
}

#[tokio::test]
async fn a_public_key_is_not_accepted_as_an_hmac_secret() {
    let key = IssuerKey::rsa("rsa");
    let (app, provider) = app_that_trusts(&[&key]).await;
    let own = json!({"iss": "device-management", "aud": "device-management", "permissions": "numbers:assert"});
    for secret in key.public_forms() {
        for claims in [claims(&app, &provider, &json!({})), claims(&app, &provider, &own)] {
            let header = json!({"alg": "HS256", "kid": "rsa", "typ": "JWT"});
            let token = jwt(&header, &claims, |message| hs256(&secret, message));
            app.with_token(Some(&token)).get(DEVICES).await.assert_error(401, "invalid_token", INVALID);
        }
    }
    assert_eq!(provider.request_count().await, 0, "such a token causes no key fetch");
}

#[tokio::test]
async fn a_token_without_scope_or_partner_gets_403() {
    let key = IssuerKey::ec("ec", 1);
    let (app, provider) = app_that_trusts(&[&key]).await;
    let no_scope = "the token does not allow this: its scope lacks `partners`";
    let no_partner = "the token does not allow this: it names no partner";
    for (change, detail) in [
        (json!({"scope": null}), no_scope),
        (json!({"scope": "openid partners2"}), no_scope),
        (json!({"scope": 7}), no_scope),
        (json!({"partner": null}), no_partner),
        (json!({"partner": ""}), no_partner),
        (json!({"partner": "ACME"}), no_partner),
        (json!({"partner": ["acme"]}), no_partner),
    ] {
        let token = key.token(&claims(&app, &provider, &change));
        let answer = app.with_token(Some(&token)).get(DEVICES).await;
        answer.assert_error(403, "unauthorized_action", detail);
        let challenge = "Bearer realm=\"device-management\", error=\"insufficient_scope\", scope=\"partners\"";
        assert_eq!(answer.headers["www-authenticate"], challenge);
    }
}

#[tokio::test]
async fn claims_set_the_partner_and_the_permissions() {
    let key = IssuerKey::ec("ec", 1);
    let provider = IdentityProvider::with(&[&key]).await;
    let mut settings = settings(&provider).to_vec();
    settings.push(("EXTERNAL_PARTNER_CLAIM", "https://acme.example/tenant".to_owned()));
    let app = app_with(&settings).await;
    let tenant = |name: &str| json!({"partner": null, "https://acme.example/tenant": name});
    let assertion = json!({"number": NUMBER, "verified": true});

    for (person, grants, status) in [
        ("a", json!({"scope": "partners"}), 403),
        ("b", json!({"scope": "partners numbers:assert"}), 201),
        ("c", json!({"scope": null, "scp": ["numbers:assert", "partners"]}), 201),
        ("d", json!({"permissions": ["numbers:assert", "unknown"]}), 201),
        ("e", json!({"permissions": "numbers:Assert"}), 403),
    ] {
        let mut change = tenant("acme");
        change.as_object_mut().unwrap().extend(grants.as_object().unwrap().clone());
        let client = app.with_token(Some(&key.token(&claims(&app, &provider, &change))));
        let answer = client.post(&format!("/v1/persons/{person}/mobile_number"), assertion.clone()).await;
        assert_eq!(answer.status, status, "{person}: {grants}");
    }
    let recorded = "select distinct partner_id || ' ' || asserted_by from mobile_number";
    assert_eq!(texts(app.database.url(), recorded).await, ["acme backoffice"]);

    let foreign = app.with_token(Some(&key.token(&claims(&app, &provider, &tenant("globex")))));
    foreign.get("/v1/persons/b/mobile_number").await.assert_status(404);
    app.partner().get("/v1/persons/b/mobile_number").await.assert_status(200);
}

#[tokio::test]
async fn an_unknown_key_is_looked_up_at_most_once_in_ten_seconds() {
    let (key, unknown) = (IssuerKey::ec("ec", 1), IssuerKey::ec("other", 2));
    let (app, provider) = app_that_trusts(&[&key]).await;
    let good = token(&app, &provider, &key);
    let forged = token(&app, &provider, &unknown);
    let ask = async |token: &str| app.with_token(Some(token)).get(DEVICES).await;

    ask(&good).await.assert_status(200);
    assert_eq!(provider.request_count().await, 1);
    for _ in 0..3 {
        ask(&forged).await.assert_status(401);
    }
    assert_eq!(provider.request_count().await, 1, "no second fetch within ten seconds");
    for times in 2..4 {
        app.advance(TimeDelta::seconds(9));
        ask(&forged).await.assert_status(401);
        assert_eq!(provider.request_count().await, times - 1);
        app.advance(TimeDelta::seconds(1));
        for _ in 0..3 {
            ask(&forged).await.assert_status(401);
            ask(&good).await.assert_status(200);
        }
        assert_eq!(provider.request_count().await, times);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_forged_tokens_cause_one_key_fetch() {
    let key = IssuerKey::ec("ec", 1);
    for breaks_down in [false, true] {
        let (app, provider) = app_that_trusts(&[&key]).await;
        if breaks_down {
            provider.answer_503().await;
        }
        let forged = (0..200_u8).map(|number| {
            let header = json!({"alg": "ES256", "kid": format!("forged-{number}")});
            jwt(&header, &claims(&app, &provider, &json!({})), |message| key.sign(message))
        });
        let asking: Vec<_> = forged
            .map(|token| {
                let client = app.with_token(Some(&token));
                tokio::spawn(async move { client.get(DEVICES).await.status.as_u16() })
            })
            .collect();
        for status in asking {
            assert_eq!(status.await.unwrap(), if breaks_down { 503 } else { 401 });
        }
        assert_eq!(provider.request_count().await, 1, "the provider answers 503: {breaks_down}");
    }
}

#[tokio::test]
async fn a_member_of_the_key_set_that_cannot_be_used_is_skipped() {
    let (key, other) = (IssuerKey::rsa("good"), IssuerKey::ec("bad", 1));
    let bad = |change: Value| {
        let mut member = other.jwk();
        member.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        member
    };
    let provider = IdentityProvider::with(&[]).await;
    for member in [
        json!(null),
        json!("a key"),
        json!([]),
        json!({}),
        bad(json!({"kid": 7})),
        bad(json!({"x5c": "MIIB"})),
        bad(json!({"use": "enc"})),
        bad(json!({"crv": "P-521"})),
        bad(json!({"x": 7})),
    ] {
        for members in [vec![member.clone(), key.jwk()], vec![key.jwk(), member.clone()]] {
            provider.publish_members(members).await;
            let app = app_with(&settings(&provider)).await;
            app.with_token(Some(&token(&app, &provider, &key))).get(DEVICES).await.assert_status(200);
            let by_bad = app.with_token(Some(&token(&app, &provider, &other))).get(DEVICES).await;
            assert_eq!(by_bad.status, 401, "{member}");
        }
    }
}

#[tokio::test]
async fn an_rsa_and_an_ec_key_may_share_a_key_id() {
    let (rsa, ec) = (IssuerKey::rsa("shared"), IssuerKey::ec("shared", 1));
    let (app, provider) = app_that_trusts(&[&rsa, &ec]).await;
    for key in [&rsa, &ec] {
        app.with_token(Some(&token(&app, &provider, key))).get(DEVICES).await.assert_status(200);
    }
}

#[tokio::test]
async fn a_discovery_document_of_another_issuer_is_refused() {
    let key = IssuerKey::ec("ec", 1);
    let provider = IdentityProvider::with(&[&key]).await;
    provider.describe_as("https://login.example", &[&key]).await;
    let settings = [("EXTERNAL_ISSUER", provider.issuer()), ("EXTERNAL_AUDIENCE", AUDIENCE.to_owned())];
    let app = app_with(&settings).await;
    app.with_token(Some(&token(&app, &provider, &key))).get(DEVICES).await.assert_status(503);
    assert_eq!(provider.request_count().await, 1, "the keys are not fetched");
}

#[tokio::test]
async fn the_keys_are_fetched_at_the_start() {
    let key = IssuerKey::ec("ec", 1);
    let (app, provider) = app_that_trusts(&[&key]).await;
    let background = Background::new(app.app.service.entropy.clone()).start(&app.app.tokens, token_duties());
    background.finish().await;
    assert_eq!(provider.request_count().await, 1);
    provider.answer_503().await;
    app.with_token(Some(&token(&app, &provider, &key))).get(DEVICES).await.assert_status(200);
}

#[tokio::test]
async fn a_new_key_works_after_a_lookup_and_a_withdrawn_key_stops_after_a_refresh() {
    let (old, new) = (IssuerKey::rsa("old"), IssuerKey::ec("new", 1));
    let (app, provider) = app_that_trusts(&[&old]).await;
    let (by_old, by_new) = (token(&app, &provider, &old), token(&app, &provider, &new));
    let ask = async |token: &str| app.with_token(Some(token)).get(DEVICES).await;
    ask(&by_old).await.assert_status(200);
    app.advance(TimeDelta::seconds(10));
    provider.publish(&[&old, &new]).await;
    ask(&by_new).await.assert_status(200);
    ask(&by_old).await.assert_status(200);

    provider.publish(&[&new]).await;
    app.advance(TimeDelta::minutes(10) - TimeDelta::seconds(1));
    app.app.tokens.refresh_keys().await.unwrap();
    ask(&by_old).await.assert_status(200);
    assert_eq!(provider.request_count().await, 0, "the keys are fresh");
    // Keys are refreshed in the background; a token with a known key never waits for a fetch.
    app.advance(TimeDelta::seconds(1));
    ask(&by_old).await.assert_status(200);
    app.app.tokens.refresh_keys().await.unwrap();
    assert_eq!(provider.request_count().await, 1);
    ask(&by_old).await.assert_error(401, "invalid_token", INVALID);
    ask(&by_new).await.assert_status(200);

    provider.publish(&[]).await;
    app.advance(TimeDelta::minutes(10));
    app.app.tokens.refresh_keys().await.unwrap();
    ask(&by_new).await.assert_error(401, "invalid_token", INVALID);
}

#[tokio::test]
async fn known_keys_outlive_an_outage_of_the_provider() {
    let (key, unknown) = (IssuerKey::ec("ec", 1), IssuerKey::ec("other", 2));
    let (app, provider) = app_that_trusts(&[&key]).await;
    let (good, forged) = (token(&app, &provider, &key), token(&app, &provider, &unknown));
    let ask = async |token: &str| app.with_token(Some(token)).get(DEVICES).await;
    ask(&good).await.assert_status(200);

    provider.answer_503().await;
    app.advance(TimeDelta::minutes(30));
    for _ in 0..3 {
        ask(&good).await.assert_status(200);
        assert!(
            app.app.tokens.refresh_keys().await.is_err(),
            "each refresh reports the failure, with or without a fetch"
        );
        ask(&forged).await.assert_status(401);
    }
    assert_eq!(provider.request_count().await, 1, "retries are limited during an outage");
    provider.answer_html().await;
    app.advance(TimeDelta::seconds(10));
    assert!(app.app.tokens.refresh_keys().await.is_err());
    ask(&good).await.assert_status(200);

    provider.publish(&[&key, &unknown]).await;
    app.advance(TimeDelta::seconds(10));
    app.app.tokens.refresh_keys().await.unwrap();
    ask(&forged).await.assert_status(200);
}

#[tokio::test]
async fn without_keys_external_tokens_get_503() {
    let key = IssuerKey::ec("ec", 1);
    let (app, provider) = app_that_trusts(&[&key]).await;
    let good = token(&app, &provider, &key);
    let ask = async |token: &str| app.with_token(Some(token)).get(DEVICES).await;

    provider.answer_503().await;
    let detail = "the service is not available right now, please try again";
    for (seconds, retry_after) in [(0, "10"), (7, "3")] {
        app.advance(TimeDelta::seconds(seconds));
        let answer: Answer = ask(&good).await;
        answer.assert_error(503, "service_unavailable", detail);
        assert_eq!(answer.headers["retry-after"], retry_after);
    }
    // The service's own tokens do not need the provider's keys.
    app.partner().get(DEVICES).await.assert_status(200);

    provider.publish(&[&key]).await;
    ask(&good).await.assert_status(503);
    assert_eq!(provider.request_count().await, 0, "no fetch for ten seconds after a failure");
    app.advance(TimeDelta::seconds(3));
    ask(&good).await.assert_status(200);
}

#[tokio::test]
async fn a_clock_set_back_does_not_block_key_lookups() {
    let key = IssuerKey::ec("ec", 1);
    let (app, provider) = app_that_trusts(&[]).await;
    let by_key = async || app.with_token(Some(&token(&app, &provider, &key))).get(DEVICES).await;
    by_key().await.assert_status(401);
    provider.publish(&[&key]).await;
    app.advance(TimeDelta::days(-1));
    by_key().await.assert_status(200);
}

fn settings(provider: &IdentityProvider) -> [(&'static str, String); 3] {
    [
        ("EXTERNAL_ISSUER", provider.issuer()),
        ("EXTERNAL_AUDIENCE", AUDIENCE.to_owned()),
        ("EXTERNAL_JWKS_URL", provider.jwks_url()),
    ]
}

async fn app_with(settings: &[(&str, String)]) -> TestApp {
    let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
    TestApp::with(Engine::Sqlite, &settings).await
}

async fn app_that_trusts(keys: &[&IssuerKey]) -> (TestApp, IdentityProvider) {
    let provider = IdentityProvider::with(keys).await;
    (app_with(&settings(&provider)).await, provider)
}

/// A valid token.
fn token(app: &TestApp, provider: &IdentityProvider, key: &IssuerKey) -> String {
    key.token(&claims(app, provider, &json!({})))
}

/// Valid claims with these changed; null removes a claim.
fn claims(app: &TestApp, provider: &IdentityProvider, change: &Value) -> Value {
    let now = now(app);
    let mut claims = json!({
        "iss": provider.issuer(),
        "aud": AUDIENCE,
        "sub": "backoffice",
        "iat": now,
        "exp": now + 7200,
        "scope": "openid partners",
        "partner": "acme",
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
