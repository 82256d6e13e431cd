//! Looks into a database past the service: for what the API must not show, and for what must not be there at all.

use std::fs;

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::TestDatabase;

/// The only column of a query's result, which must be text.
pub(crate) async fn texts(url: &str, query: &str) -> Vec<String> {
    let query = AssertSqlSafe(query.to_owned());
    let rows = if url.starts_with("sqlite:") {
        let mut connection = SqliteConnection::connect(url).await.expect("the test's database is there");
        sqlx::query_scalar(query).fetch_all(&mut connection).await
    } else {
        let mut connection = PgConnection::connect(url).await.expect("the test's database is there");
        sqlx::query_scalar(query).fetch_all(&mut connection).await
    };
    rows.expect("the test's query is good")
}

/// Everything that the database holds, as it is written down: whoever reads the disk sees no more.
pub(crate) async fn everything(database: &TestDatabase) -> String {
    let url = database.url();
    if let Some(file) = url.strip_prefix("sqlite://") {
        let read = |name: String| fs::read(name).unwrap_or_default();
        let bytes = [read(file.to_owned()), read(format!("{file}-wal"))].concat();
        assert!(!bytes.is_empty(), "the database is where its URL says");
        return String::from_utf8_lossy(&bytes).into_owned();
    }
    let mut rows = Vec::new();
    for table in
        texts(url, "select table_name::text from information_schema.tables where table_schema = 'public'").await
    {
        rows.extend(texts(url, &format!("select t::text from {table} t")).await);
    }
    rows.join("\n")
}
