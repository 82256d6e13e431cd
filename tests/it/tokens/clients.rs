//! Clients and their secrets as the operator creates, rotates and revokes them.

use chrono::TimeDelta;
use device_management::domain::clients::{Permission, Permissions};
use device_management::domain::person::PartnerId;
use device_management::service::{ClientRegistry, NewSecret};
use secrecy::ExposeSecret;
use serde_json::json;

use super::{GRANT, access_token, ask_for_token, assert_refused};
use crate::harness::sql::everything;
use crate::harness::{Answer, NUMBER, TestApp, on_both_databases};

on_both_databases![
    a_client_acts_for_its_partner_with_its_permissions,
    a_new_secret_and_the_previous_one_overlap,
    a_second_rotation_drops_the_first_secret,
    a_revoked_client_gets_no_more_tokens,
    clients_are_listed_oldest_first,
    no_secret_is_stored,
    ids_and_secrets_need_no_form_encoding,
];

const DAY: TimeDelta = TimeDelta::days(1);

async fn a_client_acts_for_its_partner_with_its_permissions(app: TestApp) {
    let teller = create(&app, "acme", Permissions::default()).await;
    let kyc = create(&app, "acme", Permissions::from_iter([Permission::AssertNumbers])).await;
    let foreign = create(&app, "globex", Permissions::all()).await;
    let assertion = json!({"number": NUMBER, "verified": true});
    let path = "/v1/persons/ada/mobile_number";

    let as_client = async |secret: &NewSecret| app.with_token(Some(&access_token(&sign_in(&app, secret).await)));
    as_client(&teller).await.post(path, assertion.clone()).await.assert_status(403);
    as_client(&kyc).await.post(path, assertion).await.assert_status(201);
    as_client(&teller).await.get(path).await.assert_status(200);
    as_client(&foreign).await.get(path).await.assert_status(404);

    let swapped = (teller.client_id.as_str(), kyc.secret.expose_secret());
    assert_refused(&ask_for_token(&app, Some(swapped), GRANT).await, 401, "invalid_client");
}

async fn a_new_secret_and_the_previous_one_overlap(app: TestApp) {
    let first = create(&app, "acme", Permissions::default()).await;
    let second = rotate(&app, &first).await;
    assert_ne!(first.secret.expose_secret(), second.secret.expose_secret());
    app.advance(DAY - TimeDelta::microseconds(1));
    for secret in [&first, &second] {
        sign_in(&app, secret).await.assert_status(200);
    }
    app.advance(TimeDelta::microseconds(1));
    assert_refused(&sign_in(&app, &first).await, 401, "invalid_client");
    sign_in(&app, &second).await.assert_status(200);
}

async fn a_second_rotation_drops_the_first_secret(app: TestApp) {
    let first = create(&app, "acme", Permissions::default()).await;
    let second = rotate(&app, &first).await;
    let third = rotate(&app, &first).await;
    assert_refused(&sign_in(&app, &first).await, 401, "invalid_client");
    for secret in [&second, &third] {
        sign_in(&app, secret).await.assert_status(200);
    }
    // After a leak the operator rotates without an overlap.
    let fourth = registry(&app).rotate(&first.client_id, TimeDelta::zero()).await.unwrap().unwrap();
    for secret in [&second, &third] {
        assert_refused(&sign_in(&app, secret).await, 401, "invalid_client");
    }
    sign_in(&app, &fourth).await.assert_status(200);
}

async fn a_revoked_client_gets_no_more_tokens(app: TestApp) {
    let client = create(&app, "acme", Permissions::default()).await;
    let other = create(&app, "acme", Permissions::default()).await;
    let rotated = rotate(&app, &client).await;
    assert!(registry(&app).revoke(&client.client_id).await.unwrap());
    for secret in [&client, &rotated] {
        assert_refused(&sign_in(&app, secret).await, 401, "invalid_client");
    }
    sign_in(&app, &other).await.assert_status(200);

    // A revoked client can be neither revoked again nor rotated.
    assert!(!registry(&app).revoke(&client.client_id).await.unwrap());
    assert!(registry(&app).rotate(&client.client_id, DAY).await.unwrap().is_none());
    assert_refused(&sign_in(&app, &rotated).await, 401, "invalid_client");
    assert!(!registry(&app).revoke("unknown").await.unwrap());
    assert!(registry(&app).rotate("unknown", DAY).await.unwrap().is_none());
}

async fn clients_are_listed_oldest_first(app: TestApp) {
    assert!(registry(&app).page(None).await.unwrap().is_empty());
    let mut made = Vec::new();
    for partner in ["globex", "acme", "initech"] {
        made.push(create(&app, partner, Permissions::default()).await.client_id);
        app.advance(TimeDelta::seconds(1));
    }
    registry(&app).revoke(&made[1]).await.unwrap();
    let listed = registry(&app).page(None).await.unwrap();
    assert_eq!(listed.iter().map(|client| &client.id).collect::<Vec<_>>(), made.iter().collect::<Vec<_>>());
    assert_eq!(listed.iter().map(|client| client.revoked_at.is_some()).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(listed[0].partner.as_str(), "globex");
    assert_eq!(listed[0].name.as_deref(), Some("a client of globex"));
}

async fn no_secret_is_stored(app: TestApp) {
    let first = create(&app, "acme", Permissions::default()).await;
    let second = rotate(&app, &first).await;
    let stored = everything(&app.database).await;
    assert!(stored.contains(&first.client_id), "the dump of the database contains clients");
    for secret in [&first, &second] {
        let secret = secret.secret.expose_secret();
        assert!(!stored.contains(secret) && !stored.contains(&hex::encode(secret)));
    }
}

/// Clients may encode their credentials (RFC 6749 section 2.3.1) or not: decoding changes nothing.
async fn ids_and_secrets_need_no_form_encoding(app: TestApp) {
    for _ in 0..20 {
        let client = create(&app, "acme", Permissions::default()).await;
        let rotated = rotate(&app, &client).await;
        for text in [client.client_id.as_str(), client.secret.expose_secret(), rotated.secret.expose_secret()] {
            assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{} characters", text.len());
        }
    }
}

pub(crate) fn registry(app: &TestApp) -> ClientRegistry<'_> {
    let service = &app.app.service;
    ClientRegistry { store: app.store(), clock: &*service.clock, entropy: &*service.entropy }
}

pub(super) async fn create(app: &TestApp, partner: &str, permissions: Permissions) -> NewSecret {
    let name = Some(format!("a client of {partner}"));
    registry(app).create(PartnerId::parse(partner).unwrap(), name, permissions).await.unwrap()
}

async fn rotate(app: &TestApp, client: &NewSecret) -> NewSecret {
    registry(app).rotate(&client.client_id, DAY).await.unwrap().expect("the client exists")
}

async fn sign_in(app: &TestApp, client: &NewSecret) -> Answer {
    ask_for_token(app, Some((&client.client_id, client.secret.expose_secret())), GRANT).await
}
