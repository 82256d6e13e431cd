//! Databases that another build has migrated.

use std::error::Error;

use device_management::store::{DatabaseSettings, DatabaseUrl, migrate};

use crate::harness::{TestApp, on_both_databases, sql};

on_both_databases![a_schema_of_another_build_is_refused_with_a_remedy, a_newer_schema_is_refused_with_a_remedy];

async fn refusal(app: &TestApp) -> String {
    let settings = DatabaseSettings::new(DatabaseUrl::parse(app.database.url()).unwrap());
    let error = migrate(&settings).await.unwrap_err();
    assert!(error.to_string().contains("begin with an empty database"), "{error}");
    error.source().unwrap().to_string()
}

async fn a_schema_of_another_build_is_refused_with_a_remedy(app: TestApp) {
    sql::execute(app.database.url(), "update _sqlx_migrations set checksum = substr(checksum, 2) where version = 1")
        .await;
    assert!(refusal(&app).await.contains("migration 1"));
}

async fn a_newer_schema_is_refused_with_a_remedy(app: TestApp) {
    sql::execute(app.database.url(), "update _sqlx_migrations set version = 12 where version = 1").await;
    assert!(refusal(&app).await.contains("migration 12"));
}
