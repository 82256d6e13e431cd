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
        } else if is(last, "from") && read.is_none() {
            read = Some(word);
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
