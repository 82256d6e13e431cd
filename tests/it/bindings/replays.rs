//! Replay of a right answer, as when the first 204 was lost: within a minute the same 204, and no second effect.

use chrono::TimeDelta;
use serde_json::Value;

use super::{assert_not_open, bound_devices, device_path};
use crate::harness::{Phone, TestApp, TestClient, on_both_databases};

on_both_databases![
    a_repeat_within_a_minute_gets_204_and_has_no_effect,
    the_high_s_form_of_a_signature_counts_as_a_repeat,
    a_high_s_signature_binds_like_any_other,
    a_repeat_after_a_minute_gets_404,
    another_valid_signature_is_not_a_repeat,
    a_repeat_for_a_deleted_device_gets_404,
    a_repeat_is_recognised_after_a_request_for_another_device,
];

async fn a_repeat_within_a_minute_gets_204_and_has_no_effect(app: TestApp) {
    let (acme, id, signature) = bound(&app).await;
    let before = key(&acme, &id).await;
    assert_eq!(before["used_at"], "2022-03-18T14:50:04Z");
    app.advance(TimeDelta::minutes(1) - TimeDelta::microseconds(1));
    for _ in 0..2 {
        acme.answer(&id, &signature).await.assert_status(204);
    }
    assert_eq!(key(&acme, &id).await, before);
    assert_eq!(bound_devices(&acme, "ada").await, [id]);
    assert_eq!(app.outbox().messages().len(), 1);
    // The repeat did not count against the limit of five devices.
    for seed in 2..6 {
        acme.bind("ada", &Phone::new(seed)).await;
    }
}

async fn the_high_s_form_of_a_signature_counts_as_a_repeat(app: TestApp) {
    let (acme, id, signature) = bound(&app).await;
    let twin = Phone::twin(&signature);
    assert_ne!(twin, signature);
    acme.answer(&id, &twin).await.assert_status(204);
    assert_eq!(bound_devices(&acme, "ada").await, [id]);
}

async fn a_high_s_signature_binds_like_any_other(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    for (seed, is_high) in [(1, true), (2, false)] {
        let phone = Phone::new(seed);
        let asked = acme.ask_for_device("ada", &phone).await;
        let signature = phone.sign(&app.outbox().last().code());
        let twin = Phone::twin(&signature);
        let high = Phone::has_high_s(&signature);
        assert_ne!(high, Phone::has_high_s(&twin));
        let chosen = if high == is_high { signature } else { twin };
        acme.answer(&asked.id, &chosen).await.assert_status(204);
    }
}

async fn a_repeat_after_a_minute_gets_404(app: TestApp) {
    let (acme, id, signature) = bound(&app).await;
    app.advance(TimeDelta::minutes(1));
    assert_not_open(&acme.answer(&id, &signature).await, &id);
}

async fn another_valid_signature_is_not_a_repeat(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = acme.ask_for_device("ada", &phone).await;
    let code = app.outbox().last().code();
    acme.answer(&asked.id, &phone.sign_with_nonce(&code, 1)).await.assert_status(204);
    assert_not_open(&acme.answer(&asked.id, &phone.sign_with_nonce(&code, 2)).await, &asked.id);
    assert_not_open(&acme.answer(&asked.id, &phone.sign("wrong")).await, &asked.id);
    acme.answer(&asked.id, &phone.sign_with_nonce(&code, 1)).await.assert_status(204);
}

async fn a_repeat_for_a_deleted_device_gets_404(app: TestApp) {
    let (acme, id, signature) = bound(&app).await;
    acme.delete(&device_path(&id)).await.assert_status(204);
    assert_not_open(&acme.answer(&id, &signature).await, &id);
    assert_eq!(bound_devices(&acme, "ada").await, [""; 0]);
}

async fn a_repeat_is_recognised_after_a_request_for_another_device(app: TestApp) {
    let (acme, id, signature) = bound(&app).await;
    let phone = Phone::new(2);
    let next = acme.ask_for_device("ada", &phone).await;
    acme.answer(&id, &signature).await.assert_status(204);
    // The newer challenge is still open.
    acme.answer(&next.id, &phone.sign(&app.outbox().last().code())).await.assert_status(204);
}

/// Binds a device of Ada's: the partner, the device's id, and the signature that bound it.
async fn bound(app: &TestApp) -> (TestClient, String, String) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = acme.ask_for_device("ada", &phone).await;
    let signature = phone.sign(&app.outbox().last().code());
    acme.answer(&asked.id, &signature).await.assert_status(204);
    (acme, asked.id, signature)
}

/// The only key of a device.
async fn key(partner: &TestClient, device: &str) -> Value {
    let keys = partner.get(&format!("{}/keys", device_path(device))).await.json();
    assert_eq!(keys[0]["keys"].as_array().map(Vec::len), Some(1), "{keys}");
    keys[0]["keys"][0].clone()
}
