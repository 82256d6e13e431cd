//! Queries a test's database directly: for data that the API must not show, or that must not be stored.

use std::fs;

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::TestDatabase;

/// The only column of a query's result, which must be text.
pub(crate) async fn texts(url: &str, query: &str) -> Vec<String> {
    let query = AssertSqlSafe(query.to_owned());
    let rows = if url.starts_with("sqlite:") {
        let mut connection = SqliteConnection::connect(url).await.expect("the test's database is reachable");
        sqlx::query_scalar(query).fetch_all(&mut connection).await
    } else {
        let mut connection = PgConnection::connect(url).await.expect("the test's database is reachable");
        sqlx::query_scalar(query).fetch_all(&mut connection).await
    };
    rows.expect("the test's query is valid")
}

/// Runs statements on a separate connection; returns the number of affected rows.
pub(crate) async fn execute(url: &str, statements: &str) -> u64 {
    let statements = sqlx::raw_sql(AssertSqlSafe(statements.to_owned()));
    if url.starts_with("sqlite:") {
        let mut connection = SqliteConnection::connect(url).await.expect("the test's database is reachable");
        statements.execute(&mut connection).await.expect("the test's statement is good").rows_affected()
    } else {
        let mut connection = PgConnection::connect(url).await.expect("the test's database is reachable");
        statements.execute(&mut connection).await.expect("the test's statement is good").rows_affected()
    }
}

/// The names of all tables on Postgres. Citus has views in the same schema.
const TABLES: &str = "select table_name::text from information_schema.tables
                       where table_schema = 'public' and table_type = 'BASE TABLE'";

/// The names of all tables, from the catalogue.
pub(crate) async fn tables(database: &TestDatabase) -> Vec<String> {
    let query = if is_sqlite(database) { "select name from sqlite_master where type = 'table'" } else { TABLES };
    texts(database.url(), query).await
}

/// Every value of every row, in lower case, bytes as hexadecimal digits.
pub(crate) async fn every_value(database: &TestDatabase) -> String {
    let mut values = Vec::new();
    for table in tables(database).await {
        values.push(every_value_in(database, &table).await);
    }
    values.join("\n")
}

/// The same of one table, a line for each row.
pub(crate) async fn every_value_in(database: &TestDatabase, table: &str) -> String {
    let url = database.url();
    let columns = if is_sqlite(database) {
        let names = texts(url, &format!("select name from pragma_table_info('{table}')")).await;
        names.iter().map(|name| format!("quote({name})")).collect::<Vec<_>>().join(" || ' ' || ")
    } else {
        format!("{table}::text")
    };
    texts(url, &format!("select {columns} from {table}")).await.join("\n").to_lowercase()
}

fn is_sqlite(database: &TestDatabase) -> bool {
    database.url().starts_with("sqlite:")
}

/// The stored content of the database: the SQLite file with its WAL, or every row on Postgres.
pub(crate) async fn everything(database: &TestDatabase) -> String {
    let url = database.url();
    if let Some(file) = url.strip_prefix("sqlite://") {
        let read = |name: String| fs::read(name).unwrap_or_default();
        let bytes = [read(file.to_owned()), read(format!("{file}-wal"))].concat();
        assert!(!bytes.is_empty(), "the database file of the URL has content");
        return String::from_utf8_lossy(&bytes).into_owned();
    }
    let mut rows = Vec::new();
    for table in texts(url, TABLES).await {
        rows.extend(texts(url, &format!("select t::text from {table} t")).await);
    }
    rows.join("\n")
}
