//! Writes log lines to standard error: a bounded queue and one writer thread.
//!
//! No request waits for a stalled log reader. When the queue is full, lines are dropped and counted. Errors and audit
//! decisions have reserved space, so that they are dropped last. Lines are written in the order of logging.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// The queue size in bytes above which ordinary lines are dropped.
const ROOM: usize = 4 * 1024 * 1024;
/// The queue size in bytes above which errors and audit decisions are dropped too.
const ROOM_FOR_ALL: usize = 2 * ROOM;
/// The size in bytes after which a batch is written; a batch ends with a whole line.
const BATCH: usize = 64 * 1024;
/// The pause between batches. The writer thread wakes up once per batch, not once per line.
const PAUSE: Duration = Duration::from_millis(5);
/// The longest time that the exit of the process waits for the queue to be written.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

/// The target of audit decisions, see `service::audit::scope`.
const AUDIT: &str = "audit";

/// Queues log lines without blocking. A clone is another handle to the same queue.
#[derive(Clone)]
pub struct LogWriter {
    queue: Sender<Entry>,
    state: Arc<State>,
}

struct State {
    /// Bytes in the queue.
    waiting: AtomicUsize,
    /// Lines dropped so far.
    dropped: AtomicU64,
    room: Room,
}

/// The queue limits in bytes, by the kind of line.
#[derive(Clone, Copy)]
struct Room {
    ordinary: usize,
    important: usize,
}

enum Entry {
    Line(Vec<u8>),
    /// Requests a notification when every line before it is written.
    Mark(SyncSender<()>),
}

/// The kind of a line, which decides when it is dropped. The names are the values of the metric's label.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Everything else.
    Ordinary,
    /// Errors and audit decisions.
    Important,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Ordinary, Self::Important];

    fn of(line: &Metadata<'_>) -> Self {
        if *line.level() == Level::ERROR || line.target() == AUDIT { Self::Important } else { Self::Ordinary }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Ordinary => "ordinary",
            Self::Important => "important",
        }
    }
}

impl LogWriter {
    /// Starts the thread that writes to `output`.
    ///
    /// # Errors
    /// When the operating system cannot start another thread.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        Self::with_room(output, Room { ordinary: ROOM, important: ROOM_FOR_ALL })
    }

    fn with_room(output: impl Write + Send + 'static, room: Room) -> io::Result<Self> {
        let (queue, lines) = channel();
        let state = Arc::new(State { waiting: AtomicUsize::new(0), dropped: AtomicU64::new(0), room });
        let thread = Thread { lines, state: state.clone(), output, reported: 0 };
        thread::Builder::new().name("log".to_owned()).spawn(move || thread.run())?;
        Ok(Self { queue, state })
    }

    /// Queues a line that is not a log event.
    pub fn line(&self, text: &str) {
        self.push(Kind::Important, format!("{text}\n").as_bytes());
    }

    /// Waits until all lines are written, but not longer than [`FLUSH_TIMEOUT`].
    pub fn finish(&self) {
        let (done, wait) = sync_channel(1);
        if self.queue.send(Entry::Mark(done)).is_ok() {
            let _ = wait.recv_timeout(FLUSH_TIMEOUT);
        }
    }

    fn push(&self, kind: Kind, line: &[u8]) {
        let room = match kind {
            Kind::Ordinary => self.state.room.ordinary,
            Kind::Important => self.state.room.important,
        };
        let before = self.state.waiting.fetch_add(line.len(), Ordering::Relaxed);
        if before + line.len() <= room && self.queue.send(Entry::Line(line.to_vec())).is_ok() {
            return;
        }
        self.state.waiting.fetch_sub(line.len(), Ordering::Relaxed);
        self.state.dropped.fetch_add(1, Ordering::Relaxed);
        metrics::counter!("log_lines_dropped_total", "kind" => kind.as_str()).increment(1);
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { writer: self, kind: Kind::Ordinary }
    }

    fn make_writer_for(&'a self, line: &Metadata<'_>) -> Line<'a> {
        Line { writer: self, kind: Kind::of(line) }
    }
}

/// One line. The layers write it with one call.
pub struct Line<'a> {
    writer: &'a LogWriter,
    kind: Kind,
}

impl Write for Line<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.writer.push(self.kind, line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The writer thread. It ends with the process.
struct Thread<W> {
    lines: Receiver<Entry>,
    state: Arc<State>,
    output: W,
    /// How many dropped lines have been reported in the log.
    reported: u64,
}

impl<W: Write> Thread<W> {
    #[expect(clippy::disallowed_methods, reason = "a dedicated thread outside the async runtime")]
    fn run(mut self) {
        let mut batch = Vec::with_capacity(BATCH);
        while let Ok(first) = self.lines.recv() {
            let mut marks = Vec::new();
            for entry in std::iter::once(first).chain(std::iter::from_fn(|| self.lines.try_recv().ok())) {
                match entry {
                    Entry::Line(line) => batch.extend_from_slice(&line),
                    Entry::Mark(mark) => marks.push(mark),
                }
                if batch.len() >= BATCH {
                    break;
                }
            }
            // Standard error may be closed. The service keeps running without a log.
            let _ = self.output.write_all(&batch).and_then(|()| self.output.flush());
            let waiting = self.state.waiting.fetch_sub(batch.len(), Ordering::Relaxed) - batch.len();
            batch.clear();
            for mark in &marks {
                let _ = mark.send(());
            }
            if waiting == 0 {
                self.report_dropped_lines();
            }
            if marks.is_empty() {
                thread::sleep(PAUSE);
            }
        }
    }

    /// Logs how many lines were dropped, once the queue has space again.
    fn report_dropped_lines(&mut self) {
        let dropped = self.state.dropped.load(Ordering::Relaxed);
        if dropped > self.reported {
            tracing::warn!(lines = dropped - self.reported, "log lines dropped, the log reader is too slow");
            self.reported = dropped;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::*;

    /// An output that blocks until the test opens it.
    #[derive(Clone, Default)]
    struct Pipe(Arc<PipeState>);

    #[derive(Default)]
    struct PipeState {
        /// Whether it is open, and the bytes written to it.
        read: Mutex<(bool, Vec<u8>)>,
        opened: Condvar,
    }

    impl Pipe {
        fn open(&self) {
            self.0.read.lock().unwrap().0 = true;
            self.0.opened.notify_all();
        }

        fn text(&self) -> String {
            String::from_utf8(self.0.read.lock().unwrap().1.clone()).unwrap()
        }
    }

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut read = self.0.opened.wait_while(self.0.read.lock().unwrap(), |read| !read.0).unwrap();
            read.1.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_queue_drops_ordinary_lines_first_and_keeps_its_bound() {
        let pipe = Pipe::default();
        let writer = LogWriter::with_room(pipe.clone(), Room { ordinary: 50, important: 100 }).unwrap();
        for number in 0..100 {
            writer.push(Kind::Ordinary, format!("o{number:03}.....\n").as_bytes());
        }
        for number in 0..100 {
            writer.push(Kind::Important, format!("i{number:03}.....\n").as_bytes());
        }
        assert_eq!(writer.state.waiting.load(Ordering::Relaxed), 100);
        assert_eq!(writer.state.dropped.load(Ordering::Relaxed), 190);

        pipe.open();
        writer.finish();
        let text = pipe.text();
        let lines: Vec<&str> = text.lines().map(|line| &line[..4]).collect();
        assert_eq!(lines, ["o000", "o001", "o002", "o003", "o004", "i000", "i001", "i002", "i003", "i004"]);
        writer.push(Kind::Ordinary, b"room again\n");
        writer.finish();
        assert!(pipe.text().ends_with("room again\n"));
    }

    #[test]
    fn the_exit_does_not_wait_long_for_a_stalled_log_reader() {
        let writer = LogWriter::start(Pipe::default()).unwrap();
        writer.line("lost");
        let started = std::time::Instant::now();
        writer.finish();
        assert!(started.elapsed() < FLUSH_TIMEOUT * 5);
    }
}
