//! A double of the store that loses one call: before the database receives it, or after its effect and before the
//! caller has the result. The counterpart of `broken_wire` for SQLite, which has no connection to cut.

use std::any::Any;
use std::future::pending;
use std::io;
use std::sync::Arc;

use axum::Router;
use device_management::api;
use device_management::store::{Call, Intercept, PoolUse, Result, Store, StoreError};

use super::TestApp;
use super::fault::{Moment, Plan};

impl TestApp {
    /// Another replica, whose store loses the planned call.
    pub(crate) async fn replica_with_broken_store(&self, plan: &Plan) -> Router {
        let broken = |store| Arc::new(BrokenStore { store, plan: plan.clone() }) as _;
        api::router(self.another_on(broken, &[]).await)
    }
}

/// A step of the plan is a call of the store.
struct BrokenStore {
    store: Arc<dyn Store>,
    plan: Plan,
}

impl Intercept for BrokenStore {
    /// Makes the call on the real store, unless it is the planned one.
    async fn intercept<'a, T: Any + Send>(
        &'a self,
        make: impl FnOnce(&'a dyn Store) -> Call<'a, T> + Send,
    ) -> Result<T> {
        match self.plan.begin() {
            None => return make(&*self.store).await,
            Some(Moment::Before) => {}
            Some(Moment::After) => drop(make(&*self.store).await),
            Some(Moment::Silence) => pending().await,
        }
        Err(StoreError::Unavailable(io::Error::from(io::ErrorKind::ConnectionReset).into()))
    }
}

#[async_trait::async_trait]
impl Store for BrokenStore {
    async fn ready(&self) -> Result<()> {
        self.intercept(|store| store.ready()).await
    }

    fn pool_use(&self) -> PoolUse {
        self.store.pool_use()
    }

    async fn close(&self) {
        self.store.close().await;
    }
}
