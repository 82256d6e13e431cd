//! Compares acknowledged changes and sent messages with the database.

use std::collections::{BTreeMap, BTreeSet};

use super::acknowledged::{Acknowledged, Signed, Wrong};
use super::sms_gateway::Sms;
use crate::binary::run;
use crate::harness::sql::{execute, texts};
use crate::harness::{Engine, Program, TestDatabase, books};
use crate::outages::trail;

/// Inconsistencies, each with the query that counts it.
const FAULTS: [(&str, &str); 4] = [
    (
        "a device is bound and its challenge is open",
        "select count(*) from person p join device d on d.device_id = p.binding_id where p.binding_closed_at is null",
    ),
    (
        "a challenge was answered and its device is missing",
        "select count(*) from person p
          where p.binding_id is not null and p.binding_closed_at is not null
            and not exists (select 1 from device d where d.device_id = p.binding_id)",
    ),
    (
        "a device's person has no verified number",
        "select count(*) from device d
          where not exists (select 1 from mobile_number n
                             where n.person_id = d.person_id and n.verified_at is not null)",
    ),
    (
        "a claim of an idempotency key never ended",
        "select count(*) from idempotent_request where outcome is null and finished_at is null",
    ),
];

/// The audit trail verifies, and no event is unsealed.
pub(super) fn assert_sealed(program: &Program) {
    let (code, lines) = run(program, &["audit", "verify"]);
    assert_eq!((code, lines.len()), (0, 2), "{lines:#?}");
    let fields: Vec<&str> = lines[1].split('\t').collect();
    assert_eq!((fields[0], fields[3]), ("sandbox", "0"), "{lines:#?}");
}

/// Checks everything else. This copies the sealed events back to the unsealed ones.
pub(super) async fn assert_right(database: &TestDatabase, accounts: &[Acknowledged], messages: &[Sms]) {
    books::assert_balanced(database).await;
    for (meaning, statement) in FAULTS {
        assert_eq!(books::count(database, statement).await, 0, "{meaning}");
    }
    let columns = "partner_id, event_id, client_id, action, outcome, person_id, person_salt, person_digest, object_id,
                   key_id, occurred_at";
    let unseal = format!("insert into audit_pending ({columns}) select {columns} from audit_event");
    execute(database.url(), &unseal).await;
    trail::assert_complete(database).await;

    let tables = Tables(database);
    assert_devices(&tables, accounts).await;
    assert_failures(&tables, accounts).await;
    assert_signed(&tables, accounts).await;
    assert_letters(&tables, accounts).await;
    assert_messages(accounts, messages);
}

/// Reads tables as rows of words.
struct Tables<'a>(&'a TestDatabase);

impl Tables<'_> {
    /// An id or a key as the API writes it, but without hyphens.
    fn hex(&self, column: &str) -> String {
        match self.0.engine() {
            Engine::Sqlite => format!("lower(hex({column}))"),
            Engine::Postgres if column.ends_with("_id") => format!("encode(uuid_send({column}), 'hex')"),
            Engine::Postgres | Engine::Distributed | Engine::Citus => format!("encode({column}, 'hex')"),
        }
    }

    async fn lines(&self, columns: &[&str], rest: &str) -> Vec<Vec<String>> {
        let lines = texts(self.0.url(), &format!("select {} from {rest}", columns.join(" || ' ' || "))).await;
        lines.iter().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
    }
}

fn plain(id: &str) -> String {
    id.replace('-', "")
}

/// The devices are those that were acknowledged: each with its keys, or a tombstone without keys.
async fn assert_devices(tables: &Tables<'_>, accounts: &[Acknowledged]) {
    let state = "case when deleted_at is null then 'bound' else 'deleted' end";
    let rows = tables.lines(&[&tables.hex("device_id"), "person_id", state], "device").await;
    let rows: BTreeSet<Vec<String>> = rows.into_iter().collect();
    let key_columns = [tables.hex("device_id"), tables.hex("public_key")];
    let [device, key] = &key_columns;
    let keys = tables.lines(&[device, key], "device_key where deleted_at is null").await;
    let keys: BTreeSet<Vec<String>> = keys.into_iter().collect();

    let (mut acknowledged_devices, mut acknowledged_keys) = (BTreeSet::new(), BTreeSet::new());
    for account in accounts {
        for device in &account.devices {
            let state = if device.deleted { "deleted" } else { "bound" };
            acknowledged_devices.insert(vec![plain(&device.id), account.person.clone(), state.to_owned()]);
            let live = device.keys.iter().filter(|_| !device.deleted);
            acknowledged_keys.extend(live.map(|key| vec![plain(&device.id), key.clone()]));
        }
    }
    assert_same("device", &acknowledged_devices, &rows);
    assert_same("key", &acknowledged_keys, &keys);
}

fn assert_same(what: &str, acknowledged: &BTreeSet<Vec<String>>, there: &BTreeSet<Vec<String>>) {
    let lost: Vec<_> = acknowledged.difference(there).collect();
    let unknown: Vec<_> = there.difference(acknowledged).collect();
    assert!(lost.is_empty() && unknown.is_empty(), "{what}: lost {lost:#?}, never acknowledged {unknown:#?}");
}

/// Each wrong signature that got 403 has an audit event, and no other has, except those with a lost answer. The counts
/// in the rows equal those of the trail.
async fn assert_failures(tables: &Tables<'_>, accounts: &[Acknowledged]) {
    let columns = ["outcome", "coalesce(person_id, '-')", &tables.hex("object_id")];
    let answers = "audit_pending where action in ('binding.answered', 'key.added', 'sms_challenge.answered')
                   order by occurred_at, event_id";
    let (mut wrong, mut in_a_row) = (BTreeMap::<String, i64>::new(), BTreeMap::<String, i64>::new());
    for event in tables.lines(&columns, answers).await {
        let [outcome, person, object] = &event[..] else { panic!("{event:?}") };
        match outcome.as_str() {
            "wrong" => {
                *wrong.entry(object.clone()).or_default() += 1;
                *in_a_row.entry(person.clone()).or_default() += 1;
            }
            "accepted" => drop(in_a_row.insert(person.clone(), 0)),
            _ => {}
        }
    }

    let mut acknowledged: BTreeMap<String, Wrong> = BTreeMap::new();
    for account in accounts {
        let challenges = account.challenges.iter().map(|challenge| (&challenge.id, challenge.wrong));
        let devices = account.devices.iter().map(|device| (&device.id, device.wrong));
        for (id, more) in challenges.chain(devices) {
            // A device has the id of its challenge.
            let sum = acknowledged.entry(plain(id)).or_default();
            *sum = Wrong { answered: sum.answered + more.answered, unknown: sum.unknown + more.unknown };
        }
    }
    for (id, acknowledged) in &acknowledged {
        let counted = wrong.get(id).copied().unwrap_or_default();
        let in_order = (acknowledged.answered..=acknowledged.most()).contains(&counted);
        assert!(
            in_order,
            "{id}: {} failures answered, {} unknown, {counted} there",
            acknowledged.answered, acknowledged.unknown
        );
    }
    let unknown: Vec<_> = wrong.keys().filter(|id| !acknowledged.contains_key(*id)).collect();
    assert!(unknown.is_empty(), "failures without a request: {unknown:?}");

    for line in tables.lines(&["person_id", "failures"], "person").await {
        let there: i64 = line[1].parse().expect("a number");
        assert_eq!(there, in_a_row.get(&line[0]).copied().unwrap_or_default(), "failures of {} in a row", line[0]);
    }
    let columns = [&tables.hex("object_id"), "count(*)"];
    let of_challenges = "audit_pending where action = 'binding.answered' and outcome = 'wrong' group by object_id";
    let of_challenges: BTreeMap<String, String> = tables
        .lines(&columns, of_challenges)
        .await
        .into_iter()
        .map(|line| (line[0].clone(), line[1].clone()))
        .collect();
    let columns = [&tables.hex("binding_id"), "binding_wrong_signatures"];
    for line in tables.lines(&columns, "person where binding_id is not null").await {
        let written = of_challenges.get(&line[0]).map_or("0", String::as_str);
        assert_eq!(line[1], written, "wrong signatures of challenge {}", line[0]);
    }
}

/// Each decision that got 204 has exactly one event, and no other challenge of a device has one. The wrong signatures
/// are those that got 403, except those with a lost answer; a device's failures are those since the last right one.
async fn assert_signed(tables: &Tables<'_>, accounts: &[Acknowledged]) {
    let events = "audit_pending where action = 'device_challenge.answered'";
    let mut outcomes = BTreeMap::<(String, String), i64>::new();
    for event in tables.lines(&[&tables.hex("object_id"), "outcome"], events).await {
        let [object, outcome] = &event[..] else { panic!("{event:?}") };
        *outcomes.entry((object.clone(), outcome.clone())).or_default() += 1;
    }
    let decisions = tables.lines(&[&tables.hex("challenge_id"), "coalesce(decision, '-')"], "device_challenge").await;
    let decisions: BTreeMap<String, String> =
        decisions.into_iter().map(|line| (line[0].clone(), line[1].clone())).collect();
    for account in accounts {
        for Signed { id, wrong, decision } in &account.signed {
            let counted = |outcome: &str| outcomes.get(&(plain(id), outcome.to_owned())).copied().unwrap_or_default();
            assert_eq!(counted("accepted"), i64::from(decision.is_some()), "{id}: {decision:?} acknowledged");
            let in_order = (wrong.answered..=wrong.most()).contains(&counted("wrong"));
            assert!(
                in_order,
                "{id}: {} failures answered, {} unknown, {} there",
                wrong.answered,
                wrong.unknown,
                counted("wrong")
            );
            // The challenges of a deleted device are deleted.
            if let Some(stored) = decisions.get(&plain(id)) {
                assert_eq!(stored, decision.unwrap_or("-"), "the decision of {id}");
            }
        }
    }

    let of_devices = "audit_pending a join device_challenge c on c.challenge_id = a.object_id
                       where a.action = 'device_challenge.answered' order by a.occurred_at, a.event_id";
    let mut in_a_row = BTreeMap::<String, i64>::new();
    for event in tables.lines(&[&tables.hex("c.device_id"), "a.outcome"], of_devices).await {
        let failures = in_a_row.entry(event[0].clone()).or_default();
        match event[1].as_str() {
            "wrong" => *failures += 1,
            "accepted" => *failures = 0,
            _ => {}
        }
    }
    for line in tables.lines(&[&tables.hex("device_id"), "failures"], "device where deleted_at is null").await {
        let there: i64 = line[1].parse().expect("a number");
        assert_eq!(there, in_a_row.get(&line[0]).copied().unwrap_or_default(), "failures of device {}", line[0]);
    }
}

/// Each acknowledged activation code is there, and used if it bound a device. Others are not used.
async fn assert_letters(tables: &Tables<'_>, accounts: &[Acknowledged]) {
    let is_used = "case when used_at is null then 'new' else 'used' end";
    let rows = tables.lines(&[&tables.hex("code_id"), is_used], "activation_code").await;
    let (used, new): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row[1] == "used");
    let ids = |rows: Vec<Vec<String>>| rows.into_iter().map(|mut row| row.swap_remove(0)).collect::<BTreeSet<_>>();
    let (used, new) = (ids(used), ids(new));
    let letters: Vec<_> = accounts.iter().flat_map(|account| &account.letters).collect();
    let acknowledged: BTreeSet<_> = letters.iter().filter(|letter| letter.is_used).map(|it| plain(&it.id)).collect();
    assert_eq!(used, acknowledged, "used activation codes");
    for letter in letters.iter().filter(|letter| !letter.is_used) {
        assert!(new.contains(&plain(&letter.id)), "activation code {} is lost", letter.id);
    }
}

/// No challenge has a second SMS, and no idempotency key a second challenge; without a key, each request has at most
/// one SMS.
fn assert_messages(accounts: &[Acknowledged], messages: &[Sms]) {
    let mut challenges = BTreeSet::new();
    for sms in messages {
        assert!(challenges.insert(&sms.challenge), "a second SMS for challenge {}", sms.challenge);
    }
    for account in accounts {
        let sent: Vec<_> = messages.iter().filter(|sms| sms.message.to == account.number).collect();
        assert!(sent.len() <= account.asks, "{}: {} SMS for {}", account.person, sent.len(), account.asks);
        if account.uses_keys {
            let acknowledged: BTreeSet<_> = account.challenges.iter().map(|challenge| &challenge.id).collect();
            assert_eq!(acknowledged.len(), account.asks, "{}: a challenge for each key", account.person);
            let second = sent.iter().find(|sms| !acknowledged.contains(&sms.challenge));
            assert!(second.is_none(), "{}: an SMS of a challenge that no answer names", account.person);
        }
    }
}
