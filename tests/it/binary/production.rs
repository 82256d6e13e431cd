//! Production, with clients that the operator creates, rotates and revokes by commands.

use serde_json::json;

use super::{PATIENCE, fail, production_on, run};
use crate::harness::{NUMBER, Program, Service, TestDatabase, on_both_databases};

on_both_databases![
    a_created_client_gets_a_token_with_its_permissions,
    the_credentials_of_the_sandbox_are_refused,
    a_rotated_secret_and_the_previous_one_overlap_as_configured,
    a_revoked_client_gets_no_more_tokens,
];

/// A client as `client create` and `client rotate` print it.
struct Credentials {
    id: String,
    secret: String,
}

fn credentials(program: &Program, arguments: &[&str]) -> Credentials {
    let (code, output) = run(program, arguments);
    assert_eq!((code, output.len()), (0, 2), "{output:?}");
    let value = |line: usize, name: &str| output[line].strip_prefix(name).unwrap().to_owned();
    Credentials { id: value(0, "client_id="), secret: value(1, "client_secret=") }
}

async fn token_status(service: &Service, id: &str, secret: &str) -> u16 {
    let body = json!({"grant_type": "client_credentials", "client_id": id, "client_secret": secret});
    service.stranger().post("/oauth/token", body).await.status.as_u16()
}

async fn a_created_client_gets_a_token_with_its_permissions(database: TestDatabase) {
    let program = production_on(&database);
    let service = program.serve();
    let with = credentials(&program, &["client", "create", "--partner", "bank", "--permission", "numbers:assert"]);
    let without = credentials(&program, &["client", "create", "--partner", "bank"]);
    assert_eq!(with.secret.len(), 64);

    let person = "/v1/persons/ada/mobile_number";
    let asserted = json!({"number": NUMBER, "verified": true});
    let without = service.client(&without.id, &without.secret).await;
    without.post(person, asserted.clone()).await.assert_status(403);
    let with = service.client(&with.id, &with.secret).await;
    with.post(person, asserted).await.assert_status(201);
    // Both clients belong to the same partner.
    without.get(person).await.assert_status(200);
}

async fn the_credentials_of_the_sandbox_are_refused(database: TestDatabase) {
    let service = production_on(&database).serve();
    assert_eq!(token_status(&service, "sandbox", "sandbox").await, 401);
    assert!(service.logs().iter().all(|line| !line.contains("get a token")), "{:?}", service.logs());
}

async fn a_rotated_secret_and_the_previous_one_overlap_as_configured(database: TestDatabase) {
    let program = production_on(&database);
    let service = program.serve();
    let first = credentials(&program, &["client", "create", "--partner", "bank", "--name", "Back office"]);
    let id = first.id.as_str();
    let second = credentials(&program, &["client", "rotate", id]);
    assert_eq!(second.id, id);
    assert_eq!(token_status(&service, id, &first.secret).await, 200);
    assert_eq!(token_status(&service, id, &second.secret).await, 200);

    let third = credentials(&program, &["client", "rotate", id, "--overlap-hours", "0"]);
    for (secret, status) in [(&first.secret, 401), (&second.secret, 401), (&third.secret, 200)] {
        assert_eq!(token_status(&service, id, secret).await, status);
    }
}

async fn a_revoked_client_gets_no_more_tokens(database: TestDatabase) {
    let program = production_on(&database);
    let service = program.serve();
    let kept = credentials(&program, &["client", "create", "--partner", "bank", "--name", "Kept"]);
    let gone = credentials(&program, &["client", "create", "--partner", "shop", "--permission", "numbers:assert"]);
    let (code, output) = run(&program, &["client", "revoke", &gone.id]);
    assert_eq!(
        (code, output),
        (0, vec![format!("{} is revoked; its existing tokens expire within 60 minutes", gone.id)])
    );
    assert_eq!(token_status(&service, &gone.id, &gone.secret).await, 401);
    assert_eq!(token_status(&service, &kept.id, &kept.secret).await, 200);

    for command in ["rotate", "revoke"] {
        for id in [gone.id.as_str(), "unknown"] {
            let (code, logs) = fail(&program, &["client", command, id]);
            assert_eq!(code, 1);
            assert!(logs.contains(&format!("there is no client {id}, or it is revoked")), "{logs}");
        }
    }

    let (code, list) = run(&program, &["client", "list"]);
    assert_eq!((code, list[0].as_str()), (0, "client_id\tpartner\tname\tpermissions\tcreated_at\trevoked_at"));
    let rows: Vec<Vec<&str>> = list[1..].iter().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[0][..4], [kept.id.as_str(), "bank", "Kept", ""]);
    assert_eq!(rows[1][..4], [gone.id.as_str(), "shop", "", "numbers:assert"]);
    let is_revoked: Vec<bool> = rows.iter().map(|row| !row[5].is_empty()).collect();
    assert_eq!(is_revoked, [false, true]);
    assert!(list.iter().all(|line| !line.contains(&kept.secret) && !line.contains(&gone.secret)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_in_production_is_allowed_with_a_warning() {
    let database = <TestDatabase as crate::harness::Start>::start(crate::harness::Engine::Sqlite).await;
    production_on(&database).serve().wait_for_log("SQLite supports a single process", PATIENCE);
}
