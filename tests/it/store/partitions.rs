//! Every statement of a request has the partner in its condition: on tables that are partitioned by partner, no request
//! reads a partition of another partner. Citus requires the same to route a request to one node.
//!
//! Not covered are tasks that span partners: housekeeping, the conversion check, and the search for partners with work
//! to do.

use device_management::domain::numbers::country::Country;
use device_management::domain::sms::conversion::{Destination, Tally, minute_of};
use device_management::store::{DeviceKind, Position, SentMinute};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::indexes::walk;
use super::{acme, now, person, record};
use crate::fraud_flow::{PAYLOAD, Seon};
use crate::harness::{DEVICE_CHALLENGES, Engine, NUMBER, Network, Phone, Start, TestApp, TestDatabase, sql};
use crate::idempotency::send;

/// Replaces the migrated tables by partitioned ones.
const PARTITIONED: &str = include_str!("partitioned.sql");

const DEVICES: &str = "/v1/mfa/devices";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_reads_no_partition_of_another_partner() {
    if !Engine::Postgres.is_there_for("store::partitions::a_request_reads_no_partition_of_another_partner").await {
        return;
    }
    let database = TestDatabase::start(Engine::Postgres).await;
    sql::execute(database.url(), PARTITIONED).await;
    let before = looks(database.url(), OTHERS).await;
    assert_eq!(before.len(), 21 * 7);

    let seon = Seon::that_says("DECLINE").await;
    let uri = seon.uri();
    let settings = [("SMS_LIMITS", "dry-run"), ("SEON_API_KEY", "a-licence"), ("SEON_BASE_URL", uri.as_str())];
    let app = TestApp::at(database.url(), &settings).await;
    // More than five executions of each, after which Postgres may use a generic plan, which prunes partitions at run
    // time.
    for number in 0..7 {
        walk(&app, number).await;
        walk_with_repetitions(&app, number).await;
        work_in_the_background(&app, number).await;
    }
    app.store().close().await;

    let after = looks(database.url(), OTHERS).await;
    let noticed: Vec<_> = after.iter().filter(|look| !before.contains(look)).collect();
    assert!(noticed.is_empty(), "a statement does not name the partner: {noticed:#?}");
    let left_out = looks(database.url(), OWN_WITHOUT_ROWS).await;
    assert!(left_out.is_empty(), "the test writes to none of these, so it does not cover them: {left_out:?}");

    // The check detects a statement without the partner.
    sql::texts(database.url(), "select name from device where name = 'of whomever'").await;
    assert_ne!(looks(database.url(), OTHERS).await, before);
}

/// Requests that `walk` leaves out: idempotency keys, a fraud check, messages that no provider accepts, taken keys, and
/// the list of all devices.
pub(crate) async fn walk_with_repetitions(app: &TestApp, number: u32) {
    let partner = app.partner();
    let person = format!("another-person-{number}");
    let [phone, second] = [0, 1].map(|seed| Phone::new(1000 + 2 * number + seed));
    // Twice each: the second request gets the first one's answer.
    let twice = async |method: &str, path: &str, body: &Value, status: u16| {
        let key = format!("{status}-of-{person}");
        let first = send(&partner, &key, method, path, body).await;
        first.assert_status(status);
        let again = send(&partner, &key, method, path, body).await;
        assert_eq!((again.status, &again.body), (first.status, &first.body));
        assert_eq!(again.headers["idempotency-replayed"], "true");
        first
    };

    let mobile_number = format!("/v1/persons/{person}/mobile_number");
    let its_number = json!({"number": NUMBER});
    // The outcome of a refusal that changed nothing is stored, too.
    send(&partner, &format!("201-of-{person}"), "POST", &mobile_number, &json!({"number": "+1"}))
        .await
        .assert_status(400);
    twice("POST", &mobile_number, &its_number, 201).await;
    twice("POST", &format!("{mobile_number}/authorize"), &its_number, 201).await;
    let token = json!({"number": NUMBER, "token": app.outbox().last().code()});
    twice("POST", &format!("{mobile_number}/confirm"), &token, 201).await;

    let new_device = |phone: &Phone| json!({"person_id": person, "key_type": "ecdsa-p256", "key": phone.key(), "device_data": PAYLOAD});
    app.network(Network::IsDown);
    partner.post(&format!("{mobile_number}/authorize"), its_number).await.assert_status(502);
    // The outcome of a failure is not stored: a retry with the same key runs again.
    send(&partner, &format!("202-of-{person}"), "POST", DEVICES, &new_device(&phone)).await.assert_status(502);
    app.network(Network::Works);
    let asked = twice("POST", DEVICES, &new_device(&phone), 202).await.json();
    let device = format!("{DEVICES}/{}", asked["id"].as_str().unwrap());
    let challenge = format!("/v1/mfa/challenges/signatures/{}", asked["id"].as_str().unwrap());
    twice("PUT", &challenge, &json!({"signature": phone.sign("wrong")}), 403).await;
    let right = phone.sign(&app.outbox().last().code());
    twice("PUT", &challenge, &json!({"signature": right, "device_data": PAYLOAD}), 204).await;

    let id = asked["id"].as_str().unwrap();
    let opened = twice("POST", DEVICE_CHALLENGES, &json!({"device_id": id, "device_data": PAYLOAD}), 201).await.json();
    let path = format!("{DEVICE_CHALLENGES}/{}", opened["id"].as_str().unwrap());
    let approval = json!({"signature": phone.sign(opened["string_to_sign"].as_str().unwrap())});
    twice("PUT", &path, &approval, 204).await;

    let attempt = partner.ask_for_device(&person, &second).await.id;
    let code = app.outbox().last().code();
    let keys = format!("{device}/keys");
    let mut new_key = phone.vouch_for(&second);
    new_key["device_signature"]["signature"] = json!(phone.sign("wrong"));
    twice("POST", &keys, &new_key, 403).await;
    twice("POST", &keys, &phone.vouch_for(&second), 201).await;
    // A key belongs to the device that got it first, even if another binding with it was opened before.
    partner.answer(&attempt, &second.sign(&code)).await.assert_status(409);
    partner.post(&keys, phone.vouch_for(&second)).await.assert_status(409);
    let shown = partner.get(&keys).await.assert_status(200).json();
    assert_eq!(shown[0]["keys"].as_array().map(Vec::len), Some(2));

    for tombstones in ["", "&filter[include_deleted]=true"] {
        let devices = partner.get(&format!("{DEVICES}?page[size]=100{tombstones}")).await.assert_status(200).json();
        let found =
            devices.as_array().map(|devices| devices.iter().filter(|it| it["person_id"] == json!(person)).count());
        assert_eq!(found, Some(1));
    }
}

/// Background work on a partner's rows: count, seal, verify, erase.
async fn work_in_the_background(app: &TestApp, number: u32) {
    let store = app.store();
    let destination = Destination { partner: acme(), country: Country::parse("DE").unwrap() };
    let sent = SentMinute { destination: destination.clone(), minute: minute_of(now()) };
    store.add_sms_conversion(&[(sent, Tally { sent: 1, used: 1 })]).await.unwrap();
    store.reset_sms_conversion(&destination, now(), &record()).await.unwrap();

    for kind in [DeviceKind::Live, DeviceKind::Deleted] {
        store.count_devices(&acme(), kind, Position::NEWEST).await.unwrap();
    }
    store.keep_device_count(&acme(), 0, 0).await.unwrap();

    let [erased, pseudonym] = ["another-person", "erased-person"].map(|name| person(&format!("{name}-{number}")));
    let step = store.erase_step(&acme(), &erased, &pseudonym, &record().event, now()).await.unwrap().unwrap();
    assert!(!step.goes_on);
    let found = step.erased;
    assert_eq!((found.numbers, found.persons, found.devices, found.keys), (1, 1, 1, 2));
    assert!(found.assessments >= 2 && found.outcomes == 10, "{found:?}");

    let sealed = store.seal_audit_events(&acme(), now(), 1000).await.unwrap();
    let chain = store.audit_chain(&acme()).await.unwrap();
    assert_eq!((chain.seals, chain.waiting), (i64::from(number) + 1, 0));
    assert_eq!(store.audit_seals(&acme(), chain.seals - 1, chain.seals, 10).await.unwrap()[0].events, sealed);
    let events = store.sealed_events(&acme(), (chain.seals, Uuid::nil()), chain.seals, 1000).await.unwrap();
    assert_eq!(i64::try_from(events.len()).unwrap(), sealed);
    assert_eq!(store.first_seal_since(&acme(), now()).await.unwrap(), Some(1));
}

/// Number of reads of other partners' partitions, and the partitions of the requests' partner without writes.
const OTHERS: &str = "not satisfies_hash_partition(h.inhparent, 8, right(s.relname, 1)::integer, 'acme'::text)";
const OWN_WITHOUT_ROWS: &str =
    "satisfies_hash_partition(h.inhparent, 8, right(s.relname, 1)::integer, 'acme'::text) and s.n_tup_ins = 0";

/// The counts of these partitions once every other connection has ended and reported.
async fn looks(url: &str, which: &str) -> Vec<String> {
    let mut observer = PgConnection::connect(url).await.unwrap();
    let others = "select count(*) from pg_stat_activity
                   where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'";
    while sqlx::query_scalar::<_, i64>(others).fetch_one(&mut observer).await.unwrap() > 0 {
        tokio::task::yield_now().await;
    }
    let counts = format!(
        "select format('%s: %s by index, %s from end to end, %s inserted, %s updated, %s deleted', s.relname
                      , s.idx_scan, s.seq_scan, s.n_tup_ins, s.n_tup_upd, s.n_tup_del)
           from pg_stat_user_tables s
           join pg_inherits h on h.inhrelid = s.relid
          where {which}
          order by s.relname"
    );
    let looks = sqlx::query_scalar(sqlx::AssertSqlSafe(counts)).fetch_all(&mut observer).await.unwrap();
    observer.close().await.unwrap();
    looks
}
