//! Servers that hang, drip, reset, babble and flood: what each means for the message, and that no deadline is missed.

use std::sync::Arc;
use std::time::Duration;

use device_management::outbound::{self, HttpUrl};
use device_management::sms::circuit::CircuitSettings;
use device_management::sms::gateway::{Gateway, GatewayAuth, GatewaySettings};
use device_management::sms::providers::{AfterUncertain, Provider, Providers, ProvidersSettings};
use device_management::sms::twilio::{Twilio, TwilioSender, TwilioSettings};
use device_management::sms::{Fault, SmsError, SmsSender};
use tokio::time::timeout;

use super::{IMPATIENCE, PATIENCE, sms};
use crate::harness::provider::{ClosedPort, Manners, RudeServer};

/// What becomes of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The first provider took it.
    Taken,
    /// The first certainly did not, and the second got it.
    PassedOn,
    /// It is refused, and nobody else is asked.
    Refused,
    /// The first may have taken it, so nobody else is asked.
    InDoubt,
    /// The same, because the deadline passed.
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
    let circuit = CircuitSettings { failures: 0, cool_off: PATIENCE };
    let settings = ProvidersSettings { attempt_deadline, after_uncertain: AfterUncertain::Stop, circuit };
    Providers::new(list, settings).unwrap()
}

async fn willing() -> RudeServer {
    RudeServer::start(Manners::Say(b"HTTP/1.1 204 No Content\r\n\r\n".to_vec())).await
}

/// Sends a message to `first`, and after it to a server that takes everything.
async fn fate(first: Arc<dyn SmsSender>, deadline: Duration) -> Fate {
    let second = willing().await;
    let providers = providers(first, gateway(&second.url()), deadline);
    let outcome = timeout(2 * PATIENCE, providers.send(&sms())).await.expect("the deadline holds");
    match (outcome, second.requests()) {
        (Ok(_), 0) => Fate::Taken,
        (Ok(_), 1) => Fate::PassedOn,
        (Err(SmsError::Rejected(_)), 0) => Fate::Refused,
        (Err(SmsError::Uncertain(Fault::Deadline)), 0) => Fate::Late,
        (Err(SmsError::Uncertain(_)), 0) => Fate::InDoubt,
        other => panic!("no fate that a message may have: {other:?}"),
    }
}

#[tokio::test]
async fn each_misbehaviour_has_its_meaning_and_none_leads_to_a_second_message() {
    let page = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>".to_vec();
    // The webhook's answer is its status; Twilio's is read to its end.
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
        // Twilio says in the body whose fault a 400 is: one that cannot be read says nothing against the number.
        (Manners::Flood(400, 10 << 20), Fate::Refused, Fate::PassedOn),
        (Manners::Flood(503, 10 << 20), Fate::PassedOn, Fate::PassedOn),
    ] {
        for (adapter, expected) in [(gateway as fn(&str) -> _, as_webhook), (twilio, as_twilio)] {
            let server = RudeServer::start(manners.clone()).await;
            // Whoever answers has the time to; whoever does not is given up soon.
            let deadline = if expected == Fate::Late { IMPATIENCE } else { PATIENCE };
            let found = fate(adapter(&server.url()), deadline).await;
            assert_eq!(found, expected, "{:.60}", format!("{manners:?}"));
            assert!(server.requests() <= 1, "it was asked once");
        }
    }
    let closed = ClosedPort::take();
    for adapter in [gateway, twilio] {
        assert_eq!(fate(adapter(&closed.url()), PATIENCE).await, Fate::PassedOn);
    }
}

/// Clients like to repeat a request by themselves when a connection that they kept turns out to be dead.
#[tokio::test]
async fn a_message_lost_on_a_connection_that_was_kept_is_not_repeated() {
    let created = "HTTP/1.1 201 Created\r\ncontent-length: 14\r\n\r\n{\"sid\":\"SM42\"}";
    let no_content = "HTTP/1.1 204 No Content\r\n\r\n";
    for (adapter, answer) in [(gateway as fn(&str) -> _, no_content), (twilio, created)] {
        let first = RudeServer::start(Manners::SayThenReset(answer.into())).await;
        let second = willing().await;
        let providers = providers(adapter(&first.url()), gateway(&second.url()), PATIENCE);
        // The first messages may get connections of their own, until one is back in time to be used again.
        let mut sent = 1;
        let error = loop {
            let Err(error) = providers.send(&sms()).await else {
                sent += 1;
                tokio::task::yield_now().await;
                assert!(sent < 100, "no connection is ever kept");
                continue;
            };
            break error;
        };
        assert!(sent > 1 && matches!(error, SmsError::Uncertain(Fault::Interrupted(_))), "{error:?}");
        assert_eq!((first.requests(), second.requests()), (sent, 0));
    }
}
