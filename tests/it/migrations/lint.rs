//! A lint for migrations on tables in use, after the rules of `squawk` and `strong_migrations`: while a statement waits
//! for a table lock, all later requests on that table queue behind it.
//!
//! A table that the same migration creates is not in use: it may do anything there. A migration that earlier versions
//! would notice names the first release that does not in a line `-- contract: ...` (CONTRIBUTING.md#a-migration).

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::samples;
use crate::harness::Engine;

/// The faults of a Postgres migration, if tables of earlier ones are in use.
fn faults(sql: &str) -> Vec<String> {
    let is_alone = sql.starts_with("-- no-transaction");
    let mut faults = Vec::new();
    let contracts = contracts(sql);
    let (mut made, mut locked) = (BTreeSet::new(), BTreeSet::new());
    if sql.contains("not valid") && sql.contains("validate") {
        faults.push("validates a constraint under the lock that added it: do it in a later migration".to_owned());
    }
    let statements = statements(sql);
    if statements.iter().any(|statement| !can_be_split(statement)) {
        faults.push(
            "is split at its semicolons: no block comments, dollars, or quotes around more than a word".to_owned(),
        );
    }
    for statement in statements {
        let words: Vec<&str> = statement.split(' ').collect();
        let concurrently = words.contains(&"concurrently");
        let mut fault = |message: &str| faults.push(format!("{statement}: {message}"));
        if is_alone && !(concurrently && words.contains(&"if") && words.contains(&"exists")) {
            fault("runs outside of a transaction, so it may run twice: only indexes, concurrently, if (not) exists");
        }
        if concurrently && !is_alone {
            fault("needs -- no-transaction as the first line of its file");
        }
        match words[..] {
            ["create", "table", table, ..] => {
                made.insert(table.to_owned());
            }
            ["create", "index", ..] | ["create", "unique", "index", ..] => {
                let on = words.iter().position(|word| *word == "on").map(|at| words[at + 1]).unwrap_or_default();
                if !made.contains(on) && !concurrently {
                    fault("blocks writers while it is built: create it concurrently");
                }
                if !made.contains(on) && words[1] == "unique" && !contracts {
                    fault(UNIQUE);
                }
            }
            ["drop", "index", ..] => {
                if !concurrently {
                    fault("locks its table: drop it concurrently");
                }
                if !contracts {
                    fault(STILL_USED);
                }
            }
            ["alter", "table", table, ref change @ ..] if !made.contains(table) => {
                locked.insert(table.to_owned());
                for action in actions(change) {
                    alteration(&action, contracts).into_iter().for_each(&mut fault);
                }
            }
            ["drop", "table", table, ..] => {
                locked.insert(table.to_owned());
                if !contracts {
                    fault(STILL_USED);
                }
            }
            ["update" | "delete" | "insert", ..] if made.iter().any(|table| words.contains(&&**table)) => {}
            ["update" | "delete" | "insert", ..] => {
                fault("changes rows while it holds locks: move data in batches, outside of migrations");
            }
            ["alter", "table", ..] | ["comment", "on", ..] => {}
            _ => fault("is not supported by this lint"),
        }
    }
    if locked.len() > 1 {
        faults.push(format!("locks several tables one after the other and may deadlock: {locked:?}"));
    }
    faults
}

const STILL_USED: &str = "replicas of the previous version still use it: say -- contract: ... in a later release";
const UNIQUE: &str = "writes of the previous version may fail: say -- contract: ... once a release keeps it unique";

/// Whether a line `-- contract: ...` names a release, such as 1.2.0.
fn contracts(sql: &str) -> bool {
    let is_release = |word: &str| {
        let numbers: Vec<&str> = word.trim_end_matches(['.', ',', ':', ';']).split('.').collect();
        numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u32>().is_ok())
    };
    sql.lines().filter_map(|line| line.strip_prefix("-- contract: ")).any(|text| text.split(' ').any(is_release))
}

/// The statements of a SQLite migration that the previous version would notice. A migration there blocks requests, but
/// for a short time: one process has the file.
fn faults_on_sqlite(sql: &str) -> Vec<String> {
    let (contracts, statements) = (contracts(sql), statements(sql));
    let mut made = BTreeSet::new();
    let mut faults = Vec::new();
    for statement in &statements {
        let words: Vec<&str> = statement.split(' ').collect();
        let mut fault = |message: &str| faults.push(format!("{statement}: {message}"));
        match words[..] {
            ["create", "table", table, ..] => {
                made.insert(table);
            }
            ["create", "unique", "index", _, "on", table, ..] if !contracts && !made.contains(table) => fault(UNIQUE),
            // A table that is made again, because SQLite cannot change a constraint.
            ["drop", "table", table] if statements.iter().any(|it| it.ends_with(&format!(" rename to {table}"))) => {}
            ["alter", "table", from, "rename", "to", to] if made.contains(from) => {
                made.insert(to);
            }
            ["alter", "table", _, "rename", ..] => {
                fault("the previous version uses the old name: add a column instead");
            }
            ["drop", ..] | ["alter", "table", _, "drop", ..] if !contracts => fault(STILL_USED),
            _ => {}
        }
    }
    faults
}

/// Whether every semicolon ends a statement and every space a word.
fn can_be_split(statement: &str) -> bool {
    let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase());
    let parts: Vec<&str> = statement.split('\'').collect();
    let quoted = parts.iter().skip(1).step_by(2);
    parts.len() % 2 == 1 && quoted.copied().all(is_word) && !statement.contains(['"', '$']) && !statement.contains("/*")
}

/// The actions of an `alter table`: its parts between commas outside of parentheses.
fn actions(change: &[&str]) -> Vec<String> {
    let (mut actions, mut depth) = (vec![String::new()], 0_i32);
    for letter in change.join(" ").chars() {
        depth += i32::from(letter == '(') - i32::from(letter == ')');
        match (letter, depth) {
            (',', 0) => actions.push(String::new()),
            _ => actions.last_mut().unwrap().push(letter),
        }
    }
    actions.iter().map(|action| action.trim().to_owned()).collect()
}

/// The faults of an action of `alter table`.
fn alteration(action: &str, contracts: bool) -> Vec<&'static str> {
    let words: Vec<&str> = action.split(' ').collect();
    let has = |sought: &[&str]| words.windows(sought.len()).any(|window| window == sought);
    let mut faults = Vec::new();
    match words[..] {
        ["add", "column", ..] => {
            if has(&["default"]) && words.iter().any(|word| word.contains('(') && word.starts_with(char::is_alphabetic))
            {
                faults.push("a default that is computed for each row rewrites the table");
            }
            let whole = ["serial", "bigserial", "generated", "unique", "primary", "references", "check", "constraint"];
            if whole.iter().any(|word| has(&[word])) {
                faults.push("reads or rewrites the whole table");
            }
            if has(&["not", "null"]) && !has(&["default"]) {
                faults.push("existing rows have no value for it");
            }
        }
        ["add", "constraint", ..] if has(&["not", "valid"]) || has(&["using", "index"]) => {}
        ["add", "constraint", ..] => faults.push("reads the whole table: add it not valid, or using an index"),
        ["add", ..] => faults.push("says add without column or constraint"),
        ["validate", "constraint", _] | ["drop", "constraint", ..] => {}
        ["drop", ..] if contracts => {}
        ["drop", ..] => faults.push(STILL_USED),
        ["alter", ..] if has(&["type"]) => {
            faults.push("rewrites the table, and plans of running replicas fail: add a column instead");
        }
        ["alter", ..] if has(&["set", "not", "null"]) => {
            faults.push("reads the whole table: add a check not valid, validate it in a later migration");
        }
        ["alter", ..] if has(&["set", "default"]) || has(&["set", "statistics"]) => {}
        ["alter", ..] if has(&["drop", "default"]) || has(&["drop", "not", "null"]) => {
            if !contracts {
                faults.push("the previous version relies on it: say -- contract: ... in a later release");
            }
        }
        ["rename", ..] => faults.push("replicas of the previous version use the old name: add a column instead"),
        _ => faults.push("is not supported by this lint"),
    }
    faults
}

/// The statements without comments, with single spaces.
fn statements(sql: &str) -> Vec<String> {
    let code = sql.lines().map(|line| line.split("--").next().unwrap_or_default());
    let code = code.collect::<Vec<_>>().join(" ").to_ascii_lowercase();
    let in_words = |statement: &str| statement.split_whitespace().collect::<Vec<_>>().join(" ");
    code.split(';').map(in_words).filter(|statement| !statement.is_empty()).collect()
}

/// The migrations of an engine by their file names.
fn migrations(engine: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(engine);
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<(String, String)> = files
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap()))
        .collect();
    found.sort();
    found
}

#[test]
fn no_migration_blocks_requests() {
    let found = migrations("postgres");
    assert!(!found.is_empty());
    let all = found.iter().flat_map(|(name, sql)| faults(sql).into_iter().map(move |fault| format!("{name}: {fault}")));
    let all: Vec<String> = all.collect();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn no_migration_of_sqlite_breaks_the_previous_version() {
    let found = migrations("sqlite");
    let faults = |(name, sql): &(String, String)| (name.clone(), faults_on_sqlite(sql));
    let all: Vec<_> = found.iter().map(faults).filter(|(_, faults)| !faults.is_empty()).collect();
    assert!(all.is_empty(), "{all:#?}");
    for bad in [
        "drop table device;",
        "-- contract\ndrop table device;",
        "drop index a;",
        "create unique index a on device (name);",
        "alter table device drop column name;",
        "-- contract: 1.0.0 does not use it\nalter table device rename to phone;",
    ] {
        assert!(!faults_on_sqlite(bad).is_empty(), "the lint must reject {bad}");
    }
    // SQLite cannot change a check: the table is made again.
    let again = "create table new (id text); insert into new select id from device; drop table device;
                 alter table new rename to device; create unique index a on device (id);";
    assert_eq!(faults_on_sqlite(again), Vec::<String>::new());
}

#[test]
fn both_engines_have_the_same_migrations() {
    let names = |engine| migrations(engine).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names("postgres"), names("sqlite"));
    // On SQLite all pending migrations run in one transaction.
    let alone = migrations("sqlite").into_iter().filter(|(_, sql)| sql.contains("no-transaction")).count();
    assert_eq!(alone, 0);
}

#[test]
fn the_lint_rejects_statements_that_block_requests() {
    for bad in [
        "create index a on device (name);",
        "create unique index a on device (name);",
        "create table t (id bigint); create index a on device (name);",
        "create index concurrently if not exists a on device (name);",
        "-- no-transaction\ncreate index concurrently a on device (name);",
        "-- no-transaction\ncreate index if not exists a on device (name);",
        "-- no-transaction\ncreate table t (id bigint);",
        "drop index a;",
        "alter table device add column a uuid default gen_random_uuid();",
        "alter table device add column a timestamptz default clock_timestamp();",
        "alter table device add column a bigint not null;",
        "alter table device add column a bigserial;",
        "alter table device add column a bigint references person (id);",
        "ALTER TABLE device ALTER COLUMN name TYPE varchar(10);",
        "alter table device alter name type text;",
        "alter table device alter column name set not null;",
        "alter table device add constraint c check (live_keys > 0);",
        "alter table device add check (live_keys > 0);",
        "alter table device drop column name;",
        "alter table device drop name;",
        "-- contract: 1.0.0 does not use it\nalter table device rename column name to title;",
        "-- contract\nalter table device drop column name;",
        "-- contract: the release before does not use it\ndrop table t;",
        "-- no-transaction\ncreate unique index concurrently if not exists a on device (name);",
        "-- no-transaction\ndrop index concurrently if exists a;",
        "alter table device alter column failures drop default;",
        "alter table device alter column bound_at drop not null;",
        "alter table device add column a text, set unlogged;",
        "alter table device add column a text check (a > 0);",
        "alter table device add constraint c check (live_keys > 0) not valid;\n\
         alter table device validate constraint c;",
        "alter index device_of_person rename to by_person;",
        "create view v (id) as select device_id from device;",
        "drop table person;",
        "alter table device rename column name to title;",
        "alter table device rename to phone;",
        "alter table device add column a text; alter table person add column a text;",
        "alter table device add column a text; drop table person;",
        "update device set name = null;",
        "lock table device;",
        "comment on table device is 'a; b';",
        "comment on table device is 'a b';",
    ] {
        assert!(!faults(bad).is_empty(), "the lint must reject {bad}");
    }
}

#[test]
fn the_samples_of_allowed_and_forbidden_migrations_agree_with_the_lint() {
    for allowed in [samples::expanding(Engine::Postgres), samples::contracting(Engine::Postgres)].concat() {
        assert_eq!(faults(allowed), Vec::<String>::new(), "{allowed}");
    }
    for allowed in [samples::expanding(Engine::Sqlite), samples::contracting(Engine::Sqlite)].concat() {
        assert_eq!(faults_on_sqlite(allowed), Vec::<String>::new(), "{allowed}");
    }
    for forbidden in [samples::BLOCKING, samples::BREAKING].concat() {
        assert!(!faults(forbidden).is_empty(), "the lint must reject {forbidden}");
    }
    for forbidden in samples::BREAKING {
        assert!(!faults_on_sqlite(forbidden).is_empty(), "the lint must reject {forbidden}");
    }
}

#[test]
fn the_lint_accepts_statements_that_block_no_request() {
    for good in [
        "create table t (id bigint not null primary key); create index a on t (id); alter table t add check (id > 0);",
        "alter table device add column a text;",
        "alter table device add column a bigint not null default 0;",
        "alter table device add constraint c check (live_keys > 0) not valid;",
        "alter table device validate constraint c;",
        "-- contract: 1.0.0 does not read them\nalter table device drop column name, drop column failures;",
        "-- contract: unused since 1.0.0.\ndrop table t;",
        "alter table device drop constraint c, add constraint d check (name in ('a', 'b')) not valid;",
        "alter table device alter column name set default 'a';",
        "create table t (id bigint, state text); create index a on t (id) where state = 'live';",
        "-- no-transaction\ncreate index concurrently if not exists a on device (name);",
        "-- no-transaction\n-- contract: 1.0.0 does not use it\ndrop index concurrently if exists b;",
        "-- no-transaction\n-- contract: 1.0.0 keeps it\n\
         create unique index concurrently if not exists a on device (name);",
    ] {
        assert_eq!(faults(good), Vec::<String>::new(), "{good}");
    }
}
