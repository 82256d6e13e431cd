//! Comparison with kept checkpoints, the only way to detect a chain that was truncated or rebuilt consistently.

use device_management::service::AuditCheckpoints;

use super::{Trail, acme, globex, now, verdicts};
use crate::harness::on_both_databases;

on_both_databases![
    a_longer_chain_still_matches_kept_checkpoints,
    a_consistently_truncated_chain_is_detected,
    a_rebuilt_chain_is_detected,
    a_removed_trail_of_a_partner_is_detected,
];

/// The checkpoints that `audit verify` would print now.
async fn checkpoints(trail: &Trail) -> String {
    let mut lines = vec![AuditCheckpoints::HEADER.to_owned()];
    for verdict in verdicts(&**trail, &AuditCheckpoints::default()).await {
        let counts = [verdict.seals, verdict.events, verdict.waiting];
        lines.push(AuditCheckpoints::line(&verdict.partner, counts, verdict.head));
    }
    lines.join("\n")
}

async fn faults(trail: &Trail, kept: &str) -> Vec<String> {
    trail.faults(&AuditCheckpoints::parse(kept).unwrap()).await
}

async fn a_longer_chain_still_matches_kept_checkpoints(trail: Trail) {
    let mut kept = String::new();
    for batch in 0..4 {
        trail.add_pending(&acme(), batch * 2..batch * 2 + 2).await;
        kept = [kept, checkpoints(&trail).await].join("\n");
        trail.seal_audit_events(&acme(), now(), 500).await.unwrap();
    }
    assert_eq!(faults(&trail, &kept).await, Vec::<String>::new());
    // A false checkpoint: the head of the second seal under the number of the first.
    let forged = AuditCheckpoints::line(&acme(), [1, 2, 0], trail.audit_seals(&acme(), 1, 2, 1).await.unwrap()[0].hash);
    let rewritten = "acme: seal 1 differs from its checkpoint: the chain was rewritten";
    assert_eq!(faults(&trail, &forged).await, [rewritten]);
}

async fn a_consistently_truncated_chain_is_detected(trail: Trail) {
    let trail = trail.with_three_batches().await;
    let kept = checkpoints(&trail).await;
    trail
        .execute(
            "delete from audit_event where seal = 3;
             delete from audit_seal where seal = 3;
             update audit_chain set seals = 2, head = (select hash from audit_seal where seal = 2);",
        )
        .await;
    assert_eq!(trail.assert_valid().await, [("acme".to_owned(), [2, 10, 2])]);
    assert_eq!(faults(&trail, &kept).await, ["acme: the chain ends with seal 2, but there is a checkpoint of seal 3"]);
}

async fn a_rebuilt_chain_is_detected(trail: Trail) {
    let trail = trail.with_three_batches().await;
    let kept = checkpoints(&trail).await;
    // The chain is rebuilt without one event.
    trail
        .execute("delete from audit_event; delete from audit_seal; delete from audit_chain; delete from audit_pending;")
        .await;
    for numbers in [0..5, 5..9, 10..15] {
        trail.add_pending(&acme(), numbers).await;
        trail.seal_audit_events(&acme(), now(), 500).await.unwrap();
    }
    assert_eq!(trail.assert_valid().await, [("acme".to_owned(), [3, 14, 0])]);
    assert_eq!(faults(&trail, &kept).await, ["acme: seal 3 differs from its checkpoint: the chain was rewritten"]);
}

async fn a_removed_trail_of_a_partner_is_detected(trail: Trail) {
    trail.add_pending(&acme(), 0..1).await;
    trail.add_pending(&globex(), 0..1).await;
    trail.seal_audit_events(&acme(), now(), 500).await.unwrap();
    trail.seal_audit_events(&globex(), now(), 500).await.unwrap();
    let kept = checkpoints(&trail).await;
    assert_eq!(faults(&trail, &kept).await, Vec::<String>::new());
    for table in ["audit_event", "audit_seal", "audit_chain"] {
        trail.execute(&format!("delete from {table} where partner_id = 'acme'")).await;
    }
    assert_eq!(trail.assert_valid().await, [("globex".to_owned(), [1, 1, 0])]);
    assert_eq!(faults(&trail, &kept).await, ["acme: the chain ends with seal 0, but there is a checkpoint of seal 1"]);
}
