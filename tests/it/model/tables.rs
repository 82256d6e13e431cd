//! The contents of all tables in one form for both engines: what they hold is found by the catalogue, not by a list.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::harness::TestDatabase;

/// The lines of each table, sorted.
pub(super) type Contents = BTreeMap<String, Vec<String>>;

/// The columns of all tables but that of the migrations, with their types, as Postgres tells them.
pub(super) struct Tables(BTreeMap<String, Vec<(String, String)>>);

/// Reads the same tables on Postgres and on SQLite.
pub(super) struct Readers {
    tables: Tables,
    postgres: PgConnection,
    sqlite: SqliteConnection,
}

impl Readers {
    pub(super) async fn of(postgres: &TestDatabase, sqlite: &TestDatabase) -> Self {
        let mut postgres = PgConnection::connect(postgres.url()).await.expect("the test's database is there");
        let mut sqlite = SqliteConnection::connect(sqlite.url()).await.expect("the test's database is there");
        let rows = sqlx::query(
            "select table_name::text, column_name::text, data_type::text
               from information_schema.columns
              where table_schema = 'public'
                and table_name not like '\\_sqlx%'
              order by table_name, column_name",
        );
        let mut tables = BTreeMap::<String, Vec<(String, String)>>::new();
        for row in rows.fetch_all(&mut postgres).await.unwrap() {
            tables.entry(row.get(0)).or_default().push((row.get(1), row.get(2)));
        }
        let in_sqlite = sqlx::query(
            "select t.name, c.name
               from sqlite_schema t, pragma_table_info(t.name) c
              where t.type = 'table'
                and t.name not like '\\_sqlx%' escape '\\'
                and t.name not like 'sqlite\\_%' escape '\\'
              order by 1, 2",
        );
        let in_sqlite = in_sqlite.fetch_all(&mut sqlite).await.unwrap();
        let in_sqlite: Vec<(String, String)> = in_sqlite.iter().map(|row| (row.get(0), row.get(1))).collect();
        let in_postgres: Vec<_> =
            tables.iter().flat_map(|(table, columns)| columns.iter().map(|it| (table.clone(), it.0.clone()))).collect();
        assert_eq!(in_sqlite, in_postgres, "the engines have other tables or columns");
        Self { tables: Tables(tables), postgres, sqlite }
    }

    /// What Postgres and SQLite hold.
    pub(super) async fn contents(&mut self) -> [Contents; 2] {
        let mut both = [Contents::new(), Contents::new()];
        for (table, columns) in &self.tables.0 {
            let columns = |each: fn(&str, &str) -> String| {
                columns.iter().map(|(name, kind)| each(name, kind)).collect::<Vec<_>>().join(", ")
            };
            let statement = |columns| AssertSqlSafe(format!("select {columns} from {table}"));
            let rows = sqlx::query(statement(columns(in_postgres))).fetch_all(&mut self.postgres).await.unwrap();
            let names: Vec<_> = self.tables.0[table].iter().collect();
            let line = |texts: Vec<Option<String>>| {
                let cells = names.iter().zip(texts).map(|((name, kind), text)| match text {
                    Some(text) => format!("{name}={}", plain(kind, text)),
                    None => format!("{name} is null"),
                });
                cells.collect::<Vec<_>>().join(" ")
            };
            let cells = 0..names.len();
            both[0].insert(
                table.clone(),
                sorted(rows.iter().map(|row| line(cells.clone().map(|cell| row.get(cell)).collect())).collect()),
            );
            let rows = sqlx::query(statement(columns(in_sqlite))).fetch_all(&mut self.sqlite).await.unwrap();
            both[1].insert(
                table.clone(),
                sorted(rows.iter().map(|row| line(cells.clone().map(|cell| row.get(cell)).collect())).collect()),
            );
        }
        both
    }
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

/// A column as text, as far as Postgres makes it so.
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

/// An instant that SQLite keeps as text becomes microseconds.
fn plain(kind: &str, text: String) -> String {
    match text.parse::<DateTime<Utc>>() {
        Ok(instant) if kind == "timestamp with time zone" => instant.timestamp_micros().to_string(),
        _ => text,
    }
}
