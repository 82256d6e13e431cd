//! Opening a challenge.

use chrono::TimeDelta;
use device_management::service::AuditCheckpoints;
use serde_json::json;

use super::{assert_not_open, bound, path};
use crate::audit::verdicts;
use crate::harness::{DEVICE_CHALLENGES, Phone, TestApp, books, in_every_form};

in_every_form![
    a_challenge_has_a_text_with_the_device_and_is_shown_while_it_is_open,
    a_device_that_is_not_bound_is_invalid,
    the_purpose_of_the_key_can_be_chosen_and_defaults_to_unrestricted,
    the_twenty_first_open_challenge_of_a_device_is_refused,
    a_deleted_device_has_no_challenges,
    the_audit_event_of_a_challenge_names_the_devices_person,
];

async fn a_challenge_has_a_text_with_the_device_and_is_shown_while_it_is_open(app: TestApp) {
    let acme = app.partner();
    let device = bound(&acme, "ada", &Phone::new(1)).await;
    let created = acme.post(DEVICE_CHALLENGES, json!({"device_id": device})).await;
    created.assert_status(201);
    let challenge = created.json();
    let id = challenge["id"].as_str().unwrap().to_owned();
    assert_eq!(challenge["type"], "device");
    let text = challenge["string_to_sign"].as_str().unwrap().to_owned();
    let lines: Vec<&str> = text.split('\n').collect();
    assert_eq!(lines.len(), 8, "{text}");
    assert_eq!(lines[0], "device-management/challenge/v1");
    assert_eq!(lines[1], format!("challenge: {id}"));
    let nonce = lines[2].strip_prefix("nonce: ").expect("a nonce");
    assert_eq!((nonce.len(), nonce.bytes().all(|b| b.is_ascii_hexdigit())), (32, true), "{nonce}");
    assert_eq!(lines[3..6], ["partner: acme", "person: ada", &format!("device: {device}")]);
    assert_eq!(lines[6], "key: unrestricted");
    assert_eq!(lines[7], format!("expires: {}", challenge["expires_at"].as_str().unwrap()));

    assert_eq!(acme.get(&path(&id)).await.assert_status(200).json(), challenge);
    app.advance(TimeDelta::minutes(5));
    assert_not_open(&acme.get(&path(&id)).await, &id);
}

async fn a_device_that_is_not_bound_is_invalid(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    let device = bound(&acme, "ada", &Phone::new(1)).await;
    let pending = acme.ask_for_device("ada", &Phone::new(2)).await.id;
    let deleted = bound(&acme, "bob", &Phone::new(3)).await;
    acme.delete(&format!("/v1/mfa/devices/{deleted}")).await.assert_status(204);
    let invalid = [("device_id", "device-id invalid")];
    for unknown in [&*pending, &deleted, "0199f3c1-a4b2-7d5e-8f00-112233445566", "x", ""] {
        acme.post(DEVICE_CHALLENGES, json!({"device_id": unknown})).await.assert_faults(&invalid);
    }
    globex.post(DEVICE_CHALLENGES, json!({"device_id": device})).await.assert_faults(&invalid);
    acme.post(DEVICE_CHALLENGES, json!({})).await.assert_faults(&[("device_id", "is required")]);
}

async fn the_purpose_of_the_key_can_be_chosen_and_defaults_to_unrestricted(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let wish = |purpose: &str| json!({"device_id": device, "key_purpose": purpose});
    let missing = [("key_purpose", "the device has no key of this purpose")];
    acme.post(DEVICE_CHALLENGES, wish("restricted")).await.assert_faults(&missing);
    let unknown = [("key_purpose", "must be one of: unrestricted, restricted")];
    acme.post(DEVICE_CHALLENGES, wish("other")).await.assert_faults(&unknown);

    let mut key = phone.vouch_for(&Phone::new(2));
    key["key_purpose"] = "restricted".into();
    acme.post(&format!("/v1/mfa/devices/{device}/keys"), key).await.assert_status(201);
    for (purpose, line, signer) in
        [("", "key: unrestricted", 1), ("unrestricted", "key: unrestricted", 1), ("restricted", "key: restricted", 2)]
    {
        let challenge = acme.post(DEVICE_CHALLENGES, wish(purpose)).await.assert_status(201).json();
        let (id, text) = (challenge["id"].as_str().unwrap(), challenge["string_to_sign"].as_str().unwrap());
        assert!(text.lines().any(|it| it == line), "{text}");
        // The device's other key may not sign.
        acme.sign(id, &Phone::new(3 - signer).sign(text)).await.assert_status(403);
        acme.sign(id, &Phone::new(signer).sign(text)).await.assert_status(204);
    }
}

async fn the_twenty_first_open_challenge_of_a_device_is_refused(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let first = acme.challenge(&device).await;
    for _ in 1..20 {
        acme.challenge(&device).await;
    }
    let refused = acme.post(DEVICE_CHALLENGES, json!({"device_id": device})).await;
    let detail = "the device has as many open challenges as allowed; let it answer some";
    refused.assert_error(429, "too_many_requests", detail);
    assert!(refused.headers.contains_key("retry-after"));

    // All of them can be answered, and an answered one makes room.
    acme.sign(&first.id, &phone.sign(&first.text)).await.assert_status(204);
    acme.challenge(&device).await;
    acme.post(DEVICE_CHALLENGES, json!({"device_id": device})).await.assert_status(429);
    app.advance(TimeDelta::minutes(5));
    acme.challenge(&device).await;
}

async fn a_deleted_device_has_no_challenges(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let challenge = acme.challenge(&device).await;
    acme.delete(&format!("/v1/mfa/devices/{device}")).await.assert_status(204);
    assert_not_open(&acme.get(&path(&challenge.id)).await, &challenge.id);
    assert_not_open(&acme.sign(&challenge.id, &phone.sign(&challenge.text)).await, &challenge.id);
}

async fn the_audit_event_of_a_challenge_names_the_devices_person(app: TestApp) {
    let acme = app.partner();
    let device = bound(&acme, "ada", &Phone::new(1)).await;
    acme.challenge(&device).await;
    app.app.service.seal_audit_trail().await.unwrap();
    let events = "select count(*) from audit_event
                   where action = 'device_challenge.asked' and outcome = 'accepted' and person_id = 'ada'";
    assert_eq!(books::count(&app.database, events).await, 1);
    // The verification compares the digest with person and salt.
    for verdict in verdicts(app.store(), &AuditCheckpoints::default()).await {
        assert!(verdict.faults.is_empty(), "{verdict:#?}");
    }
}
