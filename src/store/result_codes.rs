//! Whose fault a database's refusal is, by its code: one table for Postgres, one for SQLite.
//!
//! No code is the caller's fault. What callers may get wrong is checked before a statement runs, and the one refusal that a
//! use case expects (a key that is taken) is looked at by `is_key_taken` first.

/// Whose fault it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// The database could not do what it was asked. Time mends it, or the operator; the same statement works then. 503.
    Unavailable,
    /// The statement, or what is in the tables, is not as the service believes. 500.
    Ours,
}

use Fault::{Ours, Unavailable};

/// The classes of SQLSTATE, which are a code's first two characters (Postgres manual, appendix A).
const SQLSTATE_CLASSES: [(&str, Fault); 43] = [
    ("00", Ours),        // successful completion: no error
    ("01", Ours),        // warning: no error
    ("02", Ours),        // no data: no error
    ("03", Ours),        // statement not yet complete
    ("08", Unavailable), // connection exception; also all that PgBouncer says of itself and of a server that it cannot reach
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
    ("26", Unavailable), // no such prepared statement: the session is another one than a moment ago
    ("27", Ours),        // triggered data change violation
    ("28", Unavailable), // login refused: password rotated, role locked, pg_hba.conf
    ("2B", Ours),        // dependent privilege descriptors still exist
    ("2D", Ours),        // invalid transaction termination
    ("2F", Ours),        // SQL routine exception
    ("34", Unavailable), // no such portal: the session is another one than a moment ago
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

/// Codes that are not like the rest of their class.
const SQLSTATES: [(&str, Fault); 7] = [
    ("25006", Unavailable), // read-only transaction: a standby, a failover in progress, a disk that runs full
    ("25P03", Unavailable), // the transaction stood still for too long
    ("25P04", Unavailable), // the transaction took too long
    ("42P05", Unavailable), // prepared statement exists already: the session is another one than a moment ago
    ("55000", Unavailable), // the operator lets no connection into the database
    ("55006", Unavailable), // object in use: the database is being copied or dropped
    ("55P03", Unavailable), // lock not available
];

/// SQLite's primary result codes (<https://sqlite.org/rescode.html>), which extended codes carry in their low byte.
const SQLITE_CODES: [(u32, Fault); 31] = [
    (0, Ours),         // OK: no error
    (1, Ours),         // ERROR: the statement is wrong, or a table is missing
    (2, Unavailable),  // INTERNAL: a fault of SQLite
    (3, Unavailable),  // PERM: the file's rights
    (4, Ours),         // ABORT: a statement was undone under its reader
    (5, Unavailable),  // BUSY: another process has the file locked
    (6, Unavailable),  // LOCKED: another connection of this process has the table locked
    (7, Unavailable),  // NOMEM
    (8, Unavailable),  // READONLY: the file, its folder or its file system takes no writes; DBMOVED
    (9, Unavailable),  // INTERRUPT
    (10, Unavailable), // IOERR
    (11, Unavailable), // CORRUPT
    (12, Ours),        // NOTFOUND: of files and their controls, never returned by a statement
    (13, Unavailable), // FULL
    (14, Unavailable), // CANTOPEN: the file is gone, or a folder above it
    (15, Unavailable), // PROTOCOL: a race for the write-ahead log
    (16, Ours),        // EMPTY: not used
    (17, Unavailable), // SCHEMA: it changed again and again while the statement was prepared
    (18, Ours),        // TOOBIG
    (19, Ours),        // CONSTRAINT that no use case expects
    (20, Ours),        // MISMATCH
    (21, Ours),        // MISUSE
    (22, Unavailable), // NOLFS: the file system takes no file of this size
    (23, Unavailable), // AUTH: an authorizer or a file system forbids it
    (24, Ours),        // FORMAT: not used
    (25, Ours),        // RANGE: a parameter that the statement does not have
    (26, Unavailable), // NOTADB: another file was put in the place of the database
    (27, Ours),        // NOTICE: no error
    (28, Ours),        // WARNING: no error
    (100, Ours),       // ROW: no error
    (101, Ours),       // DONE: no error
];

/// Whose fault a refusal of Postgres is. A code of an unknown class is ours: a maintainer has to look at it.
pub(super) fn of_postgres(sqlstate: &str) -> Fault {
    let exact = SQLSTATES.iter().find(|(code, _)| *code == sqlstate);
    let class = || SQLSTATE_CLASSES.iter().find(|(class, _)| sqlstate.starts_with(class));
    exact.or_else(class).map_or(Ours, |(_, fault)| *fault)
}

/// Whose fault a refusal of SQLite is; `code` may be an extended one.
pub(super) fn of_sqlite(code: u32) -> Fault {
    SQLITE_CODES.iter().find(|(primary, _)| *primary == code & 0xff).map_or(Ours, |(_, fault)| *fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_that_is_named_comes_before_its_class() {
        for code in ["08006", "08P01", "28P01", "3D000", "53300", "57P01", "57P05", "40P01", "25006", "55P03", "XX001"]
        {
            assert_eq!(of_postgres(code), Unavailable, "{code}");
        }
        for code in ["42601", "42P01", "42501", "22P02", "23505", "25001", "25P02", "55P02", "0A000", "ZZ000", ""] {
            assert_eq!(of_postgres(code), Ours, "{code}");
        }
    }

    #[test]
    fn an_extended_code_counts_as_its_primary_one() {
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
    fn every_class_and_code_stands_here_once() {
        let classes: std::collections::BTreeSet<_> = SQLSTATE_CLASSES.iter().map(|(class, _)| class).collect();
        assert_eq!(classes.len(), SQLSTATE_CLASSES.len());
        for (code, fault) in SQLSTATES {
            let class = SQLSTATE_CLASSES.iter().find(|(class, _)| code.starts_with(class));
            assert!(class.is_some_and(|(_, of_class)| *of_class != fault), "{code} says what its class says");
        }
    }
}
