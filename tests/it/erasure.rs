//! Erasure: no column of any table keeps personal data of an erased person, and the audit trail still verifies.

use axum::body::Body;
use axum::http::Request;
use device_management::clock::SystemClock;
use device_management::domain::audit::{AuditEvent, AuditSubject};
use device_management::domain::person::{PartnerId, PersonId};
use device_management::entropy::SystemEntropy;
use device_management::service::{AuditCheckpoints, PersonErasure};
use device_management::store::{ERASURE_BATCH, Erased};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::activation_codes::{activation_wish, delivery_event};
use crate::audit::{Literals, add_pending, verdicts};
use crate::binary::{exit_code, fail, run, sandbox_on};
use crate::fraud_flow::Seon;
use crate::harness::{
    ACTIVATION_CODES, Bound, Engine, Phone, TestApp, TestClient, books, on_both_databases_and_citus, sql,
};

on_both_databases_and_citus![
    no_table_names_an_erased_person,
    no_column_keeps_personal_data_after_an_erasure,
    an_interrupted_erasure_resumes_under_the_same_id,
    the_tombstones_of_an_erased_person_have_an_anonymous_id,
    other_persons_keep_their_data,
    an_open_challenge_ends_with_the_erasure,
    former_numbers_are_erased_and_sms_counts_of_others_stay,
    the_sms_limit_of_a_shared_number_survives_the_erasure,
    a_person_known_only_by_records_can_be_erased,
    erasing_an_unknown_person_changes_nothing,
    the_command_prints_counts_and_fails_the_second_time,
];

const ADA: &str = "Ada-Lovelace-1815";
const ADAS_NUMBER: &str = "+4915187654321";
const ADAS_NAME: &str = "Analytical Engine";
const DEVICE_DATA: &str = "Web;179ac83968ab42f7;jVl14emA+OcyALb9F+CMFg==;NU7aFh0jdzM15wj8hQtqbA5LbzEFWDI1bUwZf";

fn acme() -> PartnerId {
    PartnerId::parse("acme").unwrap()
}

fn person(id: &str) -> PersonId {
    PersonId::parse(id).unwrap()
}

pub(crate) async fn erase(app: &TestApp, id: &str) -> Option<Erased> {
    let erasure = PersonErasure { store: app.store(), clock: &SystemClock, entropy: &SystemEntropy };
    erasure.erase(&acme(), &person(id)).await.unwrap()
}

/// Gives Ada a number, two devices (one of them deleted) with three keys, and an open challenge.
async fn set_up_ada(app: &TestApp, partner: &TestClient) -> [Bound; 3] {
    let number = json!({"number": ADAS_NUMBER, "verified": true});
    partner.post(&format!("/v1/persons/{ADA}/mobile_number"), number).await.assert_status(201);
    let mut devices = Vec::new();
    for seed in 1..=3 {
        let phone = Phone::new(seed);
        let body = json!({"person_id": ADA, "key_type": "ecdsa-p256", "key": phone.key(), "name": ADAS_NAME});
        let answer = partner.post("/v1/mfa/devices", body).await.assert_status(202).json();
        let [id, key_id] = ["id", "key_id"].map(|name| answer[name].as_str().unwrap().to_owned());
        if seed < 3 {
            partner.answer(&id, &phone.sign(&app.outbox().last().code())).await.assert_status(204);
        }
        devices.push(Bound { id, key_id });
    }
    let keys = format!("/v1/mfa/devices/{}/keys", devices[1].id);
    partner.post(&keys, Phone::new(2).vouch_for(&Phone::new(4))).await.assert_status(201);
    partner.delete(&format!("/v1/mfa/devices/{}", devices[0].id)).await.assert_status(204);
    devices.try_into().unwrap()
}

/// Writes a fraud assessment, an idempotent request, and two events of which one is sealed.
async fn write_records(app: &TestApp, id: &str, number: u8) {
    let write = Literals(app.database.engine());
    let at = write.instant("2022-03-18T14:50:04Z".parse().unwrap());
    let [one, other] = [0, 100].map(|more| write.uuid(Uuid::from_bytes([number + more; 16])));
    let bytes = write.bytes(&[number; 32]);
    let statements = format!(
        "insert into fraud_assessment (assessment_id, partner_id, person_id, object_id, action, state, provider_id
                                     , latency_ms, allowed, assessed_at)
         values ({one}, 'acme', '{id}', {one}, 'device_verification', 'approve', 'seon-{number}', 1, 'yes', {at});
         insert into idempotent_request (scope, claim_id, digest, partner_id, person_id, claimed_at, lease_until, outcome)
         values ({bytes}, {other}, {bytes}, 'acme', '{id}', {at}, {at}, '{{\"number\":\"{ADAS_NUMBER}\"}}');"
    );
    sql::execute(app.database.url(), &statements).await;
    for more in [0, 100] {
        let event = AuditEvent {
            id: Uuid::from_bytes([number + more; 16]),
            client_id: "client".to_owned(),
            action: "binding.asked".into(),
            outcome: "accepted".into(),
            subject: Some(AuditSubject::new(person(id), salt(number))),
            object_id: None,
            key_id: None,
            country: None,
            answer: None,
            at: "2022-03-18T14:50:04Z".parse().unwrap(),
        };
        add_pending(&app.database, &acme(), [event]).await;
        if more == 0 {
            app.app.service.seal_audit_trail().await.unwrap();
        }
    }
}

fn salt(number: u8) -> [u8; 16] {
    b"a grain of salt!".map(|byte| byte ^ number)
}

/// All personal data of Ada, as text and in hex.
fn needles() -> Vec<String> {
    let words = [ADA, ADAS_NUMBER, &ADAS_NUMBER[1..], ADAS_NAME, "seon-1"].map(str::to_lowercase);
    let as_bytes = words.each_ref().map(hex::encode);
    // Without the salt, the id cannot be guessed from its digest.
    let salt = hex::encode(salt(1));
    let keys = (1..=4).map(|seed| Phone::new(seed).key());
    words.into_iter().chain(as_bytes).chain(keys).chain([salt]).collect()
}

async fn no_table_names_an_erased_person(app: TestApp) {
    set_up_ada(&app, &app.partner()).await;
    write_records(&app, ADA, 1).await;
    let before = sql::every_value(&app.database).await;
    let needles: Vec<String> = needles().into_iter().filter(|needle| before.contains(needle)).collect();
    // Person, number with and without its sign, name, id at SEON; keys; salt.
    assert_eq!(needles.len(), 5 + 4 + 1, "{needles:?}");

    let erased = erase(&app, ADA).await.unwrap();
    let counts = (erased.numbers, erased.persons, erased.devices, erased.keys, erased.assessments, erased.outcomes);
    assert_eq!(counts, (1, 1, 2, 3, 1, 1));
    assert!(erased.events >= 2, "{erased:?}");
    let after = sql::every_value(&app.database).await;
    for needle in needles {
        assert!(!after.contains(&needle), "{needle} is still there");
    }
    books::assert_balanced(&app.database).await;

    // The trail verifies before and after the remaining events are sealed, and has the event of the erasure.
    for waiting in [true, false] {
        let verdicts = verdicts(app.store(), &AuditCheckpoints::default()).await;
        assert!(verdicts.iter().all(|it| it.faults.is_empty() && (it.waiting > 0) == waiting), "{verdicts:?}");
        app.app.service.seal_audit_trail().await.unwrap();
    }
    let said =
        "select client_id || ' ' || outcome from audit_event where action = 'person.erased' and person_digest is null";
    assert_eq!(sql::texts(app.database.url(), said).await, ["operator accepted"]);
}

/// A number that Ada had before.
const FORMER_NUMBER: &str = "+4915199887766";

/// Writes personal data of Ada to every table that requests write to, through the API only.
async fn use_every_table(app: &TestApp, partner: &TestClient) {
    let number = format!("/v1/persons/{ADA}/mobile_number");
    let with_key = async |key: &str, path: &str, body: Value| {
        let request = Request::post(path).header("idempotency-key", key);
        partner.request(request.body(Body::from(body.to_string())).unwrap()).await
    };
    with_key("1", &number, json!({"number": FORMER_NUMBER})).await.assert_status(201);
    with_key("2", &format!("{number}/authorize"), json!({"number": FORMER_NUMBER})).await.assert_status(201);
    let token = json!({"number": FORMER_NUMBER, "token": app.outbox().last().code()});
    with_key("3", &format!("{number}/confirm"), token).await.assert_status(201);
    partner.delete(&number).await.assert_status(200);
    with_key("4", &number, json!({"number": ADAS_NUMBER, "verified": true})).await.assert_status(201);
    with_key("5", &format!("{number}/authorize"), json!({"number": ADAS_NUMBER})).await.assert_status(201);
    let mut devices = Vec::new();
    for seed in 1..=3 {
        let phone = Phone::new(seed);
        let new_device = json!({
            "person_id": ADA, "key_type": "ecdsa-p256", "key": phone.key(), "name": ADAS_NAME, "device_data": DEVICE_DATA
        });
        let asked = with_key(&format!("device-{seed}"), "/v1/mfa/devices", new_device).await.assert_status(202).json();
        let id = asked["id"].as_str().unwrap().to_owned();
        partner.answer(&id, &phone.sign("wrong")).await.assert_status(403);
        if seed < 3 {
            partner.answer(&id, &phone.sign(&app.outbox().last().code())).await.assert_status(204);
        }
        devices.push(id);
        app.app.service.seal_audit_trail().await.unwrap();
    }
    let keys = format!("/v1/mfa/devices/{}/keys", devices[1]);
    partner.post(&keys, Phone::new(2).vouch_for(&Phone::new(4))).await.assert_status(201);
    let payee = json!({"name": ADAS_NAME});
    let approval = json!({"action": "payment", "amount": {"value": "1.00", "currency": "EUR"}, "payee": payee});
    let new_challenge = json!({"device_id": devices[1], "approval": approval});
    let asked = with_key("challenge", "/v1/mfa/challenges/devices", new_challenge).await.assert_status(201).json();
    let signature = Phone::new(2).sign(asked["string_to_sign"].as_str().unwrap());
    partner.sign(asked["id"].as_str().unwrap(), &signature).await.assert_status(204);
    let new_challenge = json!({"person_id": ADA, "device_data": DEVICE_DATA});
    with_key("sms", "/v1/mfa/challenges/sms", new_challenge).await.assert_status(201);
    let code = with_key("code", ACTIVATION_CODES, activation_wish(ADA)).await.assert_status(201).json();
    let events = format!("{ACTIVATION_CODES}/{}/delivery_events", code["id"].as_str().unwrap());
    let mut event = delivery_event();
    event["additional_details"] = format!("left with {ADAS_NAME}").into();
    with_key("event", &events, event).await.assert_status(201);
    partner.delete(&format!("/v1/mfa/devices/{}", devices[0])).await.assert_status(204);
    app.app.service.settle_conversion().await.unwrap();
}

/// Tables without personal data.
const IMPERSONAL: [&str; 10] = [
    "_sqlx_migrations",
    "client",
    "client_secret",
    "device_count",
    "housekeeping_lease",
    "sms_conversion",
    "sms_conversion_reset",
    "sms_partner_rate",
    "audit_chain",
    "audit_seal",
];

/// The tables and columns come from the catalogue of the database, so a new one is covered.
async fn no_column_keeps_personal_data_after_an_erasure(app: TestApp) {
    let seon = Seon::that_says("APPROVE").await;
    let uri = seon.uri();
    let settings = [
        ("SMS_LIMITS", "enforce"),
        ("LIMIT_SMS_PER_NUMBER", "1000/1h"),
        ("LIMIT_SMS_PER_PERSON", "1000/1h"),
        ("SEON_API_KEY", "a-licence"),
        ("SEON_BASE_URL", uri.as_str()),
    ];
    use_every_table(&app, &app.partner().through(app.replica(&settings).await)).await;
    let salts = match app.database.engine() {
        Engine::Sqlite => "select lower(hex(person_salt)) from audit_event where person_salt is not null",
        Engine::Postgres | Engine::Distributed | Engine::Citus => {
            "select encode(person_salt, 'hex') from audit_event where person_salt is not null"
        }
    };
    let salts = sql::texts(app.database.url(), salts).await;
    assert!(salts.len() > 3, "{salts:?}");
    let words =
        [ADA, ADAS_NUMBER, &ADAS_NUMBER[1..], FORMER_NUMBER, &FORMER_NUMBER[1..], ADAS_NAME, "seon-1", DEVICE_DATA];
    // As text, in hex, and as a digest without a salt, which an attacker could compute.
    let forms = words.iter().flat_map(|word| {
        [
            word.to_lowercase(),
            hex::encode(word),
            hex::encode(Sha256::digest(word)),
            hex::encode(Sha256::digest(word.to_lowercase())),
        ]
    });
    let keys = (1..=4).map(|seed| Phone::new(seed).key());
    let needles: Vec<String> = forms.chain(keys).chain(salts).collect();
    let mut silent = Vec::new();
    for table in sql::tables(&app.database).await {
        let values = sql::every_value_in(&app.database, &table).await;
        if !needles.iter().any(|needle| values.contains(needle)) {
            silent.push(table);
        }
    }
    silent.retain(|table| !IMPERSONAL.contains(&table.as_str()) && table != "person_erasure");
    assert!(silent.is_empty(), "the test writes no personal data to {silent:?}");

    erase(&app, ADA).await.unwrap();
    for table in sql::tables(&app.database).await {
        let values = sql::every_value_in(&app.database, &table).await;
        for needle in &needles {
            assert!(!values.contains(needle), "{needle} is still in {table}");
        }
    }
    books::assert_balanced(&app.database).await;
    let verdicts = verdicts(app.store(), &AuditCheckpoints::default()).await;
    assert!(verdicts.iter().all(|verdict| verdict.faults.is_empty()), "{verdicts:?}");
}

/// Writes this many events and assessments of Ada.
async fn write_many_records(app: &TestApp, events: usize, assessments: usize) {
    let at = "2022-03-18T14:50:04Z".parse().unwrap();
    let id = |number: usize| Uuid::from_u128(0xb000 << 64 | u128::try_from(number).unwrap());
    let events = (0..events).map(|number| AuditEvent {
        id: id(number),
        client_id: "client".to_owned(),
        action: "binding.asked".into(),
        outcome: "accepted".into(),
        subject: Some(AuditSubject::new(person(ADA), salt(1))),
        object_id: None,
        key_id: None,
        country: None,
        answer: None,
        at,
    });
    add_pending(&app.database, &acme(), events).await;
    let write = Literals(app.database.engine());
    let at = write.instant(at);
    let rows: Vec<String> = (0..assessments)
        .map(|number| {
            let id = write.uuid(id(number));
            format!("({id}, 'acme', '{ADA}', {id}, 'device_verification', 'approve', 1, 'yes', {at})")
        })
        .collect();
    let insertion = format!(
        "insert into fraud_assessment (assessment_id, partner_id, person_id, object_id, action, state, latency_ms
                                     , allowed, assessed_at) values {}",
        rows.join(", ")
    );
    sql::execute(app.database.url(), &insertion).await;
}

async fn an_interrupted_erasure_resumes_under_the_same_id(app: TestApp) {
    let partner = app.partner();
    let [_, bound, pending] = set_up_ada(&app, &partner).await;
    write_many_records(&app, 2 * ERASURE_BATCH, ERASURE_BATCH + 1).await;
    app.app.service.seal_audit_trail().await.unwrap();
    write_records(&app, ADA, 1).await;

    // The process dies after one commit.
    let mut event = AuditEvent {
        id: Uuid::from_u128(7),
        client_id: "operator".to_owned(),
        action: "person.erased".into(),
        outcome: "accepted".into(),
        subject: None,
        object_id: None,
        key_id: None,
        country: None,
        answer: None,
        at: app.app.service.clock.now(),
    };
    let now = event.at;
    let first = app.store().erase_step(&acme(), &person(ADA), &person("erased-first"), &event, now).await.unwrap();
    let first = first.unwrap();
    assert!(first.goes_on, "{first:?}");
    // A step is bounded. Pending and sealed events are counted separately.
    assert!(first.erased.events <= 2 * ERASURE_BATCH && first.erased.assessments <= ERASURE_BATCH, "{first:?}");
    assert!(sql::every_value(&app.database).await.contains(&ADA.to_lowercase()), "the erasure is not complete");

    // Requests do not find the person from that commit on.
    let device = partner.get(&format!("/v1/mfa/devices/{}", bound.id)).await.assert_status(200).json();
    assert_eq!((device["person_id"].as_str(), device["deleted_at"].is_string()), (Some("erased-first"), true));
    partner.get(&format!("/v1/mfa/challenges/signatures/{}", pending.id)).await.assert_status(404);
    partner.get(&format!("/v1/persons/{ADA}/mobile_number")).await.assert_status(404);
    books::assert_balanced(&app.database).await;

    let rest = erase(&app, ADA).await.unwrap();
    assert_eq!((rest.numbers, rest.persons, rest.devices), (0, 0, 0));
    assert_eq!(first.erased.assessments + rest.assessments, ERASURE_BATCH + 2);
    assert!(first.erased.events + rest.events > 2 * ERASURE_BATCH, "{rest:?}");
    assert!(!sql::every_value(&app.database).await.contains(&ADA.to_lowercase()));
    for table in ["device", "fraud_assessment"] {
        let ids = sql::texts(app.database.url(), &format!("select distinct person_id from {table}")).await;
        assert_eq!(ids, ["erased-first"], "{table}");
    }
    // The event of the first run is the only one.
    event.id = Uuid::from_u128(8);
    assert_eq!(
        app.store().erase_step(&acme(), &person(ADA), &person("erased-again"), &event, now).await.unwrap(),
        None
    );
    app.app.service.seal_audit_trail().await.unwrap();
    let said = "select count(*) from audit_event where action = 'person.erased'";
    assert_eq!(books::count(&app.database, said).await, 1);
    let verdicts = verdicts(app.store(), &AuditCheckpoints::default()).await;
    assert!(verdicts.iter().all(|verdict| verdict.faults.is_empty()), "{verdicts:?}");
}

/// Each event takes 0.5 ms: one statement for all of them would exceed the statement timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_with_more_events_than_one_statement_can_change_is_erased() {
    if !Engine::Postgres
        .is_there_for("erasure::a_person_with_more_events_than_one_statement_can_change_is_erased")
        .await
    {
        return;
    }
    let app = TestApp::with(Engine::Postgres, &[("DATABASE_STATEMENT_TIMEOUT_SECONDS", "4")]).await;
    let slow = format!(
        "insert into audit_event (partner_id, seal, event_id, client_id, action, outcome, person_id, person_salt
                                , person_digest, occurred_at)
         select 'acme', 1, gen_random_uuid(), 'client', 'binding.asked', 'accepted', '{ADA}', '\\x00', '\\x00', now()
           from generate_series(1, 12000);
         create function slow() returns trigger language plpgsql as
             'begin perform pg_sleep(0.0005); return new; end';
         create trigger slow before update on audit_event for each row execute function slow();"
    );
    sql::execute(app.database.url(), &slow).await;
    assert_eq!(erase(&app, ADA).await.unwrap().events, 12000);
    assert!(!sql::every_value(&app.database).await.contains(&ADA.to_lowercase()));
}

async fn the_tombstones_of_an_erased_person_have_an_anonymous_id(app: TestApp) {
    let partner = app.partner();
    let [deleted, bound, pending] = set_up_ada(&app, &partner).await;
    let deleted_at = partner.get(&format!("/v1/mfa/devices/{}", deleted.id)).await.json()["deleted_at"].clone();
    erase(&app, ADA).await.unwrap();

    // The test client checks these ids of persons against openapi.yaml.
    let show = async |id: &str| partner.get(&format!("/v1/mfa/devices/{id}")).await.assert_status(200).json();
    let [deleted, bound_now] = [show(&deleted.id).await, show(&bound.id).await];
    let anonymous = bound_now["person_id"].as_str().unwrap().to_owned();
    assert!(anonymous.starts_with("erased-"), "{anonymous}");
    assert_eq!(deleted["person_id"], *anonymous);
    assert_eq!(deleted["deleted_at"], deleted_at, "the erasure keeps an earlier deleted_at");
    for tombstone in [&deleted, &bound_now] {
        assert!(tombstone["deleted_at"].is_string() && tombstone["name"].is_null(), "{tombstone}");
    }
    let keys = format!("/v1/mfa/devices/{}/keys", bound.id);
    assert_eq!(partner.get(&keys).await.assert_status(200).json()[0]["keys"], json!([]));
    partner.get(&format!("{keys}/{}", bound.key_id)).await.assert_status(404);
    partner.get(&format!("/v1/mfa/devices/{}", pending.id)).await.assert_status(404);
    partner.get(&format!("/v1/persons/{ADA}/mobile_number")).await.assert_status(404);
    let of = async |id: &str| -> Value {
        partner.get(&format!("/v1/mfa/devices?person_id={id}&filter[include_deleted]=true")).await.json()
    };
    assert_eq!(of(ADA).await, json!([]));
    assert_eq!(of(&anonymous).await.as_array().map(Vec::len), Some(2));
}

async fn other_persons_keep_their_data(app: TestApp) {
    let partner = app.partner();
    set_up_ada(&app, &partner).await;
    write_records(&app, ADA, 1).await;
    write_records(&app, "Bob", 2).await;
    partner.verified_person("Bob").await;
    let bobs = partner.bind("Bob", &Phone::new(11)).await;
    let namesake = app.other_partner();
    namesake.verified_person(ADA).await;
    let theirs = namesake.bind(ADA, &Phone::new(1)).await;
    erase(&app, ADA).await.unwrap();

    let device = partner.get(&format!("/v1/mfa/devices/{}", bobs.id)).await.json();
    assert_eq!((device["person_id"].as_str(), device["deleted_at"].as_str()), (Some("Bob"), None));
    partner.get("/v1/persons/Bob/mobile_number").await.assert_status(200);
    let device = namesake.get(&format!("/v1/mfa/devices/{}", theirs.id)).await.json();
    assert_eq!((device["person_id"].as_str(), device["deleted_at"].as_str()), (Some(ADA), None));
    for (table, count) in [("fraud_assessment", "1"), ("idempotent_request", "1")] {
        let left = format!("select cast(count(*) as text) from {table} where person_id = 'Bob'");
        assert_eq!(sql::texts(app.database.url(), &left).await, [count], "{table}");
    }
    let events = "select count(*) from audit_event where person_id = 'Bob' and person_salt is not null";
    assert!(books::count(&app.database, events).await >= 1);
}

async fn an_open_challenge_ends_with_the_erasure(app: TestApp) {
    let partner = app.partner();
    partner.verified_person(ADA).await;
    let phone = Phone::new(1);
    let asked = partner.ask_for_device(ADA, &phone).await;
    let code = app.outbox().last().code();
    erase(&app, ADA).await.unwrap();
    partner.answer(&asked.id, &phone.sign(&code)).await.assert_status(404);
    // The person may return and bind the same key again.
    partner.verified_person(ADA).await;
    partner.bind(ADA, &phone).await;
    assert_eq!(erase(&app, ADA).await.unwrap().devices, 1);
    partner.verified_person(ADA).await;
    partner.bind(ADA, &phone).await;
    books::assert_balanced(&app.database).await;
}

/// Replaces the person's number with another verified one.
async fn renumber(partner: &TestClient, person: &str, number: &str) {
    let path = format!("/v1/persons/{person}/mobile_number");
    partner.delete(&path).await;
    partner.post(&path, json!({"number": number, "verified": true})).await.assert_status(201);
}

async fn ask(partner: &TestClient, person: &str) -> u16 {
    let body = json!({"person_id": person, "key_type": "ecdsa-p256", "key": Phone::new(1).key()});
    partner.post("/v1/mfa/devices", body).await.status.as_u16()
}

async fn former_numbers_are_erased_and_sms_counts_of_others_stay(app: TestApp) {
    const FORMER: &str = "+4915112345678";
    const BOBS: &str = "+4915187651234";
    let limits = [("SMS_LIMITS", "enforce"), ("LIMIT_SMS_PER_NUMBER", "100/1h"), ("LIMIT_SMS_PER_PERSON", "2/1h")];
    let partner = app.partner().through(app.replica(&limits).await);
    for (person, number) in [(ADA, FORMER), (ADA, ADAS_NUMBER), ("Bob", ADAS_NUMBER), ("Bob", BOBS)] {
        renumber(&partner, person, number).await;
        assert_eq!(ask(&partner, person).await, 202);
    }
    assert_eq!(ask(&partner, "Bob").await, 429);
    erase(&app, ADA).await.unwrap();
    let after = sql::every_value(&app.database).await;
    for needle in [ADA.to_lowercase().as_str(), FORMER, ADAS_NUMBER] {
        assert!(!after.contains(needle), "{needle} is still there");
    }
    assert!(after.contains(BOBS));
    assert_eq!(ask(&partner, "Bob").await, 429, "SMS sent for Bob still count");
    assert_eq!(erase(&app, "Bob").await.unwrap().numbers, 1);
    assert_eq!(books::count(&app.database, "select count(*) from sms_sent").await, 0);
}

async fn the_sms_limit_of_a_shared_number_survives_the_erasure(app: TestApp) {
    let partner = app.partner().through(app.replica(&[("SMS_LIMITS", "enforce")]).await);
    for person in [ADA, "Bob"] {
        renumber(&partner, person, ADAS_NUMBER).await;
    }
    assert_eq!(ask(&partner, ADA).await, 202);
    erase(&app, ADA).await.unwrap();
    assert_eq!(ask(&partner, "Bob").await, 429);
    assert!(!sql::every_value(&app.database).await.contains(&ADA.to_lowercase()));
    // The count is erased with the last person who has the number.
    erase(&app, "Bob").await.unwrap();
    assert_eq!(books::count(&app.database, "select count(*) from sms_sent").await, 0);
}

async fn a_person_known_only_by_records_can_be_erased(app: TestApp) {
    write_records(&app, ADA, 1).await;
    let erased = erase(&app, ADA).await.unwrap();
    let expected = Erased { assessments: 1, outcomes: 1, events: 2, ..Erased::default() };
    assert_eq!(erased, expected);
    assert!(!sql::every_value(&app.database).await.contains(&ADA.to_lowercase()));
}

async fn erasing_an_unknown_person_changes_nothing(app: TestApp) {
    app.partner().verified_person("Bob").await;
    let before = sql::every_value(&app.database).await;
    assert_eq!(erase(&app, ADA).await, None);
    assert_eq!(sql::every_value(&app.database).await, before);
}

async fn the_command_prints_counts_and_fails_the_second_time(app: TestApp) {
    write_records(&app, ADA, 1).await;
    let program = sandbox_on(&app.database);
    let lines = [
        "mobile numbers\t0",
        "persons\t0",
        "devices\t0",
        "keys\t0",
        "fraud assessments\t1",
        "approval texts\t0",
        "stored outcomes\t1",
        "audit events\t2",
    ];
    let erasing = program.start(&["person", "erase", "acme", ADA]);
    assert_eq!(exit_code(&erasing), 0);
    assert_eq!(erasing.output(), lines);
    assert!(!erasing.logs().concat().contains(ADA), "the log names no person");
    assert_eq!(run(&program, &["audit", "verify"]).0, 0);
    for (partner, id, message) in [
        ("acme", ADA, "no data of this person of acme: already erased, or never stored"),
        ("Acme", ADA, "PARTNER must be 1 to 64 characters of a-z 0-9 - _"),
        ("acme", "Ada Lovelace", "PERSON must be 1 to 64 visible ASCII characters"),
    ] {
        let (code, logs) = fail(&program, &["person", "erase", partner, id]);
        assert_eq!((code, logs), (1, format!("device-management: {message}")));
    }
}
