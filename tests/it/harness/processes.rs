//! Signals to all processes of a Postgres server: to freeze it, or to kill it as in a crash of its machine.
//!
//! Each process of a server has its own session, so there is no group to signal. Only the postmaster forks: once it is
//! stopped, the list of its children is final.

use std::fs;
use std::process::Command;

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
        let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children"))
            .expect("/proc lists the children (Linux)");
        let children = children.split_whitespace().map(|pid| pid.parse().expect("a process id"));
        let frozen = Frozen { processes: children.chain([first]).collect() };
        // A process that has just ended cannot be signalled.
        signal("STOP", &frozen.processes);
        frozen
    }

    /// Kills all its processes with SIGKILL; none can react to the end of another.
    pub(crate) fn kill(&self) {
        let frozen = self.freeze();
        signal("KILL", &frozen.processes);
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        signal("CONT", &self.processes);
    }
}

/// Whether all processes could be signalled. The standard library cannot send these signals; a shell can.
fn signal(name: &str, processes: &[u32]) -> bool {
    let kill = format!("kill -{name} \"$@\"");
    let status = Command::new("sh").args(["-c", &kill, "sh"]).args(processes.iter().map(u32::to_string)).status();
    status.is_ok_and(|status| status.success())
}
