//! The tools of the sandbox (docs/sandbox.md), and their absence in production.

mod clock;
mod inbox;
mod magic_numbers;
mod magic_words;
mod production;

use crate::harness::{Engine, Start, TestApp};

/// The service in production mode.
struct Production(TestApp);

impl Start for Production {
    async fn start(engine: Engine) -> Self {
        Self(TestApp::with(engine, &PRODUCTION).await)
    }
}

/// The settings that turn the service of a test into production, beside its database.
pub(crate) const PRODUCTION: [(&str, &str); 6] = [
    ("MODE", "production"),
    ("OTP_SECRET", "9b1f0c6de24f4be0a43cb8c1c0a1f2d3"),
    ("TOKEN_SECRET", "4e5d6c7b8a990817263544f3e2d1c0bf"),
    ("SMS_PROVIDERS", "webhook"),
    ("SMS_WEBHOOK_URL", "https://sms.example/send"),
    ("SMS_WEBHOOK_TOKEN", "a-token-for-the-gateway"),
];
