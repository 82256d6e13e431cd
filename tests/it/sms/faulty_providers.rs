//! Providers that hang, reset, or answer slowly, with garbage or with too much: the outcome of the message for each,
//! within the timeout.

use std::sync::Arc;
use std::time::Duration;

use device_management::outbound::{self, HttpUrl};
use device_management::sms::circuit::CircuitSettings;
use device_management::sms::gateway::{Gateway, GatewayAuth, GatewaySettings};
use device_management::sms::providers::{AfterUncertain, Provider, Providers, ProvidersSettings};
use device_management::sms::twilio::{Twilio, TwilioSender, TwilioSettings};
use device_management::sms::{Fault, SmsError, SmsSender};
use tokio::time::timeout;

use super::{LONG_TIMEOUT, SHORT_TIMEOUT, sms};
use crate::harness::faulty_server::{Behaviour, ClosedPort, FaultyServer};

/// The outcome of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The first provider accepted it.
    Accepted,
    /// The first certainly did not accept it, and the second did.
    FailedOver,
    /// It is rejected, and no other provider is tried.
    Rejected,
    /// The first may have accepted it, so no other provider is tried.
    Uncertain,
    /// The same, because of the timeout.
    TimedOut,
}

fn gateway(url: &str) -> Arc<dyn SmsSender> {
    let auth = GatewayAuth::Bearer("token".to_owned().into());
    let settings = GatewaySettings { url: HttpUrl::parse(url).unwrap(), auth };
    Arc::new(Gateway::new(settings, outbound::client().unwrap()).unwrap())
}

fn twilio(url: &str) -> Arc<dyn SmsSender> {
    let settings = TwilioSettings {
        base_url: HttpUrl::parse(url).unwrap(),
        account_sid: "AC1".to_owned(),
        auth_token: "token".to_owned().into(),
        sender: TwilioSender::From("Sandbox".to_owned()),
    };
    Arc::new(Twilio::new(settings, outbound::client().unwrap()))
}

fn providers(first: Arc<dyn SmsSender>, second: Arc<dyn SmsSender>, attempt_deadline: Duration) -> Providers {
    let list = vec![Provider { name: "first", sender: first }, Provider { name: "second", sender: second }];
    let circuit = CircuitSettings { failures: 0, cool_off: LONG_TIMEOUT };
    let settings = ProvidersSettings { attempt_deadline, after_uncertain: AfterUncertain::Stop, circuit };
    Providers::new(list, settings).unwrap()
}

async fn accepting_server() -> FaultyServer {
    FaultyServer::start(Behaviour::Respond(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())).await
}

/// Sends a message through `first`, with a second provider that accepts every message.
async fn outcome_of(first: Arc<dyn SmsSender>, deadline: Duration) -> Outcome {
    let second = accepting_server().await;
    let providers = providers(first, gateway(&second.url()), deadline);
    let outcome = timeout(2 * LONG_TIMEOUT, providers.send(&sms())).await.expect("the deadline holds");
    match (outcome, second.requests()) {
        (Ok(_), 0) => Outcome::Accepted,
        (Ok(_), 1) => Outcome::FailedOver,
        (Err(SmsError::Rejected(_)), 0) => Outcome::Rejected,
        (Err(SmsError::Uncertain(Fault::Deadline)), 0) => Outcome::TimedOut,
        (Err(SmsError::Uncertain(_)), 0) => Outcome::Uncertain,
        other => panic!("unexpected outcome: {other:?}"),
    }
}

#[tokio::test]
async fn each_fault_of_a_provider_has_a_defined_outcome_and_none_sends_twice() {
    let page = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>".to_vec();
    // The webhook provider reads only the status; the Twilio provider reads the whole body.
    for (behaviour, as_webhook, as_twilio) in [
        (Behaviour::Hang, Outcome::TimedOut, Outcome::TimedOut),
        (Behaviour::SlowHead, Outcome::TimedOut, Outcome::TimedOut),
        (Behaviour::SlowBody(201), Outcome::Accepted, Outcome::TimedOut),
        (Behaviour::SlowBody(503), Outcome::FailedOver, Outcome::TimedOut),
        (Behaviour::Close, Outcome::Uncertain, Outcome::Uncertain),
        (Behaviour::CloseAfterRequest, Outcome::Uncertain, Outcome::Uncertain),
        (Behaviour::Reset, Outcome::Uncertain, Outcome::Uncertain),
        (Behaviour::ResetAfterRequest, Outcome::Uncertain, Outcome::Uncertain),
        (Behaviour::Respond(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), Outcome::Uncertain, Outcome::Uncertain),
        (Behaviour::Respond(vec![b'x'; 10 << 20]), Outcome::Uncertain, Outcome::Uncertain),
        (Behaviour::Respond(page), Outcome::Accepted, Outcome::Uncertain),
        (Behaviour::LargeBody(201, 10 << 20), Outcome::Accepted, Outcome::Uncertain),
        // Twilio's body says whether a 400 is about the number; without a readable body it counts as unavailable.
        (Behaviour::LargeBody(400, 10 << 20), Outcome::Rejected, Outcome::FailedOver),
        (Behaviour::LargeBody(503, 10 << 20), Outcome::FailedOver, Outcome::FailedOver),
    ] {
        for (adapter, expected) in [(gateway as fn(&str) -> _, as_webhook), (twilio, as_twilio)] {
            let server = FaultyServer::start(behaviour.clone()).await;
            // A short timeout only for servers that do not answer.
            let deadline = if expected == Outcome::TimedOut { SHORT_TIMEOUT } else { LONG_TIMEOUT };
            let found = outcome_of(adapter(&server.url()), deadline).await;
            assert_eq!(found, expected, "{:.60}", format!("{behaviour:?}"));
            assert!(server.requests() <= 1, "the request is not retried");
        }
    }
    let closed = ClosedPort::take();
    for adapter in [gateway, twilio] {
        assert_eq!(outcome_of(adapter(&closed.url()), LONG_TIMEOUT).await, Outcome::FailedOver);
    }
}

/// HTTP clients may retry a request when a reused connection turns out to be closed.
#[tokio::test]
async fn a_message_lost_on_a_reused_connection_is_not_retried() {
    let created = "HTTP/1.1 201 Created\r\ncontent-length: 14\r\n\r\n{\"sid\":\"SM42\"}";
    let no_content = "HTTP/1.1 204 No Content\r\n\r\n";
    for (adapter, answer) in [(gateway as fn(&str) -> _, no_content), (twilio, created)] {
        let first = FaultyServer::start(Behaviour::RespondThenReset(answer.into())).await;
        let second = accepting_server().await;
        let providers = providers(adapter(&first.url()), gateway(&second.url()), LONG_TIMEOUT);
        // The first messages may use new connections, until one is returned to the pool in time for reuse.
        let mut sent = 1;
        let error = loop {
            let Err(error) = providers.send(&sms()).await else {
                sent += 1;
                tokio::task::yield_now().await;
                assert!(sent < 100, "no connection is ever reused");
                continue;
            };
            break error;
        };
        assert!(sent > 1 && matches!(error, SmsError::Uncertain(Fault::Interrupted(_))), "{error:?}");
        assert_eq!((first.requests(), second.requests()), (sent, 0));
    }
}
