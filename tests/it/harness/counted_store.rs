//! A double of the store that counts its calls, and the service in production on top of it.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use device_management::api;
use device_management::config::Mode;
use device_management::store::{Call, Intercept, PoolUse, Result, Store};

use super::TestApp;

/// The number of calls since it was last read.
#[derive(Clone, Default)]
pub(crate) struct Calls(Arc<AtomicUsize>);

impl Calls {
    pub(crate) fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

impl TestApp {
    /// Another replica with `MODE=production`, and the number of its calls of the store.
    pub(crate) async fn production_replica(&self) -> (Router, Calls) {
        let calls = Calls::default();
        let counted = |store| Arc::new(CountedStore { store, calls: calls.clone() }) as _;
        let app = self.another_in(Some(Mode::Production), counted, &[]).await;
        assert!(app.service.sandbox.is_none(), "production has no sandbox");
        (api::router(app), calls)
    }
}

struct CountedStore {
    store: Arc<dyn Store>,
    calls: Calls,
}

impl Intercept for CountedStore {
    async fn intercept<'a, T: Any + Send>(
        &'a self,
        make: impl FnOnce(&'a dyn Store) -> Call<'a, T> + Send,
    ) -> Result<T> {
        self.calls.0.fetch_add(1, Ordering::SeqCst);
        make(&*self.store).await
    }
}

#[async_trait::async_trait]
impl Store for CountedStore {
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
