//! Opens the pools' connections: to a server whose password may be rotated while the service runs, and to a file that
//! may be moved.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, PgConnection, Postgres, Sqlite, SqliteConnection};
use tokio::task::spawn_blocking;

use crate::store::connect::service_options;
use crate::store::error::is_login_refused;
use crate::store::pool::Open;
use crate::store::{DatabaseSettings, DatabaseUrl};

/// Opens connections to Postgres. When the server refuses the login, re-reads the file of `DATABASE_URL_FILE`, where an
/// operator who rotates the password writes the new one.
pub(in crate::store) struct PostgresServer {
    settings: DatabaseSettings,
    /// The options of the last successful login.
    options: Mutex<PgConnectOptions>,
    /// The problem with the file that was last logged, so that it is logged once.
    logged: Mutex<Option<String>>,
}

impl PostgresServer {
    pub(in crate::store) fn new(settings: &DatabaseSettings, options: PgConnectOptions) -> Self {
        Self { settings: settings.clone(), options: Mutex::new(options), logged: Mutex::new(None) }
    }

    fn options(&self) -> PgConnectOptions {
        self.options.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The current login from the file. Logs a problem with the file, but never its content.
    async fn reread_options(&self, refused: &PgConnectOptions) -> Option<PgConnectOptions> {
        let file = self.settings.url_file.clone()?;
        let text = spawn_blocking(move || std::fs::read_to_string(file)).await.ok()?;
        let options = match text {
            Ok(text) => self.options_of(text.trim(), refused),
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        options.map_err(|problem| self.log(Some(problem))).ok()
    }

    fn options_of(&self, url: &str, refused: &PgConnectOptions) -> std::result::Result<PgConnectOptions, String> {
        let Ok(DatabaseUrl::Postgres(url, _)) = DatabaseUrl::parse(url) else {
            return Err("holds no postgres:// URL".to_owned());
        };
        let options = service_options(&url, &self.settings).map_err(|_| "holds no postgres:// URL".to_owned())?;
        // Only the login may change: everything else was checked at start-up.
        let place = |options: &PgConnectOptions| {
            let database = options.get_database().map(str::to_owned);
            let place = (options.get_host().to_owned(), options.get_port(), options.get_socket().cloned(), database);
            format!("{place:?} {:?}", options.get_ssl_mode())
        };
        if place(&options) == place(refused) {
            Ok(options)
        } else {
            Err("names another server, database or encryption: restart the service to apply it".to_owned())
        }
    }

    fn log(&self, problem: Option<String>) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if *logged == problem {
            return;
        }
        if let Some(problem) = &problem {
            tracing::warn!("the database refuses the login, and the file of DATABASE_URL_FILE {problem}");
        }
        *logged = problem;
    }
}

#[async_trait::async_trait]
impl Open<Postgres> for PostgresServer {
    async fn open(&self) -> sqlx::Result<PgConnection> {
        let options = self.options();
        let refused = match options.connect().await {
            Err(error) if is_login_refused(&error) => error,
            outcome => return outcome,
        };
        let Some(options) = self.reread_options(&options).await else { return Err(refused) };
        match options.connect().await {
            Ok(connection) => {
                *self.options.lock().unwrap_or_else(PoisonError::into_inner) = options;
                self.log(None);
                tracing::info!("the database refused the login; the one in the file of DATABASE_URL_FILE works");
                Ok(connection)
            }
            Err(error) => {
                if is_login_refused(&error) {
                    self.log(Some("holds no login that the database accepts".to_owned()));
                }
                Err(error)
            }
        }
    }

    fn file(&self) -> Option<(u64, u64)> {
        None
    }
}

/// Opens connections to an existing SQLite file. A file that was moved is not recreated: the new one would be empty.
pub(in crate::store) struct SqliteFile(pub(in crate::store) SqliteConnectOptions);

#[async_trait::async_trait]
impl Open<Sqlite> for SqliteFile {
    async fn open(&self) -> sqlx::Result<SqliteConnection> {
        self.0.connect().await
    }

    fn file(&self) -> Option<(u64, u64)> {
        identity(self.0.get_filename())
    }
}

fn identity(file: &Path) -> Option<(u64, u64)> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.dev(), metadata.ino()))
}
