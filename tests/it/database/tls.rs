//! TLS to Postgres: verified servers, client certificates, and a clear refusal of everything else.

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::Instant;

use serde_json::json;
use tempfile::NamedTempFile;

use crate::binary::{PATIENCE, fail, production_on, run};
use crate::doctor::Report;
use crate::grants::{OWNER, SERVICE, grants, roles};
use crate::harness::certificates::{Authority, Certificate};
use crate::harness::pgbouncer::PgBouncer;
use crate::harness::{NUMBER, PostgresServer, Program, TestApp, TestDatabase, report_not_run, sql};
use crate::store::indexes::walk;

/// Who may log in, and how. The superuser is `postgres`; the roles of the service have no password.
const LOGINS: &str = "
    hostssl all postgres 127.0.0.1/32 scram-sha-256
    hostssl all by_scram 127.0.0.1/32 scram-sha-256
    hostssl all by_md5 127.0.0.1/32 md5
    hostssl all by_password 127.0.0.1/32 password
    hostssl all by_both 127.0.0.1/32 scram-sha-256 clientcert=verify-full
    hostssl all device_management_owner,device_management 127.0.0.1/32 cert
";

/// The settings of TLS; the files are in the data folder.
const TLS: [(&str, &str); 4] =
    [("ssl", "on"), ("ssl_cert_file", "its.pem"), ("ssl_key_file", "its.key"), ("ssl_ca_file", "ca.pem")];

/// A password that must appear in no message.
const PASSWORD: &str = "a-secret-word";

/// A server that accepts only TLS, with a certificate for 127.0.0.1.
struct Secured {
    server: PostgresServer,
    authority: Authority,
}

impl Secured {
    /// `None` where Postgres is not installed or was built without TLS; `test` is then reported as not run.
    fn for_test(test: &str) -> Option<Self> {
        let authority = Authority::new();
        let its = authority.sign("server", "IP:127.0.0.1");
        let [ca, its_certificate, its_key] = [&authority.file(), &its.file, &its.key].map(read);
        let files = [("ca.pem", &*ca), ("its.pem", &its_certificate), ("its.key", &its_key), ("pg_hba.conf", LOGINS)];
        match PostgresServer::start_with(&TLS, &files) {
            Ok(server) => Some(Self { server, authority }),
            Err(report) if report.contains("not supported by this build") || report.contains("no Postgres") => {
                report_not_run(test, "install a Postgres that was built with TLS");
                None
            }
            Err(report) => panic!("{report}"),
        }
    }

    /// Replaces the certificate of the server.
    fn present(&mut self, certificate: &Certificate) {
        self.server.put("its.pem", &read(&certificate.file));
        self.server.put("its.key", &read(&certificate.key));
        self.server.restart().unwrap();
    }

    /// The URL of a role with its password, and these parameters.
    fn url(&self, host: &str, role: &str, parameters: &str) -> String {
        let port = reqwest::Url::parse(&self.server.url("postgres")).unwrap().port().unwrap();
        format!("postgres://{role}:{PASSWORD}@{host}:{port}/postgres?{parameters}")
    }

    /// The parameters that verify this server.
    fn verified(&self) -> String {
        format!("sslmode=verify-full&sslrootcert={}", self.authority.file().display())
    }

    async fn order(&self, statement: &str) {
        sql::execute(&self.server.url("postgres"), statement).await;
    }

    /// Makes the roles that log in with a password.
    async fn with_passwords(self) -> Self {
        for role in ["by_scram", "by_password", "by_both"] {
            self.order(&format!("create role {role} login password '{PASSWORD}'")).await;
        }
        self.order(&format!("set password_encryption = 'md5'; create role by_md5 login password '{PASSWORD}'")).await;
        self.order("grant create on schema public to public; create table probe ()").await;
        self
    }
}

fn read(file: &PathBuf) -> String {
    fs::read_to_string(file).unwrap()
}

fn parameters(certificate: &Certificate) -> String {
    format!("sslcert={}&sslkey={}", certificate.file.display(), certificate.key.display())
}

/// The output of a command that cannot open this database. It has no secret.
#[track_caller]
fn told(url: &str) -> String {
    let (code, told) = fail(&Program::new().with("DATABASE_URL", url), &["client", "list"]);
    assert_eq!(code, 1, "{told}");
    assert!(!told.contains(PASSWORD) && !told.contains("PRIVATE KEY"), "{told}");
    told
}

/// Whether the command reached the database: it has no tables.
#[track_caller]
pub(super) fn assert_reached(url: &str) {
    let told = told(url);
    assert!(told.contains("migrations are missing"), "{told}");
}

#[track_caller]
pub(super) fn assert_told(url: &str, words: &[&str]) {
    let told = told(url);
    for words in words {
        assert!(told.contains(words), "expected {words:?} in: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_server_of_the_url_is_accepted() {
    let Some(secured) = Secured::for_test("database::tls::only_the_server_of_the_url_is_accepted") else { return };
    let mut secured = secured.with_passwords().await;
    let url = |secured: &Secured, host, parameters: &str| secured.url(host, "by_scram", parameters);
    let verified = secured.verified();
    assert_reached(&url(&secured, "127.0.0.1", &verified));
    for lax in ["sslmode=require", &verified.replace("verify-full", "verify-ca")] {
        assert_reached(&url(&secured, "127.0.0.1", lax));
        assert_reached(&url(&secured, "localhost", lax));
    }

    let another = Authority::new();
    let other = format!("sslmode=verify-full&sslrootcert={}", another.file().display());
    let untrusted = "sslrootcert must name the certificate of the authority";
    for (parameters, cause) in
        [("sslmode=verify-full", "UnknownIssuer"), ("sslmode=verify-ca", "UnknownIssuer"), (&other, "BadSignature")]
    {
        assert_told(&url(&secured, "127.0.0.1", parameters), &[untrusted, cause]);
    }
    let elsewhere = url(&secured, "localhost", &verified);
    assert_told(&elsewhere, &["must be among the subject alternative names", "not valid for name \"localhost\""]);
    assert_told(&url(&secured, "127.0.0.1", "sslmode=disable"), &["no encryption"]);

    let expired = secured.authority.sign_expired("server", "IP:127.0.0.1");
    secured.present(&expired);
    assert_told(&url(&secured, "127.0.0.1", &verified), &["renew the server's certificate", "expired"]);
    let no_alternative_name = secured.authority.sign("127.0.0.1", "DNS:db.example");
    secured.present(&no_alternative_name);
    assert_told(&url(&secured, "127.0.0.1", &verified), &["its common name does not count"]);
    // As in the example of the Postgres manual, "Creating Certificates".
    let own = Authority::new();
    secured.server.put("its.pem", &read(&own.file()));
    secured.server.put("its.key", &read(&own.file().with_extension("key")));
    secured.server.restart().unwrap();
    let trusting = format!("sslmode=verify-full&sslrootcert={}", own.file().display());
    let remedy = "names the certificate itself, which must not be that of an authority (basicConstraints CA:FALSE)";
    assert_told(&url(&secured, "127.0.0.1", &trusting), &[remedy, "CaUsedAsEndEntity"]);
    let own = own.self_signed("server", "IP:127.0.0.1");
    secured.present(&own);
    let trusting = format!("sslmode=verify-full&sslrootcert={}", own.file.display());
    assert_reached(&url(&secured, "127.0.0.1", &trusting));

    secured.server.put("pg_hba.conf", "host all all 127.0.0.1/32 scram-sha-256\n");
    let off = secured.server.url("postgres");
    sql::execute(&off, "alter system set ssl = off").await;
    secured.server.restart().unwrap();
    for mode in [&*verified, "sslmode=require"] {
        assert_told(&url(&secured, "127.0.0.1", mode), &["turn on TLS on the server", "does not support TLS"]);
    }
}

/// 0.0.0.0 leads to this machine and is no loopback address.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_warns_of_a_connection_that_does_not_enforce_encryption_and_name() {
    let test = "database::tls::doctor_warns_of_a_connection_that_does_not_enforce_encryption_and_name";
    let Some(secured) = Secured::for_test(test) else { return };
    let mut secured = secured.with_passwords().await;
    let certificate = secured.authority.sign("server", "IP:0.0.0.0");
    secured.present(&certificate);
    let verified = secured.verified();
    for (parameters, status, found) in [
        (&*verified, "ok", "TLSv1.3"),
        (&verified.replace("verify-full", "verify-ca"), "warning", "sslmode is verify-ca, which does not verify"),
        ("sslmode=require", "warning", "sslmode is require, which does not verify"),
        ("sslmode=prefer", "warning", "sslmode is prefer, which does not require encryption"),
    ] {
        let url = secured.url("0.0.0.0", "by_scram", parameters);
        Report::of(&Program::new().with("DATABASE_URL", &url)).assert("database.transport", status, found);
    }
}

/// A server with TLS offers SCRAM-SHA-256-PLUS first, which the driver does not support.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_password_method_of_postgres_works_over_tls() {
    let Some(secured) = Secured::for_test("database::tls::every_password_method_of_postgres_works_over_tls") else {
        return;
    };
    let secured = secured.with_passwords().await;
    for role in ["by_scram", "by_md5", "by_password"] {
        let url = secured.url("127.0.0.1", role, &secured.verified());
        assert_reached(&url);
        assert_told(&url.replace(PASSWORD, "wrong-word"), &["password authentication failed"]);
    }
    // A rotated password.
    secured.order("alter role by_scram password 'new-word'").await;
    let url = secured.url("127.0.0.1", "by_scram", &secured.verified());
    assert_told(&url, &["password authentication failed"]);
    assert_reached(&url.replace(PASSWORD, "new-word"));
    let bound = secured.url("127.0.0.1", "by_scram", &(secured.verified() + "&channel_binding=require"));
    let (code, refused) = fail(&Program::new().with("DATABASE_URL", &bound), &["config", "check"]);
    assert!(code != 0 && refused.contains("DATABASE_URL must not ask for channel_binding"), "{code}: {refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_client_certificate_is_refused_with_the_cause() {
    let Some(secured) = Secured::for_test("database::tls::a_wrong_client_certificate_is_refused_with_the_cause") else {
        return;
    };
    let secured = secured.with_passwords().await;
    let url = |parameters: &str| {
        let verified = secured.verified();
        secured.url("127.0.0.1", "by_both", &format!("{verified}&{parameters}"))
    };
    let [right, other] = ["by_both", "other"].map(|name| secured.authority.sign(name, "DNS:client"));
    assert_reached(&url(&parameters(&right)));

    assert_told(&url(""), &["connection requires a valid client certificate"]);
    assert_told(&url(&parameters(&other)), &["failed for user \"by_both\""]);
    let another = Authority::new();
    let stranger = another.sign("by_both", "DNS:client");
    let late = secured.authority.sign_expired("by_both", "DNS:client");
    let mixed = format!("sslcert={}&sslkey={}", right.file.display(), other.key.display());
    assert_told(&url(&mixed), &["sslkey must be the private key of the certificate in sslcert"]);
    for refused in [&late, &stranger] {
        assert_told(
            &url(&parameters(refused)),
            &["the server refuses the client's certificate: sslcert must be valid"],
        );
    }

    // All files are checked before the first connection.
    let encrypted = secured.authority.encrypted(&right.key, PASSWORD);
    let mut empty = NamedTempFile::new().unwrap();
    for (certificate, key) in [(&right.file, &encrypted), (&right.file, &right.file), (&right.file, &"/gone".into())] {
        let pair = format!("sslcert={}&sslkey={}", certificate.display(), key.display());
        let name = format!("sslkey {}", key.display());
        assert_told(&url(&pair), &[&name, "it must hold the private key of sslcert as PEM, without a passphrase"]);
    }
    let pair = format!("sslcert={}&sslkey={}", empty.path().display(), encrypted.display());
    let both = ["it must hold the client's certificate", "without a passphrase"];
    assert_told(&url(&pair), &both);
    writeln!(empty, "-----BEGIN CERTIFICATE-----\nbroken").unwrap();
    assert_told(&url(&pair), &both);
    let nowhere = secured.url("127.0.0.1", "by_scram", "sslmode=verify-full&sslrootcert=nowhere.pem");
    assert_told(&nowhere, &["sslrootcert nowhere.pem cannot be read", "the authorities that sign the server's"]);
    // Neither of these modes uses TLS.
    for mode in ["disable", "allow"] {
        let without_tls = secured.url("127.0.0.1", "by_scram", &format!("sslmode={mode}&sslrootcert=nowhere.pem"));
        assert_told(&without_tls, &["no encryption"]);
    }
}

/// The driver takes only paths, not the content of a file.
#[test]
fn a_private_key_in_the_url_is_refused_and_not_printed() {
    let authority = Authority::new();
    let client = authority.sign("client", "DNS:client");
    let pem = read(&client.key);
    let base64: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let with_attributes = format!("Bag Attributes\n    friendlyName: client\n{pem}");
    let parts = [&pem, &base64, &with_attributes, pem.trim_end(), &pem.replace('\n', "")];
    for content in parts {
        let encoded: String = form_urlencoded::byte_serialize(content.as_bytes()).collect();
        let key = format!("sslcert={}&sslkey={}", client.file.display(), encoded.replace('+', "%20"));
        let told = told(&format!("postgres://client@127.0.0.1:1/postgres?sslmode=verify-full&{key}"));
        assert!(told.contains("sslkey") && told.contains("must name a file with"), "{told}");
        assert!(!told.contains(&base64[..20]) && !told.contains("Bag"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_of_a_pooler_use_tls() {
    const NAME: &str = "database::tls::both_sides_of_a_pooler_use_tls";
    if !PgBouncer::is_there_for(NAME) {
        return;
    }
    let Some(secured) = Secured::for_test(NAME) else { return };
    let direct = secured.server.url("postgres");
    assert_eq!(run(&Program::new().with("DATABASE_URL", &direct), &["migrate"]).0, 0);
    let pooler = PgBouncer::with_tls_to(&direct, &secured.authority);
    let url = format!("{}?{}", pooler.url(), secured.verified());
    let settings = [("DATABASE_URL", &*url), ("DATABASE_POOLER", "transaction"), ("MIGRATE_ON_START", "false")];
    let app = TestApp::at(&direct, &settings).await;
    walk(&app, 1).await;
    let plain = "select count(*)::text from pg_stat_ssl join pg_stat_activity using (pid)
                  where backend_type = 'client backend' and not ssl";
    assert_eq!(sql::texts(&direct, plain).await, ["0"]);
    app.store().close().await;

    let told = |url: &str| {
        let program = Program::new().with("DATABASE_POOLER", "transaction").with("MIGRATE_ON_START", "false");
        fail(&program.with("DATABASE_URL", url), &["client", "list"]).1
    };
    let refused = told(&url.replace("127.0.0.1", "localhost"));
    assert!(refused.contains("must be among the subject alternative names"), "{refused}");
    let refused = told(&format!("{}?sslmode=disable", pooler.url()));
    assert!(refused.contains("SSL required"), "{refused}");
}

/// The roles of `docs/operations.md` without passwords: each logs in with its certificate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_runs_with_client_certificates() {
    let Some(secured) = Secured::for_test("database::tls::the_service_runs_with_client_certificates") else { return };
    for statement in roles("null").lines() {
        secured.order(statement).await;
    }
    let [owner, service] = [OWNER, SERVICE].map(|role| secured.authority.sign(role, "DNS:client"));
    let url = |role, certificate: &Certificate| {
        let verified = secured.verified();
        let url = secured.url("127.0.0.1", role, &format!("{verified}&{}", parameters(certificate)));
        url.replace(&format!(":{PASSWORD}"), "").replace("/postgres?", "/device_management?")
    };
    let (owner, at) = (url(OWNER, &owner), url(SERVICE, &service));
    assert_eq!(run(&Program::new().with("DATABASE_URL", &owner), &["migrate"]).0, 0);
    sql::execute(&owner, grants()).await;

    let app = TestApp::at(&at, &[]).await;
    walk(&app, 1).await;
    app.store().close().await;

    let program = production_on(&TestDatabase::Own { url: at }).with("MIGRATE_ON_START", "false");
    let running = program.serve();
    let (_, credentials) = run(&program, &["client", "create", "--partner", "acme", "--permission", "numbers:assert"]);
    let credential = |line: usize| credentials[line].split_once('=').unwrap().1;
    let client = running.client(credential(0), credential(1)).await;
    let path = "/v1/persons/ada/mobile_number";
    client.post(path, json!({"number": NUMBER, "verified": true})).await.assert_status(201);

    let serials = "select distinct client_serial::text from pg_stat_ssl
                     join pg_stat_activity using (pid)
                    where application_name = 'device-management' and ssl and client_dn = '/CN=device_management'";
    let all = "select distinct coalesce(client_serial, 0)::text from pg_stat_ssl
                 join pg_stat_activity using (pid) where application_name = 'device-management'";
    let admin = secured.server.url("postgres");
    let before = sql::texts(&admin, serials).await;
    assert_eq!((before.len(), &before), (1, &sql::texts(&admin, all).await));

    // Replaced files apply to new connections.
    let renewed = secured.authority.sign(SERVICE, "DNS:client");
    fs::copy(&renewed.file, &service.file).unwrap();
    fs::copy(&renewed.key, &service.key).unwrap();
    let cut = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'device-management'";
    secured.order(cut).await;
    let deadline = Instant::now() + PATIENCE;
    while client.get(path).await.status != 200 {
        assert!(Instant::now() < deadline, "not served again in time");
    }
    let after = sql::texts(&admin, serials).await;
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
    let logs = running.logs().join("\n");
    assert!(!logs.contains("PRIVATE KEY"), "{logs}");
}
