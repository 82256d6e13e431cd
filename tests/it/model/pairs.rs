//! Pairs of concurrent requests, on each engine: only messages that were handed to a provider count against the limits,
//! each change has one audit event, and no limit of challenges is exceeded.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::check_property;
use super::operation::{Call, Operation, calls, sequences};
use super::world::{SETTINGS, World};
use crate::harness::{Engine, Network, books};
use crate::outages::trail;

/// Sequences in a default run, setup operations per sequence, and pairs after them.
const CASES: u32 = 8;
const OPERATIONS: usize = 15;
const PAIRS: usize = 15;

/// Counted messages per person and number must equal those handed to a provider.
const COUNTED: &str = "select count(*) from sms_sent where sent_at > 0";
const ARRIVAL_TIME: &str = "select coalesce(max(ahead_to), 0) from sms_partner_rate";

/// Numbers without the person's row, in which failures are counted.
const NUMBERS_WITHOUT_PERSON: &str = "select count(*) from mobile_number n
                          where not exists (select 1 from person p
                                             where p.partner_id = n.partner_id and p.person_id = n.person_id)";

/// The emission interval of the partner's rate, one message per second.
const INTERVAL: Duration = Duration::from_secs(1);

type Scenario = (Vec<Operation>, Vec<(Call, Call)>);

fn scenarios() -> impl Strategy<Value = Scenario> {
    (sequences(calls(), OPERATIONS..=OPERATIONS), vec((calls(), calls()), PAIRS)).prop_map(|(mut operations, pairs)| {
        // The others delete rows of sent messages, prevent sending, or move events that the tables are compared with.
        operations.retain(|operation| match operation {
            Operation::Erase { .. } | Operation::Housekeeping | Operation::SealAuditTrail | Operation::Network(_) => {
                false
            }
            Operation::Wait(seconds) => (0..3600).contains(seconds),
            Operation::Request(..) => true,
        });
        (operations, pairs)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_keep_counts_events_and_limits_on_postgres() {
    if Engine::Postgres
        .is_there_for("model::pairs::concurrent_requests_keep_counts_events_and_limits_on_postgres")
        .await
    {
        check_property(&scenarios(), CASES, async |scenario: Scenario| perform(Engine::Postgres, scenario).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_keep_counts_events_and_limits_on_sqlite() {
    check_property(&scenarios(), CASES, async |scenario: Scenario| perform(Engine::Sqlite, scenario).await);
}

async fn perform(engine: Engine, (operations, pairs): Scenario) -> Result<(), TestCaseError> {
    let mut world = World::on(engine).await;
    let other = world.app.replica(&SETTINGS).await;
    world.app.network(Network::Works);
    let mut arrival = 0;
    for operation in &operations {
        let before = world.app.outbox().messages().len();
        world.run(operation).await;
        arrival = arrival_time(&world, arrival, before);
    }
    for (one, another) in pairs {
        let before = world.app.outbox().messages().len();
        let (Some(first), Some(second)) = (world.prepare(&one, None), world.prepare(&another, None)) else { continue };
        let (first, second) = tokio::join!(world.send(first, None), world.send(second, Some(other.clone())));
        arrival = arrival_time(&world, arrival, before);
        for answer in [&first, &second] {
            prop_assert!(answer.status.as_u16() < 500, "{:?} and {:?}: {}", one, another, answer.status);
        }
        // If both requested a message, the test cannot match messages to requests.
        let requesting =
            [&one, &another].into_iter().filter(|it| matches!(it, Call::RequestDevice { .. } | Call::Authorize { .. }));
        if requesting.count() < 2 {
            world.update(&one, &first, before);
            world.update(&another, &second, before);
        }
        let sent = i64::try_from(world.app.outbox().messages().len()).unwrap();
        prop_assert_eq!(books::count(&world.app.database, COUNTED).await, sent, "{:?} and {:?}", one, another);
        prop_assert_eq!(books::count(&world.app.database, ARRIVAL_TIME).await, arrival, "{:?} and {:?}", one, another);
        prop_assert_eq!(books::count(&world.app.database, NUMBERS_WITHOUT_PERSON).await, 0);
        books::assert_balanced(&world.app.database).await;
        trail::assert_complete(&world.app.database).await;
        world.assert_limits().await;
    }
    Ok(())
}

/// The partner's theoretical arrival time (GCRA), in microseconds, after the messages since `before`.
fn arrival_time(world: &World, last: i64, before: usize) -> i64 {
    let now = world.app.app.service.clock.now().timestamp_micros();
    let messages = world.app.outbox().messages().len() - before;
    let interval = i64::try_from(INTERVAL.as_micros()).unwrap();
    (0..messages).fold(last, |arrival, _| arrival.max(now) + interval)
}
