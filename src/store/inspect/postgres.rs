//! Checks of Postgres and of the connection to it.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, Connection, PgConnection, Postgres};
use tokio::time::timeout;

use super::{DATA_CHECKS, Inspection, NoResult, Session, data, described, grants, or_reason, or_reasons};
use crate::domain::clock_skew::SKEW_MAX;
use crate::finding::{Finding, skip_missing};
use crate::store::connect::preconditions::{HAZARDS, REQUIREMENTS, hazards, requirements};
use crate::store::connect::{check_session, refuses_parameters, session, tls};
use crate::store::error::is_login_refused;
use crate::store::pool::patience;
use crate::store::rows::column;
use crate::store::{DatabaseSettings, Pooler, StoreError, Transport};

/// The checks of [`REQUIREMENTS`] and of [`HAZARDS`].
const REQUIRED: [&str; 5] =
    ["database.version", "database.encoding", "database.writable", "database.foreign_keys", "database.schema"];
const HAZARDOUS: [&str; 3] = ["database.fsync", "database.full_page_writes", "database.collation"];

/// The ids of all checks of this file.
pub(super) const CHECKS: [&str; 16] = [
    "database.connection",
    "database.pooler",
    "database.transport",
    "database.version",
    "database.encoding",
    "database.writable",
    "database.foreign_keys",
    "database.schema",
    "database.fsync",
    "database.full_page_writes",
    "database.collation",
    "database.role",
    "database.grants",
    "database.connections",
    "database.clock",
    "database.size",
];

pub(super) async fn inspect(inspection: &Inspection, url: &SecretString, transport: Transport) -> Vec<Finding> {
    let settings = &inspection.settings;
    let mut findings = Vec::new();
    match reach(url, settings).await {
        Ok(Reached { connection, pooler, is_pooled }) => {
            findings.push(Finding::ok("database.connection", "Postgres accepted the login"));
            findings.push(pooler);
            let begin = session::pooled_begin("begin read only", session::OwnSettings::of(settings));
            let mut session = Session::<Postgres>::new(connection, begin, patience(settings.statement_timeout));
            session.is_pooled = is_pooled;
            look(&mut session, inspection, url, transport, &mut findings).await;
            session.close().await;
        }
        Err(failure) => findings.push(failure),
    }
    let reason = "there is no connection to the database";
    skip_missing(&mut findings, &CHECKS, reason);
    skip_missing(&mut findings, &DATA_CHECKS, reason);
    findings
}

async fn look(
    session: &mut Session<Postgres>,
    inspection: &Inspection,
    url: &SecretString,
    transport: Transport,
    findings: &mut Vec<Finding>,
) {
    let settings = &inspection.settings;
    findings.push(or_reason("database.transport", encryption(session, url, transport).await));
    findings.extend(or_reasons(&REQUIRED, preconditions(session).await));
    findings.extend(or_reasons(&HAZARDOUS, durability(session).await));
    findings.extend(grants::check(session).await);
    findings.push(or_reason("database.connections", connections(session, settings).await));
    findings.push(or_reason("database.clock", clock(session, inspection).await));
    findings.push(or_reason("database.size", size(session).await));
    findings.extend(data::check(session, inspection).await);
}

/// A connection, and what is between it and Postgres.
struct Reached {
    connection: PgConnection,
    pooler: Finding,
    is_pooled: bool,
}

/// Connects as the service does, and tells whether a pooler is in between that switches sessions.
async fn reach(url: &SecretString, settings: &DatabaseSettings) -> Result<Reached, Finding> {
    const ID: &str = "database.pooler";
    let unannounced = || {
        Finding::failure(
            ID,
            "a pooler switches sessions between transactions, and DATABASE_POOLER is none",
            "set DATABASE_POOLER=transaction and MIGRATE_ON_START=false, or bypass the pooler",
        )
    };
    let problems = tls::file_problems(url);
    if !problems.is_empty() {
        let remedy = "correct the file or the parameter in DATABASE_URL";
        return Err(Finding::failure("database.connection", problems.join("; "), remedy));
    }
    let direct = open(session::service_options(url, session::OwnSettings::of(settings)), settings).await;
    let has_pooler = match direct {
        Ok(mut connection) => match timeout(settings.acquire_timeout, check_session(&mut connection)).await {
            Ok(Err(StoreError::SessionNotKept(_))) => true,
            _ if settings.pooler == Pooler::None => {
                let pooler = Finding::ok(ID, "no pooler switches sessions, as DATABASE_POOLER says");
                return Ok(Reached { connection, pooler, is_pooled: false });
            }
            _ => {
                let _ = timeout(settings.acquire_timeout, connection.close()).await;
                false
            }
        },
        Err(error) if refuses_parameters(&error) => true,
        Err(error) => return Err(unreachable(&error, settings)),
    };
    let connection =
        open(session::pooled_options(url), settings).await.map_err(|error| unreachable(&error, settings))?;
    let pooler = match (settings.pooler, has_pooler) {
        (Pooler::None, _) => unannounced(),
        (Pooler::Transaction, true) => {
            Finding::ok(ID, "a pooler switches sessions between transactions, as DATABASE_POOLER says")
        }
        (Pooler::Transaction, false) => Finding::warning(
            ID,
            "DATABASE_POOLER is transaction, and no pooler switches sessions",
            "set DATABASE_POOLER=none: prepared statements and fewer round trips make requests faster",
        ),
    };
    Ok(Reached { connection, pooler, is_pooled: has_pooler })
}

async fn open(
    options: crate::store::Result<PgConnectOptions>,
    settings: &DatabaseSettings,
) -> sqlx::Result<PgConnection> {
    let options = options.map_err(|error| sqlx::Error::Configuration(error.into()))?;
    timeout(settings.acquire_timeout, options.connect()).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

fn unreachable(error: &sqlx::Error, settings: &DatabaseSettings) -> Finding {
    const ID: &str = "database.connection";
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    let remedy = match (error, code.as_deref()) {
        _ if !tls::remedy(error).is_empty() => tls::remedy(error).trim_start_matches(": "),
        _ if is_login_refused(error) => {
            "correct the user and the password in DATABASE_URL, or pg_hba.conf of the server"
        }
        (_, Some("3D000")) => "correct the name of the database in DATABASE_URL, or create the database",
        (_, Some("53300")) => "raise max_connections, or lower DATABASE_MAX_CONNECTIONS times the number of replicas",
        (sqlx::Error::Configuration(_), _) => "correct DATABASE_URL",
        (sqlx::Error::Tls(_), _) => "correct the server's certificate, or sslmode and sslrootcert in DATABASE_URL",
        _ => "start Postgres, or correct the host and the port in DATABASE_URL, DNS or the firewall",
    };
    let found = match error {
        sqlx::Error::PoolTimedOut => {
            format!("Postgres did not answer within {} s", settings.acquire_timeout.as_secs())
        }
        error => format!("Postgres cannot be reached: {}", described(error)),
    };
    Finding::failure(ID, found, remedy)
}

async fn encryption(
    session: &mut Session<Postgres>,
    url: &SecretString,
    transport: Transport,
) -> Result<Finding, NoResult> {
    const ID: &str = "database.transport";
    const REMEDY: &str = "set sslmode=verify-full in DATABASE_URL";
    let row = session
        .row(
            "select coalesce((select concat(version, ' ', cipher)
                                from pg_stat_ssl
                               where pid = pg_backend_pid()
                                 and ssl), '') as cipher",
        )
        .await?;
    let cipher = column::<Postgres, String>(&row, "cipher")?;
    let mode = PgConnectOptions::from_str(url.expose_secret()).map(|options| mode(options.get_ssl_mode()));
    let mode = mode.unwrap_or("unknown");
    let found = match (&*cipher, session.is_pooled) {
        ("", true) => format!("not encrypted between the pooler and Postgres; sslmode is {mode}"),
        ("", false) => format!("not encrypted; sslmode is {mode}"),
        (cipher, true) => format!("{cipher} between the pooler and Postgres; sslmode is {mode}"),
        (cipher, false) => format!("{cipher}; sslmode is {mode}"),
    };
    Ok(match transport {
        Transport::Local => Finding::ok(ID, format!("a local connection, {found}")),
        Transport::Verified => Finding::ok(ID, found),
        Transport::Encrypted => {
            Finding::warning(ID, format!("{found}, which does not verify the server's name"), REMEDY)
        }
        Transport::Open => Finding::warning(ID, format!("{found}, which does not require encryption"), REMEDY),
    })
}

fn mode(mode: PgSslMode) -> &'static str {
    match mode {
        PgSslMode::Disable => "disable",
        PgSslMode::Allow => "allow",
        PgSslMode::Prefer => "prefer",
        PgSslMode::Require => "require",
        PgSslMode::VerifyCa => "verify-ca",
        PgSslMode::VerifyFull => "verify-full",
    }
}

async fn preconditions(session: &mut Session<Postgres>) -> Result<Vec<Finding>, NoResult> {
    Ok(requirements(&session.row(REQUIREMENTS).await?)?)
}

async fn durability(session: &mut Session<Postgres>) -> Result<Vec<Finding>, NoResult> {
    Ok(hazards(&session.row(HAZARDS).await?)?)
}

async fn connections(session: &mut Session<Postgres>, settings: &DatabaseSettings) -> Result<Finding, NoResult> {
    const ID: &str = "database.connections";
    // Every role sees who is connected, and without pg_monitor not what for. -1 is no limit. The connections of this role
    // are those of replicas, which hold what they need.
    let row = session
        .row(
            "select current_setting('max_connections')::bigint as allowed
                  , current_setting('superuser_reserved_connections')::bigint
                    + coalesce(current_setting('reserved_connections', true), '0')::bigint as reserved
                  , (select count(*) from pg_stat_activity where datid is not null) as used
                  , (select count(*)
                       from pg_stat_activity
                      where datid is not null
                        and usename is distinct from current_user) as others
                  , (select rolconnlimit::bigint from pg_roles where rolname = current_user) as of_role
                  , (select datconnlimit::bigint from pg_database where datname = current_database()) as of_database",
        )
        .await?;
    let number = |name| column::<Postgres, i64>(&row, name);
    let (allowed, reserved) = (number("allowed")?, number("reserved")?);
    let (used, others) = (number("used")?, number("others")?);
    let open = allowed - reserved;
    let limits = [open, number("of_role")?, number("of_database")?].into_iter().filter(|limit| *limit >= 0);
    let usable = limits.min().unwrap_or(open);
    let wanted = i64::from(settings.max_connections);
    let found = format!(
        "{used} of {allowed} connections are in use, {others} by other roles ({reserved} reserved); this role may have \
         {usable}, DATABASE_MAX_CONNECTIONS is {wanted} for each replica"
    );
    let remedy = "DATABASE_MAX_CONNECTIONS times the number of replicas must fit: lower it, raise the limit, or use a \
                  pooler";
    Ok(if session.is_pooled {
        Finding::ok(ID, format!("{used} of {allowed} connections of Postgres are in use; the pooler limits them"))
    } else if wanted > usable {
        Finding::failure(ID, found, remedy)
    } else if wanted > open - others {
        Finding::warning(ID, found, remedy)
    } else {
        Finding::ok(ID, found)
    })
}

async fn clock(session: &mut Session<Postgres>, inspection: &Inspection) -> Result<Finding, NoResult> {
    let before = (inspection.now)();
    let row = session.row("select clock_timestamp() as at").await?;
    let after = (inspection.now)();
    Ok(judge_clock(column::<Postgres, _>(&row, "at")?, (before, after)))
}

/// The statement ran at some instant between the two of this process.
fn judge_clock(at: DateTime<Utc>, (before, after): (DateTime<Utc>, DateTime<Utc>)) -> Finding {
    const ID: &str = "database.clock";
    let skew = if at < before { at - before } else { (at - after).max(TimeDelta::zero()) };
    let direction = if skew < TimeDelta::zero() { "behind" } else { "ahead of" };
    let skew = skew.abs();
    if skew > SKEW_MAX {
        let found = format!("the database's clock is {} s {direction} this process", skew.num_seconds());
        let remedy = "run NTP on both hosts: one of the clocks is wrong (docs/operations.md#clock-skew)";
        return Finding::failure(ID, found, remedy);
    }
    Finding::ok(
        ID,
        format!("the clocks of the database and this process differ by {} ms or less", skew.num_milliseconds() + 1),
    )
}

async fn size(session: &mut Session<Postgres>) -> Result<Finding, NoResult> {
    let row = session
        .row(
            "select pg_size_pretty(pg_database_size(current_database())) as size
                  , coalesce((select string_agg(format('%s %s', relname, pg_size_pretty(bytes)), ', ' order by bytes desc)
                                from (select relname, pg_total_relation_size(relid) as bytes
                                        from pg_stat_user_tables
                                       where schemaname = 'public'
                                       order by bytes desc
                                       limit 3) largest), 'none') as largest",
        )
        .await?;
    let text = |name| column::<Postgres, String>(&row, name);
    Ok(Finding::ok("database.size", format!("{}; largest tables: {}", text("size")?, text("largest")?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Status;

    #[test]
    fn clocks_that_differ_by_more_than_a_minute_are_a_failure() {
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        for (database, status) in
            [(0, Status::Ok), (60, Status::Ok), (-60, Status::Ok), (63, Status::Failure), (-61, Status::Failure)]
        {
            assert_eq!(judge_clock(at(database), (at(0), at(2))).status, status, "{database} s");
        }
        assert!(judge_clock(at(-90), (at(0), at(2))).found.contains("90 s behind"));
        assert!(judge_clock(at(92), (at(0), at(2))).found.contains("90 s ahead"));
        // A slow answer is not a skew.
        assert_eq!(judge_clock(at(100), (at(0), at(200))).status, Status::Ok);
    }
}
