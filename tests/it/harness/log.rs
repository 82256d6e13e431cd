//! Captures log lines of this thread while the guard lives.
//!
//! Only tests on the single-threaded runtime capture all their lines.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};

use tracing::Dispatch;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// A second subscriber that receives no lines. With only one subscriber in the process, `tracing` caches a callsite's
/// interest from the thread that reaches it first; a thread without a subscriber would disable the line for all
/// threads.
static BYSTANDER: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(tracing_subscriber::registry()));

/// Captured lines.
pub(crate) struct Log {
    bytes: Buffer,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Captures lines in the text format.
    pub(crate) fn text() -> Self {
        LazyLock::force(&BYSTANDER);
        let bytes = Buffer::default();
        let subscriber = tracing_subscriber::fmt().with_writer(bytes.clone()).with_ansi(false).finish();
        Self { bytes, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Captures lines in the JSON format.
    pub(crate) fn json() -> Self {
        LazyLock::force(&BYSTANDER);
        let bytes = Buffer::default();
        let subscriber = json_subscriber::fmt().with_writer(bytes.clone()).finish();
        Self { bytes, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// The lines so far as one text.
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
