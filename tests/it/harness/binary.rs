//! The real executable, run as an operator runs it: its own process, environment, working folder and ports.
//!
//! Its environment has only the variables that a test sets. The system picks its ports; the harness reads them from the
//! log. A wait ends at a log line, at the end of the process, or at its deadline; none polls or sleeps for a line. No
//! process outlives its handle.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::folder;
use super::lines::Lines;

/// Timeout of a start, generous for a machine that compiles at the same time.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// The executable with an environment and a working folder. Copies share the folder, so files outlive a single process.
#[derive(Clone)]
pub(crate) struct Program {
    executable: PathBuf,
    folder: Arc<TempDir>,
    variables: Vec<(String, String)>,
}

impl Program {
    pub(crate) fn new() -> Self {
        let executable = PathBuf::from(env!("CARGO_BIN_EXE_device-management"));
        Self { executable, folder: Arc::new(folder::temporary()), variables: Vec::new() }
            .with("HTTP_ADDR", "127.0.0.1:0")
            .with("METRICS_ADDR", "127.0.0.1:0")
    }

    /// The same environment for the executable of another build.
    pub(crate) fn of_build(mut self, executable: &Path) -> Self {
        executable.clone_into(&mut self.executable);
        self
    }

    /// Sets an environment variable; the last value wins.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The working folder, for configuration files and the default database.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the executable with these arguments and does not wait.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process::start(&mut self.command(arguments))
    }

    /// The command that starts the executable with these arguments, for a test that modifies it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.executable);
        command.args(arguments).current_dir(self.folder()).env_clear();
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the service without arguments and waits until it listens.
    pub(crate) fn serve(&self) -> Service {
        self.serve_by(&mut self.command(&[]))
    }

    /// The same with a command that the test has modified.
    pub(crate) fn serve_by(&self, command: &mut Command) -> Service {
        let process = Process::start(command);
        let line = process.wait_for_log("listening", START_DEADLINE);
        let address = |field| address(&line, field).unwrap_or_else(|| panic!("no {field} in: {line}"));
        Service { http: address("http.addr"), metrics: address("metrics.addr"), process, _folder: self.folder.clone() }
    }
}

/// The socket address that a log line gives for a field, as text (`field=127.0.0.1:1`) or JSON
/// (`"field":"127.0.0.1:1"`).
fn address(line: &str, field: &str) -> Option<SocketAddr> {
    let (_, value) = line.split_once(field)?;
    value.trim_start_matches(['"', '=', ':', ' ']).split(['"', ',', ' ', '}']).next()?.parse().ok()
}

/// A process that listens. Its working folder lives as long as it does.
pub(crate) struct Service {
    process: Process,
    http: SocketAddr,
    metrics: SocketAddr,
    _folder: Arc<TempDir>,
}

impl Service {
    /// The address of the API.
    pub(crate) fn address(&self) -> SocketAddr {
        self.http
    }

    /// The base URL of the API, without a trailing slash.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// The address of the metrics listener.
    pub(crate) fn metrics_address(&self) -> SocketAddr {
        self.metrics
    }

    /// The URL of the metrics.
    pub(crate) fn metrics_url(&self) -> String {
        format!("http://{}/metrics", self.metrics)
    }
}

impl Deref for Service {
    type Target = Process;

    fn deref(&self) -> &Process {
        &self.process
    }
}

/// A started process, killed when this handle drops.
///
/// Its waits block the thread: a test that runs servers for the process needs a multi-threaded runtime.
pub(crate) struct Process {
    child: Mutex<Child>,
    logs: Lines,
    output: Lines,
}

impl Process {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let logs = Lines::of(child.stderr.take().expect("stderr is piped"));
        let output = Lines::of(child.stdout.take().expect("stdout is piped"));
        Self { child: Mutex::new(child), logs, output }
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child().id()
    }

    /// The lines of stderr so far.
    pub(crate) fn logs(&self) -> Vec<String> {
        self.logs.so_far()
    }

    /// The lines of stdout so far.
    pub(crate) fn output(&self) -> Vec<String> {
        self.output.so_far()
    }

    /// Stops reading the log, so that the pipe fills up.
    pub(crate) fn stall_log_reader(&self) {
        self.logs.stall(true);
    }

    /// Resumes reading the log.
    pub(crate) fn resume_log_reader(&self) {
        self.logs.stall(false);
    }

    /// Closes the pipe of the log.
    pub(crate) fn close_log_reader(&self) {
        self.logs.close();
    }

    /// Waits for the exit status, whether or not the log was read. `None` when the deadline passes first.
    pub(crate) async fn exit_status(&self, deadline: Duration) -> Option<ExitStatus> {
        let ended = async {
            loop {
                if let Some(status) = self.child().try_wait().expect("a child can be asked for its status") {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(deadline, ended).await.ok()
    }

    /// Waits for the first log line that contains `pattern`; it may have been written before the call.
    pub(crate) fn wait_for_log(&self, pattern: &str, deadline: Duration) -> String {
        self.logs.wait_for(pattern, deadline).unwrap_or_else(|| self.give_up(&format!("no log line with {pattern:?}")))
    }

    /// Sends SIGTERM, as an orchestrator does. Does nothing when the process has ended already.
    pub(crate) fn terminate(&self) {
        let mut child = self.child();
        if child.try_wait().expect("a child can be asked for its status").is_none() {
            let pid = child.id().to_string();
            // The standard library cannot send SIGTERM; a shell can.
            let status = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &pid]).status();
            assert!(status.is_ok_and(|status| status.success()), "cannot signal process {pid}");
        }
    }

    /// Sends SIGKILL, as in a crash, and waits for the end.
    pub(crate) fn kill(&self) {
        let mut child = self.child();
        child.kill().and_then(|()| child.wait()).expect("a child can be killed and waited for");
    }

    /// Waits until the process has ended and all its output has been read.
    pub(crate) fn wait(&self, deadline: Duration) -> ExitStatus {
        let end = Instant::now() + deadline;
        for lines in [&self.logs, &self.output] {
            if !lines.wait_for_end(end.saturating_duration_since(Instant::now())) {
                self.give_up("the process did not end");
            }
        }
        self.child().wait().expect("a child can be waited for")
    }

    fn give_up(&self, problem: &str) -> ! {
        panic!("{problem}; its log:\n{}\nits output:\n{}", self.logs().join("\n"), self.output().join("\n"))
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().expect("only a failed test poisons the lock")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Both fail only for a child that has ended and been waited for.
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_read_from_both_log_formats() {
        let text = "2026-01-01T00:00:00Z  INFO listening http.addr=127.0.0.1:4711 metrics.addr=127.0.0.1:4712";
        let json = r#"{"fields":{"message":"listening","http.addr":"127.0.0.1:4711","metrics.addr":"127.0.0.1:4712"}}"#;
        for line in [text, json] {
            assert_eq!(address(line, "http.addr"), Some(SocketAddr::from(([127, 0, 0, 1], 4711))));
            assert_eq!(address(line, "metrics.addr"), Some(SocketAddr::from(([127, 0, 0, 1], 4712))));
        }
        assert_eq!(address(text, "admin.addr"), None);
    }
}
