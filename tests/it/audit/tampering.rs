//! Tampering with a sealed trail: `audit verify` reports each kind of change, with its place.

use device_management::service::AuditCheckpoints;
use uuid::Uuid;

use super::{Literals, Trail, event_id, now};
use crate::harness::{Engine, on_both_databases, sql};

on_both_databases![
    a_change_of_any_column_is_detected,
    an_impossible_row_is_detected,
    a_removed_or_added_event_is_detected,
    removed_or_swapped_batches_are_detected,
    a_truncated_chain_is_detected,
];

const COPIES: [&str; 3] = ["audit_event", "audit_seal", "audit_chain"];

/// A trail with copies of its tables, to undo changes.
async fn with_copies(trail: Trail) -> Trail {
    let trail = trail.with_three_batches().await;
    for table in COPIES {
        trail.execute(&format!("create table {table}_copy as select * from {table}")).await;
    }
    assert_eq!(trail.assert_valid().await, [("acme".to_owned(), [3, 15, 2])]);
    trail
}

/// Changes the trail, verifies it, and undoes the change. Returns the faults.
async fn faults_after(trail: &Trail, tampering: &str) -> Vec<String> {
    assert!(trail.execute(tampering).await > 0, "{tampering}");
    let faults = trail.faults(&AuditCheckpoints::default()).await;
    for table in COPIES {
        trail.execute(&format!("delete from {table}; insert into {table} select * from {table}_copy")).await;
    }
    faults
}

async fn columns(trail: &Trail, table: &str) -> Vec<String> {
    let query = match trail.database.engine() {
        Engine::Sqlite => format!("select name from pragma_table_info('{table}')"),
        Engine::Postgres | Engine::Distributed | Engine::Citus => {
            format!("select column_name::text from information_schema.columns where table_name = '{table}'")
        }
    };
    sql::texts(trail.database.url(), &query).await
}

async fn a_change_of_any_column_is_detected(trail: Trail) {
    let trail = with_copies(trail).await;
    let write = Literals(trail.database.engine());
    let (id, other) = (write.uuid(event_id(7)), write.uuid(Uuid::from_u128(1)));
    let (bytes, digest) = (write.bytes(&[7; 16]), write.bytes(&[7; 32]));
    let later = write.instant(now() + chrono::TimeDelta::microseconds(7_000_001));
    let does_not_fit = "acme: seal 2 does not match its events: one of them or the seal was changed";
    let event_7 = format!("acme: seal 2, event {}", event_id(7));
    let other_person = format!("{event_7}: the person is not the one that was recorded");
    let fewer = "acme: seal 2 covers 5 events, found 4";
    let events: [(&str, &str, &[&str]); 18] = [
        ("partner_id", "'globex'", &[fewer, "globex: the chain ends with seal 0, but there are rows of seal 2"]),
        ("seal", "3", &[fewer, "acme: seal 3 covers 5 events, found 6"]),
        ("seal", "9", &[fewer, "acme: the chain ends with seal 3, but there are rows of seal 9"]),
        ("event_id", &other, &[does_not_fit]),
        ("client_id", "'client-2'", &[does_not_fit]),
        ("action", "'device.deleted'", &[does_not_fit]),
        ("outcome", "'wrong_signature'", &[does_not_fit]),
        ("person_id", "'eve'", &[&other_person]),
        ("person_salt", &bytes, &[&other_person]),
        ("person_digest", &digest, &[&other_person, does_not_fit]),
        ("object_id", &other, &[does_not_fit]),
        ("key_id", "null", &[does_not_fit]),
        ("occurred_at", &later, &[does_not_fit]),
        ("country", "'AT'", &[does_not_fit]),
        ("decision", "'approved'", &[does_not_fit]),
        ("decline_reason", "'not_me'", &[does_not_fit]),
        ("text_digest", &digest, &[does_not_fit]),
        ("signature_digest", &digest, &[does_not_fit]),
    ];
    let mut covered: Vec<&str> = Vec::new();
    for (column, value, faults) in events {
        covered.push(column);
        let tampering = format!("update audit_event set {column} = {value} where event_id = {id}");
        assert_eq!(faults_after(&trail, &tampering).await, faults, "{tampering}");
    }
    assert!(columns(&trail, "audit_event").await.iter().all(|column| covered.contains(&&**column)), "{covered:?}");

    for (table, column, value, fault) in [
        ("audit_seal", "events", "4", "acme: seal 2 covers 4 events, found 5"),
        ("audit_seal", "previous_hash", &digest, "acme: seal 2 has the wrong previous hash"),
        ("audit_seal", "hash", &digest, does_not_fit),
        ("audit_seal", "seal", "-2", "acme: seal -2 is out of sequence"),
        ("audit_seal", "seal", "5", "acme: there are events of seal 2, which is missing"),
        ("audit_chain", "head", &digest, "acme: the head of the chain is not its last seal"),
        ("audit_chain", "seals", "2", "acme: the chain ends with seal 2, but there are rows of seal 3"),
        ("audit_chain", "seals", "4", "acme: seal 4 is missing"),
    ] {
        let batch = if table == "audit_seal" { " and seal = 2" } else { "" };
        let tampering = format!("update {table} set {column} = {value} where partner_id = 'acme'{batch}");
        let faults = faults_after(&trail, &tampering).await;
        assert!(faults.iter().any(|found| found == fault), "{tampering}: {faults:?}");
    }
    // The hash does not cover the time of sealing.
    let sealed_at = format!("update audit_seal set sealed_at = {later}");
    assert_eq!(faults_after(&trail, &sealed_at).await, Vec::<String>::new());
    assert_eq!(trail.assert_valid().await, [("acme".to_owned(), [3, 15, 2])]);
}

async fn an_impossible_row_is_detected(trail: Trail) {
    let trail = with_copies(trail).await;
    let write = Literals(trail.database.engine());
    let id = write.uuid(event_id(7));
    let short = write.bytes(&[7; 3]);
    for (change, column) in [
        (format!("person_salt = {short}"), "person_salt"),
        (format!("person_digest = {short}"), "person_digest"),
        ("person_salt = null".to_owned(), "person_salt"),
        ("person_id = null".to_owned(), "person_id"),
        ("person_id = ''".to_owned(), "person_id"),
        ("person_digest = null".to_owned(), "person_digest"),
    ] {
        let tampering = format!("update audit_event set {change} where event_id = {id}");
        let fault = format!("acme: seal 2, event {}: the database holds an impossible {column}", event_id(7));
        assert_eq!(faults_after(&trail, &tampering).await, [fault], "{tampering}");
    }
}

async fn a_removed_or_added_event_is_detected(trail: Trail) {
    let trail = with_copies(trail).await;
    let write = Literals(trail.database.engine());
    let id = write.uuid(event_id(7));
    let removed = format!("delete from audit_event where event_id = {id}");
    assert_eq!(faults_after(&trail, &removed).await, ["acme: seal 2 covers 5 events, found 4"]);
    let new = write.uuid(Uuid::from_u128(1));
    let added = |seal: i64| {
        format!(
            "insert into audit_event (partner_id, seal, event_id, client_id, action, outcome, occurred_at)
             values ('acme', {seal}, {new}, 'client-1', 'key.added', 'accepted', {})",
            write.instant(now())
        )
    };
    assert_eq!(faults_after(&trail, &added(2)).await, ["acme: seal 2 covers 5 events, found 6"]);
    assert_eq!(faults_after(&trail, &added(-1)).await, ["acme: there are events of seal -1, which is missing"]);
    let behind = "acme: the chain ends with seal 3, but there are rows of seal 4";
    assert_eq!(faults_after(&trail, &added(4)).await, [behind]);
    // Removing one event and adding another keeps the count.
    let replaced = format!("{removed}; {}", added(2));
    let fault = "acme: seal 2 does not match its events: one of them or the seal was changed";
    assert_eq!(faults_after(&trail, &replaced).await, [fault]);
}

async fn removed_or_swapped_batches_are_detected(trail: Trail) {
    let trail = with_copies(trail).await;
    let removed = "delete from audit_event where seal = 2; delete from audit_seal where seal = 2";
    assert_eq!(faults_after(&trail, removed).await, ["acme: seal 2 is missing"]);
    let first = "delete from audit_event where seal < 3; delete from audit_seal where seal < 3";
    assert_eq!(faults_after(&trail, first).await, ["acme: the seals 1 to 2 are missing"]);

    let swap = |table: &str| {
        format!(
            "update {table} set seal = 99 where seal = 1; update {table} set seal = 1 where seal = 2;
             update {table} set seal = 2 where seal = 99;"
        )
    };
    let swapped = faults_after(&trail, &[swap("audit_event"), swap("audit_seal")].concat()).await;
    for (seal, fault) in
        [(1, "has the wrong previous hash"), (2, "does not match its events"), (3, "has the wrong previous hash")]
    {
        assert!(swapped.iter().any(|found| found.starts_with(&format!("acme: seal {seal} {fault}"))), "{swapped:?}");
    }
    let contents = faults_after(&trail, &swap("audit_event")).await;
    let fault = |seal: i64| format!("acme: seal {seal} does not match its events: one of them or the seal was changed");
    assert_eq!(contents, [fault(1), fault(2)]);
}

async fn a_truncated_chain_is_detected(trail: Trail) {
    let trail = with_copies(trail).await;
    let cut = "delete from audit_event where seal = 3; delete from audit_seal where seal = 3";
    assert_eq!(faults_after(&trail, cut).await, ["acme: seal 3 is missing"]);
    let forgotten = faults_after(&trail, "delete from audit_chain").await;
    assert_eq!(forgotten, ["acme: the chain ends with seal 0, but there are rows of seal 3"]);
}
