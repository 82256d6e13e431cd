//! Background counts of devices for partners that have too many to count per list request
//! (`docs/decisions/0025-lists-by-position.md`).
//!
//! A list shows a count that is at most a minute old: counting is due every [`COUNTED_EVERY`], and each replica checks
//! every [`COUNTING_INTERVAL`] whether it is. The lease is not released after counting, so that other replicas skip
//! this turn.

use std::time::Duration;

use chrono::TimeDelta;
use uuid::Uuid;

use crate::domain::clock_skew::SKEW_MAX;
use crate::domain::person::PartnerId;
use crate::service::{Failure, Service};
use crate::store::{DeviceKind, Position, StoreError};

/// How often a replica checks whether counting is due.
pub const COUNTING_INTERVAL: Duration = Duration::from_secs(10);

/// The least time between the starts of two turns.
const COUNTED_EVERY: TimeDelta = TimeDelta::seconds(30);

const TASK: &str = "device_count";

impl Service {
    /// Counts the devices of every partner that has many, unless a replica did recently.
    pub async fn count_devices(&self) -> Result<(), Failure> {
        let (now, holder) = (self.clock.now(), Uuid::from_bytes(self.entropy.bytes()));
        // The store shortens a lease by the allowed clock skew.
        if !self.store.take_lease(TASK, holder, now, COUNTED_EVERY + SKEW_MAX).await? {
            return Ok(());
        }
        let mut next = self.store.next_partner_with_devices(None).await?;
        while let Some(found) = next {
            if found.are_many {
                let live = self.count_kind(&found.partner, DeviceKind::Live).await?;
                let deleted = self.count_kind(&found.partner, DeviceKind::Deleted).await?;
                self.store.keep_device_count(&found.partner, live, deleted).await?;
            } else if found.are_kept {
                self.store.forget_device_count(&found.partner).await?;
            }
            next = self.store.next_partner_with_devices(Some(&found.partner)).await?;
        }
        Ok(())
    }

    async fn count_kind(&self, partner: &PartnerId, kind: DeviceKind) -> Result<i64, StoreError> {
        let (mut total, mut from) = (0, Some(Position::NEWEST));
        while let Some(position) = from {
            let (counted, next) = self.store.count_devices(partner, kind, position).await?;
            total += counted;
            from = next;
        }
        Ok(total)
    }
}
