//! Signals to all processes of a Postgres server: to freeze it, or to kill it as in a crash of its machine.
//!
//! Each process of a server has its own session, so there is no group to signal. Only the postmaster forks: once it is
//! stopped, the list of its children is final.

use std::fs;
use std::process::Command;
use std::thread;

use super::PostgresServer;

/// A server whose processes are stopped. They continue when this handle drops.
pub(crate) struct Frozen {
    processes: Vec<u32>,
}

impl PostgresServer {
    /// Stops all its processes. Connections stay open, and the kernel still accepts new ones.
    pub(crate) fn freeze(&self) -> Frozen {
        let first = self.pid();
        assert!(signal("STOP", &[first]), "cannot signal process {first}");
        let frozen = Frozen { processes: self.children().into_iter().chain([first]).collect() };
        // A process that has just ended cannot be signalled.
        signal("STOP", &frozen.processes);
        frozen
    }

    /// Stops the process that writes commits to disk for which no client waits. They are written no earlier than the next
    /// commit for which one waits.
    pub(crate) fn freeze_wal_writer(&self) -> Frozen {
        let is_wal_writer = |pid: &u32| {
            let name = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            name.contains("walwriter")
        };
        let frozen = Frozen { processes: self.children().into_iter().filter(is_wal_writer).collect() };
        assert!(frozen.processes.len() == 1 && signal("STOP", &frozen.processes), "the server has a WAL writer");
        frozen
    }

    fn children(&self) -> Vec<u32> {
        let first = self.pid();
        let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children"))
            .expect("/proc lists the children (Linux)");
        children.split_whitespace().map(|pid| pid.parse().expect("a process id")).collect()
    }

    /// Kills all its processes with SIGKILL; none can react to the end of another. Returns when they are dead, and removes
    /// the lock file: Postgres takes a dead process that was not waited for to be running.
    pub(crate) fn kill(&self) {
        let frozen = self.freeze();
        signal("KILL", &frozen.processes);
        while frozen.processes.iter().any(|pid| is_alive(*pid)) {
            thread::yield_now();
        }
        self.unlock();
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal("CONT", &self.processes);
    }
}

/// Whether a process exists and is not a zombie (proc(5)).
fn is_alive(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with(['Z', 'X']))
}

/// Whether all processes could be signalled. The standard library cannot send these signals; a shell can.
fn signal(name: &str, processes: &[u32]) -> bool {
    let kill = format!("kill -{name} \"$@\"");
    let status = Command::new("sh").args(["-c", &kill, "sh"]).args(processes.iter().map(u32::to_string)).status();
    status.is_ok_and(|status| status.success())
}
