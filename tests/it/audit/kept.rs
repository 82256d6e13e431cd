//! What only a head that was kept elsewhere can show: a chain that was cut off or made anew without a fault in it.

use device_management::service::AuditCheckpoints;

use super::{Trail, acme, globex, now, verdicts};
use crate::harness::on_both_databases;

on_both_databases![
    a_chain_that_grew_still_has_the_heads_that_were_kept,
    a_chain_that_was_cut_off_properly_shows,
    a_chain_that_was_made_anew_shows,
    a_partner_whose_trail_has_vanished_shows,
];

/// The lines that would have been printed now.
async fn keep(trail: &Trail) -> String {
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

async fn a_chain_that_grew_still_has_the_heads_that_were_kept(trail: Trail) {
    let mut kept = String::new();
    for batch in 0..4 {
        trail.leave(&acme(), batch * 2..batch * 2 + 2).await;
        kept = [kept, keep(&trail).await].join("\n");
        trail.seal_audit_events(&acme(), now(), 500).await.unwrap();
    }
    assert_eq!(faults(&trail, &kept).await, Vec::<String>::new());
    // A head that never was: the second's, under the first's number.
    let forged = AuditCheckpoints::line(&acme(), [1, 2, 0], trail.audit_seals(&acme(), 1, 2, 1).await.unwrap()[0].hash);
    let rewritten = "acme: seal 1 differs from its checkpoint: the chain was rewritten";
    assert_eq!(faults(&trail, &forged).await, [rewritten]);
}

async fn a_chain_that_was_cut_off_properly_shows(trail: Trail) {
    let trail = trail.with_three_batches().await;
    let kept = keep(&trail).await;
    trail
        .execute(
            "delete from audit_event where seal = 3;
             delete from audit_seal where seal = 3;
             update audit_chain set seals = 2, head = (select hash from audit_seal where seal = 2);",
        )
        .await;
    assert_eq!(trail.holds().await, [("acme".to_owned(), [2, 10, 2])]);
    assert_eq!(faults(&trail, &kept).await, ["acme: the chain ends with seal 2, but there is a checkpoint of seal 3"]);
}

async fn a_chain_that_was_made_anew_shows(trail: Trail) {
    let trail = trail.with_three_batches().await;
    let kept = keep(&trail).await;
    // One event is left out, and the rest sealed as if it had never been.
    trail
        .execute("delete from audit_event; delete from audit_seal; delete from audit_chain; delete from audit_pending;")
        .await;
    for numbers in [0..5, 5..9, 10..15] {
        trail.leave(&acme(), numbers).await;
        trail.seal_audit_events(&acme(), now(), 500).await.unwrap();
    }
    assert_eq!(trail.holds().await, [("acme".to_owned(), [3, 14, 0])]);
    assert_eq!(faults(&trail, &kept).await, ["acme: seal 3 differs from its checkpoint: the chain was rewritten"]);
}

async fn a_partner_whose_trail_has_vanished_shows(trail: Trail) {
    trail.leave(&acme(), 0..1).await;
    trail.leave(&globex(), 0..1).await;
    trail.seal_audit_events(&acme(), now(), 500).await.unwrap();
    trail.seal_audit_events(&globex(), now(), 500).await.unwrap();
    let kept = keep(&trail).await;
    assert_eq!(faults(&trail, &kept).await, Vec::<String>::new());
    for table in ["audit_event", "audit_seal", "audit_chain"] {
        trail.execute(&format!("delete from {table} where partner_id = 'acme'")).await;
    }
    assert_eq!(trail.holds().await, [("globex".to_owned(), [1, 1, 0])]);
    assert_eq!(faults(&trail, &kept).await, ["acme: the chain ends with seal 0, but there is a checkpoint of seal 1"]);
}
