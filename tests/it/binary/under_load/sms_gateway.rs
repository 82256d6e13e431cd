//! A double of the operator's SMS gateway that accepts and records every message.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::harness::{Message, Program};

/// The latency of the gateway, so that kills occur while messages are being sent.
const LATENCY: Duration = Duration::from_millis(5);

/// An SMS with the id of its challenge.
#[derive(Clone)]
pub(super) struct Sms {
    pub(super) challenge: String,
    pub(super) message: Message,
}

pub(super) struct SmsGateway {
    url: String,
    messages: Arc<Mutex<Vec<Sms>>>,
    events: watch::Sender<u64>,
    server: JoinHandle<()>,
}

impl SmsGateway {
    pub(super) async fn start() -> Self {
        let (messages, events) = (Arc::new(Mutex::new(Vec::new())), watch::Sender::new(0));
        let (taken, arrival) = (messages.clone(), events.clone());
        let router = Router::new().fallback(post(async move |Json(body): Json<Value>| {
            let field = |name: &str| body[name].as_str().expect("a text").to_owned();
            let message = Message { to: field("to"), text: field("text") };
            taken.lock().unwrap().push(Sms { challenge: field("reference"), message });
            arrival.send_modify(|events| *events += 1);
            tokio::time::sleep(LATENCY).await;
            StatusCode::ACCEPTED
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/send", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, messages, events, server }
    }

    /// Configures a program to send its messages to this gateway.
    pub(super) fn used_by(&self, program: Program) -> Program {
        let webhook = program.with("SMS_PROVIDERS", "webhook").with("SMS_WEBHOOK_URL", &self.url);
        let webhook = webhook.with("SMS_WEBHOOK_TOKEN", "a-token-for-the-gateway").with("ACTIVATION_NOTICE", "none");
        // More failures than any person has here.
        webhook.with("LIMIT_FAILURES_PER_PERSON", "100")
    }

    /// Counts requests, answers and messages, so that kills can be placed among them.
    pub(super) fn events(&self) -> &watch::Sender<u64> {
        &self.events
    }

    pub(super) fn messages(&self) -> Vec<Sms> {
        self.messages.lock().unwrap().clone()
    }

    /// The code of the last message to a number.
    pub(super) fn code_to(&self, number: &str) -> String {
        let messages = self.messages.lock().unwrap();
        let sent = messages.iter().rev().find(|sms| sms.message.to == number);
        sent.unwrap_or_else(|| panic!("no SMS to {number}")).message.code()
    }

    /// The code of a challenge, if it was sent. It must not have been sent twice.
    pub(super) fn code(&self, challenge: &str) -> Option<String> {
        let messages = self.messages.lock().unwrap();
        let mut sent = messages.iter().filter(|sms| sms.challenge == challenge);
        let code = sent.next().map(|sms| sms.message.code());
        assert_eq!(sent.count(), 0, "a second SMS for challenge {challenge}");
        code
    }
}

impl Drop for SmsGateway {
    fn drop(&mut self) {
        self.server.abort();
    }
}
