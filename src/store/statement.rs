//! Statements with named parameters, and batches of several statements in one call of the driver.
//!
//! A statement is a struct with one field per input. Its SQL stands next to the function that binds the fields, so that
//! a parameter's number and meaning are in one place.

use std::borrow::Cow;

use sqlx::query::Query;
use sqlx::{Arguments, Database, Execute, SqlSafeStr, SqlStr};

use crate::store::dialect::Dialect;

/// A query with its bound parameters.
pub(super) type Bound<DB> = Query<'static, DB, <DB as Database>::Arguments>;

/// One statement with its parameters.
pub(super) trait Statement<DB: Dialect>: Send {
    /// The SQL. Its parameters are `$1`, `$2` and so on; `$` has no other use in it.
    const SQL: &'static str;

    /// Binds the parameters in the order of their numbers.
    fn bind(self, query: Bound<DB>) -> Bound<DB>;

    /// The statement as a query.
    fn query(self) -> Bound<DB>
    where
        Self: Sized,
    {
        self.bind(sqlx::query(Self::SQL))
    }
}

/// Whether one call of the driver takes one statement or several.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
    /// One statement.
    Statement,
    /// Several statements, executed in order up to the first that fails.
    Text,
}

/// Statements whose results are ignored unless one fails.
pub(super) struct Batch<DB: Dialect> {
    calls: Vec<(Cow<'static, str>, DB::Arguments)>,
}

impl<DB: Dialect> Batch<DB> {
    pub(super) fn new() -> Self {
        Self { calls: Vec::new() }
    }

    /// Appends a statement.
    pub(super) fn add<S: Statement<DB>>(&mut self, statement: S) -> sqlx::Result<()> {
        let before = if DB::CALL == Call::Text { self.calls.pop() } else { None };
        let (text, arguments) = match before {
            Some((text, arguments)) => {
                let own = renumbered(S::SQL, arguments.len());
                (Cow::Owned(format!("{text};\n{own}")), arguments)
            }
            None => (Cow::Borrowed(S::SQL), DB::Arguments::default()),
        };
        let bound = statement.bind(sqlx::query_with(S::SQL, arguments)).take_arguments();
        self.calls.push((text, bound.map_err(sqlx::Error::Encode)?.unwrap_or_default()));
        Ok(())
    }

    /// The driver calls for this batch. Where a call takes several statements, the last one also commits.
    pub(super) fn into_calls(mut self) -> Vec<Bound<DB>> {
        if let (Call::Text, Some((text, _))) = (DB::CALL, self.calls.last_mut()) {
            text.to_mut().push_str(";\ncommit");
        }
        self.calls.into_iter().map(|(text, arguments)| sqlx::query_with(safe(text), arguments)).collect()
    }
}

/// Begins a transaction with its first statement, in one call.
pub(super) fn begin_and<DB: Dialect, S: Statement<DB>>(statement: S) -> sqlx::Result<Bound<DB>> {
    let arguments = statement.query().take_arguments().map_err(sqlx::Error::Encode)?;
    let text = Cow::Owned(format!("{};\n{}", DB::BEGIN_WRITE, S::SQL));
    Ok(sqlx::query_with(safe(text), arguments.unwrap_or_default()))
}

#[expect(clippy::disallowed_types, reason = "built only from the texts of statements, which are constants")]
fn safe(text: Cow<'static, str>) -> SqlStr {
    use sqlx::AssertSqlSafe;
    AssertSqlSafe(text).into_sql_str()
}

/// Renumbers the parameters of a statement: adds `before` to each number.
fn renumbered(text: &str, before: usize) -> String {
    let mut parts = text.split('$');
    let mut counted = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (number, rest) = part.split_at(part.find(|it: char| !it.is_ascii_digit()).unwrap_or(part.len()));
        let number = number.parse::<usize>().map_or_else(|_| number.to_owned(), |number| (number + before).to_string());
        counted.push('$');
        counted.push_str(&number);
        counted.push_str(rest);
    }
    counted
}

#[cfg(test)]
mod tests {
    use sqlx::{Postgres, Sqlite};

    use super::*;

    struct Note(&'static str, i64);

    impl<DB: Dialect> Statement<DB> for Note {
        const SQL: &'static str = "insert into note (title, copies, cost) values ($1, $2, $2 * 10)";

        fn bind(self, query: Bound<DB>) -> Bound<DB> {
            query.bind(self.0.to_owned()).bind(self.1)
        }
    }

    fn two_notes<DB: Dialect>() -> Vec<(String, usize)> {
        let mut batch = Batch::<DB>::new();
        batch.add(Note("one", 1)).unwrap();
        batch.add(Note("two", 2)).unwrap();
        let calls = batch.into_calls().into_iter().map(|mut call| {
            let arguments = call.take_arguments().unwrap().unwrap().len();
            (call.sql().as_str().to_owned(), arguments)
        });
        calls.collect()
    }

    #[test]
    fn on_sqlite_a_batch_is_one_text_that_commits() {
        let text = "insert into note (title, copies, cost) values ($1, $2, $2 * 10);\n\
                    insert into note (title, copies, cost) values ($3, $4, $4 * 10);\n\
                    commit";
        assert_eq!(two_notes::<Sqlite>(), [(text.to_owned(), 4)]);
    }

    #[test]
    fn on_postgres_each_statement_of_a_batch_is_a_call() {
        let alone = (<Note as Statement<Postgres>>::SQL.to_owned(), 2);
        assert_eq!(two_notes::<Postgres>(), [alone.clone(), alone]);
    }

    #[test]
    fn parameter_numbers_of_several_digits_are_renumbered() {
        assert_eq!(renumbered("$1, $12 and $9", 3), "$4, $15 and $12");
        assert_eq!(renumbered("nothing", 3), "nothing");
    }
}
