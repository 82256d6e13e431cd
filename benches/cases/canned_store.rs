//! A stub of the store, to measure a request without the database and its driver.
//!
//! It stores nothing. Its answers depend only on their type: every person has a verified number and no activation code,
//! every challenge is open, every device exists unless a case says otherwise, and every write succeeds. It panics when no answer has the
//! requested type.

use std::any::{Any, type_name};

use chrono::TimeDelta;
use device_management::crypto::PublicKey;
use device_management::domain::challenges::signing_text::TextToSign;
use device_management::domain::challenges::{Binding, ChallengeLife, ChallengeState, DeviceChallenge, NewActivation};
use device_management::domain::devices::key::{DeviceKey, KeyPurpose};
use device_management::domain::devices::{Device, DeviceName, DeviceWithKeys};
use device_management::domain::failure_budget::FailureRun;
use device_management::domain::idempotency::Claimed;
use device_management::domain::numbers::MobileNumber;
use device_management::domain::person::PersonId;
use device_management::domain::sms::limits::SmsUse;
use device_management::store::{
    Accepted, AddedKey, BindingProspects, Call, DeleteOutcome, DevicePage, DeviceProspects, Intercept, NumberChallenge,
    NumberProspects, NumberRecord, PoolUse, Result, SentCode, SmsChallenge, SmsProspects, Store, Written,
};

use super::world::{self, CHALLENGE, KEY, NUMBER, NUMBER_ID, OTP_VERSION, PERSON, Phone, TOKEN};

pub(super) struct CannedStore {
    device: Device,
    /// The device for every device id.
    found: Option<Device>,
    key: DeviceKey,
    number: NumberRecord,
    text: TextToSign,
}

impl CannedStore {
    pub(super) fn new() -> Self {
        let device = Device {
            id: CHALLENGE.into(),
            person_id: PersonId::parse(PERSON).expect("a good person id"),
            name: DeviceName::parse("Test device"),
            created_at: world::now(),
            deleted_at: None,
        };
        Self {
            found: Some(device.clone()),
            device,
            key: DeviceKey {
                id: KEY.into(),
                purpose: KeyPurpose::Unrestricted,
                public_key: PublicKey::from_trusted(Phone::bound().sec1()),
                used_at: Some(world::now()),
            },
            number: NumberRecord {
                id: NUMBER_ID.into(),
                number: MobileNumber::parse(NUMBER).expect("a good number"),
                verified: true,
            },
            text: world::text_to_sign(None),
        }
    }

    /// The same, but no device exists.
    pub(super) fn without_the_device() -> Self {
        Self { found: None, ..Self::new() }
    }

    fn with_keys(&self) -> DeviceWithKeys {
        DeviceWithKeys { device: self.device.clone(), keys: vec![self.key.clone()] }
    }

    fn page(&self) -> DevicePage {
        DevicePage { total: 10, entries: vec![self.device.clone(); 10], has_newer: false, has_older: false }
    }

    fn binding(&self) -> Binding {
        Binding {
            id: CHALLENGE.into(),
            person_id: self.device.person_id.clone(),
            key_id: self.key.id,
            public_key: self.key.public_key.clone(),
            key_purpose: self.key.purpose,
            otp_version: OTP_VERSION,
            created_at: world::now(),
            state: open_state(),
            bound_devices: 0,
            number: Some(self.number.number.clone()),
            activation: None,
        }
    }

    fn binding_prospects(&self) -> BindingProspects {
        let number = self.number.number.clone();
        BindingProspects {
            number,
            bound_devices: 0,
            key_is_taken: false,
            failures: FailureRun::default(),
            sms: SmsUse::default(),
        }
    }

    fn device_prospects(&self) -> DeviceProspects {
        DeviceProspects {
            person_id: self.device.person_id.clone(),
            purposes: vec![self.key.purpose],
            failures: FailureRun::default(),
            open: 0,
            last_turn: 0,
        }
    }

    fn device_challenge(&self) -> DeviceChallenge {
        DeviceChallenge {
            id: CHALLENGE.into(),
            device_id: self.device.id,
            person_id: self.device.person_id.clone(),
            key_purpose: self.key.purpose,
            text: self.text.clone(),
            approval: None,
            created_at: world::now(),
            state: open_state(),
            answer: None,
            keys: vec![(self.key.id, self.key.public_key.clone())],
        }
    }

    fn sms_prospects(&self) -> SmsProspects {
        let number = self.number.number.clone();
        SmsProspects { number, failures: FailureRun::default(), sms: SmsUse::default() }
    }

    fn sms_challenge(&self) -> SmsChallenge {
        let code = SentCode { id: TOKEN.into(), otp_version: OTP_VERSION, state: open_state() };
        SmsChallenge { person_id: self.device.person_id.clone(), number: self.number.number.clone(), code }
    }

    fn number_prospects(&self) -> NumberProspects {
        NumberProspects { record: self.number.clone(), failures: FailureRun::default(), sms: SmsUse::default() }
    }

    fn number_challenge(&self) -> NumberChallenge {
        let code = SentCode { id: TOKEN.into(), otp_version: OTP_VERSION, state: open_state() };
        NumberChallenge { record: self.number.clone(), code: Some(code), failures: FailureRun::default() }
    }
}

/// The state of a new challenge.
fn open_state() -> ChallengeState {
    let ChallengeLife { expires_at, .. } = ChallengeLife::starting(world::now(), TimeDelta::minutes(5));
    ChallengeState { closed_at: None, expires_at, wrong_answers: 0, failures: FailureRun::default() }
}

impl Intercept for CannedStore {
    /// Selects the answer by its type and never makes the call.
    async fn intercept<'a, T: Any + Send>(
        &'a self,
        _make: impl FnOnce(&'a dyn Store) -> Call<'a, T> + Send,
    ) -> Result<T> {
        let mut answer = None;
        Asked(&mut answer)
            .is(|| ())
            .is(|| true)
            .is(|| Written::Done(()))
            .is(|| Written::Done(1_i64)) // wrong signatures so far
            .is(|| Some(self.binding_prospects()))
            .is(|| Some(self.binding()))
            .is(|| Accepted::Bound)
            .is(|| self.found.clone())
            .is(|| Some(self.with_keys()))
            .is(|| Some(self.key.clone()))
            .is(|| self.page())
            .is(|| AddedKey::Added)
            .is(|| DeleteOutcome::Deleted)
            .is(|| Some(self.number.clone()))
            .is(|| Some(self.number_prospects()))
            .is(|| Some(self.number_challenge()))
            .is(|| Some(self.device_prospects()))
            .is(|| Some(self.text.clone()))
            .is(|| Some(self.device_challenge()))
            .is(|| Some(self.sms_prospects()))
            .is(|| Some(self.sms_challenge()))
            .is(|| None::<NewActivation>)
            .is(FailureRun::default)
            .is(|| Claimed::Yes);
        Ok(answer.unwrap_or_else(|| unasked(type_name::<T>())))
    }
}

/// The place for an answer: an `Option` of the requested type.
struct Asked<'a>(&'a mut dyn Any);

impl Asked<'_> {
    /// Stores this answer if it has that type.
    fn is<T: Any>(self, answer: impl FnOnce() -> T) -> Self {
        if let Some(place) = self.0.downcast_mut() {
            *place = Some(answer());
        }
        self
    }
}

#[async_trait::async_trait]
impl Store for CannedStore {
    async fn ready(&self) -> Result<()> {
        unasked("whether it is ready")
    }

    fn pool_use(&self) -> PoolUse {
        unasked("how the pool is used")
    }

    async fn close(&self) {
        unasked::<()>("to close");
    }
}

fn unasked<T>(what: &str) -> T {
    unreachable!("no case asks the store for {what}")
}
