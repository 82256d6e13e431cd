//! What the store needs of a database engine, written once: the types that it binds and reads, how a write begins, and
//! the statements that need words of its own.
//!
//! Rust takes a bound for granted only when it is on the trait itself or on its associated types. `Implies` turns a bound
//! on any other type (`Uuid: Type<Self>`) into one on an associated type, so that `impl<DB: Dialect>` is all that the
//! statements need to say. See `docs/decisions/0003-one-generic-store.md`.

use chrono::{DateTime, Utc};
use sqlx::{ColumnIndex, Database, Decode, Encode, Executor, IntoArguments, Type};
use uuid::Uuid;

use crate::store::statement::Call;

/// `T` under another name.
pub(super) trait Is<T> {
    /// `T` itself.
    type Itself;
}
impl<S: ?Sized, T> Is<T> for S {
    type Itself = T;
}

/// As a supertrait with a bound on `Itself`, makes that bound on `T` known wherever the trait is.
pub(super) trait Implies<T>: Is<T, Itself = T> {}
impl<S: ?Sized, T> Implies<T> for S {}

/// A type that can be bound to a parameter and read from a column of `DB`.
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

/// A database that the store runs on.
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
    /// What one call of the driver takes.
    const CALL: Call;

    /// How a transaction that will write begins.
    const BEGIN_WRITE: &'static str;

    /// How a transaction begins whose reads follow an index, however few rows the database expects.
    const BEGIN_IN_ORDER: &'static str;

    /// A write that shows that there can be others. `None` where a database that takes none is of use.
    const PROVE_WRITABLE: Option<&'static str>;

    /// The statement that holds a person's verified number: see `hold_verified_number!`.
    const HOLD_VERIFIED_NUMBER: &'static str;

    /// The statement that opens a code for a number: see `open_number_code!`.
    const OPEN_NUMBER_CODE: &'static str;

    /// The statement that reads and holds the last message to a number: see `last_sms_to_number!`.
    const LAST_SMS_TO_NUMBER: &'static str;

    /// The statement that reads and holds the last message for a person: see `last_sms_for_person!`.
    const LAST_SMS_FOR_PERSON: &'static str;
}
