//! A schema change under connections with prepared statements, as in a rolling upgrade: every request succeeds and
//! takes effect once.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::main_flows_with;
use crate::harness::{Engine, TestApp, books, sql};

/// Changes the type of every text column, and so the result types of prepared statements.
async fn change_types(url: &str, length: usize) {
    let columns = "
        select format('alter table %I alter column %I type varchar(LENGTH)', table_name, column_name)
          from information_schema.columns
         where table_schema = 'public' and data_type in ('text', 'character varying') and table_name <> '_sqlx_migrations'";
    let statements = sql::texts(url, &columns.replace("LENGTH", &length.to_string())).await;
    assert!(statements.len() > 20, "{statements:?}");
    sql::execute(url, &statements.join("; ")).await;
}

/// Changes the number of columns of every table, and so of the rows of `returning *`.
async fn add_and_drop_columns(url: &str, number: usize) {
    let tables = "select table_name::text from information_schema.tables
                   where table_schema = 'public' and table_name <> '_sqlx_migrations'";
    let mut statements = Vec::new();
    for table in sql::texts(url, tables).await {
        statements.push(format!("alter table {table} add column added_{number} text default 'x'"));
        if number > 0 {
            statements.push(format!("alter table {table} drop column if exists added_{}", number - 1));
        }
    }
    sql::execute(url, &statements.join("; ")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_succeeds_right_after_a_schema_change() {
    if !Engine::Postgres.is_there_for("database::stale_plans::every_request_is_answered").await {
        return;
    }
    // One connection, which has prepared all statements in the round before.
    let app = TestApp::with(Engine::Postgres, &[("DATABASE_MAX_CONNECTIONS", "1")]).await;
    let (url, acme) = (app.database.url().to_owned(), app.partner());
    let steps = main_flows_with(&app, &acme, "first", 1, async |_| {}).await;
    let changes = AtomicUsize::new(0);
    for step in 0..steps {
        let seed = u32::try_from(10 * step + 10).unwrap();
        main_flows_with(&app, &acme, &format!("warm-{step}"), seed, async |_| {}).await;
        let change = async |number: usize| {
            if number == step {
                let change = changes.fetch_add(1, Ordering::Relaxed);
                change_types(&url, 200 + change).await;
                add_and_drop_columns(&url, change).await;
            }
        };
        main_flows_with(&app, &acme, &format!("met-{step}"), seed + 5, change).await;
    }
    assert_eq!(changes.load(Ordering::Relaxed), steps);
    let devices = i64::try_from(2 * steps + 1).unwrap();
    assert_eq!(books::count(&app.database, "select count(*) from device").await, devices);
    assert_eq!(app.outbox().messages().len(), 2 * (2 * steps + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_has_lost_its_prepared_statements_prepares_them_again() {
    if !Engine::Postgres.is_there_for("database::stale_plans::a_session_that_has_lost_what_it_had_prepared").await {
        return;
    }
    let app = TestApp::with(Engine::Postgres, &[("DATABASE_MAX_CONNECTIONS", "1")]).await;
    let acme = app.partner();
    main_flows_with(&app, &acme, "first", 1, async |_| {}).await;
    // Deallocates within the service's own session, in the last statement of a change; the next one finds nothing
    // prepared.
    let forget =
        "create function forget() returns trigger language plpgsql as $$ begin deallocate all; return new; end $$;
                  create trigger forget after insert on audit_pending for each row execute function forget()";
    sql::execute(app.database.url(), forget).await;
    acme.verified_person("bob").await;
    sql::execute(app.database.url(), "drop trigger forget on audit_pending").await;
    main_flows_with(&app, &acme, "second", 10, async |_| {}).await;
}
