//! The contents of all tables in a common format for both engines. The catalog lists the tables and columns.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::harness::{Engine, TestDatabase};

/// The lines of each table, sorted.
pub(super) type Contents = BTreeMap<String, Vec<String>>;

/// The columns of all tables except sqlx's, with the types of the first database.
pub(super) struct Tables(BTreeMap<String, Vec<(String, String)>>);

/// Reads the same tables of several databases.
pub(super) struct Readers {
    tables: Tables,
    readers: Vec<Reader>,
}

enum Reader {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Readers {
    pub(super) async fn of(databases: impl Iterator<Item = &TestDatabase>) -> Self {
        let mut readers = Vec::new();
        for database in databases {
            readers.push(Reader::of(database).await);
        }
        let mut tables: Vec<Vec<_>> = Vec::new();
        for reader in &mut readers {
            tables.push(reader.columns().await);
        }
        let names = |columns: &[(String, String, String)]| {
            columns.iter().map(|(table, column, _)| (table.clone(), column.clone())).collect::<Vec<_>>()
        };
        for others in &tables[1..] {
            assert_eq!(names(others), names(&tables[0]), "the databases have different tables or columns");
        }
        let mut known = BTreeMap::<String, Vec<(String, String)>>::new();
        for (table, column, kind) in tables.swap_remove(0) {
            known.entry(table).or_default().push((column, kind));
        }
        Self { tables: Tables(known), readers }
    }

    /// The contents of each database.
    pub(super) async fn contents(&mut self) -> Vec<Contents> {
        let mut all = Vec::new();
        for reader in &mut self.readers {
            let mut contents = Contents::new();
            for (table, columns) in &self.tables.0 {
                contents.insert(table.clone(), reader.lines(table, columns).await);
            }
            all.push(contents);
        }
        all
    }
}

impl Reader {
    async fn of(database: &TestDatabase) -> Self {
        match database.engine() {
            Engine::Sqlite => {
                Self::Sqlite(SqliteConnection::connect(database.url()).await.expect("the database exists"))
            }
            _ => Self::Postgres(PgConnection::connect(database.url()).await.expect("the database exists")),
        }
    }

    /// Table, column and Postgres type; SQLite has no such type names.
    async fn columns(&mut self) -> Vec<(String, String, String)> {
        match self {
            Self::Postgres(connection) => {
                let columns = sqlx::query_as(
                    "select table_name::text, column_name::text, data_type::text
                       from information_schema.columns
                      where table_schema = 'public'
                        and table_name not like '\\_sqlx%'
                        and table_name not like 'pg\\_%'
                        and table_name not like 'citus\\_%'
                      order by table_name, column_name",
                );
                columns.fetch_all(connection).await.unwrap()
            }
            Self::Sqlite(connection) => {
                let columns = sqlx::query_as(
                    "select t.name, c.name, ''
                       from sqlite_schema t, pragma_table_info(t.name) c
                      where t.type = 'table'
                        and t.name not like '\\_sqlx%' escape '\\'
                        and t.name not like 'sqlite\\_%' escape '\\'
                      order by 1, 2",
                );
                columns.fetch_all(connection).await.unwrap()
            }
        }
    }

    /// The lines of a table, sorted.
    async fn lines(&mut self, table: &str, columns: &[(String, String)]) -> Vec<String> {
        let statement = |each: fn(&str, &str) -> String| {
            let columns: Vec<_> = columns.iter().map(|(name, kind)| each(name, kind)).collect();
            AssertSqlSafe(format!("select {} from {table}", columns.join(", ")))
        };
        let cells = 0..columns.len();
        let rows: Vec<Vec<Option<String>>> = match self {
            Self::Postgres(connection) => {
                let rows = sqlx::query(statement(in_postgres)).fetch_all(connection).await.unwrap();
                rows.iter().map(|row| cells.clone().map(|cell| row.get(cell)).collect()).collect()
            }
            Self::Sqlite(connection) => {
                let rows = sqlx::query(statement(in_sqlite)).fetch_all(connection).await.unwrap();
                rows.iter().map(|row| cells.clone().map(|cell| row.get(cell)).collect()).collect()
            }
        };
        let line = |texts: Vec<Option<String>>| {
            let cells = columns.iter().zip(texts).map(|((name, kind), text)| match text {
                Some(text) => format!("{name}={}", plain(kind, text)),
                None => format!("{name} is null"),
            });
            cells.collect::<Vec<_>>().join(" ")
        };
        let mut lines: Vec<_> = rows.into_iter().map(line).collect();
        lines.sort();
        lines
    }
}

/// A column as text.
fn in_postgres(name: &str, kind: &str) -> String {
    match kind {
        "uuid" => format!("replace({name}::text, '-', '')"),
        "bytea" => format!("encode({name}, 'hex')"),
        "timestamp with time zone" => format!("(extract(epoch from {name}) * 1000000)::bigint::text"),
        _ => format!("{name}::text"),
    }
}

fn in_sqlite(name: &str, kind: &str) -> String {
    match kind {
        "uuid" | "bytea" => format!("case when {name} is not null then lower(hex({name})) end"),
        _ => format!("cast({name} as text)"),
    }
}

/// Converts an instant that SQLite stores as text to microseconds.
fn plain(kind: &str, text: String) -> String {
    match text.parse::<DateTime<Utc>>() {
        Ok(instant) if kind == "timestamp with time zone" => instant.timestamp_micros().to_string(),
        _ => text,
    }
}
