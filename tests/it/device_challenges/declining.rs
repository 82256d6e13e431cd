//! Declining a challenge, with and without a reason.

use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};

use super::{answer_in_full, assert_not_open, assert_wrong, bound, path};
use crate::harness::log::Log;
use crate::harness::{Engine, OpenChallenge, Phone, TestApp, on_both_databases, sql};

on_both_databases![
    declining_has_its_own_text,
    the_reason_of_a_decline_is_in_the_result_and_in_its_repeat,
    a_reason_is_one_line_of_at_most_140_characters_and_for_a_decline_only,
    the_audit_trail_tells_declines_by_reason_without_the_clients_words,
];

fn declined(phone: &Phone, challenge: &OpenChallenge, reason: Option<&str>) -> Value {
    json!({"signature": phone.sign(&challenge.declining()), "decision": "declined", "reason": reason})
}

async fn declining_has_its_own_text(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let challenge = acme.challenge(&device).await;
    // Neither signature counts for the other decision.
    let approving = json!({"signature": phone.sign(&challenge.text), "decision": "declined"});
    assert_wrong(&acme.put(&path(&challenge.id), approving).await);
    assert_wrong(&acme.sign(&challenge.id, &phone.sign(&challenge.declining())).await);
    let answer = answer_in_full(&acme, &challenge.id, declined(&phone, &challenge, None)).await;
    assert_eq!(answer.assert_status(200).json()["decision"], "declined");
    assert_not_open(&acme.sign(&challenge.id, &phone.sign(&challenge.text)).await, &challenge.id);
}

async fn the_reason_of_a_decline_is_in_the_result_and_in_its_repeat(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    for reason in [Some("not_me"), Some("Betrag falsch: 12,50 €"), None] {
        let challenge = acme.challenge(&device).await;
        let body = declined(&phone, &challenge, reason);
        let first = answer_in_full(&acme, &challenge.id, body.clone()).await.assert_status(200).json();
        assert_eq!((first["decision"].as_str(), first["reason"].as_str()), (Some("declined"), reason));
        // The stored reason, even if the repeat has another one.
        let repeat = answer_in_full(&acme, &challenge.id, declined(&phone, &challenge, Some("other"))).await;
        assert_eq!(repeat.assert_status(200).json(), first);
        assert_not_open(&acme.get(&path(&challenge.id)).await, &challenge.id);
    }
}

async fn a_reason_is_one_line_of_at_most_140_characters_and_for_a_decline_only(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let challenge = acme.challenge(&device).await;
    let length = |characters| format!("length ({characters}) out of bounds (min: 1, max: 140)");
    let too_long = "é".repeat(141);
    for (reason, message) in [
        (json!(""), &*length(0)),
        (json!(too_long), &length(141)),
        (json!(" not_me"), "must not begin or end with white space"),
        (json!("not\nme"), "must not contain control characters or line separators"),
        (json!("not\u{202e}me"), "must not contain bidirectional controls"),
        (json!("Cafe\u{301}"), "must be in Unicode normalization form C (NFC)"),
        (json!(7), "must be a string, not a number"),
    ] {
        let mut body = declined(&phone, &challenge, None);
        body["reason"] = reason;
        acme.put(&path(&challenge.id), body).await.assert_faults(&[("reason", message)]);
    }
    for decision in [json!("approved"), Value::Null] {
        let body = json!({"signature": phone.sign(&challenge.text), "decision": decision, "reason": "not_me"});
        acme.put(&path(&challenge.id), body).await.assert_faults(&[("reason", "is for a decline only")]);
    }
    let mut body = declined(&phone, &challenge, Some("not_me"));
    body["decision"] = "refused".into();
    let unknown = [("decision", "must be one of: approved, declined")];
    acme.put(&path(&challenge.id), body).await.assert_faults(&unknown);
    // None of them cost an attempt.
    let longest = "é".repeat(140);
    acme.put(&path(&challenge.id), declined(&phone, &challenge, Some(&longest))).await.assert_status(204);
}

async fn the_audit_trail_tells_declines_by_reason_without_the_clients_words(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let words = "My neighbour Eve did it";
    for reason in [Some("not_me"), Some(words), None] {
        let challenge = acme.challenge(&device).await;
        acme.put(&path(&challenge.id), declined(&phone, &challenge, reason)).await.assert_status(204);
    }
    let challenge = acme.challenge(&device).await;
    acme.sign(&challenge.id, &phone.sign("wrong")).await.assert_status(403);
    acme.sign(&challenge.id, &phone.sign(&challenge.text)).await.assert_status(204);
    app.app.service.seal_audit_trail().await.unwrap();
    let answers = "select outcome || ' ' || coalesce(decision, '-') || ' ' || coalesce(decline_reason, '-')
                     from audit_event
                    where action = 'device_challenge.answered'
                    order by seal, event_id";
    let mut found = sql::texts(app.database.url(), answers).await;
    found.sort();
    let expected = [
        "accepted approved -",
        "accepted declined none",
        "accepted declined not_me",
        "accepted declined other",
        "wrong - -",
    ];
    assert_eq!(found, expected);
    assert!(!sql::every_value_in(&app.database, "audit_event").await.contains(&words.to_lowercase()));
}

#[tokio::test]
async fn a_metric_counts_declines_by_reason_and_the_log_warns_of_a_stranger() {
    // Records the metrics of this thread only; the runtime is single-threaded.
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let app = TestApp::with(Engine::Sqlite, &[]).await;
    let log = Log::text();
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let mut not_me = String::new();
    for reason in [Some("not_me"), Some("too expensive"), Some("Not_me"), None] {
        let challenge = acme.challenge(&device).await;
        for _ in 0..2 {
            acme.put(&path(&challenge.id), declined(&phone, &challenge, reason)).await.assert_status(204);
        }
        if reason == Some("not_me") {
            not_me = challenge.id;
        }
    }
    let text = recorder.handle().render();
    let series = |name: &str| {
        let mut lines: Vec<String> = text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let expected = [("none", 1), ("not_me", 1), ("other", 2)];
    let expected =
        expected.map(|(reason, count)| format!(r#"device_challenges_declined_total{{reason="{reason}"}} {count}"#));
    assert_eq!(series("device_challenges_declined_total"), expected);
    let verifications = series(r#"signature_verifications_total{purpose="device""#);
    let expected = [("accepted", 4), ("repeated", 4)];
    let expected = expected.map(|(outcome, count)| {
        format!(r#"signature_verifications_total{{purpose="device",outcome="{outcome}"}} {count}"#)
    });
    assert_eq!(verifications, expected);

    let contents = log.contents();
    let warnings: Vec<&str> = contents.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let fields = format!("device challenge declined challenge.id={not_me} device.id={device} reason=\"not_me\"");
    assert!(warnings[0].contains(&fields), "{}", warnings[0]);
    assert!(!contents.contains("too expensive") && !contents.contains("person=ada"), "{contents}");
}
