//! A store that loses one of its calls: before the database hears of it, or after it took effect and before the caller
//! hears of that. What a broken wire is to Postgres, for SQLite, which has none.

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
    /// Another replica, whose store loses the call that is planned.
    pub(crate) async fn replica_with_broken_store(&self, plan: &Plan) -> Router {
        let broken = |store| Arc::new(BrokenStore { store, plan: plan.clone() }) as _;
        api::router(self.another_on(broken, &[]).await)
    }
}

/// Its steps are calls.
struct BrokenStore {
    store: Arc<dyn Store>,
    plan: Plan,
}

impl Intercept for BrokenStore {
    /// Makes the call on the store behind, unless it is the one to lose.
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
