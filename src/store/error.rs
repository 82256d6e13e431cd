//! Failures of the store. Absence and lost races are not errors: they are part of each method's result.
//!
//! Error texts carry the database's message, never the bound values.

use std::borrow::Cow;

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::connect::tls::remedy;
use super::result_codes::{Fault, of_postgres, of_sqlite};

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is unreachable, overloaded, shutting down, refuses the login or is not writable. The request may be
    /// retried.
    #[error("the database is unavailable{}", remedy(.0))]
    Unavailable(#[source] sqlx::Error),
    /// A row holds a value that the domain types do not allow.
    #[error("the database holds an impossible {column}")]
    Corrupt {
        /// The column that holds it.
        column: &'static str,
    },
    /// Any other error of the database: a bug of this service, or a damaged schema.
    #[error("the database refused a statement")]
    Driver(#[source] sqlx::Error),
    /// Another run with the same idempotency key has taken over the claim. This run must not take effect.
    #[error("another request with the same idempotency key has taken over")]
    ClaimLost,
    /// The database lacks a migration of this build.
    #[error("migrations are missing: run `device-management migrate`")]
    NotMigrated,
    /// A pooler between the service and Postgres switches sessions between transactions.
    #[error("a setting of the session does not hold: set DATABASE_POOLER=transaction if there is a pooler in between")]
    SessionNotKept(#[source] Option<sqlx::Error>),
    /// A migration timed out waiting for a lock.
    #[error(
        "gave up after {seconds} s waiting for {what}, held by {holders}: end the sessions that hold it, or let them finish, \
         and start again; MIGRATE_LOCK_TIMEOUT_SECONDS sets the timeout"
    )]
    LockNotFree {
        /// The lock that was waited for.
        what: String,
        /// The sessions that hold it, by process id and name.
        holders: String,
        /// The timeout.
        seconds: u64,
    },
    /// The database does not meet the service's requirements: one text for each, with its remedy.
    #[error("the database cannot be used:\n  {}", .0.join("\n  "))]
    Unfit(Vec<String>),
    /// The database has migrations of another build that this build does not know.
    #[error("the schema was migrated by another build: use that build or a newer one, or begin with an empty database")]
    OtherSchema(#[source] MigrateError),
    /// A migration failed.
    #[error("migration failed")]
    Migration(#[from] MigrateError),
}

impl StoreError {
    /// Whether a retry of the same call may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

impl StoreError {
    /// The error as the database reported it.
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

/// Whether the error is a unique violation of a device's public key. Postgres names the index, or that of a partition,
/// which has the same prefix; SQLite names the columns.
///
/// Citus names the index only in the message, and reports an `insert` inside `with` under a generic code.
pub(super) fn is_key_taken(error: &StoreError) -> bool {
    const OF_CITUS: &str = "XX000";
    error.database_error().is_some_and(|error| {
        let message = error.message();
        let is_violation = error.is_unique_violation()
            || (error.code().is_some_and(|code| code == OF_CITUS) && message.contains("violates unique constraint"));
        is_violation
            && (error.constraint().is_some_and(|index| index.starts_with("device_key_taken"))
                || message.contains("\"device_key_taken")
                || message.contains("device_key.public_key"))
    })
}

/// The kind of an error for traces: the database's code, or a word. Messages may quote values.
pub(super) fn kind(error: &sqlx::Error) -> Cow<'static, str> {
    match error {
        sqlx::Error::Database(refusal) => refusal.code().map_or("database".into(), |code| code.into_owned().into()),
        sqlx::Error::Io(_) | sqlx::Error::Tls(_) => "connection".into(),
        sqlx::Error::PoolTimedOut => "timeout".into(),
        _ => "other".into(),
    }
}

/// Whether the error is a database that is unavailable, rather than a statement that is wrong.
pub(super) fn is_unavailable(error: &sqlx::Error) -> bool {
    use sqlx::Error;
    match error {
        // Of a connection that cannot be opened, such as a certificate file that is being replaced.
        Error::Configuration(_)
        | Error::Io(_)
        | Error::Tls(_)
        | Error::Protocol(_)
        | Error::PoolTimedOut
        | Error::PoolClosed
        | Error::WorkerCrashed => true,
        Error::Database(refusal) => is_stale_plan(error) || fault_of(&**refusal) == Fault::Unavailable,
        _ => false,
    }
}

fn fault_of(refusal: &dyn DatabaseError) -> Fault {
    let code = refusal.code().unwrap_or_default();
    if let Some(refusal) = refusal.try_downcast_ref::<PgDatabaseError>() {
        // The session has ended or never began: whatever the code, the statement is not the cause.
        let is_over = matches!(refusal.severity(), PgSeverity::Fatal | PgSeverity::Panic);
        return if is_over { Fault::Unavailable } else { of_postgres(&code) };
    }
    code.parse().map_or(Fault::Ours, of_sqlite)
}

/// Whether a prepared statement is stale, and had no effect: its result type has changed since it was prepared, or the
/// session does not know it.
pub(super) fn is_stale_plan(error: &sqlx::Error) -> bool {
    let refusal = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    refusal.is_some_and(|refusal| match refusal.code() {
        // 0A000 has many other causes, and the message is localized.
        "0A000" => refusal.routine() == Some("RevalidateCachedQuery"),
        code => code == "26000",
    })
}

/// Whether the server, or a pooler in front of it, accepted the connection and rejected the role.
pub(super) fn is_login_refused(error: &sqlx::Error) -> bool {
    let refusal = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    refusal.is_some_and(|refusal| refusal.code().starts_with("28") || refusal.code() == "08P01")
}

/// Whether a table does not exist.
pub(super) fn is_table_missing(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|refusal| match refusal.try_downcast_ref::<PgDatabaseError>() {
        Some(refusal) => refusal.code() == "42P01",
        None => refusal.message().starts_with("no such table"),
    })
}

/// Whether SQLite found the file locked by another process, which is transient.
pub(super) fn is_busy(refusal: &dyn DatabaseError) -> bool {
    refusal.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| [5, 6].contains(&(code & 0xff)))
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use sqlx::error::ErrorKind;

    use super::*;

    /// A database error with its optional parts.
    #[derive(Debug, thiserror::Error)]
    #[error("{message}")]
    struct Refused {
        code: &'static str,
        constraint: Option<&'static str>,
        message: &'static str,
    }

    impl DatabaseError for Refused {
        fn message(&self) -> &str {
            self.message
        }

        fn code(&self) -> Option<Cow<'_, str>> {
            Some(self.code.into())
        }

        fn constraint(&self) -> Option<&str> {
            self.constraint
        }

        fn kind(&self) -> ErrorKind {
            if self.code == "23505" || self.code == "2067" { ErrorKind::UniqueViolation } else { ErrorKind::Other }
        }

        fn as_error(&self) -> &(dyn Error + Send + Sync + 'static) {
            self
        }

        fn as_error_mut(&mut self) -> &mut (dyn Error + Send + Sync + 'static) {
            self
        }

        fn into_error(self: Box<Self>) -> Box<dyn Error + Send + Sync + 'static> {
            self
        }
    }

    fn is_taken(code: &'static str, constraint: Option<&'static str>, message: &'static str) -> bool {
        let refused = || sqlx::Error::Database(Box::new(Refused { code, constraint, message }));
        // The classification does not matter.
        let verdicts = [StoreError::Driver(refused()), StoreError::Unavailable(refused())].map(|it| is_key_taken(&it));
        assert_eq!(verdicts[0], verdicts[1]);
        verdicts[0]
    }

    const TAKEN: &str = "duplicate key value violates unique constraint \"device_key_taken\"";
    const TAKEN_IN_A_SHARD: &str = "duplicate key value violates unique constraint \"device_key_taken_102121\"";

    #[test]
    fn a_taken_key_is_recognised_by_constraint_or_message() {
        assert!(is_taken("23505", Some("device_key_taken"), TAKEN));
        assert!(is_taken("23505", Some("device_key_taken"), "doppelter Schl\u{fc}sselwert"));
        assert!(is_taken("23505", Some("device_key_taken_3"), TAKEN));
        assert!(is_taken("23505", None, TAKEN_IN_A_SHARD));
        assert!(is_taken("XX000", None, TAKEN_IN_A_SHARD));
        assert!(is_taken("2067", None, "UNIQUE constraint failed: device_key.partner_id, device_key.public_key"));
    }

    #[test]
    fn other_errors_are_not_a_taken_key() {
        for (code, constraint, message) in [
            ("23505", Some("device_pkey"), "duplicate key value violates unique constraint \"device_pkey\""),
            ("23505", None, "duplicate key value violates unique constraint \"device_pkey_102008\""),
            ("XX000", None, "duplicate key value violates unique constraint \"device_pkey_102008\""),
            ("XX000", None, "failed to re-find parent key in index \"device_key_taken\""),
            ("XX002", None, "index \"device_key_taken\" contains unexpected zero page"),
            ("57014", None, TAKEN),
            ("2067", None, "UNIQUE constraint failed: device.partner_id, device.device_id"),
        ] {
            assert!(!is_taken(code, constraint, message), "{message}");
        }
    }
}
