//! Opens connections for the pool, and decides which idle ones are still usable.
//!
//! A recently used connection is not tested, which saves a round trip per request; one that has been idle for longer is
//! pinged first. A connection whose last statement did not end cleanly never gets here: `lent` closes it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use sqlx::Connection;

use crate::store::dialect::Dialect;

/// A connection that was idle for longer is pinged before use: the server may have become unreachable.
const TRUSTED_IDLE_TIME: Duration = Duration::from_secs(1);

/// A connection that was idle for longer is closed without a ping: networks drop idle connections silently.
const IDLE_MAX: Duration = Duration::from_mins(10);

/// Maximum lifetime: a server process accumulates memory, and DNS may have changed.
const AGE_MAX: Duration = Duration::from_mins(30);

/// Opens connections to one database.
#[async_trait::async_trait]
pub(in crate::store) trait Open<DB: Dialect>: Send + Sync {
    /// Opens a connection.
    async fn open(&self) -> sqlx::Result<DB::Connection>;

    /// Device and inode number of the file that a new connection would open. `None` if it is not a file.
    fn file(&self) -> Option<(u64, u64)>;
}

/// Opens connections to one database.
pub(in crate::store) struct Connector<DB: Dialect> {
    open: Box<dyn Open<DB>>,
    /// Incremented when a statement detects a schema change.
    plans: Arc<AtomicUsize>,
}

/// An open connection with the state at its opening.
pub(in crate::store) struct Opened<DB: Dialect> {
    connection: DB::Connection,
    file: Option<(u64, u64)>,
    plans: usize,
    newest_plans: Arc<AtomicUsize>,
}

impl<DB: Dialect> Connector<DB> {
    pub(in crate::store) fn new(open: impl Open<DB> + 'static) -> Self {
        Self { open: Box::new(open), plans: Arc::default() }
    }
}

impl<DB: Dialect> Opened<DB> {
    /// Discards every connection that is open now: the schema has changed, and their prepared statements may be stale.
    pub(super) fn forget_plans(&self) {
        // Of several statements that detect the same change, only the first increments.
        let (seen, next) = (self.plans, self.plans + 1);
        let _ = self.newest_plans.compare_exchange(seen, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    pub(super) async fn close(self) -> sqlx::Result<()> {
        self.connection.close().await
    }
}

impl<DB: Dialect> Deref for Opened<DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        &self.connection
    }
}

impl<DB: Dialect> DerefMut for Opened<DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        &mut self.connection
    }
}

impl<DB: Dialect> Manager for Connector<DB> {
    type Type = Opened<DB>;
    type Error = sqlx::Error;

    async fn create(&self) -> sqlx::Result<Opened<DB>> {
        // Both are read before connecting, so that a concurrent change makes the connection too old rather than too
        // new.
        let (file, plans) = (self.open.file(), self.plans.load(Ordering::Relaxed));
        let connection = self.open.open().await?;
        Ok(Opened { connection, file, plans, newest_plans: self.plans.clone() })
    }

    async fn recycle(&self, opened: &mut Opened<DB>, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        let idle = metrics.last_used();
        if idle > IDLE_MAX || metrics.age() > AGE_MAX || opened.plans != self.plans.load(Ordering::Relaxed) {
            return Err(RecycleError::message("too old"));
        }
        if opened.file != self.open.file() {
            return Err(RecycleError::message("its file was moved away or replaced"));
        }
        if idle > TRUSTED_IDLE_TIME {
            opened.ping().await?;
        }
        Ok(())
    }
}
