//! The store's contract: every method of every port, on both engines.

mod acceptance;
mod bindings;
mod challenges;
mod claims;
mod clients;
mod costs;
pub(crate) mod device_lists;
mod devices;
mod failures;
mod fraud;
pub(crate) mod indexes;
mod instants;
mod keys;
mod messages;
mod mobile_numbers;
mod outages;
pub(crate) mod partitions;
mod plans;
mod races;
mod sms_turns;
pub(crate) mod tenancy;

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};
use device_management::crypto::PublicKey;
use device_management::domain::audit::{ACCEPTED, AuditAction, AuditEvent, AuditSubject};
use device_management::domain::challenges::{
    Acceptance, BindingCode, ChallengeId, ChallengeKind, ChallengeLife, ChallengeRules, Judgement, NewBinding,
    WrongSignature, judge,
};
use device_management::domain::devices::key::KeyPurpose;
use device_management::domain::failure_budget::FailureBudget;
use device_management::domain::fraud::FraudAssessment;
use device_management::domain::id::{DeviceId, KeyId, NumberId};
use device_management::domain::numbers::MobileNumber;
use device_management::domain::person::{PartnerId, PersonId};
use device_management::store::{
    Accepted, AuditRecord, CodeAnswer, DatabaseSettings, DatabaseUrl, NumberVerification, Store, Written, connect,
};
use uuid::Uuid;

use crate::harness::{Engine, Phone, Start, TestDatabase};

/// Wrong signatures per challenge.
const CAP: i64 = 3;

/// The results of a write without a value.
const DONE: Written = Written::Done(());
const OVERTAKEN: Written = Written::Overtaken;

/// The salt of the digest of a person's id.
const SALT: [u8; 16] = [7; 16];

/// Large, so that tests reach the challenge's own cap first.
const BUDGET: FailureBudget =
    FailureBudget { cap: 100, window: TimeDelta::minutes(30), cool_down: TimeDelta::minutes(30) };

/// A store on its own database.
struct TestStore {
    store: Arc<dyn Store>,
    database: TestDatabase,
}

impl Start for TestStore {
    async fn start(engine: Engine) -> Self {
        let database = TestDatabase::start(engine).await;
        Self { store: connect(&settings(&database)).await.expect("the test's database exists"), database }
    }
}

impl Deref for TestStore {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

impl TestStore {
    /// Gives the person a verified number.
    async fn verified(&self, partner: &PartnerId, person: &PersonId) {
        let id = NumberId::from(fresh_id());
        let verification = NumberVerification::AssertedBy("client");
        let created =
            self.create_mobile_number(partner, person, (id, &number()), verification, now(), &record()).await.unwrap();
        assert!(created, "the person has no number yet");
    }

    /// Opens a binding of a person with a verified number.
    async fn open(&self, partner: &PartnerId, binding: &NewBinding) {
        assert_eq!(self.open_binding(partner, binding, None, &record()).await.unwrap(), DONE);
    }

    /// Opens a binding and accepts it.
    async fn bind(&self, partner: &PartnerId, binding: &NewBinding) {
        self.open(partner, binding).await;
        let accepted = self.accept_binding(partner, &acceptance(binding), &record()).await.unwrap();
        assert_eq!(accepted, Accepted::Bound);
    }

    /// Whether the binding is open now.
    async fn is_open(&self, partner: &PartnerId, id: ChallengeId) -> bool {
        self.is_open_at(partner, id, now(), CAP).await
    }

    /// Whether the binding is open, with this cap of wrong signatures.
    async fn is_open_at(&self, partner: &PartnerId, id: ChallengeId, at: DateTime<Utc>, cap: i64) -> bool {
        let found = self.binding(partner, id).await.unwrap();
        found.is_some_and(|found| judge(&found.state, at, &rules(cap)) == Judgement::Open)
    }
}

fn settings(database: &TestDatabase) -> DatabaseSettings {
    DatabaseSettings::new(DatabaseUrl::parse(database.url()).expect("the harness makes valid URLs"))
}

fn now() -> DateTime<Utc> {
    "2022-03-18T14:50:04.123456Z".parse().expect("an RFC 3339 instant")
}

fn acme() -> PartnerId {
    PartnerId::parse("acme").expect("a partner's name")
}

fn globex() -> PartnerId {
    PartnerId::parse("globex").expect("a partner's name")
}

fn person(name: &str) -> PersonId {
    PersonId::parse(name).expect("a person's id")
}

fn number() -> MobileNumber {
    MobileNumber::parse("+4915112345678").expect("a mobile number")
}

fn other_number() -> MobileNumber {
    MobileNumber::parse("+4915187654321").expect("a mobile number")
}

/// An id that is unique in this process.
fn fresh_id() -> Uuid {
    static MINTED: AtomicU64 = AtomicU64::new(0);
    Uuid::from_u128(0xe000 << 64 | u128::from(MINTED.fetch_add(1, Ordering::Relaxed)))
}

/// The same seed gives the same key.
fn key(seed: u32) -> PublicKey {
    PublicKey::from_hex(&Phone::new(seed).key()).expect("a phone has a valid key")
}

/// The id of the binding with this seed.
fn challenge_id(seed: u32) -> ChallengeId {
    Uuid::from_u128(0xd000 << 64 | u128::from(seed)).into()
}

/// The id of the device that the binding with this seed binds.
fn device_id(seed: u32) -> DeviceId {
    challenge_id(seed).bound_device()
}

/// Rules with this cap, and a failure budget that no test exhausts by accident.
fn rules(wrong_answers_cap: i64) -> ChallengeRules {
    ChallengeRules { wrong_answers_cap, budget: BUDGET }
}

fn key_id(seed: u32) -> KeyId {
    Uuid::from_u128(0xc000 << 64 | u128::from(seed)).into()
}

/// A binding that begins now; ids and key depend only on the seed.
fn binding(person_id: &PersonId, seed: u32) -> NewBinding {
    NewBinding {
        id: challenge_id(seed),
        person_id: person_id.clone(),
        code: BindingCode::Sms(number()),
        key_id: key_id(seed),
        public_key: key(seed),
        key_purpose: KeyPurpose::Unrestricted,
        name: None,
        otp_version: 1,
        life: ChallengeLife::starting(now(), TimeDelta::minutes(5)),
    }
}

/// A wrong answer to a binding.
fn wrong_signature(id: ChallengeId, at: DateTime<Utc>) -> WrongSignature {
    WrongSignature { id, at, rules: rules(CAP), activation: None }
}

/// The expected result of counting a wrong answer.
fn counted(wrong: Option<i64>) -> Written<i64> {
    wrong.map_or(Written::Overtaken, Written::Done)
}

/// An answer to a code.
fn token(id: ChallengeId, at: DateTime<Utc>, cap: i64) -> CodeAnswer {
    CodeAnswer { id, at, rules: rules(cap) }
}

/// The right answer to a binding, a second after it began.
fn acceptance(binding: &NewBinding) -> Acceptance {
    Acceptance {
        id: binding.id,
        person_id: binding.person_id.clone(),
        fingerprint: [7; 32],
        at: binding.life.created_at + TimeDelta::seconds(1),
        device_limit: 5,
        rules: rules(CAP),
        activation: None,
    }
}

/// A record that no test reads.
fn record() -> AuditRecord {
    AuditRecord::from(AuditEvent {
        id: fresh_id(),
        client_id: "client".to_owned(),
        action: AuditAction::ChallengeAsked(ChallengeKind::Binding).as_str().into(),
        outcome: ACCEPTED.into(),
        subject: None,
        object_id: None,
        key_id: None,
        country: None,
        answer: None,
        at: now(),
    })
}

/// A record with an assessment.
fn assessed(fraud: FraudAssessment) -> AuditRecord {
    let mut record = record();
    record.event.subject = Some(AuditSubject::new(fraud.person_id.clone(), [7; 16]));
    record.event.object_id = Some(fraud.object_id);
    AuditRecord { fraud: Some(fraud), ..record }
}

/// An assessment of the binding's device.
fn assessment(binding: &NewBinding) -> FraudAssessment {
    FraudAssessment {
        id: fresh_id(),
        person_id: binding.person_id.clone(),
        object_id: binding.id.uuid(),
        action: "device_verification",
        state: "approve",
        score: Some(12.5),
        provider_id: Some("assessment-1".to_owned()),
        latency_ms: 42,
        allowed: true,
        assessed_at: now(),
    }
}
