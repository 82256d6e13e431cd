//! Pairs of concurrent requests, on each engine: only messages that were handed to a provider are charged.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::hold;
use super::operation::{Deed, Operation, deeds, sequences};
use super::world::{SETTINGS, World};
use crate::harness::{Engine, Network, books};

/// Sequences in a default run, setup operations per sequence, and pairs after them.
const CASES: u32 = 8;
const OPERATIONS: usize = 15;
const PAIRS: usize = 15;

/// Counted messages per person and number must equal those handed to a provider.
const COUNTED: &str = "select count(*) from sms_sent where sent_at > 0";
const AHEAD: &str = "select coalesce(max(ahead_to), 0) from sms_partner_rate";

/// Numbers without the person's row, in which failures are counted.
const UNSETTLED: &str = "select count(*) from mobile_number n
                          where not exists (select 1 from person p
                                             where p.partner_id = n.partner_id and p.person_id = n.person_id)";

/// The interval of a message at the partner's rate of one per second.
const INTERVAL: Duration = Duration::from_secs(1);

type Scene = (Vec<Operation>, Vec<(Deed, Deed)>);

fn scenes() -> impl Strategy<Value = Scene> {
    (sequences(OPERATIONS..=OPERATIONS), vec((deeds(), deeds()), PAIRS)).prop_map(|(mut operations, pairs)| {
        // These delete rows of sent messages, or prevent sending.
        operations.retain(|operation| match operation {
            Operation::Erase { .. } | Operation::KeepHouse | Operation::Network(_) => false,
            Operation::Wait(seconds) => (0..3600).contains(seconds),
            Operation::Request(..) | Operation::SealAuditTrail => true,
        });
        (operations, pairs)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_are_charged_for_sent_messages_only_on_postgres() {
    if Engine::Postgres
        .is_there_for("model::pairs::concurrent_requests_are_charged_for_sent_messages_only_on_postgres")
        .await
    {
        hold(&scenes(), CASES, async |scene: Scene| perform(Engine::Postgres, scene).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_are_charged_for_sent_messages_only_on_sqlite() {
    hold(&scenes(), CASES, async |scene: Scene| perform(Engine::Sqlite, scene).await);
}

async fn perform(engine: Engine, (operations, pairs): Scene) -> Result<(), TestCaseError> {
    let mut world = World::on(engine).await;
    let other = world.app.replica(&SETTINGS).await;
    world.app.network(Network::Works);
    let mut ahead = 0;
    for operation in &operations {
        let before = world.app.outbox().messages().len();
        world.make(operation).await;
        ahead = charged(&world, ahead, before);
    }
    for (one, another) in pairs {
        let before = world.app.outbox().messages().len();
        let (Some(first), Some(second)) = (world.prepare(&one, None), world.prepare(&another, None)) else { continue };
        let (first, second) = tokio::join!(world.send(first, None), world.send(second, Some(other.clone())));
        ahead = charged(&world, ahead, before);
        for answer in [&first, &second] {
            prop_assert!(answer.status.as_u16() < 500, "{:?} and {:?}: {}", one, another, answer.status);
        }
        // If both asked for a message, the test cannot tell which message is whose.
        let asked = [&one, &another].into_iter().filter(|it| matches!(it, Deed::Ask { .. } | Deed::Authorize { .. }));
        if asked.count() < 2 {
            world.learn(&one, &first, before);
            world.learn(&another, &second, before);
        }
        let sent = i64::try_from(world.app.outbox().messages().len()).unwrap();
        prop_assert_eq!(books::count(&world.app.database, COUNTED).await, sent, "{:?} and {:?}", one, another);
        prop_assert_eq!(books::count(&world.app.database, AHEAD).await, ahead, "{:?} and {:?}", one, another);
        prop_assert_eq!(books::count(&world.app.database, UNSETTLED).await, 0);
        books::assert_balanced(&world.app.database).await;
    }
    Ok(())
}

/// How far ahead of its rate the partner is after the messages since `before`.
fn charged(world: &World, ahead: i64, before: usize) -> i64 {
    let now = world.app.app.service.clock.now().timestamp_micros();
    let messages = world.app.outbox().messages().len() - before;
    let interval = i64::try_from(INTERVAL.as_micros()).unwrap();
    (0..messages).fold(ahead, |ahead, _| ahead.max(now) + interval)
}
