//! The real executable, run as an operator runs it: its own process, environment, working folder and ports.
//!
//! It gets no variable but those that a test names, and ports that the system picks; its log says which. Waiting is
//! reading: every wait ends with a line or with the end of the process, at the latest at its deadline. No process
//! outlives its handle.

use std::net::SocketAddr;
use std::ops::Deref;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::folder;
use super::lines::Lines;

/// How long a start may take on a machine that builds something else at the same time.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// The executable with an environment and a working folder, which copies share. What one process leaves in the folder the next one finds.
#[derive(Clone)]
pub(crate) struct Program {
    folder: Arc<TempDir>,
    variables: Vec<(String, String)>,
}

impl Program {
    pub(crate) fn new() -> Self {
        Self { folder: Arc::new(folder::temporary()), variables: Vec::new() }
            .with("HTTP_ADDR", "127.0.0.1:0")
            .with("METRICS_ADDR", "127.0.0.1:0")
    }

    /// Sets an environment variable; the last word on a name counts.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The working folder, where configuration files can be put and the default database appears.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the executable with these arguments and waits for nothing.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process::start(&mut self.command(arguments))
    }

    /// How the executable is started with these arguments, for a test that changes that.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_device-management"));
        command.args(arguments).current_dir(self.folder()).env_clear();
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the service, without any argument, and waits until it listens.
    pub(crate) fn serve(&self) -> Service {
        self.serve_by(&mut self.command(&[]))
    }

    /// The same by a command of the test's own.
    pub(crate) fn serve_by(&self, command: &mut Command) -> Service {
        let process = Process::start(command);
        let line = process.wait_for_log("listening", START_DEADLINE);
        let address = |field| address(&line, field).unwrap_or_else(|| panic!("no {field} in: {line}"));
        Service { http: address("http.addr"), metrics: address("metrics.addr"), process, _folder: self.folder.clone() }
    }
}

/// The socket address that a log line gives for a field, as text (`field=127.0.0.1:1`) or JSON (`"field":"127.0.0.1:1"`).
fn address(line: &str, field: &str) -> Option<SocketAddr> {
    let (_, value) = line.split_once(field)?;
    value.trim_start_matches(['"', '=', ':', ' ']).split(['"', ',', ' ', '}']).next()?.parse().ok()
}

/// A process that listens. Its working folder stays as long as it does.
pub(crate) struct Service {
    process: Process,
    http: SocketAddr,
    metrics: SocketAddr,
    _folder: Arc<TempDir>,
}

impl Service {
    /// Where connections are accepted.
    pub(crate) fn address(&self) -> SocketAddr {
        self.http
    }

    /// Where the interface of the contract is, without a slash at the end.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}", self.http)
    }

    /// Where connections to the metrics are accepted.
    pub(crate) fn metrics_address(&self) -> SocketAddr {
        self.metrics
    }

    /// Where the metrics are.
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

/// A started process, which dies with this handle.
///
/// Its waits block the thread: a test that plays the service's neighbours meanwhile needs a multi-threaded runtime.
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

    /// By what the system knows it.
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

    /// The reader of the log stalls: the pipe behind it fills up.
    pub(crate) fn stall_log_reader(&self) {
        self.logs.stall(true);
    }

    /// The reader of the log goes on.
    pub(crate) fn resume_log_reader(&self) {
        self.logs.stall(false);
    }

    /// The reader of the log goes away.
    pub(crate) fn close_log_reader(&self) {
        self.logs.close();
    }

    /// The exit status, once the process has ended, whether or not its log was read. Nothing when the deadline passes first.
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

    /// The first log line that contains `pattern`, be it there already or yet to come.
    pub(crate) fn wait_for_log(&self, pattern: &str, deadline: Duration) -> String {
        self.logs.wait_for(pattern, deadline).unwrap_or_else(|| self.give_up(&format!("no log line with {pattern:?}")))
    }

    /// Asks it to end, as an orchestrator does: SIGTERM. Nothing happens when it has ended already.
    pub(crate) fn terminate(&self) {
        let mut child = self.child();
        if child.try_wait().expect("a child can be asked for its status").is_none() {
            let pid = child.id().to_string();
            // The standard library cannot send this signal; wherever a shell is, it can.
            let status = Command::new("sh").args(["-c", "kill -TERM \"$1\"", "sh", &pid]).status();
            assert!(status.is_ok_and(|status| status.success()), "process {pid} takes no signal");
        }
    }

    /// Ends it as a crash does, at once and in the middle of whatever it does: SIGKILL.
    pub(crate) fn kill(&self) {
        let mut child = self.child();
        child.kill().and_then(|()| child.wait()).expect("a child can be killed and waited for");
    }

    /// Waits until it has ended and all that it wrote has been read.
    pub(crate) fn wait(&self, deadline: Duration) -> ExitStatus {
        let end = Instant::now() + deadline;
        for lines in [&self.logs, &self.output] {
            if !lines.wait_for_end(end.saturating_duration_since(Instant::now())) {
                self.give_up("the process did not end");
            }
        }
        self.child().wait().expect("a child can be waited for")
    }

    fn give_up(&self, what: &str) -> ! {
        panic!("{what}; its log:\n{}\nits output:\n{}", self.logs().join("\n"), self.output().join("\n"))
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().expect("only a failed test leaves the lock broken")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Neither can fail but for a child that has ended and been waited for.
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
