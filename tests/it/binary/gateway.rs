//! A double of the operator's SMS gateway that answers when the test tells it to.

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::harness::Program;

/// A gateway that blocks each request until the test accepts its message.
pub(super) struct Gateway {
    url: String,
    arrived: Arc<Semaphore>,
    taken: Arc<Semaphore>,
    server: JoinHandle<()>,
}

impl Gateway {
    pub(super) async fn start() -> Self {
        let (arrived, taken) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
        let (arrival, take) = (arrived.clone(), taken.clone());
        let router = Router::new().fallback(post(async move || {
            arrival.add_permits(1);
            take.acquire().await.unwrap().forget();
            StatusCode::ACCEPTED
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/send", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, arrived, taken, server }
    }

    /// Configures a program to send its messages to this gateway, with a long timeout.
    pub(super) fn used_by(&self, program: Program) -> Program {
        program
            .with("SMS_PROVIDERS", "webhook")
            .with("SMS_WEBHOOK_URL", &self.url)
            .with("SMS_WEBHOOK_TOKEN", "a-token-for-the-gateway")
            .with("SMS_TIMEOUT_MS", "60000")
            .with("REQUEST_DEADLINE_SECONDS", "60")
    }

    /// Waits for the next message.
    pub(super) async fn message(&self) {
        self.arrived.acquire().await.unwrap().forget();
    }

    /// Accepts one message.
    pub(super) fn take(&self) {
        self.taken.add_permits(1);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.server.abort();
    }
}
