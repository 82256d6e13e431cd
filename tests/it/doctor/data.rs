//! Clients, the ages of their secrets, and unsealed audit events.

use super::{Report, on};
use crate::binary::run;
use crate::harness::{TestDatabase, on_both_databases, sql};

on_both_databases![
    an_old_secret_and_a_client_without_a_secret_are_warnings,
    events_that_wait_to_be_sealed_for_more_than_five_minutes_are_a_warning,
];

const LONG_AGO: &str = "2020-01-02T03:04:05.000000+00:00";

async fn an_old_secret_and_a_client_without_a_secret_are_warnings(database: TestDatabase) {
    let program = on(&database).with("SANDBOX_CLIENT", "false");
    Report::of(&program).assert("clients", "warning", "no client can get a token");
    for partner in ["acme", "globex"] {
        assert_eq!(run(&program, &["client", "create", "--partner", partner]).0, 0);
    }
    let report = Report::of(&program);
    report.assert("clients", "ok", "clients: 2, partners: 2");
    report.assert("clients.secrets", "ok", "acme: ");
    report.assert("clients.without_secret", "ok", "every client");

    let of = |partner| format!("client_id = (select client_id from client where partner_id = '{partner}')");
    let age = format!("update client_secret set created_at = '{LONG_AGO}' where {}", of("acme"));
    assert_eq!(sql::execute(database.url(), &age).await, 1);
    assert_eq!(sql::execute(database.url(), &format!("delete from client_secret where {}", of("globex"))).await, 1);
    let report = Report::of(&program);
    assert_eq!((report.code, report.with_status("failure")), (0, vec![]));
    report.assert("clients.secrets", "warning", "acme: 2");
    report.assert("clients.without_secret", "warning", "clients without a secret: 1 (");
    report.assert("clients.without_secret", "warning", " of globex");

    // Secrets of revoked clients are of no use to an attacker.
    sql::execute(database.url(), &format!("update client set revoked_at = '{LONG_AGO}'")).await;
    let report = Report::of(&program);
    report.assert("clients", "warning", "no client can get a token");
    report.assert("clients.secrets", "ok", "no secrets");
    report.assert("clients.without_secret", "ok", "every client");
}

async fn events_that_wait_to_be_sealed_for_more_than_five_minutes_are_a_warning(database: TestDatabase) {
    let program = on(&database);
    Report::of(&program).assert("audit.pending", "ok", "no event waits");
    assert_eq!(run(&program, &["client", "create", "--partner", "acme"]).0, 0);
    Report::of(&program).assert("audit.pending", "ok", "unsealed events: 1, waiting for ");
    let age = format!("update audit_pending set occurred_at = '{LONG_AGO}'");
    assert_eq!(sql::execute(database.url(), &age).await, 1);
    let report = Report::of(&program);
    assert_eq!(report.code, 0);
    report.assert("audit.pending", "warning", "unsealed events: 1, waiting for ");
}
