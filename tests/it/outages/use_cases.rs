//! The use cases without an `Idempotency-Key`, with one fault at each of their steps.

use serde_json::{Value, json};

use super::faults::at_every_step;
use super::run::Run;
use crate::activation_codes::{activation_code, activation_wish, ask_by_letter, binding_by_letter, delivery_event};
use crate::harness::{ACTIVATION_CODES, DEVICE_CHALLENGES, NUMBER, SMS_CHALLENGES};

at_every_step! {
    changes: [
        a_device_is_asked_for,
        a_challenge_is_answered,
        a_wrong_signature_is_counted,
        a_key_is_added,
        a_key_with_a_wrong_signature_is_counted,
        a_device_is_deleted,
        a_number_is_given,
        a_code_is_sent_to_a_number,
        a_number_is_confirmed,
        a_wrong_code_is_counted,
        a_number_is_deleted,
        an_sms_challenge_is_requested,
        an_sms_challenge_is_answered,
        a_wrong_code_of_an_sms_challenge_is_counted,
        a_device_challenge_is_opened,
        a_device_challenge_is_approved,
        a_device_challenge_is_declined,
        a_wrong_signature_for_a_device_challenge_is_counted,
        an_activation_code_is_created,
        an_activation_code_is_deleted,
        a_delivery_is_reported,
        a_device_is_asked_for_with_an_activation_code,
        an_activation_code_binds_a_device,
        a_wrong_signature_over_an_activation_code_is_counted,
        a_refusal_is_audited,
    ],
    reads: [devices_are_listed, a_device_challenge_is_shown, activation_codes_are_listed],
}

async fn a_device_is_asked_for(run: &Run<'_>) {
    run.acme.verified_person(&run.person).await;
    let before = run.app.outbox().messages().len();
    let body = json!({"person_id": run.person, "key_type": "ecdsa-p256", "key": run.phone().key()});
    let asked = run.send(("POST", "/v1/mfa/devices", Some(body)), 202, &[]).await.answer.json();
    // A request that got 503 sent no SMS: the SMS follows the commit of the challenge.
    assert_eq!(run.app.outbox().messages().len(), before + 1);
    let signature = run.phone().sign(&run.app.outbox().last().code());
    run.acme.answer(asked["id"].as_str().unwrap(), &signature).await.assert_status(204);
}

async fn a_challenge_is_answered(run: &Run<'_>) {
    let (asked, code) = run.challenge().await;
    let path = format!("/v1/mfa/challenges/signatures/{}", asked.id);
    run.send(("PUT", &path, Some(json!({"signature": run.phone().sign(&code)}))), 204, &[]).await;
    run.acme.get(&format!("/v1/mfa/devices/{}/keys/{}", asked.id, asked.key_id)).await.assert_status(200);
    run.acme.get(&path).await.assert_status(404);
    assert_eq!(run.count("bound_devices").await, 1);
}

async fn a_wrong_signature_is_counted(run: &Run<'_>) {
    let (asked, code) = run.challenge().await;
    let path = format!("/v1/mfa/challenges/signatures/{}", asked.id);
    let wrong = json!({"signature": run.phone().sign("wrong")});
    let outcome = run.send(("PUT", &path, Some(wrong)), 403, &[]).await;
    let counted = run.count("binding_wrong_signatures").await;
    assert!((1..=outcome.effects_max).contains(&counted), "{counted} counted");
    assert_eq!(run.count("failures").await, counted);
    assert_eq!(run.audited("wrong").await, counted);
    run.acme.answer(&asked.id, &run.phone().sign(&code)).await.assert_status(204);
}

async fn a_key_is_added(run: &Run<'_>) {
    let device = run.device().await;
    let path = format!("/v1/mfa/devices/{}/keys", device.id);
    run.send(("POST", &path, Some(run.phone().vouch_for(&run.other_phone()))), 201, &[409]).await;
    let keys = run.acme.get(&path).await.json()[0]["keys"].clone();
    assert_eq!(keys.as_array().map(Vec::len), Some(2));
}

async fn a_key_with_a_wrong_signature_is_counted(run: &Run<'_>) {
    let device = run.device().await;
    let path = format!("/v1/mfa/devices/{}/keys", device.id);
    let own_signature = run.other_phone().vouch_for(&run.other_phone());
    let outcome = run.send(("POST", &path, Some(own_signature)), 403, &[]).await;
    let counted = run.count("failures").await;
    assert!((1..=outcome.effects_max).contains(&counted), "{counted} counted");
    assert_eq!(run.audited("wrong").await, counted);
    let keys = run.acme.get(&path).await.json()[0]["keys"].clone();
    assert_eq!(keys.as_array().map(Vec::len), Some(1));
}

async fn a_device_is_deleted(run: &Run<'_>) {
    let device = format!("/v1/mfa/devices/{}", run.device().await.id);
    run.send(("DELETE", &device, None), 204, &[404]).await;
    assert!(run.acme.get(&device).await.json()["deleted_at"].is_string());
    assert_eq!(run.count("bound_devices").await, 0);
}

async fn devices_are_listed(run: &Run<'_>) {
    let device = run.device().await;
    let path = format!("/v1/mfa/devices?person_id={}", run.person);
    let devices = run.send(("GET", &path, None), 200, &[]).await.answer.json();
    assert_eq!((devices.as_array().map(Vec::len), devices[0]["id"].as_str()), (Some(1), Some(&*device.id)));
}

async fn a_number_is_given(run: &Run<'_>) {
    run.send(("POST", &run.number_path(""), Some(json!({"number": NUMBER}))), 201, &[409]).await;
    let number = run.acme.get(&run.number_path("")).await;
    assert_eq!((&number.json()["number"], &number.json()["verified"]), (&json!(NUMBER), &json!(false)));
}

async fn a_code_is_sent_to_a_number(run: &Run<'_>) {
    run.acme.post(&run.number_path(""), json!({"number": NUMBER})).await.assert_status(201);
    let before = run.app.outbox().messages().len();
    run.send(("POST", &run.number_path("/authorize"), Some(json!({"number": NUMBER}))), 201, &[]).await;
    assert_eq!(run.app.outbox().messages().len(), before + 1);
    let token = json!({"number": NUMBER, "token": run.app.outbox().last().code()});
    run.acme.post(&run.number_path("/confirm"), token).await.assert_status(201);
}

async fn a_number_is_confirmed(run: &Run<'_>) {
    let token = json!({"number": NUMBER, "token": run.token().await});
    // A code works once; `docs/errors.md` says to look at the number first.
    run.send(("POST", &run.number_path("/confirm"), Some(token)), 201, &[403]).await;
    assert_eq!(run.acme.get(&run.number_path("")).await.json()["verified"], json!(true));
    assert_eq!(run.count("failures").await, 0);
}

async fn a_wrong_code_is_counted(run: &Run<'_>) {
    let token = run.token().await;
    let wrong = if token == "000000" { "000001" } else { "000000" };
    let path = run.number_path("/confirm");
    let outcome = run.send(("POST", &path, Some(json!({"number": NUMBER, "token": wrong}))), 403, &[]).await;
    let counted = run.count("failures").await;
    assert!((1..=outcome.effects_max).contains(&counted), "{counted} counted");
    assert_eq!(run.audited("wrong").await, counted);
    run.acme.post(&path, json!({"number": NUMBER, "token": token})).await.assert_status(201);
}

async fn a_number_is_deleted(run: &Run<'_>) {
    run.acme.verified_person(&run.person).await;
    run.send(("DELETE", &run.number_path(""), None), 200, &[404]).await;
    run.acme.get(&run.number_path("")).await.assert_status(404);
}

async fn an_sms_challenge_is_requested(run: &Run<'_>) {
    run.acme.verified_person(&run.person).await;
    let before = run.app.outbox().messages().len();
    let body = json!({"person_id": run.person});
    let opened = run.send(("POST", SMS_CHALLENGES, Some(body)), 201, &[]).await.answer.json();
    assert_eq!(run.app.outbox().messages().len(), before + 1);
    let code = run.app.outbox().last().code();
    run.acme.type_code(opened["id"].as_str().unwrap(), &code).await.assert_status(204);
}

async fn an_sms_challenge_is_answered(run: &Run<'_>) {
    run.acme.verified_person(&run.person).await;
    let challenge = run.acme.sms_challenge(&run.person).await;
    let path = format!("{SMS_CHALLENGES}/{}", challenge.id);
    // A code works once; `docs/errors.md` says to use an idempotency key.
    run.send(("PUT", &path, Some(json!({"code": challenge.code}))), 204, &[404]).await;
    run.acme.get(&path).await.assert_status(404);
    let answered = "audit_pending where action = 'sms_challenge.answered' and outcome = 'accepted' and";
    assert_eq!(run.rows(answered).await, 1);
}

async fn a_wrong_code_of_an_sms_challenge_is_counted(run: &Run<'_>) {
    run.acme.verified_person(&run.person).await;
    let challenge = run.acme.sms_challenge(&run.person).await;
    let path = format!("{SMS_CHALLENGES}/{}", challenge.id);
    let outcome = run.send(("PUT", &path, Some(json!({"code": challenge.wrong_code()}))), 403, &[]).await;
    let counted = run.count("failures").await;
    assert!((1..=outcome.effects_max).contains(&counted), "{counted} counted");
    assert_eq!(run.audited("wrong").await, counted);
    run.acme.type_code(&challenge.id, &challenge.code).await.assert_status(204);
}

async fn a_device_challenge_is_opened(run: &Run<'_>) {
    let body = json!({"device_id": run.device().await.id});
    let outcome = run.send(("POST", DEVICE_CHALLENGES, Some(body)), 201, &[]).await;
    let open = run.rows("device_challenge where").await;
    assert!((1..=outcome.effects_max).contains(&open), "{open} open");
    let opened = outcome.answer.json();
    let signature = run.phone().sign(opened["string_to_sign"].as_str().unwrap());
    run.acme.sign(opened["id"].as_str().unwrap(), &signature).await.assert_status(204);
}

async fn a_device_challenge_is_approved(run: &Run<'_>) {
    let challenge = run.device_challenge().await;
    let body = json!({"signature": run.phone().sign(&challenge.text)});
    is_answered_once(run, &challenge.id, body, "approved").await;
}

async fn a_device_challenge_is_declined(run: &Run<'_>) {
    let challenge = run.device_challenge().await;
    let signature = run.phone().sign(&challenge.declining());
    let body = json!({"signature": signature, "decision": "declined", "reason": "not_me"});
    is_answered_once(run, &challenge.id, body, "declined").await;
}

/// The same signature within a minute is answered like the first.
async fn is_answered_once(run: &Run<'_>, challenge: &str, body: Value, decision: &str) {
    let path = format!("{DEVICE_CHALLENGES}/{challenge}");
    run.send(("PUT", &path, Some(body)), 204, &[]).await;
    run.acme.get(&path).await.assert_status(404);
    assert_eq!(run.rows(&format!("device_challenge where decision = '{decision}' and")).await, 1);
    assert_eq!(run.rows("approval_text where").await, 1);
}

async fn a_wrong_signature_for_a_device_challenge_is_counted(run: &Run<'_>) {
    let challenge = run.device_challenge().await;
    let path = format!("{DEVICE_CHALLENGES}/{}", challenge.id);
    let outcome = run.send(("PUT", &path, Some(json!({"signature": run.phone().sign("wrong")}))), 403, &[]).await;
    let counted = run.audited("wrong").await;
    assert!((1..=outcome.effects_max).contains(&counted), "{counted} counted");
    assert_eq!(run.rows(&format!("device where failures = {counted} and")).await, 1);
    assert_eq!(run.rows(&format!("device_challenge where wrong_answers = {counted} and")).await, 1);
    run.acme.sign(&challenge.id, &run.phone().sign(&challenge.text)).await.assert_status(204);
}

async fn a_device_challenge_is_shown(run: &Run<'_>) {
    let challenge = run.device_challenge().await;
    let path = format!("{DEVICE_CHALLENGES}/{}", challenge.id);
    let shown = run.send(("GET", &path, None), 200, &[]).await.answer.json();
    assert_eq!(shown["string_to_sign"], json!(challenge.text));
}

async fn an_activation_code_is_created(run: &Run<'_>) {
    run.send(("POST", ACTIVATION_CODES, Some(activation_wish(&run.person))), 201, &[409]).await;
    assert_eq!(run.rows("activation_code where").await, 1);
    run.acme.post("/v1/mfa/devices", binding_by_letter(&run.person, &run.phone())).await.assert_status(202);
}

async fn an_activation_code_is_deleted(run: &Run<'_>) {
    let letter = activation_code(&run.acme, &run.person).await;
    run.send(("DELETE", &letter.path(), None), 200, &[]).await;
    assert_eq!(run.acme.get(&letter.path()).await.json().get("code"), None);
}

async fn a_delivery_is_reported(run: &Run<'_>) {
    let path = format!("{}/delivery_events", activation_code(&run.acme, &run.person).await.path());
    let outcome = run.send(("POST", &path, Some(delivery_event())), 201, &[]).await;
    let events = run.acme.get(&path).await.json().as_array().map_or(0, Vec::len);
    assert!((1..=outcome.effects_max).contains(&i64::try_from(events).unwrap()), "{events} events");
}

async fn activation_codes_are_listed(run: &Run<'_>) {
    let letter = activation_code(&run.acme, &run.person).await;
    let path = format!("{ACTIVATION_CODES}?filter[person_id]={}", run.person);
    let codes = run.send(("GET", &path, None), 200, &[]).await.answer.json();
    assert_eq!((codes.as_array().map(Vec::len), &codes[0]["code"]), (Some(1), &json!(letter.code)));
}

async fn a_device_is_asked_for_with_an_activation_code(run: &Run<'_>) {
    let letter = activation_code(&run.acme, &run.person).await;
    let body = binding_by_letter(&run.person, &run.phone());
    let asked = run.send(("POST", "/v1/mfa/devices", Some(body)), 202, &[]).await.answer.json();
    run.acme.answer(asked["id"].as_str().unwrap(), &run.phone().sign(&letter.code)).await.assert_status(204);
}

async fn an_activation_code_binds_a_device(run: &Run<'_>) {
    let letter = activation_code(&run.acme, &run.person).await;
    let id = ask_by_letter(&run.acme, &run.person, &run.phone()).await;
    let path = format!("/v1/mfa/challenges/signatures/{id}");
    run.send(("PUT", &path, Some(json!({"signature": run.phone().sign(&letter.code)}))), 204, &[]).await;
    assert_eq!(run.acme.get(&letter.path()).await.json()["usage_count"], json!(1));
    assert_eq!(run.count("bound_devices").await, 1);
}

async fn a_wrong_signature_over_an_activation_code_is_counted(run: &Run<'_>) {
    let letter = activation_code(&run.acme, &run.person).await;
    let id = ask_by_letter(&run.acme, &run.person, &run.phone()).await;
    let path = format!("/v1/mfa/challenges/signatures/{id}");
    let outcome = run.send(("PUT", &path, Some(json!({"signature": run.phone().sign("wrong")}))), 403, &[]).await;
    let counted = run.audited("wrong").await;
    assert!((1..=outcome.effects_max).contains(&counted), "{counted} counted");
    assert_eq!(run.rows(&format!("activation_code where failures = {counted} and")).await, 1);
    run.acme.answer(&id, &run.phone().sign(&letter.code)).await.assert_status(204);
}

async fn a_refusal_is_audited(run: &Run<'_>) {
    let body = json!({"person_id": run.person, "key_type": "ecdsa-p256", "key": run.phone().key()});
    let outcome = run.send(("POST", "/v1/mfa/devices", Some(body)), 400, &[]).await;
    let audited = run.audited("no_verified_number").await;
    assert!((1..=outcome.effects_max).contains(&audited), "{audited} audit events");
}
