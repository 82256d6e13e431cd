//! An SMS gateway that accepts every message and keeps the newest code of each number.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use tokio::net::TcpListener;

/// The newest code of each number.
type Codes = Arc<Mutex<HashMap<String, String>>>;

/// A gateway on a free loopback port.
pub(crate) struct Gateway {
    port: u16,
    codes: Codes,
}

#[derive(Deserialize)]
struct Message {
    to: String,
    text: String,
}

impl Gateway {
    /// Starts to listen.
    pub(crate) async fn open() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let codes = Codes::default();
        let router = Router::new().route("/", post(take)).with_state(codes.clone());
        tokio::spawn(axum::serve(listener, router).into_future());
        Ok(Self { port, codes })
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/", self.port)
    }

    /// Takes the code that was sent to a number.
    pub(crate) fn code_for(&self, number: &str) -> Option<String> {
        self.codes.lock().expect("no thread panics while it holds the codes").remove(number)
    }
}

async fn take(State(codes): State<Codes>, Json(message): Json<Message>) -> StatusCode {
    let Some(code) = message.text.split(|c: char| !c.is_ascii_digit()).find(|digits| digits.len() == 6) else {
        return StatusCode::UNPROCESSABLE_ENTITY;
    };
    codes.lock().expect("no thread panics while it holds the codes").insert(message.to, code.to_owned());
    StatusCode::ACCEPTED
}
