//! Everything that differs between Postgres and SQLite: the types that are bound and read, how a write transaction
//! begins, and the statements whose text differs.
//!
//! Rust infers a bound from a trait only if it is on the trait itself or on its associated types. `Implies` turns a
//! bound on any other type (`Uuid: Type<Self>`) into one on an associated type, so that `impl<DB: Dialect>` is the only
//! bound that the statements need. See `docs/decisions/0003-one-generic-store.md`.

use chrono::{DateTime, Utc};
use sqlx::{ColumnIndex, Database, Decode, Encode, Executor, IntoArguments, Type};
use uuid::Uuid;

use crate::store::statement::Call;

/// An alias of `T`.
pub(super) trait Is<T> {
    /// `T` itself.
    type Itself;
}
impl<S: ?Sized, T> Is<T> for S {
    type Itself = T;
}

/// As a supertrait with a bound on `Itself`, implies that bound on `T` wherever the trait is in scope.
pub(super) trait Implies<T>: Is<T, Itself = T> {}
impl<S: ?Sized, T> Implies<T> for S {}

/// A type that can be bound as a parameter and read from a column of `DB`.
pub(super) trait Column<DB: Database>:
    Type<DB> + for<'q> Encode<'q, DB> + for<'r> Decode<'r, DB> + Send + Sync
{
}
impl<DB, T> Column<DB> for T
where
    DB: Database,
    T: Type<DB> + for<'q> Encode<'q, DB> + for<'r> Decode<'r, DB> + Send + Sync,
{
}

/// A database engine that the store supports.
pub(super) trait Dialect:
    Database
    + Implies<i64, Itself: Column<Self>>
    + Implies<f64, Itself: Column<Self>>
    + Implies<String, Itself: Column<Self>>
    + Implies<Uuid, Itself: Column<Self>>
    + Implies<Vec<u8>, Itself: Column<Self>>
    + Implies<DateTime<Utc>, Itself: Column<Self>>
    + Implies<Option<f64>, Itself: Column<Self>>
    + Implies<Option<i64>, Itself: Column<Self>>
    + Implies<Option<Uuid>, Itself: Column<Self>>
    + Implies<Option<Vec<u8>>, Itself: Column<Self>>
    + Implies<Option<String>, Itself: Column<Self>>
    + Implies<Option<DateTime<Utc>>, Itself: Column<Self>>
    + Implies<<Self as Database>::Arguments, Itself: IntoArguments<Self> + Clone>
    + Implies<&'static str, Itself: ColumnIndex<<Self as Database>::Row>>
    + for<'c> Implies<&'c mut <Self as Database>::Connection, Itself: Executor<'c, Database = Self>>
{
    /// Whether one call of the driver takes one statement or several.
    const CALL: Call;

    /// The name of the engine in traces, as the semantic conventions spell it.
    const SYSTEM: &'static str;

    /// Begins a write transaction.
    const BEGIN_WRITE: &'static str;

    /// Begins a read transaction that makes the planner use an index, regardless of its row estimates.
    const BEGIN_IN_ORDER: &'static str;

    /// A write that proves that the database is writable. `None` where the service stays useful on a read-only
    /// database.
    const PROVE_WRITABLE: Option<&'static str>;

    /// Selects and locks a person's verified number: see `lock_verified_number!`.
    const LOCK_VERIFIED_NUMBER: &'static str;

    /// Inserts a code that confirms a number: see `open_code!`.
    const OPEN_NUMBER_CODE: &'static str;

    /// Inserts an SMS challenge, likewise.
    const OPEN_SMS_CHALLENGE: &'static str;

    /// Selects and locks the last message to a number: see `last_sms_to_number!`.
    const LAST_SMS_TO_NUMBER: &'static str;

    /// Selects and locks the last message for a person: see `last_sms_for_person!`.
    const LAST_SMS_FOR_PERSON: &'static str;
}
