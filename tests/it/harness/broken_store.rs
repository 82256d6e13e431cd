//! A store that loses one of its calls: before the database hears of it, or after it took effect and before the caller
//! hears of that. What a broken wire is to Postgres, for SQLite, which has none.

use std::future::pending;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use axum::Router;
use chrono::{DateTime, TimeDelta, Utc};
use device_management::api;
use device_management::crypto::PublicKey;
use device_management::domain::audit::AuditEvent;
use device_management::domain::challenges::{Acceptance, NewBinding, OpenBinding, WrongSignature};
use device_management::domain::devices::key::DeviceKey;
use device_management::domain::devices::{Device, DeviceWithKeys};
use device_management::domain::failure_budget::{FailureBudget, FailureRun};
use device_management::domain::id::{ChallengeId, DeviceId, KeyId, NumberId, TokenChallengeId};
use device_management::domain::idempotency::{Claim, ClaimId, Claimed, KeptAnswer};
use device_management::domain::numbers::MobileNumber;
use device_management::domain::person::{PartnerId, PersonId};
use device_management::domain::sms::conversion::{Destination, Tally};
use device_management::domain::sms::limits::SmsSpend;
use device_management::store::{
    Accepted, AddedKey, AuditChain, AuditRecord, AuditRecords, AuditSeal, AuditTrail, BindingOutcomes,
    BindingProspects, Bindings, Client, ClientSecret, Clients, ConversionSum, DeleteOutcome, DeviceCounts, DeviceKind,
    DeviceLists, DevicePage, DeviceQuery, Devices, Erasure, ErasureStep, ExpiredRows, Failures, Housekeeping,
    IdempotentRequests, Keys, MobileNumbers, NewKey, NumberChallenge, NumberChallenges, NumberProspects, NumberRecord,
    NumberVerification, PartnerDevices, PastBinding, PoolUse, Position, Result, SealedEvent, SecretHash, SentMinute,
    SmsConversion, Store, StoreError, TokenAttempt, TokenChallenge,
};
use uuid::Uuid;

use super::TestApp;
use super::fault::{Moment, Plan};

impl TestApp {
    /// Another replica, whose store loses the call that is planned.
    pub(crate) async fn replica_with_broken_store(&self, plan: &Plan) -> Router {
        let broken = |store| Arc::new(BrokenStore { store, plan: plan.clone() }) as _;
        api::router(self.another_on(broken, &[]).await)
    }
}

/// Its steps are calls.
struct BrokenStore {
    store: Arc<dyn Store>,
    plan: Plan,
}

impl BrokenStore {
    async fn lose_or_make<T>(&self, call: impl Future<Output = Result<T>>) -> Result<T> {
        match self.plan.begin() {
            None => return call.await,
            Some(Moment::Before) => {}
            Some(Moment::After) => drop(call.await),
            Some(Moment::Silence) => pending().await,
        }
        Err(StoreError::Unavailable(io::Error::from(io::ErrorKind::ConnectionReset).into()))
    }
}

/// Makes each call on the store behind, unless it is the one to lose.
macro_rules! may_lose {
    [$($port:ident { $(fn $call:ident($($name:ident: $kind:ty),*) -> $outcome:ty;)+ })+] => {
        $(
            #[async_trait::async_trait]
            impl $port for BrokenStore {
                $(
                    async fn $call(&self, $($name: $kind),*) -> Result<$outcome> {
                        self.lose_or_make(self.store.$call($($name),*)).await
                    }
                )+
            }
        )+
    };
}

#[async_trait::async_trait]
impl Store for BrokenStore {
    async fn ready(&self) -> Result<()> {
        self.lose_or_make(self.store.ready()).await
    }

    fn pool_use(&self) -> PoolUse {
        self.store.pool_use()
    }

    async fn close(&self) {
        self.store.close().await;
    }
}

may_lose![
    Bindings {
        fn binding_prospects(
            partner: &PartnerId, person: &PersonId, key: &PublicKey, now: DateTime<Utc>
        ) -> Option<BindingProspects>;
        fn open_binding(partner: &PartnerId, binding: &NewBinding, sms: Option<&SmsSpend>, record: &AuditRecord) -> bool;
        fn open_binding_with_id(
            partner: &PartnerId, id: ChallengeId, now: DateTime<Utc>, wrong_signatures_cap: i64
        ) -> Option<OpenBinding>;
        fn close_binding(
            partner: &PartnerId, id: ChallengeId, now: DateTime<Utc>, not_taken: Option<&SmsSpend>, record: &AuditRecord
        ) -> ();
    }
    BindingOutcomes {
        fn count_wrong_signature(partner: &PartnerId, wrong: &WrongSignature, record: &AuditRecord) -> Option<i64>;
        fn accept_binding(partner: &PartnerId, acceptance: &Acceptance, record: &AuditRecord) -> Accepted;
        fn past_binding(
            partner: &PartnerId, id: ChallengeId, fingerprint: Option<[u8; 32]>, now: DateTime<Utc>
        ) -> Option<PastBinding>;
    }
    Devices {
        fn device(partner: &PartnerId, id: DeviceId) -> Option<Device>;
        fn delete_device(
            partner: &PartnerId, id: DeviceId, now: DateTime<Utc>, record: &AuditRecord, salt: [u8; 16]
        ) -> DeleteOutcome;
    }
    DeviceLists {
        fn devices(partner: &PartnerId, query: &DeviceQuery) -> DevicePage;
    }
    DeviceCounts {
        fn next_partner_with_devices(after: Option<&PartnerId>) -> Option<PartnerDevices>;
        fn count_devices(partner: &PartnerId, kind: DeviceKind, after: Position) -> (i64, Option<Position>);
        fn keep_device_count(partner: &PartnerId, live: i64, deleted: i64) -> ();
        fn forget_device_count(partner: &PartnerId) -> ();
    }
    Keys {
        fn device_with_keys(partner: &PartnerId, id: DeviceId) -> Option<DeviceWithKeys>;
        fn key(partner: &PartnerId, device: DeviceId, key: KeyId) -> Option<DeviceKey>;
        fn add_key(partner: &PartnerId, key: &NewKey, record: &AuditRecord) -> AddedKey;
    }
    MobileNumbers {
        fn mobile_number(partner: &PartnerId, person: &PersonId) -> Option<NumberRecord>;
        fn create_mobile_number(
            partner: &PartnerId, person: &PersonId, number: (NumberId, &MobileNumber),
            verification: NumberVerification<'_>, now: DateTime<Utc>, record: &AuditRecord
        ) -> bool;
        fn delete_mobile_number(
            partner: &PartnerId, person: &PersonId, number: Option<&MobileNumber>, now: DateTime<Utc>, record: &AuditRecord
        ) -> Option<NumberRecord>;
    }
    NumberChallenges {
        fn number_prospects(
            partner: &PartnerId, person: &PersonId, number: &MobileNumber, now: DateTime<Utc>
        ) -> Option<NumberProspects>;
        fn open_token_challenge(
            partner: &PartnerId, person: &PersonId, number: &MobileNumber, challenge: TokenChallenge,
            sms: Option<&SmsSpend>, record: &AuditRecord
        ) -> bool;
        fn close_token_challenge(
            partner: &PartnerId, person: &PersonId, id: TokenChallengeId, not_taken: Option<&SmsSpend>,
            record: &AuditRecord
        ) -> ();
        fn number_challenge(
            partner: &PartnerId, person: &PersonId, number: &MobileNumber, now: DateTime<Utc>, wrong_tokens_cap: i64
        ) -> Option<NumberChallenge>;
        fn count_wrong_token(
            partner: &PartnerId, person: &PersonId, attempt: &TokenAttempt, record: &AuditRecord
        ) -> Option<i64>;
        fn confirm_mobile_number(
            partner: &PartnerId, person: &PersonId, attempt: &TokenAttempt, record: &AuditRecord
        ) -> bool;
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
        fn failures(partner: &PartnerId, person: &PersonId) -> FailureRun;
        fn count_failure(
            partner: &PartnerId, person: &PersonId, now: DateTime<Utc>, budget: &FailureBudget, record: &AuditRecord
        ) -> ();
    }
    IdempotentRequests {
        fn claim_request(claim: &Claim) -> Claimed;
        fn keep_answer(partner: &PartnerId, kept: &KeptAnswer) -> ();
        fn end_request(partner: &PartnerId, claim: ClaimId, now: DateTime<Utc>) -> ();
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
