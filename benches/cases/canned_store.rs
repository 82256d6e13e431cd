//! A store that has its answers at hand: what a request costs without the database and its driver.
//!
//! It keeps nothing. Every person has a verified number, every device and challenge but one is there and in order, and every
//! write is taken. What no case asks for, it does not answer.

use std::ops::Range;

use chrono::{DateTime, TimeDelta, Utc};
use device_management::crypto::PublicKey;
use device_management::domain::audit::AuditEvent;
use device_management::domain::challenges::{Acceptance, ChallengeLife, NewBinding, OpenBinding, WrongSignature};
use device_management::domain::devices::key::{DeviceKey, KeyPurpose};
use device_management::domain::devices::{Device, DeviceName, DeviceWithKeys};
use device_management::domain::failure_budget::{FailureBudget, FailureRun};
use device_management::domain::id::{ChallengeId, DeviceId, KeyId, NumberId, TokenChallengeId};
use device_management::domain::idempotency::{Claim, ClaimId, Claimed, KeptAnswer};
use device_management::domain::numbers::MobileNumber;
use device_management::domain::person::{PartnerId, PersonId};
use device_management::domain::sms::conversion::{Destination, Tally};
use device_management::domain::sms::limits::{SmsSpend, SmsUse};
use device_management::store::{
    Accepted, AddedKey, AuditChain, AuditRecord, AuditRecords, AuditSeal, AuditTrail, BindingOutcomes,
    BindingProspects, Bindings, Client, ClientSecret, Clients, ConversionSum, DeleteOutcome, DeviceCounts, DeviceKind,
    DeviceLists, DevicePage, DeviceQuery, Devices, Erasure, ErasureStep, ExpiredRows, Failures, Housekeeping,
    IdempotentRequests, Keys, MobileNumbers, NewKey, NumberChallenge, NumberChallenges, NumberProspects, NumberRecord,
    NumberVerification, OpenToken, PartnerDevices, PastBinding, PoolUse, Position, Result, SealedEvent, SecretHash,
    SentMinute, SmsConversion, Store, TokenAttempt, TokenChallenge,
};
use uuid::Uuid;

use super::world::{self, CHALLENGE, KEY, NUMBER, NUMBER_ID, OTP_VERSION, PERSON, Phone, TOKEN};

pub(super) struct CannedStore {
    device: Device,
    key: DeviceKey,
    number: NumberRecord,
}

impl CannedStore {
    pub(super) fn new() -> Self {
        Self {
            device: Device {
                id: CHALLENGE.into(),
                person_id: PersonId::parse(PERSON).expect("a good person id"),
                name: DeviceName::parse("Test device"),
                created_at: world::now(),
                deleted_at: None,
            },
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
        }
    }

    fn with_keys(&self) -> DeviceWithKeys {
        DeviceWithKeys { device: self.device.clone(), keys: vec![self.key.clone()] }
    }

    fn page(&self) -> DevicePage {
        DevicePage { total: 10, devices: vec![self.device.clone(); 10], has_newer: false, has_older: false }
    }

    fn open_binding(&self) -> OpenBinding {
        OpenBinding {
            id: CHALLENGE.into(),
            person_id: self.device.person_id.clone(),
            key_id: self.key.id,
            public_key: self.key.public_key.clone(),
            key_purpose: self.key.purpose,
            otp_version: OTP_VERSION,
            life: ChallengeLife::starting(world::now(), TimeDelta::minutes(5)),
            bound_devices: 0,
            number: Some(self.number.number.clone()),
            failures: FailureRun::default(),
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

    fn number_prospects(&self) -> NumberProspects {
        NumberProspects { record: self.number.clone(), failures: FailureRun::default(), sms: SmsUse::default() }
    }

    fn number_challenge(&self) -> NumberChallenge {
        let open = OpenToken { id: TOKEN.into(), otp_version: OTP_VERSION };
        NumberChallenge { record: self.number.clone(), open: Some(open), failures: FailureRun::default() }
    }
}

/// What no case asks for.
fn unasked<T>() -> T {
    unreachable!("no case asks the store for this")
}

/// Gives each call its answer; those without one are not asked for.
macro_rules! answers {
    [$($port:ident {
        $(fn $call:ident($($name:ident: $kind:ty),*) -> $outcome:ty $(= |$store:ident| $answer:expr)?;)+
    })+] => {
        $(
            #[async_trait::async_trait]
            impl $port for CannedStore {
                $(
                    async fn $call(&self, $($name: $kind),*) -> Result<$outcome> {
                        $(let _ = $name;)*
                        answers!(@ self $(, |$store| $answer)?)
                    }
                )+
            }
        )+
    };
    (@ $self:ident) => { unasked() };
    (@ $self:ident, |$store:ident| $answer:expr) => {{ let $store = $self; let _ = $store; Ok($answer) }};
}

#[async_trait::async_trait]
impl Store for CannedStore {
    async fn ready(&self) -> Result<()> {
        unasked()
    }

    fn pool_use(&self) -> PoolUse {
        unasked()
    }

    async fn close(&self) {
        unasked::<()>();
    }
}

answers![
    Bindings {
        fn binding_prospects(
            partner: &PartnerId, person: &PersonId, key: &PublicKey, now: DateTime<Utc>
        ) -> Option<BindingProspects> = |store| Some(store.binding_prospects());
        fn open_binding(partner: &PartnerId, binding: &NewBinding, sms: Option<&SmsSpend>, record: &AuditRecord) -> bool = |store| true;
        fn open_binding_with_id(
            partner: &PartnerId, id: ChallengeId, now: DateTime<Utc>, wrong_signatures_cap: i64
        ) -> Option<OpenBinding> = |store| Some(store.open_binding());
        fn close_binding(
            partner: &PartnerId, id: ChallengeId, now: DateTime<Utc>, not_taken: Option<&SmsSpend>, record: &AuditRecord
        ) -> ();
    }
    BindingOutcomes {
        fn count_wrong_signature(partner: &PartnerId, wrong: &WrongSignature, record: &AuditRecord) -> Option<i64> = |store| Some(1);
        fn accept_binding(partner: &PartnerId, acceptance: &Acceptance, record: &AuditRecord) -> Accepted = |store| Accepted::Bound;
        fn past_binding(
            partner: &PartnerId, id: ChallengeId, fingerprint: Option<[u8; 32]>, now: DateTime<Utc>
        ) -> Option<PastBinding>;
    }
    Devices {
        fn device(partner: &PartnerId, id: DeviceId) -> Option<Device> = |store| (id == store.device.id).then(|| store.device.clone());
        fn delete_device(
            partner: &PartnerId, id: DeviceId, now: DateTime<Utc>, record: &AuditRecord, salt: [u8; 16]
        ) -> DeleteOutcome = |store| DeleteOutcome::Deleted;
    }
    DeviceLists {
        fn devices(partner: &PartnerId, query: &DeviceQuery) -> DevicePage = |store| store.page();
    }
    DeviceCounts {
        fn next_partner_with_devices(after: Option<&PartnerId>) -> Option<PartnerDevices>;
        fn count_devices(partner: &PartnerId, kind: DeviceKind, after: Position) -> (i64, Option<Position>);
        fn keep_device_count(partner: &PartnerId, live: i64, deleted: i64) -> ();
        fn forget_device_count(partner: &PartnerId) -> ();
    }
    Keys {
        fn device_with_keys(partner: &PartnerId, id: DeviceId) -> Option<DeviceWithKeys> = |store| Some(store.with_keys());
        fn key(partner: &PartnerId, device: DeviceId, key: KeyId) -> Option<DeviceKey> = |store| Some(store.key.clone());
        fn add_key(partner: &PartnerId, key: &NewKey, record: &AuditRecord) -> AddedKey = |store| AddedKey::Added;
    }
    MobileNumbers {
        fn mobile_number(partner: &PartnerId, person: &PersonId) -> Option<NumberRecord> = |store| Some(store.number.clone());
        fn create_mobile_number(
            partner: &PartnerId, person: &PersonId, number: (NumberId, &MobileNumber),
            verification: NumberVerification<'_>, now: DateTime<Utc>, record: &AuditRecord
        ) -> bool = |store| true;
        fn delete_mobile_number(
            partner: &PartnerId, person: &PersonId, number: Option<&MobileNumber>, now: DateTime<Utc>, record: &AuditRecord
        ) -> Option<NumberRecord> = |store| Some(store.number.clone());
    }
    NumberChallenges {
        fn number_prospects(
            partner: &PartnerId, person: &PersonId, number: &MobileNumber, now: DateTime<Utc>
        ) -> Option<NumberProspects> = |store| Some(store.number_prospects());
        fn open_token_challenge(
            partner: &PartnerId, person: &PersonId, number: &MobileNumber, challenge: TokenChallenge,
            sms: Option<&SmsSpend>, record: &AuditRecord
        ) -> bool = |store| true;
        fn close_token_challenge(
            partner: &PartnerId, person: &PersonId, id: TokenChallengeId, not_taken: Option<&SmsSpend>,
            record: &AuditRecord
        ) -> ();
        fn number_challenge(
            partner: &PartnerId, person: &PersonId, number: &MobileNumber, now: DateTime<Utc>, wrong_tokens_cap: i64
        ) -> Option<NumberChallenge> = |store| Some(store.number_challenge());
        fn count_wrong_token(
            partner: &PartnerId, person: &PersonId, attempt: &TokenAttempt, record: &AuditRecord
        ) -> Option<i64>;
        fn confirm_mobile_number(
            partner: &PartnerId, person: &PersonId, attempt: &TokenAttempt, record: &AuditRecord
        ) -> bool = |store| true;
    }
    Clients {
        fn client_with_secrets(id: &str, now: DateTime<Utc>) -> Option<(Client, Vec<ClientSecret>)>;
        fn clients(after: Option<(DateTime<Utc>, &str)>, limit: i64) -> Vec<Client>;
        fn create_client(client: &Client, secret: SecretHash, record: &AuditRecord) -> ();
        fn rotate_client_secret(
            id: &str, secret: SecretHash, now: DateTime<Utc>, overlap_until: DateTime<Utc>, record: &AuditRecord
        ) -> bool;
        fn revoke_client(id: &str, now: DateTime<Utc>, record: &AuditRecord) -> bool;
    }
    Failures {
        fn failures(partner: &PartnerId, person: &PersonId) -> FailureRun = |store| FailureRun::default();
        fn count_failure(
            partner: &PartnerId, person: &PersonId, now: DateTime<Utc>, budget: &FailureBudget, record: &AuditRecord
        ) -> ();
    }
    IdempotentRequests {
        fn claim_request(claim: &Claim) -> Claimed = |store| Claimed::Yes;
        fn keep_answer(partner: &PartnerId, kept: &KeptAnswer) -> () = |store| ();
        fn end_request(partner: &PartnerId, claim: ClaimId, now: DateTime<Utc>) -> () = |store| ();
    }
    Housekeeping {
        fn take_lease(task: &str, holder: Uuid, now: DateTime<Utc>, longest: TimeDelta) -> bool;
        fn end_lease(task: &str, holder: Uuid, now: DateTime<Utc>) -> ();
        fn sweep(litter: ExpiredRows, before: DateTime<Utc>) -> usize;
    }
    AuditRecords {
        fn record(partner: &PartnerId, record: &AuditRecord) -> ();
    }
    AuditTrail {
        fn next_partner_with_pending_events(after: Option<&PartnerId>) -> Option<PartnerId>;
        fn next_partner_with_trail(after: Option<&PartnerId>) -> Option<PartnerId>;
        fn seal_audit_events(partner: &PartnerId, now: DateTime<Utc>, batch: i64) -> i64;
        fn audit_chain(partner: &PartnerId) -> AuditChain;
        fn audit_seals(partner: &PartnerId, after: i64, last: i64, limit: i64) -> Vec<AuditSeal>;
        fn sealed_events(partner: &PartnerId, after: (i64, Uuid), last: i64, limit: i64) -> Vec<SealedEvent>;
        fn first_seal_since(partner: &PartnerId, since: DateTime<Utc>) -> Option<i64>;
        fn waiting_audit_events(limit: i64) -> i64;
    }
    Erasure {
        fn erase_step(
            partner: &PartnerId, person: &PersonId, nobody: &PersonId, event: &AuditEvent, now: DateTime<Utc>
        ) -> Option<ErasureStep>;
    }
    SmsConversion {
        fn add_sms_conversion(counts: &[(SentMinute, Tally)]) -> ();
        fn sms_conversion(minutes: Range<DateTime<Utc>>, now: DateTime<Utc>) -> Vec<ConversionSum>;
        fn reset_sms_conversion(destination: &Destination, at: DateTime<Utc>, record: &AuditRecord) -> ();
    }
];
