//! A statement with its parameters by name, and several statements in one call of the driver.
//!
//! A statement is a struct with a field for each thing that it is asked with. Its text stands whole beside the function that
//! binds the fields, so the number of a parameter and its meaning meet in one place.

use std::borrow::Cow;

use sqlx::query::Query;
use sqlx::{Arguments, Database, Execute, SqlSafeStr, SqlStr};

use crate::store::dialect::Dialect;

/// A statement that is ready to be run, or on its way to it.
pub(super) type Bound<DB> = Query<'static, DB, <DB as Database>::Arguments>;

/// One statement with its parameters.
pub(super) trait Statement<DB: Dialect>: Send {
    /// The whole text. Its parameters are `$1`, `$2` and so on, and no `$` stands for anything else.
    const SQL: &'static str;

    /// Binds the parameters in the order of their numbers.
    fn bind(self, query: Bound<DB>) -> Bound<DB>;

    /// The statement as a query of its own.
    fn query(self) -> Bound<DB>
    where
        Self: Sized,
    {
        self.bind(sqlx::query(Self::SQL))
    }
}

/// What one call of the driver takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Call {
    /// One statement.
    Statement,
    /// A text of several, which are run one after the other up to the first that fails.
    Text,
}

/// Statements that follow from what was decided before: the outcome of each is not looked at, unless it is an error.
pub(super) struct Batch<DB: Dialect> {
    calls: Vec<(Cow<'static, str>, DB::Arguments)>,
}

impl<DB: Dialect> Batch<DB> {
    pub(super) fn new() -> Self {
        Self { calls: Vec::new() }
    }

    /// Adds a statement behind the others.
    pub(super) fn add<S: Statement<DB>>(&mut self, statement: S) -> sqlx::Result<()> {
        let before = if DB::CALL == Call::Text { self.calls.pop() } else { None };
        let (text, arguments) = match before {
            Some((text, arguments)) => {
                let own = counted_on(S::SQL, arguments.len());
                (Cow::Owned(format!("{text};\n{own}")), arguments)
            }
            None => (Cow::Borrowed(S::SQL), DB::Arguments::default()),
        };
        let bound = statement.bind(sqlx::query_with(S::SQL, arguments)).take_arguments();
        self.calls.push((text, bound.map_err(sqlx::Error::Encode)?.unwrap_or_default()));
        Ok(())
    }

    /// The calls of the driver that it takes. The last of them commits where a call takes several statements.
    pub(super) fn into_calls(mut self) -> Vec<Bound<DB>> {
        if let (Call::Text, Some((text, _))) = (DB::CALL, self.calls.last_mut()) {
            text.to_mut().push_str(";\ncommit");
        }
        self.calls.into_iter().map(|(text, arguments)| sqlx::query_with(safe(text), arguments)).collect()
    }
}

/// The beginning of a transaction and its first statement, where a call of the driver takes both.
pub(super) fn begin_and<DB: Dialect, S: Statement<DB>>(statement: S) -> sqlx::Result<Bound<DB>> {
    let arguments = statement.query().take_arguments().map_err(sqlx::Error::Encode)?;
    let text = Cow::Owned(format!("{};\n{}", DB::BEGIN_WRITE, S::SQL));
    Ok(sqlx::query_with(safe(text), arguments.unwrap_or_default()))
}

#[expect(clippy::disallowed_types, reason = "made of the texts of statements, which are constants")]
fn safe(text: Cow<'static, str>) -> SqlStr {
    use sqlx::AssertSqlSafe;
    AssertSqlSafe(text).into_sql_str()
}

/// The text with `before` added to the number of each parameter.
fn counted_on(text: &str, before: usize) -> String {
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
    fn numbers_with_more_than_one_digit_are_counted_on_too() {
        assert_eq!(counted_on("$1, $12 and $9", 3), "$4, $15 and $12");
        assert_eq!(counted_on("nothing", 3), "nothing");
    }
}
