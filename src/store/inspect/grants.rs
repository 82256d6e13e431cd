//! The role that the service runs as: its powers, and its privileges compared with `docker/grants.sql`.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Postgres;

use super::{NoResult, Session};
use crate::finding::Finding;
use crate::store::rows::column;

/// The privileges that the service needs, and no others.
const GRANTS: &str = include_str!("../../../docker/grants.sql");

/// The name of the service's role in [`GRANTS`]. An operator may call it otherwise.
const SERVICE: &str = "device_management";

/// The powers of a role that the service does not need, as columns of [`ROLE`].
const POWERS: [(&str, &str); 8] = [
    ("is_superuser", "is a superuser"),
    ("is_owner", "owns the tables"),
    ("creates_roles", "may create roles"),
    ("creates_databases", "may create databases"),
    ("replicates", "may replicate"),
    ("bypasses_rls", "bypasses row security"),
    ("creates_tables", "may create tables in the schema public"),
    ("creates_schemas", "may create schemas"),
];

const ROLE: &str = "
    select current_user::text as name
         , rolsuper::text as is_superuser
         , exists (select 1
                     from pg_class c
                     join pg_namespace n on n.oid = c.relnamespace
                    where n.nspname = 'public'
                      and c.relkind in ('r', 'p')
                      and pg_has_role(c.relowner, 'usage'))::text as is_owner
         , rolcreaterole::text as creates_roles
         , rolcreatedb::text as creates_databases
         , rolreplication::text as replicates
         , rolbypassrls::text as bypasses_rls
         , coalesce((select has_schema_privilege(oid, 'create')
                       from pg_namespace where nspname = 'public'), false)::text as creates_tables
         , has_database_privilege(current_database(), 'create')::text as creates_schemas
      from pg_roles
     where rolname = current_user";

/// Every privilege of the role on the tables of the service, partitions left out. Postgres 17 added `maintain`.
const HELD: &str = "
    select c.relname::text as table_name
         , p.privilege
      from pg_class c
      join pg_namespace n on n.oid = c.relnamespace
     cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']
                       || case when current_setting('server_version_num')::integer >= 170000
                               then array['maintain']
                               else array[]::text[]
                          end) as p (privilege)
     where n.nspname = 'public'
       and c.relkind in ('r', 'p')
       and not c.relispartition
       and has_table_privilege(c.oid, p.privilege)";

/// Privileges by table.
type Privileges = BTreeMap<String, BTreeSet<String>>;

/// Checks the role and its grants.
pub(super) async fn check(session: &mut Session<Postgres>) -> Vec<Finding> {
    let powers = powers(session).await;
    let has_powers = powers.as_ref().is_ok_and(|(_, powers)| !powers.is_empty());
    let role = powers.map(|(name, powers)| match &*powers {
        [] => Finding::ok("database.role", format!("{name} has no powers beyond its grants")),
        powers => Finding::warning(
            "database.role",
            format!("{name} {}", powers.join(", ")),
            "run `migrate` as an owner and `serve` with MIGRATE_ON_START=false as a role with the documented grants \
             (docs/operations.md#database)",
        ),
    });
    let grants = held(session).await.map(|held| judge(&held, has_powers));
    [
        role.unwrap_or_else(|reason| reason.finding("database.role")),
        grants.unwrap_or_else(|reason| reason.finding("database.grants")),
    ]
    .into()
}

async fn powers(session: &mut Session<Postgres>) -> Result<(String, Vec<&'static str>), NoResult> {
    let row = session.row(ROLE).await?;
    let mut held = Vec::new();
    for (name, text) in POWERS {
        if column::<Postgres, String>(&row, name)? == "true" {
            held.push(text);
        }
    }
    Ok((column::<Postgres, _>(&row, "name")?, held))
}

async fn held(session: &mut Session<Postgres>) -> Result<Privileges, NoResult> {
    let mut held = Privileges::new();
    for row in session.rows(HELD).await? {
        let privilege = column::<Postgres, String>(&row, "privilege")?;
        held.entry(column::<Postgres, _>(&row, "table_name")?).or_default().insert(privilege);
    }
    Ok(held)
}

/// The excess of a role with powers is in the finding about those.
fn judge(held: &Privileges, has_powers: bool) -> Finding {
    const ID: &str = "database.grants";
    let needed = needed();
    let missing = difference(&needed, held);
    let excess = difference(held, &needed);
    if !missing.is_empty() {
        let found = format!("the role lacks {}", missing.join("; "));
        return Finding::failure(
            ID,
            found,
            "run `migrate`, then the grants (docs/operations.md#database) as the owner",
        );
    }
    if excess.is_empty() || has_powers {
        return Finding::ok(ID, format!("the role has every needed privilege on {} tables", needed.len()));
    }
    Finding::warning(ID, format!("the role has unneeded privileges: {}", excess.join("; ")), "revoke them")
}

/// The privileges of `left` that `right` lacks, as text by table.
fn difference(left: &Privileges, right: &Privileges) -> Vec<String> {
    let none = BTreeSet::new();
    let lacking = |(table, privileges): (&String, &BTreeSet<String>)| {
        let lacking: Vec<&str> = privileges.difference(right.get(table).unwrap_or(&none)).map(String::as_str).collect();
        (!lacking.is_empty()).then(|| format!("{} on {table}", lacking.join(", ")))
    };
    left.iter().filter_map(lacking).collect()
}

/// Reads `grant A, B on T, U to R, S;` of every line.
fn needed() -> Privileges {
    let mut needed = Privileges::new();
    let words = |list: &'static str| list.split(',').map(str::trim);
    for line in GRANTS.lines() {
        let parts = line.strip_prefix("grant ").and_then(|line| line.strip_suffix(';'));
        let parts = parts
            .and_then(|line| line.split_once(" on "))
            .and_then(|(privileges, rest)| rest.split_once(" to ").map(|(tables, roles)| (privileges, tables, roles)));
        let Some((privileges, tables, roles)) = parts else { continue };
        if words(roles).any(|role| role == SERVICE) {
            for table in words(tables) {
                needed.entry(table.to_owned()).or_default().extend(words(privileges).map(str::to_owned));
            }
        }
    }
    needed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_grants_is_read() {
        let tables: usize = GRANTS
            .lines()
            .filter(|line| line.contains("device_management;") || line.contains("device_management,"))
            .map(|line| line.split_once(" on ").unwrap().1.split_once(" to ").unwrap().0.split(',').count())
            .sum();
        assert_eq!(needed().values().filter(|privileges| privileges.contains("select")).count(), tables);
        assert!(GRANTS.lines().all(|line| line.starts_with("grant ") && line.ends_with(';')), "a line of another form");
        assert_eq!(needed()["audit_event"].iter().collect::<Vec<_>>(), ["insert", "select"]);
    }
}
