//! Classifies database errors by code: a table for Postgres, a table for SQLite.
//!
//! No code is the caller's fault: input is validated before a statement runs, and `is_key_taken` handles the one error
//! that a use case expects (a key that is taken) first.

/// The cause of a database error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// The database could not run the statement. The same statement works once the database recovers or the operator
    /// has repaired it. 503.
    Unavailable,
    /// The statement is wrong, or the schema or data is not what the service expects. 500.
    Ours,
}

use Fault::{Ours, Unavailable};

/// The classes of SQLSTATE, which are a code's first two characters (Postgres manual, appendix A).
const SQLSTATE_CLASSES: [(&str, Fault); 43] = [
    ("00", Ours),        // successful completion: no error
    ("01", Ours),        // warning: no error
    ("02", Ours),        // no data: no error
    ("03", Ours),        // statement not yet complete
    ("08", Unavailable), // connection exception; PgBouncer's own errors, and a server that it cannot reach
    ("09", Ours),        // triggered action exception
    ("0A", Ours),        // feature not supported
    ("0B", Ours),        // invalid transaction initiation
    ("0F", Ours),        // locator exception
    ("0L", Ours),        // invalid grantor
    ("0P", Ours),        // invalid role specification
    ("0Z", Ours),        // diagnostics exception
    ("20", Ours),        // case not found
    ("21", Ours),        // cardinality violation
    ("22", Ours),        // data exception
    ("23", Ours),        // integrity constraint violation that no use case expects
    ("24", Ours),        // invalid cursor state
    ("25", Ours),        // invalid transaction state
    ("26", Unavailable), // no such prepared statement: the session has been switched
    ("27", Ours),        // triggered data change violation
    ("28", Unavailable), // login refused: password rotated, role locked, pg_hba.conf
    ("2B", Ours),        // dependent privilege descriptors still exist
    ("2D", Ours),        // invalid transaction termination
    ("2F", Ours),        // SQL routine exception
    ("34", Unavailable), // no such portal: the session has been switched
    ("38", Ours),        // external routine exception
    ("39", Ours),        // external routine invocation exception
    ("3B", Ours),        // savepoint exception
    ("3D", Unavailable), // no such database: renamed, or being restored
    ("3F", Ours),        // invalid schema name
    ("40", Unavailable), // transaction rollback: serialization failure, deadlock
    ("42", Ours),        // syntax error or access rule violation: a migration or a grant is missing
    ("44", Ours),        // with check option violation
    ("53", Unavailable), // insufficient resources: disk, memory, connections
    ("54", Ours),        // program limit exceeded
    ("55", Ours),        // object not in prerequisite state
    ("57", Unavailable), // operator intervention: shutdown, cancellation, start-up
    ("58", Unavailable), // system error: the server's files or its machine
    ("72", Unavailable), // snapshot too old
    ("F0", Unavailable), // configuration file error: the server cannot start a session
    ("HV", Ours),        // foreign data wrapper error
    ("P0", Ours),        // PL/pgSQL error
    ("XX", Unavailable), // internal error: data or an index is corrupt, an extension fails
];

/// Codes that differ from their class.
const SQLSTATES: [(&str, Fault); 7] = [
    ("25006", Unavailable), // read-only transaction: a standby, a failover in progress, a full disk
    ("25P03", Unavailable), // idle-in-transaction timeout
    ("25P04", Unavailable), // transaction timeout
    ("42P05", Unavailable), // prepared statement exists already: the session has been switched
    ("55000", Unavailable), // the operator has disabled connections to the database
    ("55006", Unavailable), // object in use: the database is being copied or dropped
    ("55P03", Unavailable), // lock not available
];

/// SQLite's primary result codes (<https://sqlite.org/rescode.html>), which extended codes carry in their low byte.
const SQLITE_CODES: [(u32, Fault); 31] = [
    (0, Ours),         // OK: no error
    (1, Ours),         // ERROR: the statement is wrong, or a table is missing
    (2, Unavailable),  // INTERNAL: a fault of SQLite
    (3, Unavailable),  // PERM: the file's permissions
    (4, Ours),         // ABORT: a statement was rolled back while it was read
    (5, Unavailable),  // BUSY: another process has the file locked
    (6, Unavailable),  // LOCKED: another connection of this process has the table locked
    (7, Unavailable),  // NOMEM
    (8, Unavailable),  // READONLY: the file, its folder or its file system is read-only; DBMOVED
    (9, Unavailable),  // INTERRUPT
    (10, Unavailable), // IOERR
    (11, Unavailable), // CORRUPT
    (12, Ours),        // NOTFOUND: from file controls, never returned by a statement
    (13, Unavailable), // FULL
    (14, Unavailable), // CANTOPEN: the file is gone, or a folder above it
    (15, Unavailable), // PROTOCOL: a race for the write-ahead log
    (16, Ours),        // EMPTY: not used
    (17, Unavailable), // SCHEMA: it kept changing while the statement was prepared
    (18, Ours),        // TOOBIG
    (19, Ours),        // CONSTRAINT that no use case expects
    (20, Ours),        // MISMATCH
    (21, Ours),        // MISUSE
    (22, Unavailable), // NOLFS: the file system does not support a file of this size
    (23, Unavailable), // AUTH: an authorizer or a file system forbids it
    (24, Ours),        // FORMAT: not used
    (25, Ours),        // RANGE: a parameter that the statement does not have
    (26, Unavailable), // NOTADB: the database was replaced by another file
    (27, Ours),        // NOTICE: no error
    (28, Ours),        // WARNING: no error
    (100, Ours),       // ROW: no error
    (101, Ours),       // DONE: no error
];

/// Classifies a Postgres error. A code of an unknown class is ours: a maintainer has to look at it.
pub(super) fn of_postgres(sqlstate: &str) -> Fault {
    let exact = SQLSTATES.iter().find(|(code, _)| *code == sqlstate);
    let class = || SQLSTATE_CLASSES.iter().find(|(class, _)| sqlstate.starts_with(class));
    exact.or_else(class).map_or(Ours, |(_, fault)| *fault)
}

/// Classifies a SQLite error; `code` may be an extended code.
pub(super) fn of_sqlite(code: u32) -> Fault {
    SQLITE_CODES.iter().find(|(primary, _)| *primary == code & 0xff).map_or(Ours, |(_, fault)| *fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specific_code_takes_precedence_over_its_class() {
        for code in ["08006", "08P01", "28P01", "3D000", "53300", "57P01", "57P05", "40P01", "25006", "55P03", "XX001"]
        {
            assert_eq!(of_postgres(code), Unavailable, "{code}");
        }
        for code in ["42601", "42P01", "42501", "22P02", "23505", "25001", "25P02", "55P02", "0A000", "ZZ000", ""] {
            assert_eq!(of_postgres(code), Ours, "{code}");
        }
    }

    #[test]
    fn an_extended_code_is_classified_as_its_primary_code() {
        // READONLY_DBMOVED, IOERR_WRITE, CANTOPEN_ISDIR, BUSY_SNAPSHOT, CORRUPT_INDEX, READONLY_DIRECTORY
        for code in [1032, 778, 526, 517, 779, 1544] {
            assert_eq!(of_sqlite(code), Unavailable, "{code}");
        }
        // ERROR_MISSING_COLLSEQ, CONSTRAINT_UNIQUE, CONSTRAINT_FOREIGNKEY, ABORT_ROLLBACK
        for code in [257, 2067, 787, 516] {
            assert_eq!(of_sqlite(code), Ours, "{code}");
        }
    }

    #[test]
    fn no_class_is_listed_twice_and_each_code_differs_from_its_class() {
        let classes: std::collections::BTreeSet<_> = SQLSTATE_CLASSES.iter().map(|(class, _)| class).collect();
        assert_eq!(classes.len(), SQLSTATE_CLASSES.len());
        for (code, fault) in SQLSTATES {
            let class = SQLSTATE_CLASSES.iter().find(|(class, _)| code.starts_with(class));
            assert!(class.is_some_and(|(_, of_class)| *of_class != fault), "{code} does not differ from its class");
        }
    }
}
