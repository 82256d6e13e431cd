//! The URL that says which database: read once, with its faults told without the URL itself.

use std::path::PathBuf;
use std::str::FromStr;

use secrecy::SecretString;
use sqlx::postgres::PgConnectOptions;

/// Which database.
#[derive(Clone, Debug)]
pub enum DatabaseUrl {
    /// `postgres://user:password@host/database`: shown to nobody, since it holds a password.
    Postgres(SecretString),
    /// `sqlite://path/to/file`.
    Sqlite(PathBuf),
}

impl DatabaseUrl {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong with it, without the URL itself.
    pub fn parse(url: &str) -> std::result::Result<Self, &'static str> {
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            PgConnectOptions::from_str(url).map_err(|_| "is not a valid postgres:// URL")?;
            return Ok(Self::Postgres(url.into()));
        }
        match url.strip_prefix("sqlite://").or_else(|| url.strip_prefix("sqlite:")) {
            Some("" | ":memory:") => Err("must name a file: sqlite://device-management.db"),
            Some(path) => Ok(Self::Sqlite(path.into())),
            None => Err("must begin with postgres:// or sqlite://"),
        }
    }
}
