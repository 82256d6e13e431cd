//! Binding a device with an activation code.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{activation_code, ask_by_letter, binding_by_letter};
use crate::harness::{ACTIVATION_CODES, Network, Phone, TestApp, TestClient, in_every_form};

in_every_form![
    a_person_without_a_number_binds_a_device_with_a_letter,
    without_a_live_code_no_binding_is_opened,
    a_used_code_binds_no_second_device,
    a_binding_ends_with_its_code,
    five_failures_end_the_code,
    a_signature_over_another_text_is_wrong,
    a_verified_number_is_told_of_the_device,
    a_notice_that_is_not_sent_does_not_fail_the_binding,
    a_binding_by_sms_and_one_by_letter_supersede_each_other,
    a_code_of_the_previous_secret_still_binds,
];

const DEVICES: &str = "/v1/mfa/devices";

async fn assert_no_code(client: &TestClient, person: &str, phone: &Phone) {
    let refused = client.post(DEVICES, binding_by_letter(person, phone)).await;
    refused.assert_faults(&[("challenge_type", "activation code not found")]);
}

fn not_open(id: &str) -> String {
    format!("signature challenge \"{id}\" not found")
}

async fn a_person_without_a_number_binds_a_device_with_a_letter(app: TestApp) {
    let acme = app.partner();
    let letter = activation_code(&acme, "ada").await;
    let phone = Phone::new(1);
    let id = ask_by_letter(&acme, "ada", &phone).await;
    acme.get(&format!("/v1/mfa/challenges/signatures/{id}")).await.assert_status(200);
    let right = phone.sign(&letter.code);
    acme.answer(&id, &right).await.assert_status(204);
    // A repeat within a minute.
    acme.answer(&id, &right).await.assert_status(204);
    assert_eq!(acme.get(&format!("{DEVICES}/{id}")).await.assert_status(200).json()["person_id"], json!("ada"));
    let used = acme.get(&letter.path()).await.assert_status(200).json();
    assert_eq!((used.get("code"), &used["usage_count"]), (None, &json!(1)));
    assert!(app.outbox().messages().is_empty(), "nothing is sent");
}

async fn without_a_live_code_no_binding_is_opened(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    let phone = Phone::new(1);
    acme.verified_person("ada").await;
    assert_no_code(&acme, "ada", &phone).await;
    let letter = activation_code(&acme, "ada").await;
    assert_no_code(&acme, "bob", &phone).await;
    assert_no_code(&globex, "ada", &phone).await;
    acme.delete(&letter.path()).await.assert_status(200);
    assert_no_code(&acme, "ada", &phone).await;
    activation_code(&acme, "ada").await;
    app.advance(TimeDelta::days(30));
    assert_no_code(&app.partner(), "ada", &phone).await;

    let mut wish = binding_by_letter("ada", &phone);
    wish["challenge_type"] = "letter".into();
    let faults = [("challenge_type", "must be one of: sms, activation_code")];
    app.partner().post(DEVICES, wish).await.assert_faults(&faults);
}

async fn a_used_code_binds_no_second_device(app: TestApp) {
    let acme = app.partner();
    let letter = activation_code(&acme, "ada").await;
    let id = ask_by_letter(&acme, "ada", &Phone::new(1)).await;
    acme.answer(&id, &Phone::new(1).sign(&letter.code)).await.assert_status(204);
    assert_no_code(&acme, "ada", &Phone::new(2)).await;
    // It is not live, so it does not prevent another code.
    let second = activation_code(&acme, "ada").await;
    let taken = acme.post(DEVICES, binding_by_letter("ada", &Phone::new(1))).await;
    assert_eq!(taken.assert_status(409).json()["errors"][0]["code"], json!("key_already_registered"));
    let id = ask_by_letter(&acme, "ada", &Phone::new(2)).await;
    acme.answer(&id, &Phone::new(2).sign(&letter.code)).await.assert_status(403);
    acme.answer(&id, &Phone::new(2).sign(&second.code)).await.assert_status(204);
}

async fn a_binding_ends_with_its_code(app: TestApp) {
    let acme = app.partner();
    let letter = activation_code(&acme, "ada").await;
    let phone = Phone::new(1);
    let id = ask_by_letter(&acme, "ada", &phone).await;
    acme.delete(&letter.path()).await.assert_status(200);
    let refused = acme.answer(&id, &phone.sign(&letter.code)).await;
    refused.assert_error(404, "not_found", &not_open(&id));
    acme.get(&format!("/v1/mfa/challenges/signatures/{id}")).await.assert_error(404, "not_found", &not_open(&id));

    let letter = activation_code(&acme, "ada").await;
    let id = ask_by_letter(&acme, "ada", &phone).await;
    let replaced = format!("{ACTIVATION_CODES}?invalidate_existing_code=true");
    acme.post(&replaced, super::activation_wish("ada")).await.assert_status(201);
    acme.answer(&id, &phone.sign(&letter.code)).await.assert_error(404, "not_found", &not_open(&id));
}

async fn five_failures_end_the_code(app: TestApp) {
    let acme = app.partner();
    let letter = activation_code(&acme, "ada").await;
    let phone = Phone::new(1);
    for wrong in [3, 2] {
        let id = ask_by_letter(&acme, "ada", &phone).await;
        for _ in 0..wrong {
            acme.answer(&id, &phone.sign("wrong")).await.assert_error(403, "invalid_tan", "the signature is wrong");
        }
        acme.answer(&id, &phone.sign(&letter.code)).await.assert_status(404);
    }
    let ended = acme.get(&letter.path()).await.assert_status(200).json();
    assert_eq!((ended.get("code"), &ended["usage_count"]), (None, &json!(0)));
    // They count on the person as well.
    activation_code(&acme, "ada").await;
    acme.post(DEVICES, binding_by_letter("ada", &phone)).await.assert_status(429);
}

async fn a_signature_over_another_text_is_wrong(app: TestApp) {
    let acme = app.partner();
    let letter = activation_code(&acme, "ada").await;
    let other = activation_code(&acme, "bob").await;
    let phone = Phone::new(1);
    let grouped = format!("{} {} {}", &letter.code[..4], &letter.code[4..8], &letter.code[8..]);
    for text in [letter.code.to_uppercase(), grouped, other.code] {
        let id = ask_by_letter(&acme, "ada", &phone).await;
        acme.answer(&id, &phone.sign(&text)).await.assert_status(403);
    }
    let id = ask_by_letter(&acme, "ada", &phone).await;
    acme.answer(&id, &Phone::new(2).sign(&letter.code)).await.assert_status(403);
    acme.answer(&id, &phone.sign(&letter.code)).await.assert_status(204);
}

async fn bind_by_letter(client: &TestClient, person: &str, phone: &Phone) {
    let letter = activation_code(client, person).await;
    let id = ask_by_letter(client, person, phone).await;
    client.answer(&id, &phone.sign(&letter.code)).await.assert_status(204);
}

async fn a_verified_number_is_told_of_the_device(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    bind_by_letter(&acme, "ada", &Phone::new(1)).await;
    let [notice] = &app.outbox().messages()[..] else { panic!("one message") };
    assert!(notice.text.ends_with("Waren Sie das nicht? Rufen Sie uns bitte an."), "{}", notice.text);

    // An unverified number may be another person's.
    let unverified = json!({"number": crate::harness::NUMBER});
    acme.post("/v1/persons/bob/mobile_number", unverified).await.assert_status(201);
    bind_by_letter(&acme, "bob", &Phone::new(2)).await;
    let quiet = acme.through(app.replica(&[("ACTIVATION_NOTICE", "none")]).await);
    bind_by_letter(&quiet, "ada", &Phone::new(3)).await;
    assert_eq!(app.outbox().messages().len(), 1);
}

async fn a_notice_that_is_not_sent_does_not_fail_the_binding(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    app.outbox().network(Network::IsDown);
    bind_by_letter(&acme, "ada", &Phone::new(1)).await;
    let devices: Value = acme.get(&format!("{DEVICES}?person_id=ada")).await.json();
    assert_eq!(devices.as_array().map(Vec::len), Some(1));
}

async fn a_binding_by_sms_and_one_by_letter_supersede_each_other(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let letter = activation_code(&acme, "ada").await;
    let phone = Phone::new(1);
    let by_sms = acme.ask_for_device("ada", &phone).await.id;
    let code = app.outbox().last().code();
    let by_letter = ask_by_letter(&acme, "ada", &phone).await;
    acme.answer(&by_sms, &phone.sign(&code)).await.assert_status(404);
    let by_sms = acme.ask_for_device("ada", &phone).await.id;
    acme.answer(&by_letter, &phone.sign(&letter.code)).await.assert_status(404);
    // Each is answered with its own code.
    acme.answer(&by_sms, &phone.sign(&letter.code)).await.assert_status(403);
    acme.answer(&by_sms, &phone.sign(&app.outbox().last().code())).await.assert_status(204);
    assert_eq!(acme.get(&letter.path()).await.json()["usage_count"], json!(0));
}

async fn a_code_of_the_previous_secret_still_binds(app: TestApp) {
    const OLD: &str = "the secret before the rotation ..";
    let settings = [("SANDBOX_OTP", "random"), ("OTP_SECRET", OLD), ("OTP_SECRET_VERSION", "1")];
    let before = app.partner().through(app.replica(&settings).await);
    let letter = activation_code(&before, "ada").await;
    let rotated = [
        ("SANDBOX_OTP", "random"),
        ("OTP_SECRET", "the secret after the rotation ..."),
        ("OTP_SECRET_VERSION", "2"),
        ("OTP_SECRET_PREVIOUS", OLD),
    ];
    let after = app.partner().through(app.replica(&rotated).await);
    assert_eq!(after.get(&letter.path()).await.assert_status(200).json()["code"], json!(letter.code));
    let phone = Phone::new(1);
    let id = ask_by_letter(&after, "ada", &phone).await;
    after.answer(&id, &phone.sign(&letter.code)).await.assert_status(204);
}
