//! Throw-away Postgres servers, made from the installed Postgres.
//!
//! A server listens on a free port of loopback only and requires a random password. It lives no longer than the test
//! process: `guard.sh` holds one end of a pipe, this process the other, and when the pipe closes (also after SIGKILL)
//! the guard stops the server and removes its folder. Postgres refuses to run as root; if the tests run as root, the
//! guard and the server run as the user `postgres` or `nobody`.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::{env, iter};

use super::{folder, free_port, random_word};

/// Settings of every server; those of a single server come after these and win. Without `fsync` a commit survives a
/// crash of the server but not of the machine, which no test simulates.
const SETTINGS: [(&str, &str); 8] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("max_connections", "300"),
    ("fsync", "off"),
    ("full_page_writes", "off"),
    ("autovacuum", "off"),
    ("min_wal_size", "32MB"),
    ("max_wal_size", "128MB"),
];

/// Retries when another process takes the free port before Postgres listens on it.
const PORT_ATTEMPTS: usize = 5;

/// The folder of the Postgres programs: the first in `PATH`, else the newest version in Debian's folder.
pub(crate) fn installed() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    debian.sort_by_key(|version| version.file_name().and_then(OsStr::to_str).and_then(|name| name.parse::<u32>().ok()));
    env::split_paths(&path)
        .chain(debian.into_iter().rev().map(|version| version.join("bin")))
        // `PATH` may hold a link to one program; the others are beside the target of the link.
        .filter_map(|folder| Some(folder.join("initdb").canonicalize().ok()?.parent()?.to_owned()))
        .find(|folder| ["pg_ctl", "postgres"].iter().all(|program| folder.join(program).is_file()))
}

/// A running server; stopped and removed when dropped, at the latest when this process ends.
pub(crate) struct PostgresServer {
    guard: Child,
    answers: BufReader<ChildStdout>,
    folder: PathBuf,
    port: u16,
    password: String,
}

impl PostgresServer {
    /// Starts a fresh server with `settings` added to the usual ones. Blocks for about a second.
    pub(crate) fn start(settings: &[(&str, &str)]) -> Result<Self, String> {
        Self::start_with(settings, &[])
    }

    /// Starts a fresh server with these files in its data folder, and with `settings` added to the usual ones.
    pub(crate) fn start_with(settings: &[(&str, &str)], files: &[(&str, &str)]) -> Result<Self, String> {
        Self::start_as(random_word(), settings, files)
    }

    /// Starts another fresh server, with the same password.
    pub(super) fn beside(&self, settings: &[(&str, &str)]) -> Result<Self, String> {
        Self::start_as(self.password.clone(), settings, &[])
    }

    fn start_as(password: String, settings: &[(&str, &str)], files: &[(&str, &str)]) -> Result<Self, String> {
        let bin = installed().ok_or("no Postgres is installed")?;
        let prepared = Self::prepare(&bin, password);
        let mut server = prepared.map_err(|error| format!("cannot prepare a Postgres server: {error}"))?;
        server.order("initialise")?;
        for (name, text) in files {
            server.put(name, text);
        }
        server.configure(SETTINGS.iter().chain(settings))?;
        server.listen()
    }

    /// Writes a file into the data folder that only the server can read. The server reads it when it restarts.
    pub(crate) fn put(&self, name: &str, text: &str) {
        let file = self.folder.join("data").join(name);
        let owner = fs::metadata(&self.folder).expect("the folder exists");
        fs::write(&file, text).expect("the folder is writable");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("the file is ours");
        // Only root can change the owner, and only a server of root has another one.
        chown(&file, Some(owner.uid()), Some(owner.gid())).expect("the file is ours, or we are root");
    }

    /// Starts a streaming replica of this server on another port. Blocks for about a second.
    pub(crate) fn standby(&self) -> Result<Self, String> {
        let bin = installed().ok_or("no Postgres is installed")?;
        let prepare = || {
            let standby = Self::prepare(&bin, self.password.clone())?;
            let primary = format!("host=127.0.0.1 port={} user=postgres password={}", self.port, self.password);
            fs::write(standby.folder.join("primary"), primary).map(|()| standby)
        };
        let mut standby = prepare().map_err(|error| format!("cannot prepare a standby: {error}"))?;
        standby.order("copy")?;
        standby.listen()
    }

    /// Promotes a standby to a primary.
    pub(crate) fn promote(&mut self) -> Result<(), String> {
        self.order("promote")
    }

    fn listen(mut self) -> Result<Self, String> {
        for _ in 0..PORT_ATTEMPTS {
            self.port = free_port();
            self.configure(iter::once(&("port", &*self.port.to_string())))?;
            match self.order("start") {
                Err(report) if report.contains("could not bind") => {}
                outcome => return outcome.map(|()| self),
            }
        }
        Err(format!("each of {PORT_ATTEMPTS} free ports was taken before Postgres could listen on it"))
    }

    /// The connection URL of one of its databases, as the superuser `postgres`.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{}@127.0.0.1:{}/{database}", self.password, self.port)
    }

    /// The folder of its socket, if `unix_socket_directories` is `.`.
    pub(crate) fn socket_folder(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Restarts a primary as a standby that follows no server, as Patroni demotes a primary without its lease.
    pub(crate) fn demote(&mut self) -> Result<(), String> {
        self.put("standby.signal", "");
        self.restart()
    }

    /// The password of the superuser.
    pub(super) fn password(&self) -> &str {
        &self.password
    }

    /// The port that it listens on.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its log so far.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.folder.join("server.log")).expect("the server has a log");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Process id of the running server, which a test can kill to simulate a crash.
    pub(crate) fn pid(&self) -> u32 {
        let file = fs::read_to_string(self.folder.join("data/postmaster.pid")).expect("the server runs");
        file.lines().next().and_then(|line| line.parse().ok()).expect("the first line is the process id")
    }

    /// Removes the lock file of a killed server.
    pub(super) fn unlock(&self) {
        fs::remove_file(self.folder.join("data/postmaster.pid")).expect("a killed server leaves its lock file");
    }

    /// Stops the server in mode `immediate`, as in a crash. Its data stays.
    pub(crate) fn stop(&mut self) -> Result<(), String> {
        self.order("stop")
    }

    /// Starts the stopped or killed server again, on the same port and with the same data.
    pub(crate) fn start_again(&mut self) -> Result<(), String> {
        self.order("start")
    }

    /// Restarts the server in mode `fast`: clients get an error before the connection closes.
    pub(crate) fn restart(&mut self) -> Result<(), String> {
        self.order("restart")
    }

    fn prepare(bin: &Path, password: String) -> io::Result<Self> {
        let folder = folder::temporary();
        let password_file = folder.path().join("password");
        fs::write(&password_file, &password)?;
        let mut guard = Command::new("sh");
        guard.args(["-c", include_str!("guard.sh"), "guard"]).arg(bin).arg(folder.path());
        guard.current_dir(folder.path()).env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
        guard.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Its own process group: signals of the terminal to the tests do not reach it.
        guard.process_group(0);
        if fs::metadata(folder.path())?.uid() == 0 {
            let (uid, gid) = unprivileged_user()?;
            chown(&password_file, Some(uid), Some(gid))?;
            chown(folder.path(), Some(uid), Some(gid))?;
            guard.uid(uid).gid(gid);
        }
        let mut guard = guard.spawn()?;
        let answers = BufReader::new(guard.stdout.take().expect("stdout is piped"));
        Ok(Self { guard, answers, folder: folder.keep(), port: 0, password })
    }

    /// Sends the guard an order and waits until it is done. The error contains the logs of guard and server.
    fn order(&mut self, order: &str) -> Result<(), String> {
        let orders = self.guard.stdin.as_mut().expect("stdin is piped and stays open");
        let mut answer = String::new();
        writeln!(orders, "{order}")
            .and_then(|()| self.answers.read_line(&mut answer))
            .map_err(|error| format!("the guard of Postgres has ended: {error}"))?;
        if answer.trim_end() == "0" {
            return Ok(());
        }
        let log = |name| fs::read_to_string(self.folder.join(name)).unwrap_or_default();
        Err(format!("Postgres could not {order}:\n{}{}", log("guard.log"), log("server.log")))
    }

    /// Appends to the configuration file. The last entry of a setting wins.
    fn configure<'a>(&self, settings: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> Result<(), String> {
        let write = |file: &mut fs::File| {
            settings.into_iter().try_for_each(|(name, value)| {
                writeln!(file, "{name} = '{}'", value.replace('\\', r"\\").replace('\'', "''"))
            })
        };
        fs::OpenOptions::new()
            .append(true)
            .open(self.folder.join("data/postgresql.conf"))
            .and_then(|mut file| write(&mut file))
            .map_err(|error| format!("cannot write postgresql.conf: {error}"))
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        // If waiting fails, the guard still ends, because its stdin is closed.
        let _ = self.guard.wait();
    }
}

/// User and group id for programs that refuse to run as root, such as Postgres. `initdb` requires an entry in the user
/// database.
pub(crate) fn unprivileged_user() -> io::Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd")?;
    let user = |wanted: &str| {
        let entry: Vec<&str> = users.lines().map(|line| line.split(':').collect()).find(|e: &Vec<_>| e[0] == wanted)?;
        Some((entry.get(2)?.parse().ok()?, entry.get(3)?.parse().ok()?))
    };
    user("postgres").or_else(|| user("nobody")).ok_or_else(|| io::Error::other("neither postgres nor nobody is a user"))
}
