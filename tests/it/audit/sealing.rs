//! Waiting events are sealed once each, however many seal at once and wherever they are interrupted.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use chrono::TimeDelta;
use device_management::domain::audit::{GENESIS, seal};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::sync::Barrier;
use uuid::Uuid;

use super::{Literals, Trail, acme, event, event_id, globex, leave, now, replica};
use crate::harness::{Engine, Start, TestApp, books, on_both_databases, sql};

on_both_databases![
    a_batch_holds_the_oldest_events_and_follows_the_one_before,
    nothing_that_waits_is_nothing_to_seal,
    a_batch_is_not_sealed_before_the_one_that_it_follows,
    each_partner_has_a_chain_of_its_own,
    sealers_at_once_make_one_chain,
    an_interrupted_sealer_leaves_all_of_a_batch_or_nothing,
    a_batch_that_cannot_be_written_stays_where_it_was,
    the_service_seals_every_partner_in_batches,
    a_partner_whose_events_cannot_be_sealed_keeps_no_other_from_it,
];

async fn a_batch_holds_the_oldest_events_and_follows_the_one_before(trail: Trail) {
    trail.leave(&acme(), 2..7).await;
    assert_eq!(trail.seal_audit_events(&acme(), now(), 3).await.unwrap(), 3);
    // An event that comes late is sealed with those that it comes with.
    trail.leave(&acme(), 1..2).await;
    assert_eq!(trail.seal_audit_events(&acme(), now(), 3).await.unwrap(), 3);
    let digests = |numbers: &[u32]| -> Vec<_> { numbers.iter().map(|number| event(*number).digest(&acme())).collect() };
    let first = seal(GENESIS, 1, digests(&[2, 3, 4]));
    let second = seal(first, 2, digests(&[1, 5, 6]));
    let seals = trail.audit_seals(&acme(), 0, 2, 10).await.unwrap();
    let found: Vec<_> = seals.iter().map(|it| (it.number, it.events, it.previous_hash, it.hash)).collect();
    assert_eq!(found, [(1, 3, GENESIS, first), (2, 3, first, second)]);
    assert_eq!(trail.audit_chain(&acme()).await.unwrap().head, second);
    let events = trail.sealed_events(&acme(), (0, Uuid::nil()), 2, 10).await.unwrap();
    let found: Vec<_> = events.into_iter().map(|it| (it.seal, it.event.unwrap())).collect();
    assert_eq!(found, [(1, 2), (1, 3), (1, 4), (2, 1), (2, 5), (2, 6)].map(|(seal, number)| (seal, event(number))));
    assert_eq!(trail.holds().await, [("acme".to_owned(), [2, 6, 0])]);
}

async fn a_batch_is_not_sealed_before_the_one_that_it_follows(trail: Trail) {
    trail.leave(&acme(), 0..3).await;
    // The clock of the replica that seals the second is an hour behind.
    let hour = TimeDelta::hours(1);
    for at in [now() + hour, now(), now() + hour * 2] {
        assert_eq!(trail.seal_audit_events(&acme(), at, 1).await.unwrap(), 1);
    }
    let micro = TimeDelta::microseconds(1);
    for (since, first) in
        [(now(), Some(1)), (now() + hour, Some(1)), (now() + hour + micro, Some(3)), (now() + hour * 2 + micro, None)]
    {
        assert_eq!(trail.first_seal_since(&acme(), since).await.unwrap(), first, "{since}");
    }
}

async fn nothing_that_waits_is_nothing_to_seal(trail: Trail) {
    assert_eq!(trail.partners_with_pending_events().await.unwrap(), []);
    assert_eq!(trail.seal_audit_events(&acme(), now(), 500).await.unwrap(), 0);
    assert_eq!(trail.holds().await, []);
}

async fn each_partner_has_a_chain_of_its_own(trail: Trail) {
    trail.leave(&acme(), 0..4).await;
    trail.leave(&globex(), 0..4).await;
    assert_eq!(trail.partners_with_pending_events().await.unwrap(), [acme(), globex()]);
    trail.seal_audit_events(&globex(), now(), 3).await.unwrap();
    assert_eq!(trail.holds().await, [("acme".to_owned(), [0, 0, 4]), ("globex".to_owned(), [1, 3, 1])]);
    trail.seal_audit_events(&acme(), now(), 3).await.unwrap();
    let heads = [trail.audit_chain(&acme()).await.unwrap().head, trail.audit_chain(&globex()).await.unwrap().head];
    assert_ne!(heads[0], heads[1], "the same events of another partner are other events");
}

async fn sealers_at_once_make_one_chain(trail: Trail) {
    const EVENTS: i64 = 600;
    trail.leave(&acme(), 0..300).await;
    let replicas = [replica(&trail.database).await, replica(&trail.database).await];
    let start = Arc::new(Barrier::new(9));
    let sealers: Vec<_> = (0..8)
        .map(|number| {
            let (store, start) = (replicas[number % 2].clone(), start.clone());
            tokio::spawn(async move {
                start.wait().await;
                let mut sealed = 0;
                for _ in 0..12 {
                    sealed += store.seal_audit_events(&acme(), now(), 10).await.unwrap();
                }
                sealed
            })
        })
        .collect();
    start.wait().await;
    for number in (300..600).step_by(20) {
        trail.leave(&acme(), number..number + 20).await;
    }
    let mut sealed = 0;
    for sealer in sealers {
        sealed += sealer.await.unwrap();
    }
    // What came in after the last of them had looked.
    loop {
        match trail.seal_audit_events(&acme(), now(), 10).await.unwrap() {
            0 => break,
            more => sealed += more,
        }
    }
    let [(_, [seals, events, waiting])] = &trail.holds().await[..] else { panic!("one partner") };
    assert_eq!((*events, *waiting, sealed), (EVENTS, 0, EVENTS));
    assert!(*seals >= EVENTS / 10, "{seals}");
    assert_eq!(books::count(&trail.database, "select count(distinct event_id) from audit_event").await, EVENTS);
}

async fn an_interrupted_sealer_leaves_all_of_a_batch_or_nothing(trail: Trail) {
    const EVENTS: i64 = 200;
    trail.leave(&acme(), 0..200).await;
    let mut interrupted = 0;
    for looks in 1..40 {
        if given_up_after(looks, trail.seal_audit_events(&acme(), now(), 4)).await.is_none() {
            interrupted += 1;
        }
        // A commit may still be under way, so each look is one statement.
        let somewhere = "select (select count(*) from audit_event) + (select count(*) from audit_pending)";
        assert_eq!(books::count(&trail.database, somewhere).await, EVENTS);
        let unsealed = "select (select count(*) from audit_event)
                             - cast((select coalesce(sum(events), 0) from audit_seal) as bigint)";
        assert_eq!(books::count(&trail.database, unsealed).await, 0);
    }
    assert!(interrupted > 0);
    while trail.seal_audit_events(&acme(), now(), 100).await.unwrap() > 0 {}
    let [(_, [_, events, waiting])] = trail.holds().await[..] else { panic!("one partner") };
    assert_eq!((events, waiting), (EVENTS, 0));
}

/// What comes of work that is dropped when so many looks have not found it done. Time would tell less: a sealer of SQLite is
/// done before any clock has ticked.
async fn given_up_after<T>(looks: usize, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut looked) = (pin!(work), 0);
    poll_fn(|context| {
        looked += 1;
        match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if looked == looks => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn a_batch_that_cannot_be_written_stays_where_it_was(trail: Trail) {
    trail.leave(&acme(), 0..5).await;
    let (hash, at) =
        (Literals(trail.database.engine()).bytes(&[0; 32]), Literals(trail.database.engine()).instant(now()));
    trail.execute(&format!("insert into audit_seal values ('acme', 1, 5, {hash}, {hash}, {at})")).await;
    // By then the events have been moved, in the same commit.
    trail.seal_audit_events(&acme(), now(), 500).await.unwrap_err();
    assert_eq!(books::count(&trail.database, "select count(*) from audit_pending").await, 5);
    assert_eq!(books::count(&trail.database, "select count(*) from audit_event").await, 0);
    trail.execute("delete from audit_seal").await;
    assert_eq!(trail.seal_audit_events(&acme(), now(), 500).await.unwrap(), 5);
    assert_eq!(trail.holds().await, [("acme".to_owned(), [1, 5, 0])]);
}

async fn the_service_seals_every_partner_in_batches(app: TestApp) {
    leave(&app.database, &acme(), (0..1201).map(event)).await;
    leave(&app.database, &globex(), (0..3).map(event)).await;
    app.app.service.seal_audit_trail().await.unwrap();
    let batches =
        |seals: Vec<device_management::store::AuditSeal>| seals.iter().map(|it| it.events).collect::<Vec<_>>();
    assert_eq!(batches(app.store().audit_seals(&acme(), 0, 9, 9).await.unwrap()), [500, 500, 201]);
    assert_eq!(batches(app.store().audit_seals(&globex(), 0, 9, 9).await.unwrap()), [3]);
    app.app.service.seal_audit_trail().await.unwrap();
    assert_eq!(app.store().audit_chain(&acme()).await.unwrap().seals, 3);
}

async fn a_partner_whose_events_cannot_be_sealed_keeps_no_other_from_it(app: TestApp) {
    leave(&app.database, &acme(), (0..3).map(event)).await;
    leave(&app.database, &globex(), (0..3).map(event)).await;
    let spoilt = Literals(app.database.engine()).uuid(event_id(1));
    let spoil =
        format!("update audit_pending set person_salt = null where partner_id = 'acme' and event_id = {spoilt}");
    crate::harness::sql::execute(app.database.url(), &spoil).await;
    let failure = app.app.service.seal_audit_trail().await.unwrap_err();
    assert_eq!(failure.to_string(), "the database holds an impossible person_salt");
    assert_eq!(app.store().audit_chain(&acme()).await.unwrap().waiting, 3);
    assert_eq!(app.store().audit_chain(&globex()).await.unwrap().waiting, 0);
}

#[tokio::test]
async fn a_metric_tells_how_much_waits_behind_a_sealer_that_stands_still() {
    // Only this thread's metrics, and this runtime has no other.
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let waiting = || -> Vec<String> {
        let text = recorder.handle().render();
        text.lines().filter_map(|line| line.strip_prefix("audit_events_waiting ")).map(str::to_owned).collect()
    };
    for engine in [Engine::Sqlite, Engine::Postgres] {
        if !engine.is_there_for("a_metric_tells_how_much_waits_behind_a_sealer_that_stands_still").await {
            return;
        }
        let app = TestApp::start(engine).await;
        leave(&app.database, &acme(), (0..3).map(event)).await;
        leave(&app.database, &globex(), (0..2).map(event)).await;
        let spoilt = "update audit_pending set person_salt = null where partner_id = 'acme'";
        sql::execute(app.database.url(), spoilt).await;
        app.app.service.seal_audit_trail().await.unwrap_err();
        assert_eq!(waiting(), ["3"]);
        sql::execute(app.database.url(), "delete from audit_pending").await;
        leave(&app.database, &acme(), (0..3).map(event)).await;
        app.app.service.seal_audit_trail().await.unwrap();
        assert_eq!(waiting(), ["0"]);
    }
}
