//! Opens connections for the pool, and says which of those that it kept are still good.
//!
//! A connection that was in use a moment ago is taken for good, which saves a round trip per request; one that has been
//! idle for longer is tried first. What came to no clear end never gets here: `lent` closes it.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use sqlx::Connection;

use crate::store::dialect::Dialect;

/// A connection that was last lent longer ago than this is tried before it is used: the server may have gone away meanwhile.
const TRUSTED_IDLE_TIME: Duration = Duration::from_secs(1);

/// One that was last lent longer ago than this is not even tried: networks forget connections without a word.
const IDLE_MAX: Duration = Duration::from_mins(10);

/// No connection gets older: a server process grows with what it has seen, and names may point elsewhere by now.
const AGE_MAX: Duration = Duration::from_mins(30);

/// How connections to one database are opened.
#[async_trait::async_trait]
pub(in crate::store) trait Open<DB: Dialect>: Send + Sync {
    /// Opens one.
    async fn open(&self) -> sqlx::Result<DB::Connection>;

    /// Which file one would lead to that is opened now, by device and number. `None` where it leads to no file.
    fn file(&self) -> Option<(u64, u64)>;
}

/// Opens connections to one database.
pub(in crate::store) struct Connector<DB: Dialect> {
    open: Box<dyn Open<DB>>,
    /// Goes up with each change of the schema that a statement has met.
    plans: Arc<AtomicUsize>,
}

/// An open connection, and what was true when it was opened.
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
    /// Keeps every connection that is open now from being lent again: the schema has changed, and what it has prepared may
    /// not fit any more.
    pub(super) fn forget_plans(&self) {
        // Of several that meet the same change the first counts it.
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
        // Both before the connection: what changes meanwhile makes it too old, not too new.
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
