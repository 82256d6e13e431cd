//! The output of a process, line by line. A dedicated thread reads it, so that the process never blocks on a full pipe
//! unless a test stalls the reader.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// The lines of one stream: those read so far, and waits for those to come.
pub(super) struct Lines(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
    stalled: bool,
    closed: bool,
}

impl Lines {
    pub(super) fn of(source: impl Read + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let writer = Arc::clone(&shared);
        thread::spawn(move || {
            for line in BufReader::new(source).split(b'\n').map_while(Result::ok) {
                writer.change(|state| state.lines.push(String::from_utf8_lossy(&line).into_owned()));
                if writer.wait_while(Duration::MAX, |state| state.stalled).closed {
                    break;
                }
            }
            writer.change(|state| state.ended = true);
        });
        Self(shared)
    }

    /// Stops or resumes reading. While stalled, the pipe fills up.
    pub(super) fn stall(&self, stalled: bool) {
        self.0.change(|state| state.stalled = stalled);
    }

    /// Closes the pipe after the next line.
    pub(super) fn close(&self) {
        self.0.change(|state| state.closed = true);
    }

    pub(super) fn so_far(&self) -> Vec<String> {
        self.0.state().lines.clone()
    }

    /// The first line that contains `pattern`; `None` when the stream ends or the deadline passes without one.
    pub(super) fn wait_for(&self, pattern: &str, deadline: Duration) -> Option<String> {
        let mut seen = 0;
        let state = self.0.wait_while(deadline, |state| {
            seen += state.lines[seen..].iter().take_while(|line| !line.contains(pattern)).count();
            seen == state.lines.len() && !state.ended
        });
        state.lines.get(seen).cloned()
    }

    /// Whether the stream ends before the deadline.
    pub(super) fn wait_for_end(&self, deadline: Duration) -> bool {
        self.0.wait_while(deadline, |state| !state.ended).ended
    }
}

impl Shared {
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("the lock is not poisoned")
    }

    fn wait_while(&self, deadline: Duration, mut waiting: impl FnMut(&State) -> bool) -> MutexGuard<'_, State> {
        let wait = self.changed.wait_timeout_while(self.state(), deadline, |state| waiting(state));
        wait.expect("the lock is not poisoned").0
    }
}
