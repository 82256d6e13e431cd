//! Catches what a test writes to the log.
//!
//! Only this thread's lines, and only while the guard lives: tests of the single-threaded runtime see their own.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};

use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// Nobody's subscriber. As long as a process has only one, a line that another thread comes upon first is judged by that
/// thread's subscriber alone, which is none, and is switched off for every thread.
static BYSTANDER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));

/// The lines so far.
pub(crate) struct Log {
    bytes: Buffer,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Catches lines in the text format.
    pub(crate) fn text() -> Self {
        LazyLock::force(&BYSTANDER);
        let bytes = Buffer::default();
        let subscriber = tracing_subscriber::fmt().with_writer(bytes.clone()).with_ansi(false).finish();
        Self { bytes, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Catches lines in the JSON format.
    pub(crate) fn json() -> Self {
        LazyLock::force(&BYSTANDER);
        let bytes = Buffer::default();
        let subscriber = json_subscriber::fmt().with_writer(bytes.clone()).finish();
        Self { bytes, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// What was written.
    pub(crate) fn contents(&self) -> String {
        String::from_utf8(self.bytes.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Buffer {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
