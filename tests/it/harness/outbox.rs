//! A test double of the SMS sender: stores the messages, delays them, or fails in the way that a test sets.

use std::sync::{Arc, Mutex};

use device_management::sms::{Fault, HandedOver, Sms, SmsError, SmsSender};
use tokio::sync::Notify;

/// How the sender treats the next messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Network {
    #[default]
    Works,
    Rejects,
    IsDown,
    /// Delivers the message and reports an uncertain outcome.
    LosesItsAnswer,
}

/// A delivered message.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) to: String,
    pub(crate) text: String,
}

impl Message {
    /// The code: the only run of six digits in the text.
    pub(crate) fn code(&self) -> String {
        let runs: Vec<&str> =
            self.text.split(|c: char| !c.is_ascii_digit()).filter(|digits| digits.len() == 6).collect();
        assert_eq!(runs.len(), 1, "one code in {:?}", self.text);
        runs[0].to_owned()
    }
}

/// A message whose delivery waits until the test releases it.
#[derive(Clone, Default)]
pub(crate) struct Hold {
    reached: Arc<Notify>,
    released: Arc<Notify>,
}

impl Hold {
    /// Waits until the sender has the message.
    pub(crate) async fn reached(&self) {
        self.reached.notified().await;
    }

    pub(crate) fn release(&self) {
        self.released.notify_one();
    }
}

/// The SMS sender of a test, and its messages.
#[derive(Default)]
pub(crate) struct Outbox {
    held: Mutex<Option<Hold>>,
    network: Mutex<Network>,
    messages: Mutex<Vec<Message>>,
}

impl Outbox {
    pub(crate) fn network(&self, network: Network) {
        *self.network.lock().unwrap() = network;
    }

    /// Holds the next message until it is released.
    pub(crate) fn hold(&self) -> Hold {
        let hold = Hold::default();
        *self.held.lock().unwrap() = Some(hold.clone());
        hold
    }

    pub(crate) fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> Message {
        self.messages().pop().expect("an SMS was sent")
    }
}

#[async_trait::async_trait]
impl SmsSender for Outbox {
    async fn send(&self, sms: &Sms) -> Result<HandedOver, SmsError> {
        let held = self.held.lock().unwrap().take();
        if let Some(hold) = held {
            hold.reached.notify_one();
            hold.released.notified().await;
        }
        let network = *self.network.lock().unwrap();
        if matches!(network, Network::Works | Network::LosesItsAnswer) {
            let message = Message { to: sms.to.as_e164().to_owned(), text: sms.text.expose().to_owned() };
            self.messages.lock().unwrap().push(message);
        }
        match network {
            Network::Works => Ok(HandedOver { provider: "outbox", provider_message_id: None }),
            Network::Rejects => Err(SmsError::Rejected(Fault::Status { status: 400 })),
            Network::IsDown => Err(SmsError::Unavailable(Fault::Status { status: 503 })),
            Network::LosesItsAnswer => Err(SmsError::Uncertain(Fault::Deadline)),
        }
    }
}
