//! Where SMS arrive: a sender that keeps what it is given, or fails in the way that a test asks for.

use std::sync::{Arc, Mutex};

use device_management::sms::{Fault, HandedOver, Sms, SmsError, SmsSender};
use tokio::sync::Notify;

/// What the sender does with the next messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Network {
    #[default]
    Works,
    Rejects,
    IsDown,
    /// Takes the message, but nobody learns of it.
    LosesItsAnswer,
}

/// One message as it arrived.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) to: String,
    pub(crate) text: String,
}

impl Message {
    /// The only six digits in a row.
    pub(crate) fn code(&self) -> String {
        let runs: Vec<&str> =
            self.text.split(|c: char| !c.is_ascii_digit()).filter(|digits| digits.len() == 6).collect();
        assert_eq!(runs.len(), 1, "one code in {:?}", self.text);
        runs[0].to_owned()
    }
}

/// A message that is kept on its way.
#[derive(Clone, Default)]
pub(crate) struct Hold {
    reached: Arc<Notify>,
    released: Arc<Notify>,
}

impl Hold {
    /// Waits until the message is on its way.
    pub(crate) async fn reached(&self) {
        self.reached.notified().await;
    }

    pub(crate) fn release(&self) {
        self.released.notify_one();
    }
}

/// Every phone of a test.
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

    /// Keeps the next message on its way until it is released.
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
