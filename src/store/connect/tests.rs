//! The settings of connections, and the remedies for failures of TLS.

use std::collections::BTreeSet;

use rustls::pki_types::{ServerName, pem};
use sqlx::Sqlite;

use super::session::{self, OwnSettings};
use super::tls::remedy;
use super::{DatabaseSettings, DatabaseUrl, Synchronous, sqlite_store};
use crate::store::rows::column;

#[tokio::test]
async fn readers_and_the_writer_of_sqlite_are_as_durable_as_configured() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("device-management.db");
    let url = DatabaseUrl::Sqlite(file.clone());
    // https://sqlite.org/pragma.html#pragma_synchronous
    for (synchronous, level, pages) in [(Synchronous::Full, 2, 1000), (Synchronous::Normal, 1, 10_000)] {
        let settings = DatabaseSettings { sqlite_synchronous: synchronous, ..DatabaseSettings::new(url.clone()) };
        let store = sqlite_store(&file, &settings).await.unwrap();
        let pragmas =
            [("pragma synchronous", "synchronous", level), ("pragma wal_autocheckpoint", "wal_autocheckpoint", pages)];
        for (statement, pragma, expected) in pragmas {
            let query = || sqlx::query(statement);
            for row in [store.row(query()).await.unwrap(), store.write(query()).await.unwrap()] {
                let found: i64 = column::<Sqlite, _>(&row.unwrap(), pragma).unwrap();
                assert_eq!(found, expected, "{synchronous:?}, {pragma}");
            }
        }
        store.shut().await;
    }
}

#[test]
fn a_transaction_behind_a_pooler_sets_each_setting_once() {
    for (is_distributed, plan_cache_mode) in [(false, "force_generic_plan"), (true, "auto")] {
        let url = DatabaseUrl::parse("postgres://db.example/devices").unwrap();
        let settings = DatabaseSettings { is_distributed, ..DatabaseSettings::new(url) };
        let begin = session::pooled_begin("begin", OwnSettings::of(&settings));
        let names: Vec<_> =
            begin.as_str().split("set_config('").skip(1).filter_map(|call| call.split('\'').next()).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>(), session::pinned().collect::<Vec<_>>().iter().collect());
        assert_eq!(names.len(), session::pinned().count(), "{begin:?}");
        let expected =
            [("plan_cache_mode", plan_cache_mode), ("statement_timeout", "5000"), ("search_path", "public, pg_temp")];
        for (name, value) in expected {
            assert!(begin.as_str().contains(&format!("set_config('{name}', '{value}', true)")), "{begin:?}");
        }
    }
}

#[test]
fn the_remedy_for_a_server_without_tls_is_given_for_no_other_failure() {
    let of = |cause: Box<dyn std::error::Error + Send + Sync>| remedy(&sqlx::Error::Tls(cause));
    assert!(of("server does not support TLS".into()).contains("turn on TLS on the server"));
    let name = ServerName::try_from("db..example").unwrap_err();
    assert!(of(name.into()).contains("the host of DATABASE_URL must be a DNS name or an address"));
    assert!(of(pem::Error::NoItemsFound.into()).contains("sslcert must hold"));
    // The driver's text names the file. `doctor` adds a remedy for all that have none here.
    assert_eq!(of("Invalid certificate file: ca.pem".into()), "");
}
