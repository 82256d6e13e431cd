//! `audit verify` and `audit export`, as an operator runs them.

use std::path::Path;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{Trail, acme, event, event_id, globex, now};
use crate::binary::{fail, run, sandbox_on};
use crate::harness::on_both_databases_and_citus;

on_both_databases_and_citus![
    verify_prints_a_checkpoint_for_each_partner,
    verify_reports_faults_and_prints_no_checkpoint_of_that_partner,
    verify_compares_the_trail_with_kept_checkpoints,
    export_writes_every_sealed_event_in_the_order_of_the_chains,
    export_begins_with_the_first_batch_sealed_since_the_given_time,
    export_of_a_partner_without_a_trail_fails,
];

fn lines(text: &[&str]) -> Vec<String> {
    text.iter().map(|line| (*line).to_owned()).collect()
}

async fn head(trail: &Trail) -> String {
    hex::encode(trail.audit_chain(&acme()).await.unwrap().head)
}

async fn verify_prints_a_checkpoint_for_each_partner(trail: Trail) {
    let trail = trail.with_three_batches().await;
    trail.add_pending(&globex(), 0..1).await;
    let program = sandbox_on(&trail.database);
    let acme = format!("acme\t3\t15\t2\t{}", head(&trail).await);
    let globex = format!("globex\t0\t0\t1\t{}", "0".repeat(64));
    let expected = lines(&["partner\tseals\tevents\twaiting\thead", &acme, &globex]);
    assert_eq!(run(&program, &["audit", "verify"]), (0, expected));
}

async fn verify_reports_faults_and_prints_no_checkpoint_of_that_partner(trail: Trail) {
    let trail = trail.with_three_batches().await;
    trail.add_pending(&globex(), 0..1).await;
    trail.execute("update audit_event set outcome = 'forged' where seal = 2").await;
    let process = sandbox_on(&trail.database).start(&["audit", "verify"]);
    assert_eq!(crate::binary::exit_code(&process), 1);
    let faults = lines(&[
        "acme: seal 2 does not match its events: one of them or the seal was changed",
        "device-management: verification failed for the audit trail of 1 partner",
    ]);
    assert_eq!(process.logs(), faults);
    assert!(process.output().iter().all(|line| !line.starts_with("acme")), "{:?}", process.output());
    assert!(process.output().iter().any(|line| line.starts_with("globex")), "{:?}", process.output());
}

async fn verify_compares_the_trail_with_kept_checkpoints(trail: Trail) {
    let trail = trail.with_three_batches().await;
    let program = sandbox_on(&trail.database);
    let (_, output) = run(&program, &["audit", "verify"]);
    let write = |name: &str, text: &str| std::fs::write(program.folder().join(Path::new(name)), text).unwrap();
    write("kept", &output.join("\n"));
    trail.seal_audit_events(&acme(), now(), 500).await.unwrap();
    assert_eq!(run(&program, &["audit", "verify", "--kept", "kept"]).0, 0);
    write("kept", &output.join("\n").replace("acme\t3\t", "acme\t2\t"));
    let (code, logs) = fail(&program, &["audit", "verify", "--kept", "kept"]);
    assert_eq!(code, 1);
    assert!(logs.contains("acme: seal 2 differs from its checkpoint: the chain was rewritten"), "{logs}");

    write("kept", "acme 3 15");
    for (file, message) in [
        ("kept", "device-management: kept, line 1: not a line that `audit verify` prints"),
        ("lost", "device-management: lost cannot be read: No such file"),
    ] {
        let (code, logs) = fail(&program, &["audit", "verify", "--kept", file]);
        assert_eq!(code, 1);
        assert!(logs.starts_with(message), "{logs}");
    }
}

/// The exported line of one of the test's events.
fn exported(partner: &str, seal: i64, number: u32) -> Value {
    let event = event(number);
    json!({
        "partner": partner,
        "seal": seal,
        "event_id": event_id(number).to_string(),
        "at": event.at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        "client_id": "client-1",
        "action": "binding.asked",
        "outcome": "accepted",
        "person_id": event.subject.and_then(|subject| subject.known).map(|(person, _)| person.to_string()),
        "object_id": event.object_id.map(|id| id.to_string()),
        "key_id": event.key_id.map(|id| id.to_string()),
        "country": event.country.map(|country| country.to_string()),
        "decision": event.answer.map(|_| "declined"),
        "decline_reason": event.answer.map(|_| "other"),
        "text_digest": event.answer.map(|answer| hex::encode(answer.text_digest)),
        "signature_digest": event.answer.map(|answer| hex::encode(answer.signature_digest)),
        "text": null,
    })
}

fn parse(output: &[String]) -> Vec<Value> {
    output.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn export_writes_every_sealed_event_in_the_order_of_the_chains(trail: Trail) {
    // More events than one page, in batches that do not end at a page boundary.
    trail.add_pending(&acme(), 0..1100).await;
    for _ in 0..3 {
        trail.seal_audit_events(&acme(), now(), 350).await.unwrap();
    }
    trail.add_pending(&globex(), 0..3).await;
    trail.seal_audit_events(&globex(), now(), 2).await.unwrap();
    let erase = "update audit_event set person_id = null, person_salt = null where person_id = 'person-1'";
    assert_eq!(trail.execute(erase).await, 351);

    let process = sandbox_on(&trail.database).start(&["audit", "export", "--since", "1970-01-01T00:00:00Z"]);
    assert_eq!(crate::binary::exit_code(&process), 0);
    assert_eq!(process.logs(), ["51 events are still waiting to be sealed"]);
    let of_acme = (0..1050).map(|number| exported("acme", i64::from(number / 350) + 1, number));
    let mut expected: Vec<Value> = of_acme.chain((0..2).map(|number| exported("globex", 1, number))).collect();
    for line in &mut expected {
        if line["person_id"] == "person-1" {
            line["person_id"] = Value::Null;
        }
    }
    let found = parse(&process.output());
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

async fn export_begins_with_the_first_batch_sealed_since_the_given_time(trail: Trail) {
    for batch in 0..3 {
        trail.add_pending(&acme(), batch..batch + 1).await;
        trail.add_pending(&globex(), batch..batch + 1).await;
        let at = now() + TimeDelta::hours(batch.into());
        trail.seal_audit_events(&acme(), at, 500).await.unwrap();
        trail.seal_audit_events(&globex(), at, 500).await.unwrap();
    }
    let program = sandbox_on(&trail.database);
    let export = |since: chrono::DateTime<chrono::Utc>| {
        let (code, output) = run(&program, &["audit", "export", "--since", &since.to_rfc3339(), "--partner", "acme"]);
        assert_eq!(code, 0);
        parse(&output)
    };
    let second = now() + TimeDelta::hours(1);
    assert_eq!(export(second), [exported("acme", 2, 1), exported("acme", 3, 2)]);
    assert_eq!(export(second + TimeDelta::microseconds(1)), [exported("acme", 3, 2)]);
    assert_eq!(export(second + TimeDelta::hours(2)), Vec::<Value>::new());
}

async fn export_of_a_partner_without_a_trail_fails(trail: Trail) {
    let program = sandbox_on(&trail.database);
    for name in ["acme", "Acme"] {
        let (code, logs) = fail(&program, &["audit", "export", "--since", "1970-01-01T00:00:00Z", "--partner", name]);
        assert_eq!((code, logs), (1, format!("device-management: there is no audit trail of partner {name}")));
    }
    let (code, logs) = fail(&program, &["audit", "export", "--since", "yesterday"]);
    assert_eq!(code, 2);
    assert!(logs.contains("invalid value 'yesterday' for '--since <RFC3339>'"), "{logs}");
    assert_eq!(run(&program, &["audit", "export", "--since", "1970-01-01T00:00:00Z"]), (0, vec![]));
}
