//! The results of a load: the changes acknowledged to clients, to be compared with the database afterwards, and figures.

use std::time::Duration;

use super::trail;
use crate::harness::TestDatabase;
use crate::harness::books;
use crate::harness::sql::texts;

/// All acknowledged changes, with counts and the highest latency.
#[derive(Default)]
pub(super) struct Results {
    /// Devices whose right answer got 204, with their wrong answers.
    pub(super) bound: Vec<Bound>,
    /// Devices whose deletion got 204.
    pub(super) deleted: Vec<String>,
    /// Device challenges whose right answer got 204.
    pub(super) answered: Vec<String>,
    /// Device challenges that were opened and not found later.
    pub(super) lost: Vec<String>,
    /// Completed rounds.
    pub(super) rounds: usize,
    /// Answers with 503.
    pub(super) refusals: usize,
    /// The highest latency of an answer.
    pub(super) slowest: Duration,
}

/// A device that was bound.
pub(super) struct Bound {
    pub(super) id: String,
    /// Wrong answers to its challenge that got 403.
    pub(super) wrong: i64,
    /// Wrong answers that got 503: they may or may not be counted.
    pub(super) uncertain: i64,
    /// Whether an earlier request for a device got 503, and may still have begun another challenge.
    pub(super) may_be_superseded: bool,
}

impl Results {
    /// Compares the acknowledged changes with the database.
    pub(super) async fn assert_kept(&self, database: &TestDatabase) {
        let url = database.url();
        let devices = texts(url, "select device_id::text from device").await;
        let tombstones = texts(url, "select device_id::text from device where deleted_at is not null").await;
        let counts =
            "select binding_id::text || ' ' || binding_wrong_signatures from person where binding_id is not null";
        let counts = texts(url, counts).await;
        for Bound { id, wrong, uncertain, may_be_superseded } in &self.bound {
            assert!(devices.contains(id), "device {id} was acknowledged and is lost");
            let counted = counts.iter().find_map(|line| line.strip_prefix(id)?.trim_start().parse::<i64>().ok());
            assert!(counted.is_some() || *may_be_superseded, "the challenge of device {id} is lost");
            let in_order = counted.is_none_or(|counted| (*wrong..=wrong + uncertain).contains(&counted));
            assert!(in_order, "device {id}: {wrong} wrong answers acknowledged, {counted:?} counted");
        }
        for id in &self.deleted {
            assert!(tombstones.contains(id), "the deletion of device {id} was acknowledged and is lost");
        }
        let events = |action: &str| {
            let events = "select object_id::text from audit_pending where outcome = 'accepted' and action = ";
            format!("{events}'device_challenge.{action}'")
        };
        let (opened, answered) = (texts(url, &events("asked")).await, texts(url, &events("answered")).await);
        for id in &self.answered {
            let answers = answered.iter().filter(|answered| *answered == id).count();
            assert_eq!(answers, 1, "the answer of device challenge {id} was acknowledged once");
        }
        let there = texts(url, "select challenge_id::text from device_challenge").await;
        for id in &self.lost {
            assert!(!there.contains(id) && !opened.contains(id), "device challenge {id} was not found and is there");
        }
        books::assert_balanced(database).await;
        trail::assert_complete(database).await;
    }
}
