//! Providers that hang, reset, answer slowly, with garbage or too much: the outcome of the message for each, within the
//! deadline.

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
use crate::harness::provider::{ClosedPort, Manners, RudeServer};

/// The outcome of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The first provider took it.
    Taken,
    /// The first certainly did not take it, and the second got it.
    PassedOn,
    /// It is rejected, and no other provider is asked.
    Refused,
    /// The first may have taken it, so no other provider is asked.
    InDoubt,
    /// The same, because of the timeout.
    Late,
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

async fn accepting_server() -> RudeServer {
    RudeServer::start(Manners::Say(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())).await
}

/// Sends a message through `first`, with a second provider that takes everything.
async fn fate(first: Arc<dyn SmsSender>, deadline: Duration) -> Fate {
    let second = accepting_server().await;
    let providers = providers(first, gateway(&second.url()), deadline);
    let outcome = timeout(2 * LONG_TIMEOUT, providers.send(&sms())).await.expect("the deadline holds");
    match (outcome, second.requests()) {
        (Ok(_), 0) => Fate::Taken,
        (Ok(_), 1) => Fate::PassedOn,
        (Err(SmsError::Rejected(_)), 0) => Fate::Refused,
        (Err(SmsError::Uncertain(Fault::Deadline)), 0) => Fate::Late,
        (Err(SmsError::Uncertain(_)), 0) => Fate::InDoubt,
        other => panic!("unexpected outcome: {other:?}"),
    }
}

#[tokio::test]
async fn each_misbehaviour_has_a_defined_outcome_and_none_sends_twice() {
    let page = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>".to_vec();
    // The webhook provider reads only the status; the Twilio provider reads the whole body.
    for (manners, as_webhook, as_twilio) in [
        (Manners::Silent, Fate::Late, Fate::Late),
        (Manners::DripHead, Fate::Late, Fate::Late),
        (Manners::Drip(201), Fate::Taken, Fate::Late),
        (Manners::Drip(503), Fate::PassedOn, Fate::Late),
        (Manners::HangUp, Fate::InDoubt, Fate::InDoubt),
        (Manners::HangUpAfterRequest, Fate::InDoubt, Fate::InDoubt),
        (Manners::Reset, Fate::InDoubt, Fate::InDoubt),
        (Manners::ResetAfterRequest, Fate::InDoubt, Fate::InDoubt),
        (Manners::Say(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), Fate::InDoubt, Fate::InDoubt),
        (Manners::Say(vec![b'x'; 10 << 20]), Fate::InDoubt, Fate::InDoubt),
        (Manners::Say(page), Fate::Taken, Fate::InDoubt),
        (Manners::Flood(201, 10 << 20), Fate::Taken, Fate::InDoubt),
        // Twilio's body says whether a 400 is about the number; without a readable body it counts as unavailable.
        (Manners::Flood(400, 10 << 20), Fate::Refused, Fate::PassedOn),
        (Manners::Flood(503, 10 << 20), Fate::PassedOn, Fate::PassedOn),
    ] {
        for (adapter, expected) in [(gateway as fn(&str) -> _, as_webhook), (twilio, as_twilio)] {
            let server = RudeServer::start(manners.clone()).await;
            // A short timeout only for servers that do not answer.
            let deadline = if expected == Fate::Late { SHORT_TIMEOUT } else { LONG_TIMEOUT };
            let found = fate(adapter(&server.url()), deadline).await;
            assert_eq!(found, expected, "{:.60}", format!("{manners:?}"));
            assert!(server.requests() <= 1, "the request is not retried");
        }
    }
    let closed = ClosedPort::take();
    for adapter in [gateway, twilio] {
        assert_eq!(fate(adapter(&closed.url()), LONG_TIMEOUT).await, Fate::PassedOn);
    }
}

/// HTTP clients may retry a request when a reused connection turns out to be closed.
#[tokio::test]
async fn a_message_lost_on_a_reused_connection_is_not_retried() {
    let created = "HTTP/1.1 201 Created\r\ncontent-length: 14\r\n\r\n{\"sid\":\"SM42\"}";
    let no_content = "HTTP/1.1 204 No Content\r\n\r\n";
    for (adapter, answer) in [(gateway as fn(&str) -> _, no_content), (twilio, created)] {
        let first = RudeServer::start(Manners::SayThenReset(answer.into())).await;
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
