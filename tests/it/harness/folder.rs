//! Temporary folders for tests, in memory where there is room, so that databases do not wait for a disk.
//!
//! The parents are open to every user, because the Postgres server of a test that runs as root runs as another user.
//! The folders themselves are readable only by their owner.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

/// Free space in KiB that `/dev/shm` must have. Containers often have 64 MiB, which is not enough.
const ROOM: u64 = 1024 * 1024;

static PLACE: LazyLock<PathBuf> = LazyLock::new(|| {
    let in_memory = PathBuf::from("/dev/shm");
    let usual = env::temp_dir();
    [Some(in_memory).filter(|folder| free_kib(folder) >= ROOM), Some(usual.clone()), Some("/tmp".into())]
        .into_iter()
        .flatten()
        .find(|folder| is_open_to_all(folder))
        .unwrap_or(usual)
});

/// An empty folder, removed when the handle drops.
pub(super) fn temporary() -> TempDir {
    tempfile::Builder::new().prefix("device-management-").tempdir_in(&*PLACE).expect("a temporary folder can be made")
}

fn is_open_to_all(folder: &Path) -> bool {
    let mode = |folder: &Path| fs::metadata(folder).map_or(0, |metadata| metadata.mode());
    mode(folder) & 0o003 == 0o003 && folder.ancestors().all(|above| mode(above) & 0o001 == 0o001)
}

fn free_kib(folder: &Path) -> u64 {
    let report = Command::new("df").arg("-Pk").arg(folder).output().map(|output| output.stdout).unwrap_or_default();
    let report = String::from_utf8_lossy(&report);
    let available = report.lines().nth(1).and_then(|line| line.split_whitespace().nth(3));
    available.and_then(|kib| kib.parse().ok()).unwrap_or(0)
}
