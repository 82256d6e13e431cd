//! Where SMS arrive: a sender that keeps what it is given, or fails in the way that a test asks for.

use std::sync::Mutex;

use device_management::sms::{Accepted, Fault, Sms, SmsError, SmsSender};

/// What the sender does with the next messages.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
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

/// Every phone of a test.
#[derive(Default)]
pub(crate) struct Outbox {
    network: Mutex<Network>,
    messages: Mutex<Vec<Message>>,
}

impl Outbox {
    pub(crate) fn network(&self, network: Network) {
        *self.network.lock().unwrap() = network;
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
    async fn send(&self, sms: &Sms) -> Result<Accepted, SmsError> {
        let network = *self.network.lock().unwrap();
        if matches!(network, Network::Works | Network::LosesItsAnswer) {
            let message = Message { to: sms.to.as_e164().to_owned(), text: sms.text.expose().to_owned() };
            self.messages.lock().unwrap().push(message);
        }
        match network {
            Network::Works => Ok(Accepted { provider: "outbox", provider_message_id: None }),
            Network::Rejects => Err(SmsError::Rejected(Fault::Status { status: 400 })),
            Network::IsDown => Err(SmsError::Unavailable(Fault::Status { status: 503 })),
            Network::LosesItsAnswer => Err(SmsError::Uncertain(Fault::Deadline)),
        }
    }
}
