//! PgBouncer in transaction mode in front of a test's database, with few server connections for many clients: each
//! transaction runs on any of them.
//!
//! It refuses to run as root, as Postgres does. It ends when its handle drops, at the latest when this process ends: a
//! shell waits for its stdin to close and then kills the pooler.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Url;
use tempfile::TempDir;

use super::certificates::Authority;
use super::postgres::unprivileged_user;
use super::{folder, free_port, report_not_run};

/// On Debian, only root has its folder in `PATH`.
const PLACES: [&str; 2] = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"];

/// Timeout of the start.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A running pooler.
pub(crate) struct PgBouncer {
    shell: Child,
    url: String,
    _folder: TempDir,
}

impl PgBouncer {
    /// Whether PgBouncer is installed. If not, reports `test` as not run.
    pub(crate) fn is_there_for(test: &str) -> bool {
        let there = installed().is_some();
        if !there {
            report_not_run(test, "install PgBouncer (apt-get install pgbouncer)");
        }
        there
    }

    /// Starts a pooler in front of the database of this URL. It ignores the startup parameters in `ignored_parameters`,
    /// and refuses connections with any other unknown one.
    pub(crate) fn to(database: &str, ignored_parameters: &str) -> Self {
        Self::start(database, &format!("ignore_startup_parameters = {ignored_parameters}\n"), &[])
    }

    /// Starts a pooler that uses TLS on both sides: it presents a certificate for 127.0.0.1, and verifies the server's. This
    /// authority has signed both.
    pub(crate) fn with_tls_to(database: &str, authority: &Authority) -> Self {
        let its = authority.sign("pooler", "IP:127.0.0.1");
        let settings = "client_tls_sslmode = require\nclient_tls_cert_file = its.pem\nclient_tls_key_file = its.key\n\
                        server_tls_sslmode = verify-full\nserver_tls_ca_file = ca.pem\n";
        Self::start(database, settings, &[("ca.pem", &authority.file()), ("its.pem", &its.file), ("its.key", &its.key)])
    }

    /// Starts a pooler with these settings, and copies of these files in its folder.
    fn start(database: &str, settings: &str, files: &[(&str, &Path)]) -> Self {
        let target = Url::parse(database).expect("the harness makes valid URLs");
        let (folder, port) = (folder::temporary(), free_port());
        let settings = format!(
            "[databases]\n* = host={} port={} user={} password={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 500\n{settings}",
            target.host_str().expect("a host"),
            target.port().unwrap_or(5432),
            target.username(),
            target.password().unwrap_or_default(),
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, settings).expect("the folder is writable");
        let copies: Vec<_> = files.iter().map(|(name, from)| (folder.path().join(name), from)).collect();
        for (copy, from) in &copies {
            fs::copy(from, copy).expect("the folder is writable");
        }
        let mut shell = Command::new("sh");
        // `$!` is the pooler; `cat` ends when this process does.
        shell.args([
            "-c",
            r#""$1" -q "$2" & cat; kill $!; wait"#,
            "sh",
            installed().expect("the test checked that it is installed"),
        ]);
        shell
            .arg(&file)
            .current_dir(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0);
        if fs::metadata(folder.path()).expect("the folder exists").uid() == 0 {
            let (uid, gid) = unprivileged_user().expect("an unprivileged user exists");
            for path in [folder.path(), &file].into_iter().chain(copies.iter().map(|(copy, _)| copy.as_path())) {
                chown(path, Some(uid), Some(gid)).expect("root may change the owner");
            }
            shell.uid(uid).gid(gid);
        }
        let shell = shell.spawn().expect("a shell can be started");
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < START_TIMEOUT, "the pooler does not listen");
            std::thread::yield_now();
        }
        let name = target.path().trim_start_matches('/');
        Self { shell, url: format!("postgres://unchecked@127.0.0.1:{port}/{name}"), _folder: folder }
    }

    /// The value for `DATABASE_URL`.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // If waiting fails, the shell still ends, because its stdin is closed.
        let _ = self.shell.wait();
    }
}

fn installed() -> Option<&'static str> {
    PLACES.into_iter().find(|place| Path::new(place).is_file())
}
