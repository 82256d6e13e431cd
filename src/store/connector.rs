//! Opens connections for the pool, and says which of those that it kept are still good.
//!
//! A connection that was in use a moment ago is taken for good, which saves a round trip per request; one that has been
//! idle for longer is tried first. What came to no clear end never gets here: `pool` closes it.

use std::time::Duration;

use deadpool::managed::{Manager, Metrics, RecycleError, RecycleResult};
use sqlx::{ConnectOptions, Connection};

use super::engine::Engine;

/// A connection that was last lent longer ago than this is tried before it is used: the server may have gone away meanwhile.
const TRUSTED_IDLE_TIME: Duration = Duration::from_secs(1);

/// One that was last lent longer ago than this is not even tried: networks forget connections without a word.
const IDLE_MAX: Duration = Duration::from_mins(10);

/// No connection gets older: a server process grows with what it has seen, and names may point elsewhere by now.
const AGE_MAX: Duration = Duration::from_mins(30);

/// How a connection is opened.
type Options<DB> = <<DB as sqlx::Database>::Connection as Connection>::Options;

/// Opens connections to one database.
pub(super) struct Connector<DB: Engine>(Options<DB>);

impl<DB: Engine> Connector<DB> {
    pub(super) fn new(options: Options<DB>) -> Self {
        Self(options)
    }
}

impl<DB: Engine> Manager for Connector<DB> {
    type Type = DB::Connection;
    type Error = sqlx::Error;

    async fn create(&self) -> sqlx::Result<DB::Connection> {
        self.0.connect().await
    }

    async fn recycle(&self, connection: &mut DB::Connection, metrics: &Metrics) -> RecycleResult<sqlx::Error> {
        let idle = metrics.last_used();
        if idle > IDLE_MAX || metrics.age() > AGE_MAX {
            return Err(RecycleError::message("too old"));
        }
        if idle > TRUSTED_IDLE_TIME {
            connection.ping().await?;
        }
        Ok(())
    }
}
