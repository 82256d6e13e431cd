//! The roles and grants in `docs/operations.md` suffice for all that the service does, and permit no more. The tests
//! run the SQL of the document on a temporary Postgres server and use the executable as an operator does.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use chrono::TimeDelta;
use clap::CommandFactory;
use device_management::background::duties;
use device_management::cli::Cli;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::binary::{exit_code, run};
use crate::fraud_flow::Seon;
use crate::harness::citus::{CitusCluster, DISTRIBUTION};
use crate::harness::{PostgresServer, Program, TestApp, can_start_servers_for, sql};
use crate::store::indexes::walk;
use crate::store::partitions::walk_with_repetitions;

const OPERATIONS: &str = include_str!("../../docs/operations.md");
const GRANTS: &str = include_str!("../../docker/grants.sql");

pub(crate) const OWNER: &str = "device_management_owner";
pub(crate) const SERVICE: &str = "device_management";
pub(crate) const AUDITOR: &str = "device_management_auditor";

/// The password of every role, a placeholder in the document.
const PASSWORD: &str = "a-password";

/// The fenced block after the comment `<!-- NAME -->`.
fn block(name: &str) -> &'static str {
    let (_, after) = OPERATIONS.split_once(&format!("<!-- {name} -->\n```sql\n")).expect("the document has the block");
    after.split_once("\n```").expect("the block ends").0
}

/// The documented statements that make the roles and the database, with this password literal for each role.
pub(crate) fn roles(password: &str) -> String {
    block("roles").replace("'...'", password)
}

/// The documented grants.
pub(crate) fn grants() -> &'static str {
    block("grants")
}

/// A database with the documented roles and grants, by the URL of the superuser.
pub(crate) struct Granted(pub(crate) String);

impl Granted {
    /// The `DATABASE_URL` of a role.
    pub(crate) fn url_of(&self, role: &str) -> String {
        let (_, host) = self.0.split_once('@').unwrap();
        format!("postgres://{role}:{PASSWORD}@{host}")
    }

    pub(crate) fn program(&self, role: &str) -> Program {
        Program::new().with("DATABASE_URL", &self.url_of(role)).with("MIGRATE_ON_START", "false")
    }

    pub(crate) async fn from_the_document() -> (PostgresServer, Self) {
        let (server, granted) = Self::with_roles().await;
        assert_eq!(run(&granted.program(OWNER), &["migrate"]).0, 0);
        sql::execute(&granted.url_of(OWNER), grants()).await;
        (server, granted)
    }

    /// The roles with an empty database.
    pub(crate) async fn with_roles() -> (PostgresServer, Self) {
        let server = PostgresServer::start(&[]).unwrap();
        for statement in roles(&format!("'{PASSWORD}'")).lines() {
            sql::execute(&server.url("postgres"), statement).await;
        }
        let granted = Self(server.url("device_management"));
        (server, granted)
    }

    /// The same on the coordinator of a Citus cluster, with distributed tables. Citus repeats the statements on roles and
    /// on the owner of the database on each worker.
    async fn on_citus(cluster: &CitusCluster, database: &str) -> Self {
        cluster.create(database).await;
        let granted = Self(cluster.url(database));
        let known = sql::texts(&granted.0, "select rolname::text from pg_roles").await;
        for role in roles(&format!("'{PASSWORD}'")).lines().filter(|statement| statement.starts_with("create role")) {
            if !known.iter().any(|known| known == OWNER) {
                sql::execute(&granted.0, role).await;
            }
        }
        sql::execute(&granted.0, &format!("alter database {database} owner to {OWNER}")).await;
        let logins = format!(
            "insert into pg_dist_authinfo
             select 0, role, 'password={PASSWORD}' from unnest(array['{OWNER}', '{SERVICE}', '{AUDITOR}']) role"
        );
        cluster.on_each_node(database, &logins).await;
        assert_eq!(run(&granted.program(OWNER), &["migrate"]).0, 0);
        sql::execute(&granted.url_of(OWNER), DISTRIBUTION).await;
        let sequential = "set local citus.multi_shard_modify_mode = 'sequential'";
        sql::execute(&granted.url_of(OWNER), &format!("begin; {sequential}; {}; commit", grants())).await;
        granted
    }
}

/// Whether Postgres permits a statement.
async fn may(url: &str, statement: &str) -> bool {
    let mut connection = PgConnection::connect(url).await.unwrap();
    match sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await {
        Ok(_) => true,
        Err(error) => {
            let code = error.as_database_error().and_then(|error| error.code().map(std::borrow::Cow::into_owned));
            assert_eq!(code.as_deref(), Some("42501"), "{statement}: {error}");
            false
        }
    }
}

#[test]
fn the_documented_grants_equal_the_file_of_the_compose_setup() {
    assert_eq!(grants(), GRANTS.trim_end());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_works_under_the_printed_grants() {
    if !can_start_servers_for("grants::the_service_works_under_the_printed_grants") {
        return;
    }
    let (_server, granted) = Granted::from_the_document().await;
    the_service_works_under_its_grants(&granted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_citus_the_service_and_every_command_work_under_the_printed_grants() {
    if let Some(cluster) = CitusCluster::start().await {
        the_service_works_under_its_grants(&Granted::on_citus(&cluster, "of_the_service").await).await;
        every_command_works_under_its_role(&Granted::on_citus(&cluster, "of_the_commands").await).await;
    }
}

async fn the_service_works_under_its_grants(server: &Granted) {
    let (url, owner) = (server.url_of(SERVICE), server.url_of(OWNER));
    let ungranted = "select relname::text
                       from pg_class
                      where relnamespace = 'public'::regnamespace
                        and relkind in ('r', 'p')
                        and not has_table_privilege('device_management', oid, 'select')
                      order by 1";
    // Only the owner reads `person_erasure`.
    assert_eq!(sql::texts(&owner, ungranted).await, ["person_erasure"], "tables of migrations without a grant");

    let seon = Seon::that_says("DECLINE").await;
    let uri = seon.uri();
    let settings = [("SMS_LIMITS", "dry-run"), ("SEON_API_KEY", "a-licence"), ("SEON_BASE_URL", uri.as_str())];
    let app = TestApp::at(&url, &settings).await;
    walk(&app, 1).await;
    walk_with_repetitions(&app, 1).await;
    // Once now, and once when all rows have expired.
    for _ in 0..2 {
        for duty in duties() {
            duty.turn(app.app.service.clone()).await.unwrap();
        }
        app.advance(TimeDelta::days(500));
    }
    app.store().close().await;

    for forbidden in [
        "create table t (id bigint)",
        "alter table device add column colour text",
        "drop table device",
        "truncate audit_pending",
        "delete from audit_event",
        "update audit_event set outcome = 'accepted'",
        "update audit_seal set events = 0",
        "update audit_pending set outcome = 'accepted'",
        "delete from audit_chain",
        "delete from device",
        "delete from client",
        "update _sqlx_migrations set success = true",
    ] {
        assert!(!may(&url, forbidden).await, "the service may: {forbidden}");
    }
    assert!(may(&server.url_of(AUDITOR), "select * from audit_event").await);
    for forbidden in ["select * from mobile_number", "select * from client_secret", "delete from audit_pending"] {
        assert!(!may(&server.url_of(AUDITOR), forbidden).await, "the auditor may: {forbidden}");
    }
}

/// The full names of all commands, such as `client create`.
fn commands(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
    for sub in command.get_subcommands() {
        let name = format!("{path} {}", sub.get_name()).trim().to_owned();
        if sub.has_subcommands() { commands(sub, &name, found) } else { assert!(found.insert(name)) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_works_under_its_documented_role() {
    if !can_start_servers_for("grants::every_command_works_under_its_documented_role") {
        return;
    }
    let (_server, granted) = Granted::from_the_document().await;
    every_command_works_under_its_role(&granted).await;
}

async fn every_command_works_under_its_role(server: &Granted) {
    let app = TestApp::at(&server.url_of(SERVICE), &[]).await;
    walk(&app, 1).await;
    app.partner().verified_person("ada").await;
    app.store().close().await;

    let service = server.program(SERVICE).serve();
    service.stranger().get("/readyz").await.assert_status(200);
    let address = service.address().to_string();
    let (code, client) = run(&server.program(SERVICE), &["client", "create", "--partner", "acme"]);
    assert_eq!(code, 0);
    let client = client[0].strip_prefix("client_id=").unwrap();
    let uses: [(&str, &str, &[&str]); 14] = [
        (SERVICE, "client create", &["--partner", "globex"]),
        (SERVICE, "client list", &[]),
        (SERVICE, "client rotate", &[client]),
        (SERVICE, "client revoke", &[client]),
        (SERVICE, "sms status", &[]),
        (SERVICE, "sms resume", &["--partner", "acme", "--country", "DE"]),
        (AUDITOR, "audit verify", &[]),
        (AUDITOR, "audit export", &["--since", "2026-01-01T00:00:00Z"]),
        (OWNER, "person erase", &["acme", "ada"]),
        (OWNER, "migrate", &[]),
        (SERVICE, "config check", &[]),
        (SERVICE, "config print", &[]),
        (SERVICE, "healthcheck", &[]),
        (SERVICE, "doctor", &[]),
    ];
    for (role, command, arguments) in uses {
        let words: Vec<&str> = command.split(' ').chain(arguments.iter().copied()).collect();
        let process = server.program(role).with("HTTP_ADDR", &address).start(&words);
        assert_eq!(exit_code(&process), 0, "{command} as {role}: {:?}", process.logs());
    }
    service.terminate();
    assert_eq!(service.wait(Duration::from_secs(30)).code(), Some(0), "{:?}", service.logs());

    let mut known = BTreeSet::new();
    commands(&Cli::command(), "", &mut known);
    known.retain(|command| !command.starts_with("phone ")); // the software phone uses no database
    let tried = uses.iter().map(|(_, command, _)| (*command).to_owned()).chain(["serve".to_owned()]).collect();
    assert_eq!(known, tried, "every command of the command line is tested");
}

/// Runs the script that the Postgres image runs at initialisation, on a temporary server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_roles_of_the_compose_file_are_unprivileged_and_can_serve() {
    if !can_start_servers_for("grants::the_roles_of_the_compose_file_are_unprivileged_and_can_serve") {
        return;
    }
    let postgres = PostgresServer::start(&[]).unwrap();
    let server = Granted(postgres.url("device_management"));
    let secrets = tempfile::tempdir().unwrap();
    for name in ["database_owner_password", "database_password"] {
        fs::write(secrets.path().join(name), format!("{PASSWORD}\n")).unwrap();
    }
    let superuser = reqwest::Url::parse(&postgres.url("postgres")).unwrap();
    let folder = crate::harness::postgres_programs().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap_or_default());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docker/roles.sh");
    let mut command = Command::new("sh");
    command.arg(script).env("PATH", path).env("SECRETS", secrets.path()).env("PGHOST", "127.0.0.1");
    command.env("PGPORT", superuser.port().unwrap().to_string()).env("PGPASSWORD", superuser.password().unwrap());
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    assert_eq!(run(&server.program(OWNER), &["migrate"]).0, 0);
    sql::execute(&server.url_of(OWNER), GRANTS).await;
    let powers = "select rolname::text from pg_roles
                   where rolname like 'device_management%'
                     and (rolsuper or rolcreaterole or rolcreatedb or rolbypassrls or rolreplication)";
    assert_eq!(sql::texts(&server.url_of(OWNER), powers).await, Vec::<String>::new());
    server.program(SERVICE).serve().stranger().get("/readyz").await.assert_status(200);
}
