//! The settings of SQLite's connections.

use sqlx::Sqlite;

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
