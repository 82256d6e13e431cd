//! The fixtures of the cases: a person with a number, a phone that signs, and an open challenge. They are constant, so
//! that every run does the same work.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use device_management::api::App;
use device_management::app::{Surroundings, assemble};
use device_management::clock::Clock;
use device_management::config::{Config, Mode};
use device_management::domain::approvals::Approval;
use device_management::domain::challenges::signing_text::{SigningText, TextToSign};
use device_management::domain::clients::{Caller, Permissions};
use device_management::domain::devices::key::KeyPurpose;
use device_management::domain::id::uuid_v7;
use device_management::domain::person::{PartnerId, PersonId};
use device_management::entropy::Entropy;
use device_management::sms::{HandedOver, Sms, SmsError, SmsSender};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use secrecy::ExposeSecret;
use uuid::Uuid;

use super::canned_store::CannedStore;

pub(super) const CHALLENGE: Uuid = Uuid::from_u128(0x017f_9d6b_2a01_7000_8000_0000_0000_0001);
pub(super) const KEY: Uuid = Uuid::from_u128(0x017f_9d6b_2a01_7000_8000_0000_0000_0002);
pub(super) const TOKEN: Uuid = Uuid::from_u128(0x017f_9d6b_2a01_7000_8000_0000_0000_0003);
pub(super) const NUMBER_ID: Uuid = Uuid::from_u128(0x017f_9d6b_2a01_7000_8000_0000_0000_0004);
pub(super) const NUMBER: &str = "+491701234567";
pub(super) const PERSON: &str = "ec3d16cbc106f481b72d881d90c89cc5cper";

/// The version of the one-time code secret of the open challenges.
pub(super) const OTP_VERSION: u32 = 1;

/// Every random byte.
const SAME_BYTE: u8 = 42;

/// The current time of all cases: 2022-03-18T14:50:04.123456Z.
pub(super) fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_647_615_004_123_456).expect("a valid instant")
}

/// A phone with a fixed key.
pub(super) struct Phone(SigningKey);

impl Phone {
    pub(super) fn bound() -> Self {
        Self::with_scalar(7)
    }

    pub(super) fn other() -> Self {
        Self::with_scalar(11)
    }

    fn with_scalar(byte: u8) -> Self {
        Self(SigningKey::from_slice(&[byte; 32]).expect("a scalar far below the order"))
    }

    /// As `key` carries it.
    pub(super) fn key(&self) -> String {
        hex::encode(self.sec1())
    }

    pub(super) fn sec1(&self) -> [u8; 65] {
        let point = self.0.verifying_key().to_sec1_point(false);
        point.as_bytes().try_into().expect("an uncompressed point has 65 bytes")
    }

    /// As `signature` carries it.
    pub(super) fn sign(&self, message: &str) -> String {
        let signature: Signature = self.0.sign(message.as_bytes());
        hex::encode(signature.to_der())
    }
}

/// The text to sign of the open device challenge.
pub(super) fn text_to_sign(approval: Option<&Approval>) -> TextToSign {
    let text = SigningText {
        challenge: CHALLENGE.into(),
        nonce: [SAME_BYTE; 16],
        partner: &PartnerId::parse("acme").expect("a good name"),
        person: &PersonId::parse(PERSON).expect("a good person id"),
        device: CHALLENGE.into(),
        key: KeyPurpose::Unrestricted,
        expires_at: now() + TimeDelta::minutes(5),
        approval,
    };
    text.compose()
}

/// The service with the secrets of the sandbox and without its tools, which diagnose wrong signatures; with derived codes,
/// the stub of the store, and constant time and randomness.
pub(super) fn app(store: CannedStore) -> App {
    let mut config =
        Config::load(&[("SANDBOX_OTP", "random")].into_iter().collect(), None).expect("the settings are good");
    config.mode = Mode::Production;
    let (clock, entropy) = (Arc::new(Standstill), Arc::new(Standstill));
    let surroundings = Surroundings { store: Arc::new(store), clock, entropy, sms: Some(Arc::new(Standstill)) };
    assemble(&config, surroundings).expect("the parts fit together")
}

/// The id of everything that the service creates.
pub(super) fn minted() -> Uuid {
    uuid_v7(now(), [SAME_BYTE; 10])
}

/// The code of the open challenge, or of the number.
pub(super) fn code(app: &App, challenge: Uuid) -> String {
    let code = app.service.codes.code(OTP_VERSION, challenge.into()).expect("the secret of that version is there");
    code.expose().to_owned()
}

/// A bearer token of a client of the partner.
pub(super) fn token(app: &App) -> String {
    let partner = PartnerId::parse("acme").expect("a good name");
    let caller = Caller { client_id: "client-of-acme".to_owned(), partner, permissions: Permissions::all() };
    app.tokens.own.issue(&caller, now()).token.expose_secret().to_owned()
}

struct Standstill;

impl Clock for Standstill {
    fn now(&self) -> DateTime<Utc> {
        now()
    }
}

impl Entropy for Standstill {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(SAME_BYTE);
    }
}

#[async_trait::async_trait]
impl SmsSender for Standstill {
    async fn send(&self, _sms: &Sms) -> Result<HandedOver, SmsError> {
        Ok(HandedOver { provider: "standstill", provider_message_id: None })
    }
}
