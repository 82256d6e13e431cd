//! A short name for a statement (semantic conventions for databases, "Generating a summary of the query"): its verbs
//! and tables. The statements of the store are constants, so that there are few names.

/// The verbs and tables of a statement.
pub(super) struct Summary {
    /// Such as `INSERT challenge INSERT audit_event`.
    pub(super) text: String,
    /// The verb, if there is only one.
    pub(super) operation: Option<&'static str>,
}

/// The longest summary.
const LENGTH_MAX: usize = 255;

/// Summarises the writes of a statement, or else its first read.
pub(super) fn summary(sql: &str) -> Summary {
    let mut writes: Vec<(&'static str, &str)> = Vec::new();
    let mut read = None;
    let mut command = None;
    let mut before = ["", ""];
    for word in sql.split(|c: char| c.is_whitespace() || "(),;".contains(c)).filter(|word| !word.is_empty()) {
        let [earlier, last] = before;
        let is = |word: &str, keyword: &str| word.eq_ignore_ascii_case(keyword);
        if is(earlier, "insert") && is(last, "into") {
            writes.push(("INSERT", word));
        } else if is(earlier, "delete") && is(last, "from") {
            writes.push(("DELETE", word));
        } else if is(last, "update") && !["for", "key", "do"].iter().any(|clause| is(earlier, clause)) {
            writes.push(("UPDATE", word));
        } else if is(last, "from") && read.is_none() && word.starts_with(|c: char| c.is_ascii_alphabetic()) {
            // A subquery has its own `from`.
            read = Some(word).filter(|word| !is(word, "select"));
        }
        for (keyword, name) in [("begin", "BEGIN"), ("commit", "COMMIT"), ("rollback", "ROLLBACK")] {
            if command.is_none() && is(word, keyword) {
                command = Some(name);
            }
        }
        before = [last, word];
    }
    let (mut text, operation) = match (&*writes, read, command) {
        ([], Some(table), _) => (format!("SELECT {table}"), Some("SELECT")),
        ([], None, Some(command)) => (command.to_owned(), Some(command)),
        ([], None, None) => ("SELECT".to_owned(), Some("SELECT")),
        ([(verb, table)], ..) => (format!("{verb} {table}"), Some(*verb)),
        (several, ..) => {
            let parts: Vec<String> = several.iter().map(|(verb, table)| format!("{verb} {table}")).collect();
            (parts.join(" "), None)
        }
    };
    text.truncate(text.floor_char_boundary(LENGTH_MAX));
    Summary { text, operation }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_summarised_by_its_verbs_and_tables() {
        for (sql, text, operation) in [
            (
                "select number from mobile_number where person_id = $1 for update",
                "SELECT mobile_number",
                Some("SELECT"),
            ),
            ("select count(*) from (select 1 from device limit 10) as found", "SELECT device", Some("SELECT")),
            ("select 1", "SELECT", Some("SELECT")),
            ("insert into device (id) values ($1)", "INSERT device", Some("INSERT")),
            ("insert into t (a) values ($1) on conflict (a) do update set a = $1", "INSERT t", Some("INSERT")),
            ("delete from device where id in (select id from old)", "DELETE device", Some("DELETE")),
            ("select id from person for no key update of person", "SELECT person", Some("SELECT")),
            (
                "with a as (update person set n = 1), b as (insert into event select 1 from a) select",
                "UPDATE person INSERT event",
                None,
            ),
            ("BEGIN IMMEDIATE;\nselect id from person", "SELECT person", Some("SELECT")),
            ("begin", "BEGIN", Some("BEGIN")),
            ("begin; set local statement_timeout = 5000", "BEGIN", Some("BEGIN")),
            ("update person set n = 1;\ncommit", "UPDATE person", Some("UPDATE")),
            ("commit", "COMMIT", Some("COMMIT")),
            ("rollback", "ROLLBACK", Some("ROLLBACK")),
        ] {
            let summary = summary(sql);
            assert_eq!((&*summary.text, summary.operation), (text, operation), "{sql}");
        }
    }

    #[test]
    fn a_long_summary_is_cut() {
        let sql = "insert into a_table_with_a_name values (1);".repeat(100);
        assert_eq!(summary(&sql).text.len(), LENGTH_MAX);
    }
}
