//! The spans of statements.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;

use super::{Traced, WAIT};
use crate::harness::collector::attribute;
use crate::harness::{Engine, Phone, on_both_databases, sql};

on_both_databases![a_statement_is_named_by_its_verbs_and_tables, a_statement_that_fails_has_an_error_without_a_message];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wait_for_a_connection_has_a_span() {
    for engine in [Engine::Sqlite, Engine::Postgres] {
        let it = Traced::with(engine, &[("DATABASE_MAX_CONNECTIONS", "1")]).await;
        let client = it.app.partner();
        let get = || client.get("/v1/persons/ada/mobile_number");
        let answers = tokio::join!(get(), get(), get(), get(), get(), get(), get(), get());
        answers.7.assert_status(404);
        let spans = it.spans().await;
        let wait = spans.iter().find(|span| span.name == WAIT).unwrap_or_else(|| panic!("{spans:#?}"));
        assert!(spans.iter().any(|span| span.span_id == wait.parent_span_id && span.kind() == SpanKind::Server));
        assert!(wait.attributes.is_empty(), "{wait:#?}");
    }
}

async fn a_statement_is_named_by_its_verbs_and_tables(it: Traced) {
    let client = it.app.partner();
    client.verified_person("ada").await;
    let device = client.bind("ada", &Phone::new(1)).await;
    let challenge = client.challenge(&device.id).await;
    client.sign(&challenge.id, &Phone::new(1).sign(&challenge.text)).await.assert_status(204);
    client.sign(&challenge.id, &Phone::new(2).sign(&challenge.text)).await;
    it.app.advance(TimeDelta::minutes(1));
    let login = client.sms_challenge("ada").await;
    client.type_code(&login.id, &login.wrong_code()).await.assert_status(403);
    client.type_code(&login.id, &login.code).await.assert_status(204);
    client.get("/v1/mfa/devices?filter[person_id]=ada").await.assert_status(200);
    client.get("/v1/mfa/devices").await.assert_status(200);
    client.delete(&format!("/v1/mfa/devices/{}", device.id)).await.assert_status(204);
    client.delete("/v1/persons/ada/mobile_number").await.assert_status(200);

    let (tables, spans) = (sql::tables(&it.app.database).await, it.spans().await);
    let statements = spans.iter().filter(|span| attribute(&span.attributes, "db.system.name").is_some());
    let names: BTreeSet<&str> = statements.map(|span| &*span.name).collect();
    for name in &names {
        let words: Vec<&str> = name.split(' ').collect();
        let is_write = words.chunks(2).all(
            |pair| matches!(pair, [verb, table] if ["SELECT", "INSERT", "UPDATE", "DELETE"].contains(verb) && tables.iter().any(|known| known == table)),
        );
        assert!(is_write || ["BEGIN", "COMMIT", "ROLLBACK"].contains(name), "{name:?} of {names:#?}");
    }
    assert!(names.len() > 10, "{names:#?}");
}

async fn a_statement_that_fails_has_an_error_without_a_message(it: Traced) {
    let client = it.app.partner();
    sql::texts(it.app.database.url(), "alter table mobile_number rename to elsewhere").await;
    client.get("/v1/persons/ada/mobile_number").await.assert_status(500);
    let spans = it.spans().await;
    let statement = super::named(&spans, "SELECT mobile_number");
    let error = attribute(&statement.attributes, "error.type").expect("the statement failed");
    assert!(["42P01", "1"].contains(&&*error), "{error}");
    let status = statement.status.as_ref().unwrap();
    assert_eq!((status.code(), &*status.message), (StatusCode::Error, ""));
    let request = super::named(&spans, "GET /v1/persons/{person_id}/mobile_number");
    assert_eq!(attribute(&request.attributes, "error.type").as_deref(), Some("generic_error"));
}
