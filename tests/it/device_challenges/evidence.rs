//! The evidence of an answer: digests in the audit trail, and the text of an approval while it is kept.

use chrono::TimeDelta;
use device_management::service::{AuditCheckpoints, Turn};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{bound, path};
use crate::audit::verdicts;
use crate::binary::{run, sandbox_on};
use crate::harness::{
    DEVICE_CHALLENGES, Engine, OpenChallenge, Phone, TestApp, TestClient, books, on_both_databases, sql,
};

on_both_databases![
    the_export_proves_an_approval_and_a_decline,
    a_changed_text_is_detected,
    texts_are_removed_after_their_retention_and_the_chain_stays_valid,
    an_erasure_removes_the_texts_of_one_person_and_the_chain_stays_valid,
    a_log_in_keeps_no_text,
];

const KEPT: &str = "select count(*) from approval_text";

async fn ask(client: &TestClient, device: &str) -> OpenChallenge {
    let approval = json!({
        "action": "payment",
        "amount": {"value": "12.50", "currency": "EUR"},
        "payee": {"name": "Café Müller GmbH"},
    });
    let wish = json!({"device_id": device, "approval": approval});
    let challenge = client.post(DEVICE_CHALLENGES, wish).await.assert_status(201).json();
    let text = |name: &str| challenge[name].as_str().expect("a text").to_owned();
    OpenChallenge { id: text("id"), text: text("string_to_sign") }
}

/// Approves one payment and declines another one; gives the texts that were signed.
async fn approve_and_decline(client: &TestClient, device: &str, phone: &Phone) -> [String; 2] {
    let approved = ask(client, device).await;
    client.sign(&approved.id, &phone.sign(&approved.text)).await.assert_status(204);
    let declined = ask(client, device).await;
    let body = json!({"signature": phone.sign(&declined.declining()), "decision": "declined", "reason": "not_me"});
    client.put(&path(&declined.id), body).await.assert_status(204);
    [approved.text.clone(), declined.declining()]
}

async fn assert_chain_is_valid(app: &TestApp) {
    app.app.service.seal_audit_trail().await.unwrap();
    let verdicts = verdicts(app.store(), &AuditCheckpoints::default()).await;
    assert!(verdicts.iter().all(|verdict| verdict.faults.is_empty()), "{verdicts:?}");
}

/// The exported lines about answers.
fn answers(app: &TestApp) -> Vec<Value> {
    let (code, lines) = run(&sandbox_on(&app.database), &["audit", "export", "--since", "1970-01-01T00:00:00Z"]);
    assert_eq!(code, 0);
    let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).expect("a JSON line"));
    let mut lines: Vec<Value> = lines.filter(|line| !line["decision"].is_null()).collect();
    lines.sort_by_key(|line| line["decision"].as_str().map(str::to_owned));
    lines
}

async fn the_export_proves_an_approval_and_a_decline(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let texts = approve_and_decline(&acme, &device, &phone).await;
    assert_chain_is_valid(&app).await;
    let found = answers(&app);
    assert_eq!(found.len(), 2, "{found:#?}");
    let key = super::first_key(&acme, &device).await["key_id"].clone();
    let expected = [("approved", Value::Null), ("declined", json!("not_me"))];
    for ((line, text), (decision, reason)) in found.iter().zip(&texts).zip(expected) {
        assert_eq!((&line["decision"], &line["decline_reason"]), (&json!(decision), &reason));
        assert_eq!((&line["text"], &line["key_id"]), (&json!(text), &key));
        assert_eq!(line["text_digest"], hex::encode(Sha256::digest(text)));
        let signature = p256::ecdsa::Signature::from_der(&hex::decode(phone.sign(text)).unwrap()).unwrap();
        assert_eq!(line["signature_digest"], hex::encode(Sha256::digest(signature.normalize_s().to_bytes())));
    }
}

async fn a_changed_text_is_detected(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    approve_and_decline(&acme, &device, &phone).await;
    assert_chain_is_valid(&app).await;
    let change = "update approval_text set string_to_sign = replace(string_to_sign, '12.50', '92.50')";
    assert_eq!(sql::execute(app.database.url(), change).await, 2);
    let faults: Vec<String> = verdicts(app.store(), &AuditCheckpoints::default())
        .await
        .into_iter()
        .flat_map(|verdict| verdict.faults)
        .collect();
    assert_eq!(faults.len(), 2, "{faults:?}");
    for fault in faults {
        assert!(fault.ends_with(": the text is not the one that was signed"), "{fault}");
    }
}

async fn texts_are_removed_after_their_retention_and_the_chain_stays_valid(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    approve_and_decline(&acme, &device, &phone).await;
    let keep_house = async || assert_eq!(app.app.service.keep_house().await.unwrap(), Turn::Done);
    app.advance(TimeDelta::days(400));
    keep_house().await;
    assert_eq!(books::count(&app.database, KEPT).await, 2);
    app.advance(TimeDelta::microseconds(1));
    keep_house().await;
    assert_eq!(books::count(&app.database, KEPT).await, 0);
    assert_chain_is_valid(&app).await;
    let found = answers(&app);
    assert_eq!(found.len(), 2);
    assert!(found.iter().all(|line| line["text"].is_null() && line["text_digest"].is_string()), "{found:#?}");
}

async fn an_erasure_removes_the_texts_of_one_person_and_the_chain_stays_valid(app: TestApp) {
    let acme = app.partner();
    for (person, seed) in [("ada", 1), ("bob", 2)] {
        let phone = Phone::new(seed);
        let device = bound(&acme, person, &phone).await;
        approve_and_decline(&acme, &device, &phone).await;
    }
    app.app.service.seal_audit_trail().await.unwrap();
    let erased = crate::erasure::erase(&app, "ada").await.unwrap();
    assert_eq!(erased.approval_texts, 2);
    let left = "select distinct person_id from approval_text";
    assert_eq!(sql::texts(app.database.url(), left).await, ["bob"]);
    assert_chain_is_valid(&app).await;
}

async fn a_log_in_keeps_no_text(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let challenge = acme.challenge(&device).await;
    acme.sign(&challenge.id, &phone.sign(&challenge.text)).await.assert_status(204);
    app.app.service.seal_audit_trail().await.unwrap();
    let found = answers(&app);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["text_digest"], hex::encode(Sha256::digest(&challenge.text)));
    assert_eq!((&found[0]["text"], books::count(&app.database, KEPT).await), (&Value::Null, 0));
}

/// With 0 days, texts are kept.
#[tokio::test]
async fn texts_can_be_kept_forever() {
    let app = TestApp::with(Engine::Sqlite, &[("APPROVAL_TEXT_RETENTION_DAYS", "0")]).await;
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    approve_and_decline(&acme, &device, &phone).await;
    app.advance(TimeDelta::days(36_500));
    app.app.service.keep_house().await.unwrap();
    assert_eq!(books::count(&app.database, KEPT).await, 2);
}
