//! PgBouncer in transaction mode in front of a test's database, with few connections for many clients: each transaction
//! goes to any of them.
//!
//! It refuses to run as root, as Postgres does, and ends when its handle drops, at the latest with this process: a shell
//! that holds one end of a pipe sees to that.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reqwest::Url;
use tempfile::TempDir;

use super::postgres::unprivileged_user;
use super::{folder, free_port, report_not_run};

/// Debian's place for it is in the `PATH` of root alone.
const PLACES: [&str; 2] = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"];

/// How long it may take to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running pooler.
pub(crate) struct PgBouncer {
    shell: Child,
    url: String,
    _folder: TempDir,
}

impl PgBouncer {
    /// Whether there is one for `test`; reports that it did not run, if not.
    pub(crate) fn is_there_for(test: &str) -> bool {
        let there = installed().is_some();
        if !there {
            report_not_run(test, "install PgBouncer (apt-get install pgbouncer)");
        }
        there
    }

    /// Starts one in front of the database with this URL. Of the parameters with which a connection begins it ignores the
    /// named ones, and refuses the rest of those that it does not know.
    pub(crate) fn to(database: &str, ignored_parameters: &str) -> Self {
        let target = Url::parse(database).expect("the harness makes good URLs");
        let (folder, port) = (folder::temporary(), free_port());
        let settings = format!(
            "[databases]\n* = host={} port={} user={} password={}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 500\n\
             ignore_startup_parameters = {ignored_parameters}\n",
            target.host_str().expect("a host"),
            target.port().unwrap_or(5432),
            target.username(),
            target.password().unwrap_or_default(),
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, settings).expect("the folder is ours");
        let mut shell = Command::new("sh");
        // `$!` is the pooler; `cat` ends when this process does.
        shell.args(["-c", r#""$1" -q "$2" & cat; kill $!; wait"#, "sh", installed().expect("it was asked for")]);
        shell.arg(&file).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        if fs::metadata(folder.path()).expect("the folder is there").uid() == 0 {
            let (uid, gid) = unprivileged_user().expect("somebody without rights is a user");
            for path in [folder.path(), &file] {
                chown(path, Some(uid), Some(gid)).expect("root may give away what it has");
            }
            shell.uid(uid).gid(gid);
        }
        let shell = shell.spawn().expect("there is a shell");
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < PATIENCE, "the pooler does not listen");
            std::thread::yield_now();
        }
        let name = target.path().trim_start_matches('/');
        Self { shell, url: format!("postgres://somebody@127.0.0.1:{port}/{name}"), _folder: folder }
    }

    /// What `DATABASE_URL` would say.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // Nothing is left to do when waiting fails: the shell has its end of input either way.
        let _ = self.shell.wait();
    }
}

fn installed() -> Option<&'static str> {
    PLACES.into_iter().find(|place| Path::new(place).is_file())
}
