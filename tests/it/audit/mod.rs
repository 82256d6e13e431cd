//! The audit trail: sealing, verification after tampering, checkpoints, and the commands `audit verify` and `audit
//! export`.

mod checkpoints;
mod commands;
mod sealing;
mod tampering;

use std::ops::{Deref, Range};
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use device_management::domain::audit::{AnswerEvidence, AuditEvent, AuditSubject, digest_of_text};
use device_management::domain::challenges::{Decision, DeclineReason};
use device_management::domain::numbers::country::Country;
use device_management::domain::person::{PartnerId, PersonId};
use device_management::service::{AuditCheckpoints, AuditVerdict, AuditVerification};
use device_management::store::{DatabaseSettings, DatabaseUrl, Store, connect};
use uuid::Uuid;

use crate::harness::{Engine, Start, TestDatabase, sql};

/// A store on its own database, into whose trail the test writes events as requests would.
pub(crate) struct Trail {
    store: Arc<dyn Store>,
    pub(crate) database: TestDatabase,
}

impl Start for Trail {
    async fn start(engine: Engine) -> Self {
        let database = TestDatabase::start(engine).await;
        Self { store: replica(&database).await, database }
    }
}

impl Deref for Trail {
    type Target = dyn Store;

    fn deref(&self) -> &Self::Target {
        &*self.store
    }
}

impl Trail {
    /// Three sealed batches of five events, and two pending events.
    async fn with_three_batches(self) -> Self {
        for batch in 0..3 {
            self.add_pending(&acme(), batch * 5..batch * 5 + 5).await;
            assert_eq!(self.seal_audit_events(&acme(), now(), 500).await.unwrap(), 5);
        }
        self.add_pending(&acme(), 15..17).await;
        self
    }

    /// Writes pending events, as requests do.
    async fn add_pending(&self, partner: &PartnerId, numbers: Range<u32>) {
        add_pending(&self.database, partner, numbers.map(event)).await;
    }

    async fn execute(&self, statements: &str) -> u64 {
        sql::execute(self.database.url(), statements).await
    }

    /// The faults of all chains.
    async fn faults(&self, kept: &AuditCheckpoints) -> Vec<String> {
        verdicts(&**self, kept).await.into_iter().flat_map(|verdict| verdict.faults).collect()
    }

    /// Asserts that no chain has a fault. Returns the numbers of seals, sealed events and pending events of each.
    async fn assert_valid(&self) -> Vec<(String, [i64; 3])> {
        let verdicts = verdicts(&**self, &AuditCheckpoints::default()).await;
        assert!(verdicts.iter().all(|verdict| verdict.faults.is_empty()), "{verdicts:#?}");
        verdicts.iter().map(|it| (it.partner.to_string(), [it.seals, it.events, it.waiting])).collect()
    }
}

/// A second store on the same database, as of another process.
async fn replica(database: &TestDatabase) -> Arc<dyn Store> {
    let url = DatabaseUrl::parse(database.url()).expect("the harness makes valid URLs");
    connect(&DatabaseSettings::new(url)).await.expect("the test's database is reachable")
}

/// The verdicts on all chains.
pub(crate) async fn verdicts(store: &dyn Store, kept: &AuditCheckpoints) -> Vec<AuditVerdict> {
    let mut verification = AuditVerification::new(store, kept);
    let mut verdicts = Vec::new();
    while let Some(verdict) = verification.next().await.expect("the trail can be read") {
        verdicts.push(verdict);
    }
    verdicts
}

fn acme() -> PartnerId {
    PartnerId::parse("acme").expect("a partner's name")
}

fn globex() -> PartnerId {
    PartnerId::parse("globex").expect("a partner's name")
}

fn now() -> DateTime<Utc> {
    "2022-03-18T14:50:04.123456Z".parse().expect("an RFC 3339 instant")
}

fn event_id(number: u32) -> Uuid {
    Uuid::from_u128(0xa000 << 64 | u128::from(number))
}

/// The text that the answers of the events signed.
const TEXT: &str = "the text of an approval";

/// Every third event has no person, every second a key, every fifth a country, every seventh an answer.
fn event(number: u32) -> AuditEvent {
    let person = PersonId::parse(&format!("person-{}", number % 3)).expect("a person's id");
    let salt = Uuid::from_u128(u128::from(number)).into_bytes();
    AuditEvent {
        id: event_id(number),
        client_id: "client-1".to_owned(),
        action: "binding.asked".into(),
        outcome: "accepted".into(),
        subject: (!number.is_multiple_of(3)).then(|| AuditSubject::new(person, salt)),
        object_id: Some(Uuid::from_u128(u128::from(number) + 1)),
        key_id: (!number.is_multiple_of(2)).then(|| Uuid::from_u128(u128::from(number) + 2)),
        country: number.is_multiple_of(5).then(|| Country::parse("DE").expect("a country")),
        answer: number.is_multiple_of(7).then(|| AnswerEvidence {
            decision: Decision::Declined,
            reason: Some(DeclineReason::Other),
            text_digest: digest_of_text(TEXT),
            signature_digest: [2; 32],
        }),
        at: now() + TimeDelta::seconds(number.into()),
    }
}

/// Writes pending events.
pub(crate) async fn add_pending(
    database: &TestDatabase,
    partner: &PartnerId,
    events: impl IntoIterator<Item = AuditEvent>,
) {
    let write = Literals(database.engine());
    let rows: Vec<String> = events
        .into_iter()
        .map(|event| {
            let known = event.subject.as_ref().and_then(|subject| subject.known.as_ref());
            [
                quoted(partner.as_str()),
                write.uuid(event.id),
                quoted(&event.client_id),
                quoted(&event.action),
                quoted(&event.outcome),
                or_null(known.map(|(person, _)| quoted(person.as_str()))),
                or_null(known.map(|(_, salt)| write.bytes(salt))),
                or_null(event.subject.as_ref().map(|subject| write.bytes(&subject.digest))),
                or_null(event.object_id.map(|id| write.uuid(id))),
                or_null(event.key_id.map(|id| write.uuid(id))),
                write.instant(event.at),
                or_null(event.country.map(|country| quoted(country.as_str()))),
                or_null(event.answer.map(|answer| quoted(answer.decision.as_str()))),
                or_null(event.answer.and_then(|answer| answer.reason).map(|reason| quoted(reason.as_str()))),
                or_null(event.answer.map(|answer| write.bytes(&answer.text_digest))),
                or_null(event.answer.map(|answer| write.bytes(&answer.signature_digest))),
            ]
            .join(", ")
        })
        .collect();
    sql::execute(database.url(), &format!("insert into audit_pending values ({})", rows.join("), ("))).await;
}

/// SQL literals of an engine.
#[derive(Clone, Copy)]
pub(crate) struct Literals(pub(crate) Engine);

impl Literals {
    pub(crate) fn bytes(self, bytes: &[u8]) -> String {
        match self.0 {
            Engine::Sqlite => format!("x'{}'", hex::encode(bytes)),
            Engine::Postgres | Engine::Distributed | Engine::Citus => {
                format!("decode('{}', 'hex')", hex::encode(bytes))
            }
        }
    }

    pub(crate) fn uuid(self, id: Uuid) -> String {
        match self.0 {
            Engine::Sqlite => format!("x'{}'", id.simple()),
            Engine::Postgres | Engine::Distributed | Engine::Citus => format!("'{id}'::uuid"),
        }
    }

    pub(crate) fn instant(self, at: DateTime<Utc>) -> String {
        match self.0 {
            Engine::Sqlite => format!("'{}'", at.to_rfc3339()),
            Engine::Postgres | Engine::Distributed | Engine::Citus => format!("'{}'::timestamptz", at.to_rfc3339()),
        }
    }
}

fn quoted(text: &str) -> String {
    format!("'{text}'")
}

fn or_null(literal: Option<String>) -> String {
    literal.unwrap_or_else(|| "null".to_owned())
}
