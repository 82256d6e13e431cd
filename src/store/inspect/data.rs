//! Checks of the tables, the same on both engines: migrations, clients and the ages of their secrets, unsealed audit
//! events, and when housekeeping last ran.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, TimeDelta, Utc};

use super::{Inspection, NoResult, Session, or_reason, or_reasons};
use crate::domain::clock_skew::SKEW_MAX;
use crate::finding::{Finding, SECRET_AGE_MAX, age};
use crate::store::dialect::Dialect;
use crate::store::migrate::schema_state;
use crate::store::rows::column;

/// The longest normal wait of events to be sealed, and between two runs of housekeeping: the lease of a replica that died
/// lasts as long.
const TASK_PAUSE_MAX: TimeDelta = TimeDelta::minutes(5);

/// The number of clients or partners that a finding names.
const NAMED_MAX: usize = 5;

/// The checks that read clients and their secrets.
const CLIENTS: [&str; 3] = ["clients", "clients.secrets", "clients.without_secret"];

/// The limit in the statement that counts unsealed events.
const PENDING_MAX: i64 = 100_000;

/// Runs the checks of [`super::DATA_CHECKS`].
pub(super) async fn check<DB: Dialect>(session: &mut Session<DB>, inspection: &Inspection) -> Vec<Finding> {
    let mut findings = vec![or_reason("database.migrations", migrations(session, inspection).await)];
    findings.extend(or_reasons(&CLIENTS, clients(session, inspection).await));
    findings.push(or_reason("audit.pending", pending_events(session, inspection).await));
    findings.push(or_reason("housekeeping", housekeeping(session, inspection).await));
    findings
}

async fn migrations<DB: Dialect>(session: &mut Session<DB>, inspection: &Inspection) -> Result<Finding, NoResult> {
    const ID: &str = "database.migrations";
    let statement = "select version, checksum, case when success then 'yes' else 'no' end as succeeded
                       from _sqlx_migrations
                      order by version";
    let applied = match session.rows(statement).await {
        Ok(rows) => rows,
        Err(NoResult::NoTable) => Vec::new(),
        Err(reason) => return Err(reason),
    };
    let mut checksums: Vec<(i64, Vec<u8>)> = Vec::new();
    for row in &applied {
        let version = column::<DB, i64>(row, "version")?;
        if column::<DB, String>(row, "succeeded")? == "no" {
            let remedy = "repair the tables by hand, and delete its row in _sqlx_migrations";
            return Ok(Finding::failure(ID, format!("migration {version} failed halfway"), remedy));
        }
        checksums.push((version, column::<DB, _>(row, "checksum")?));
    }
    let applied = checksums.iter().map(|(version, checksum)| (*version, checksum.as_slice()));
    let state = schema_state(&inspection.settings.url, applied);
    Ok(if let Some(version) = state.unknown.last() {
        let found = format!("migration {version} is applied, and this build does not know it");
        Finding::failure(
            ID,
            found,
            "use the build that applied it or a newer one; replicas need MIGRATE_ON_START=false",
        )
    } else if let Some(version) = state.edited.first() {
        let found = format!("migration {version} was edited after it was applied");
        Finding::failure(ID, found, "use the build that applied it")
    } else if state.pending.is_empty() {
        Finding::ok(ID, format!("pending migrations: none, applied: {}", checksums.len()))
    } else {
        let pending: Vec<String> = state.pending.iter().map(|migration| migration.version.to_string()).collect();
        let found = format!("pending migrations: {}", pending.join(", "));
        if inspection.migrates_on_start {
            Finding::warning(ID, found, "`serve` applies them at its next start (MIGRATE_ON_START=true)")
        } else {
            Finding::failure(ID, found, "run `device-management migrate` as the owner of the tables")
        }
    })
}

/// A client that is not revoked, with the instant at which its current secret was created.
struct Row {
    partner: String,
    client: String,
    secret_of: Option<DateTime<Utc>>,
}

async fn clients<DB: Dialect>(session: &mut Session<DB>, inspection: &Inspection) -> Result<Vec<Finding>, NoResult> {
    let rows = session
        .rows(
            "select c.partner_id, c.client_id, s.created_at as secret_of
               from client c
               left join client_secret s
                      on s.client_id = c.client_id
                     and s.expires_at is null
              where c.revoked_at is null
              order by s.created_at",
        )
        .await?;
    let mut clients = Vec::new();
    for row in &rows {
        clients.push(Row {
            partner: column::<DB, _>(row, "partner_id")?,
            client: column::<DB, _>(row, "client_id")?,
            secret_of: column::<DB, _>(row, "secret_of")?,
        });
    }
    let partners: BTreeSet<&str> = clients.iter().map(|row| &*row.partner).collect();
    let found = format!("clients: {}, partners: {}", clients.len(), partners.len());
    let count = if clients.is_empty() && !inspection.has_other_callers {
        Finding::warning("clients", "no client can get a token", "run `device-management client create`")
    } else {
        Finding::ok("clients", found)
    };
    Ok(vec![count, secrets(&clients, (inspection.now)()), without_secret(&clients)])
}

fn secrets(clients: &[Row], now: DateTime<Utc>) -> Finding {
    const ID: &str = "clients.secrets";
    let mut oldest: BTreeMap<&str, DateTime<Utc>> = BTreeMap::new();
    for row in clients {
        if let Some(created) = row.secret_of {
            let known = oldest.entry(&row.partner).or_insert(created);
            *known = created.min(*known);
        }
    }
    let mut oldest: Vec<(DateTime<Utc>, &str)> = oldest.into_iter().map(|(partner, at)| (at, partner)).collect();
    oldest.sort_unstable();
    let Some((first, _)) = oldest.first() else { return Finding::ok(ID, "there are no secrets of clients") };
    let is_old = now - *first > SECRET_AGE_MAX;
    let named = oldest.iter().take(NAMED_MAX).map(|(at, partner)| format!("{partner}: {}", age(now - *at)));
    let found = format!("the oldest secrets by partner: {}", named.collect::<Vec<_>>().join(", "));
    if is_old {
        Finding::warning(ID, found, "rotate them with `device-management client rotate`")
    } else {
        Finding::ok(ID, found)
    }
}

fn without_secret(clients: &[Row]) -> Finding {
    const ID: &str = "clients.without_secret";
    let without: Vec<&Row> = clients.iter().filter(|row| row.secret_of.is_none()).collect();
    if without.is_empty() {
        return Finding::ok(ID, "every client has a secret");
    }
    let named = without.iter().take(NAMED_MAX).map(|row| format!("{} of {}", row.client, row.partner));
    let found = format!("clients without a secret: {} ({})", without.len(), named.collect::<Vec<_>>().join(", "));
    Finding::warning(ID, found, "give them one with `device-management client rotate`, or revoke them")
}

async fn pending_events<DB: Dialect>(session: &mut Session<DB>, inspection: &Inspection) -> Result<Finding, NoResult> {
    const ID: &str = "audit.pending";
    // Ordered by the primary key, to force an index scan: the table is full of dead rows that sealed events have left.
    let row = session
        .row(
            "select count(*) as waiting, min(occurred_at) as oldest
               from (select occurred_at
                       from audit_pending
                      order by partner_id, event_id
                      limit 100000) counted",
        )
        .await?;
    let waiting = column::<DB, i64>(&row, "waiting")?;
    let Some(oldest) = column::<DB, Option<DateTime<Utc>>>(&row, "oldest")? else {
        return Ok(Finding::ok(ID, "no event waits to be sealed"));
    };
    let waits = (inspection.now)() - oldest;
    // The oldest of those that were counted.
    let more = if waiting < PENDING_MAX { "" } else { " or more" };
    let found = format!("unsealed events: {waiting}{more}, waiting for {}{more}", age(waits));
    let remedy = "see whether a replica runs and whether its audit_seal fails (docs/operations.md#audit-trail)";
    Ok(if waits > TASK_PAUSE_MAX { Finding::warning(ID, found, remedy) } else { Finding::ok(ID, found) })
}

async fn housekeeping<DB: Dialect>(session: &mut Session<DB>, inspection: &Inspection) -> Result<Finding, NoResult> {
    const ID: &str = "housekeeping";
    const REMEDY: &str =
        "see whether a replica runs and whether its housekeeping fails (docs/operations.md#housekeeping)";
    let rows = session.rows("select held_until from housekeeping_lease where task = 'housekeeping'").await?;
    let Some(row) = rows.first() else {
        return Ok(Finding::warning(ID, "it has never run on this database", REMEDY));
    };
    let pause = (inspection.now)() - column::<DB, DateTime<Utc>>(row, "held_until")?;
    Ok(if pause > TASK_PAUSE_MAX {
        Finding::warning(ID, format!("its last run ended {} ago", age(pause)), REMEDY)
    } else if pause < -(TASK_PAUSE_MAX + SKEW_MAX) {
        let remedy = "a replica's clock is or was ahead: run NTP (docs/operations.md#clock-skew)";
        Finding::warning(ID, format!("its lease ends {} in the future", age(-pause)), remedy)
    } else if pause < TimeDelta::zero() {
        Finding::ok(ID, "a replica is running it")
    } else {
        Finding::ok(ID, format!("its last run ended {} ago", age(pause)))
    })
}
