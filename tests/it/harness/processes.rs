//! Signals to all processes of a Postgres server at once: it freezes, or dies as when its machine does.
//!
//! Each process of a server has a session of its own, so there is no group to signal. Only the first one forks: with that
//! one stopped, the list of its children is final.

use std::fs;
use std::process::Command;

use super::PostgresServer;

/// A server whose processes stand still. They go on when this handle drops.
pub(crate) struct Frozen {
    processes: Vec<u32>,
}

impl PostgresServer {
    /// Stops all its processes where they are. Its connections stay open, and the system still takes new ones.
    pub(crate) fn freeze(&self) -> Frozen {
        let first = self.pid();
        assert!(signal("STOP", &[first]), "process {first} takes no signal");
        let children = fs::read_to_string(format!("/proc/{first}/task/{first}/children")).expect("the system is Linux");
        let children = children.split_whitespace().map(|pid| pid.parse().expect("a process id"));
        let frozen = Frozen { processes: children.chain([first]).collect() };
        // One that has just ended takes no signal any more.
        signal("STOP", &frozen.processes);
        frozen
    }

    /// Kills all its processes; none of them has the time to notice.
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

/// Whether all of them took the signal. The standard library cannot send these; wherever a shell is, it can.
fn signal(name: &str, processes: &[u32]) -> bool {
    let kill = format!("kill -{name} \"$@\"");
    let status = Command::new("sh").args(["-c", &kill, "sh"]).args(processes.iter().map(u32::to_string)).status();
    status.is_ok_and(|status| status.success())
}
