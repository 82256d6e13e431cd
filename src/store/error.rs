//! Why the store could not answer. Absence and lost races are not here: they are part of each method's answer.
//!
//! Texts name statements' causes as the database gives them in its message, never the values that were bound.

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::result_codes::{Fault, of_postgres, of_sqlite};

/// A failure of the store itself.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, overloaded, shutting down, refuses the login or cannot be written. Nothing is known to be wrong
    /// with the request: the caller may come again.
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
    /// The database lacks what the service relies on; each with what to do about it.
    #[error("the database cannot be used:\n  {}", .0.join("\n  "))]
    Unfit(Vec<String>),
    /// The database was migrated by another build, whose migrations this one does not have.
    #[error(
        "the schema is that of another build: use the build that made it, or a newer one, or begin with an empty database"
    )]
    OtherSchema(#[source] MigrateError),
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
///
/// Citus names the index in the message alone, and for an `insert` inside `with` it has a code for every error.
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
        Error::Database(refusal) => is_stale_plan(error) || fault_of(&**refusal) == Fault::Unavailable,
        _ => false,
    }
}

fn fault_of(refusal: &dyn DatabaseError) -> Fault {
    let code = refusal.code().unwrap_or_default();
    if let Some(refusal) = refusal.try_downcast_ref::<PgDatabaseError>() {
        // The session is over, or did not begin: whatever the reason, it is not the statement.
        let is_over = matches!(refusal.severity(), PgSeverity::Fatal | PgSeverity::Panic);
        return if is_over { Fault::Unavailable } else { of_postgres(&code) };
    }
    code.parse().map_or(Fault::Ours, of_sqlite)
}

/// Whether a statement that was prepared does not fit any more, and had no effect: its result would have another type than
/// when it was prepared, or the session does not know it.
pub(super) fn is_stale_plan(error: &sqlx::Error) -> bool {
    let refusal = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    refusal.is_some_and(|refusal| match refusal.code() {
        // Many other things are not supported either; the message is in the server's language.
        "0A000" => refusal.routine() == Some("RevalidateCachedQuery"),
        code => code == "26000",
    })
}

/// Whether the server, or a pooler before it, took the connection and then refused the role.
pub(super) fn is_login_refused(error: &sqlx::Error) -> bool {
    let refusal = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    refusal.is_some_and(|refusal| refusal.code().starts_with("28") || refusal.code() == "08P01")
}

/// Whether a table is not there.
pub(super) fn is_table_missing(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|refusal| match refusal.try_downcast_ref::<PgDatabaseError>() {
        Some(refusal) => refusal.code() == "42P01",
        None => refusal.message().starts_with("no such table"),
    })
}

/// Whether SQLite found the file locked by another process, which passes.
pub(super) fn is_busy(refusal: &dyn DatabaseError) -> bool {
    refusal.code().and_then(|code| code.parse::<u32>().ok()).is_some_and(|code| [5, 6].contains(&(code & 0xff)))
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::error::Error;

    use sqlx::error::ErrorKind;

    use super::*;

    /// What a database says, with the parts that it may leave out.
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
        // Whether it counts as the database's failure or as ours makes no difference.
        let verdicts = [StoreError::Driver(refused()), StoreError::Unavailable(refused())].map(|it| is_key_taken(&it));
        assert_eq!(verdicts[0], verdicts[1]);
        verdicts[0]
    }

    const TAKEN: &str = "duplicate key value violates unique constraint \"device_key_taken\"";
    const TAKEN_IN_A_SHARD: &str = "duplicate key value violates unique constraint \"device_key_taken_102121\"";

    #[test]
    fn a_taken_key_is_known_by_the_constraint_or_by_the_message() {
        assert!(is_taken("23505", Some("device_key_taken"), TAKEN));
        assert!(is_taken("23505", Some("device_key_taken"), "doppelter Schl\u{fc}sselwert"));
        assert!(is_taken("23505", Some("device_key_taken_3"), TAKEN));
        assert!(is_taken("23505", None, TAKEN_IN_A_SHARD));
        assert!(is_taken("XX000", None, TAKEN_IN_A_SHARD));
        assert!(is_taken("2067", None, "UNIQUE constraint failed: device_key.partner_id, device_key.public_key"));
    }

    #[test]
    fn other_refusals_are_no_taken_key() {
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
