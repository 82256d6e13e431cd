//! Sealing: each pending event is sealed exactly once, with concurrent sealers and after interruptions.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use chrono::TimeDelta;
use device_management::domain::audit::{GENESIS, seal};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::sync::Barrier;
use uuid::Uuid;

use super::{Literals, Trail, acme, add_pending, event, event_id, globex, now, replica};
use crate::harness::{Engine, Start, TestApp, books, on_both_databases_and_citus, sql};

on_both_databases_and_citus![
    a_batch_seals_the_oldest_events_and_links_to_the_previous_seal,
    sealing_without_pending_events_does_nothing,
    the_time_of_a_seal_is_never_before_the_previous_seal,
    each_partner_has_its_own_chain,
    concurrent_sealers_build_one_chain,
    an_interrupted_sealer_commits_a_whole_batch_or_nothing,
    a_batch_that_cannot_be_written_stays_pending,
    the_service_seals_every_partner_in_batches,
    a_partner_whose_events_cannot_be_sealed_does_not_block_other_partners,
];

async fn a_batch_seals_the_oldest_events_and_links_to_the_previous_seal(trail: Trail) {
    trail.add_pending(&acme(), 2..7).await;
    assert_eq!(trail.seal_audit_events(&acme(), now(), 3).await.unwrap(), 3);
    // An event that arrives late goes into the next batch, although its time is earlier.
    trail.add_pending(&acme(), 1..2).await;
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
    assert_eq!(trail.assert_valid().await, [("acme".to_owned(), [2, 6, 0])]);
}

async fn the_time_of_a_seal_is_never_before_the_previous_seal(trail: Trail) {
    trail.add_pending(&acme(), 0..3).await;
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

async fn sealing_without_pending_events_does_nothing(trail: Trail) {
    assert_eq!(trail.partners_with_pending_events().await.unwrap(), []);
    assert_eq!(trail.seal_audit_events(&acme(), now(), 500).await.unwrap(), 0);
    assert_eq!(trail.assert_valid().await, []);
}

async fn each_partner_has_its_own_chain(trail: Trail) {
    trail.add_pending(&acme(), 0..4).await;
    trail.add_pending(&globex(), 0..4).await;
    assert_eq!(trail.partners_with_pending_events().await.unwrap(), [acme(), globex()]);
    trail.seal_audit_events(&globex(), now(), 3).await.unwrap();
    assert_eq!(trail.assert_valid().await, [("acme".to_owned(), [0, 0, 4]), ("globex".to_owned(), [1, 3, 1])]);
    trail.seal_audit_events(&acme(), now(), 3).await.unwrap();
    let heads = [trail.audit_chain(&acme()).await.unwrap().head, trail.audit_chain(&globex()).await.unwrap().head];
    assert_ne!(heads[0], heads[1], "the hash of an event depends on its partner");
}

async fn concurrent_sealers_build_one_chain(trail: Trail) {
    const EVENTS: i64 = 600;
    trail.add_pending(&acme(), 0..300).await;
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
        trail.add_pending(&acme(), number..number + 20).await;
    }
    let mut sealed = 0;
    for sealer in sealers {
        sealed += sealer.await.unwrap();
    }
    // Events that arrived after the last sealer had finished.
    loop {
        match trail.seal_audit_events(&acme(), now(), 10).await.unwrap() {
            0 => break,
            more => sealed += more,
        }
    }
    let [(_, [seals, events, waiting])] = &trail.assert_valid().await[..] else { panic!("one partner") };
    assert_eq!((*events, *waiting, sealed), (EVENTS, 0, EVENTS));
    assert!(*seals >= EVENTS / 10, "{seals}");
    assert_eq!(books::count(&trail.database, "select count(distinct event_id) from audit_event").await, EVENTS);
}

async fn an_interrupted_sealer_commits_a_whole_batch_or_nothing(trail: Trail) {
    const EVENTS: i64 = 200;
    trail.add_pending(&acme(), 0..200).await;
    let mut interrupted = 0;
    for polls in 1..40 {
        if dropped_after(polls, trail.seal_audit_events(&acme(), now(), 4)).await.is_none() {
            interrupted += 1;
        }
        // A commit may still be in progress, so each check is a single statement.
        let total = "select (select count(*) from audit_event) + (select count(*) from audit_pending)";
        assert_eq!(books::count(&trail.database, total).await, EVENTS);
        let unsealed = "select (select count(*) from audit_event)
                             - cast((select coalesce(sum(events), 0) from audit_seal) as bigint)";
        assert_eq!(books::count(&trail.database, unsealed).await, 0);
    }
    assert!(interrupted > 0);
    while trail.seal_audit_events(&acme(), now(), 100).await.unwrap() > 0 {}
    let [(_, [_, events, waiting])] = trail.assert_valid().await[..] else { panic!("one partner") };
    assert_eq!((events, waiting), (EVENTS, 0));
}

/// Polls `work` up to `polls` times and then drops it: its output, or `None`. A timeout would not do: a sealer on
/// SQLite may finish before the clock ticks.
async fn dropped_after<T>(polls: usize, work: impl Future<Output = T>) -> Option<T> {
    let (mut work, mut polled) = (pin!(work), 0);
    poll_fn(|context| {
        polled += 1;
        match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if polled == polls => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn a_batch_that_cannot_be_written_stays_pending(trail: Trail) {
    trail.add_pending(&acme(), 0..5).await;
    let (hash, at) =
        (Literals(trail.database.engine()).bytes(&[0; 32]), Literals(trail.database.engine()).instant(now()));
    trail.execute(&format!("insert into audit_seal values ('acme', 1, 5, {hash}, {hash}, {at})")).await;
    // The insert of the seal fails after the events were moved in the same transaction.
    trail.seal_audit_events(&acme(), now(), 500).await.unwrap_err();
    assert_eq!(books::count(&trail.database, "select count(*) from audit_pending").await, 5);
    assert_eq!(books::count(&trail.database, "select count(*) from audit_event").await, 0);
    trail.execute("delete from audit_seal").await;
    assert_eq!(trail.seal_audit_events(&acme(), now(), 500).await.unwrap(), 5);
    assert_eq!(trail.assert_valid().await, [("acme".to_owned(), [1, 5, 0])]);
}

async fn the_service_seals_every_partner_in_batches(app: TestApp) {
    add_pending(&app.database, &acme(), (0..1201).map(event)).await;
    add_pending(&app.database, &globex(), (0..3).map(event)).await;
    app.app.service.seal_audit_trail().await.unwrap();
    let batches =
        |seals: Vec<device_management::store::AuditSeal>| seals.iter().map(|it| it.events).collect::<Vec<_>>();
    assert_eq!(batches(app.store().audit_seals(&acme(), 0, 9, 9).await.unwrap()), [500, 500, 201]);
    assert_eq!(batches(app.store().audit_seals(&globex(), 0, 9, 9).await.unwrap()), [3]);
    app.app.service.seal_audit_trail().await.unwrap();
    assert_eq!(app.store().audit_chain(&acme()).await.unwrap().seals, 3);
}

async fn a_partner_whose_events_cannot_be_sealed_does_not_block_other_partners(app: TestApp) {
    add_pending(&app.database, &acme(), (0..3).map(event)).await;
    add_pending(&app.database, &globex(), (0..3).map(event)).await;
    let corrupt_id = Literals(app.database.engine()).uuid(event_id(1));
    let corrupt =
        format!("update audit_pending set person_salt = null where partner_id = 'acme' and event_id = {corrupt_id}");
    crate::harness::sql::execute(app.database.url(), &corrupt).await;
    let failure = app.app.service.seal_audit_trail().await.unwrap_err();
    assert_eq!(failure.to_string(), "the database holds an impossible person_salt");
    assert_eq!(app.store().audit_chain(&acme()).await.unwrap().waiting, 3);
    assert_eq!(app.store().audit_chain(&globex()).await.unwrap().waiting, 0);
}

#[tokio::test]
async fn a_metric_shows_the_pending_events_while_sealing_fails() {
    // Records the metrics of this thread only; the runtime is single-threaded.
    let recorder = PrometheusBuilder::new().build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let waiting = || -> Vec<String> {
        let text = recorder.handle().render();
        text.lines().filter_map(|line| line.strip_prefix("audit_events_waiting ")).map(str::to_owned).collect()
    };
    for engine in [Engine::Sqlite, Engine::Postgres] {
        if !engine.is_there_for("a_metric_shows_the_pending_events_while_sealing_fails").await {
            return;
        }
        let app = TestApp::start(engine).await;
        add_pending(&app.database, &acme(), (0..3).map(event)).await;
        add_pending(&app.database, &globex(), (0..2).map(event)).await;
        let corrupt = "update audit_pending set person_salt = null where partner_id = 'acme'";
        sql::execute(app.database.url(), corrupt).await;
        app.app.service.seal_audit_trail().await.unwrap_err();
        assert_eq!(waiting(), ["3"]);
        sql::execute(app.database.url(), "delete from audit_pending").await;
        add_pending(&app.database, &acme(), (0..3).map(event)).await;
        app.app.service.seal_audit_trail().await.unwrap();
        assert_eq!(waiting(), ["0"]);
    }
}
