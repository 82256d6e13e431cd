//! Why the store could not answer. Absence and lost races are not here: they are part of each method's answer.
//!
//! Texts name statements' causes as the database gives them in its message, never the values that were bound.

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

/// A failure of the store itself.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, overloaded, shutting down or out of connections. Nothing is known to be wrong with the
    /// request: the caller may come again.
    #[error("the database is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// A row holds something that our types call impossible.
    #[error("the database holds an impossible {column}")]
    Corrupt {
        /// The column that holds it.
        column: &'static str,
    },
    /// Anything else that the database refuses: our fault.
    #[error("the database refused a statement")]
    Driver(#[source] sqlx::Error),
    /// Another run of the same request has taken over: this one must not take effect.
    #[error("another request with the same idempotency key has taken over")]
    ClaimLost,
    /// The database lacks a migration of this build.
    #[error("migrations are missing: run `device-management migrate`")]
    NotMigrated,
    /// Something between us and the database mixes sessions.
    #[error("a setting of the session does not hold: set DATABASE_POOLER=transaction if there is a pooler in between")]
    SessionNotKept(#[source] Option<sqlx::Error>),
    /// What a migration needs was held by another session until the time for waiting was over.
    #[error(
        "gave up after {seconds} s of waiting for {what}, held by {holders}: end what holds it, or let it finish, and start \
         again; MIGRATE_LOCK_TIMEOUT_SECONDS is how long it is waited for"
    )]
    LockNotFree {
        /// What was waited for.
        what: String,
        /// The sessions that hold it, by process id and name.
        holders: String,
        /// For how long.
        seconds: u64,
    },
    /// A migration failed.
    #[error("migration failed")]
    Migration(#[from] MigrateError),
}

impl StoreError {
    /// Whether the same call may succeed a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl StoreError {
    /// What the database itself said.
    pub(super) fn database_error(&self) -> Option<&dyn DatabaseError> {
        match self {
            Self::Unavailable(error)
            | Self::Driver(error)
            | Self::Migration(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
                error.as_database_error()
            }
            _ => None,
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if is_unavailable(&error) { Self::Unavailable(error) } else { Self::Driver(error) }
    }
}

/// Whether a key was refused because another device of the partner has it. Postgres names the index, or that of a part of
/// the table, which is called after it; SQLite names its columns.
pub(super) fn is_key_taken(error: &StoreError) -> bool {
    let StoreError::Driver(error) = error else { return false };
    error.as_database_error().is_some_and(|error| {
        error.is_unique_violation()
            && (error.constraint().is_some_and(|index| index.starts_with("device_key_taken"))
                || error.message().contains("device_key.public_key"))
    })
}

/// Whether the database could not do what it was asked, rather than would not.
pub(super) fn is_unavailable(error: &sqlx::Error) -> bool {
    use sqlx::Error;
    match error {
        Error::Io(_)
        | Error::Tls(_)
        | Error::Protocol(_)
        | Error::PoolTimedOut
        | Error::PoolClosed
        | Error::WorkerCrashed => true,
        Error::Database(error) => error.code().is_some_and(|code| is_unavailable_code(&code)),
        _ => false,
    }
}

/// Postgres' SQLSTATE classes (Postgres manual, appendix A) and SQLite's primary result codes.
fn is_unavailable_code(code: &str) -> bool {
    const SQLSTATE: [&str; 7] = [
        "25006", // read-only transaction: a standby, or a failover in progress
        "25P03", // the transaction stood still for too long
        "25P04", // the transaction took too long
        "40001", // serialization failure
        "40P01", // deadlock
        "55P03", // lock not available
        "57014", // statement timeout
    ];
    let sqlstate_class = code.len() == 5 && ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class));
    // SQLite's extended codes carry the primary code in their low byte: BUSY 5, LOCKED 6, IOERR 10, FULL 13, CANTOPEN 14.
    let sqlite = code.len() < 5 && code.parse::<u32>().is_ok_and(|code| [5, 6, 10, 13, 14].contains(&(code & 0xff)));
    sqlstate_class || SQLSTATE.contains(&code) || sqlite
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_goes_away_is_unavailable() {
        for code in ["08006", "53300", "57P01", "57P03", "40P01", "25006", "5", "261", "6", "13"] {
            assert!(is_unavailable_code(code), "{code}");
        }
    }

    #[test]
    fn a_statement_that_is_wrong_is_our_fault() {
        for code in ["42601", "42P01", "22P02", "23505", "1", "2067", "787"] {
            assert!(!is_unavailable_code(code), "{code}");
        }
    }
}
