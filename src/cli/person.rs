//! `person`: erases a person.

use anyhow::{Context, anyhow, bail};
use clap::Subcommand;

use super::{open_store, say};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::domain::person::{PartnerId, PersonId};
use crate::entropy::SystemEntropy;
use crate::service::PersonErasure;
use crate::store::Erased;

#[derive(Subcommand, Debug)]
pub(super) enum PersonCommand {
    /// Delete a person's number, name, devices and keys, irreversibly. Run it again to continue after an interruption
    Erase {
        /// The partner
        partner: String,
        /// The partner's id of the person
        person: String,
    },
}

pub(super) async fn run(config: &Config, command: PersonCommand) -> anyhow::Result<()> {
    let PersonCommand::Erase { partner, person } = command;
    let partner =
        PartnerId::parse(&partner).ok_or_else(|| anyhow!("PARTNER must be 1 to 64 characters of a-z 0-9 - _"))?;
    let person = PersonId::parse(&person).ok_or_else(|| anyhow!("PERSON must be 1 to 64 visible ASCII characters"))?;
    let store = open_store(config).await?;
    let erasure = PersonErasure { store: &*store, clock: &SystemClock, entropy: &SystemEntropy };
    let erased = erasure.erase(&partner, &person).await;
    store.close().await;
    match erased.context("erasure is incomplete: run the command again to continue")? {
        Some(erased) => show(erased),
        // A mistyped id must not look like an erasure.
        None => bail!("no data of this person of {partner}: already erased, or never stored"),
    }
}

fn show(erased: Erased) -> anyhow::Result<()> {
    for (kind, count) in [
        ("mobile numbers", erased.numbers),
        ("persons", erased.persons),
        ("devices", erased.devices),
        ("keys", erased.keys),
        ("fraud assessments", erased.assessments),
        ("approval texts", erased.approval_texts),
        ("stored outcomes", erased.outcomes),
        ("audit events", erased.events),
    ] {
        say(format!("{kind}\t{count}"))?;
    }
    Ok(())
}
