//! SMS providers: their requests, the classification of their answers, failover and the circuit breaker.

mod circuit_breaker;
mod console;
mod failover;
mod faulty_providers;
mod gateway;
mod scripted_provider;
mod twilio;

use std::error::Error;
use std::time::Duration;

use device_management::crypto::Otp;
use device_management::domain::numbers::MobileNumber;
use device_management::domain::sms::app_signature::AppSignature;
use device_management::domain::sms::language::Language;
use device_management::sms::sender_name::SenderName;
use device_management::sms::{CodePurpose, Sms, SmsError, SmsTemplate};
use uuid::Uuid;

const NUMBER: &str = "+4915123456701";
const CODE: &str = "212212";
const TEXT: &str = "Sandbox: Your code 212212 logs you in. Never share it, not even with us.\ne2e-e2e-e2e";
const REFERENCE: &str = "01951f2e-7c3a-7d4b-8e5f-123456789abc";

/// A timeout that no answer on loopback exceeds.
const LONG_TIMEOUT: Duration = Duration::from_secs(5);

/// A short timeout, for servers that do not answer.
const SHORT_TIMEOUT: Duration = Duration::from_millis(150);

fn sms() -> Sms {
    let template = SmsTemplate::new(SenderName::parse("Sandbox").unwrap(), None).unwrap();
    let signature = AppSignature::parse("e2e-e2e-e2e").unwrap();
    Sms {
        to: MobileNumber::parse(NUMBER).unwrap(),
        text: template.text(CodePurpose::LogIn, Language::En, &Otp::parse(CODE).unwrap(), Some(&signature)),
        reference: Uuid::parse_str(REFERENCE).unwrap(),
    }
}

/// `Debug`, `Display` and the cause chain of an error: everything that a log could show.
fn shown(error: &SmsError) -> String {
    let mut shown = format!("{error:?} {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        shown.push_str(&inner.to_string());
        cause = inner.source();
    }
    shown
}

#[track_caller]
fn assert_shows_none_of(shown: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!shown.contains(secret), "{secret:?} in {shown}");
    }
}

#[test]
fn debug_of_a_message_shows_neither_number_nor_code() {
    let shown = format!("{:?}", sms());
    assert_shows_none_of(&shown, &[NUMBER, CODE]);
    assert!(shown.contains("+49*******01") && shown.contains(REFERENCE), "{shown}");
}
