//! `audit`: verifies and exports the audit trail.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Subcommand;
use serde::Serialize;

use super::{open_store, say};
use crate::config::Config;
use crate::domain::audit::AuditEvent;
use crate::domain::challenges::DeclineReason;
use crate::domain::person::PartnerId;
use crate::service::{AuditCheckpoints, AuditExport, AuditVerification};
use crate::store::{SealedEvent, Store, WAITING_COUNTED};

#[derive(Subcommand, Debug)]
pub(super) enum AuditCommand {
    /// Recompute every partner's hash chain and report mismatches; keep the printed checkpoints elsewhere
    Verify {
        /// File with checkpoints printed earlier: each must still be in its chain
        #[arg(long, value_name = "FILE")]
        kept: Option<PathBuf>,
    },
    /// Write sealed events as JSON lines, in the order of each chain
    Export {
        /// Export the batches sealed since this time; they contain every event since then
        #[arg(long, value_name = "RFC3339")]
        since: DateTime<Utc>,
        /// Export only this partner
        #[arg(long)]
        partner: Option<String>,
    },
}

pub(super) async fn run(config: &Config, command: AuditCommand) -> anyhow::Result<()> {
    let kept = match &command {
        AuditCommand::Verify { kept: Some(file) } => read_kept(file)?,
        _ => AuditCheckpoints::default(),
    };
    let store = open_store(config).await?;
    let done = match command {
        AuditCommand::Verify { .. } => verify(&*store, &kept).await,
        AuditCommand::Export { since, partner } => export(&*store, since, partner.as_deref()).await,
    };
    store.close().await;
    done
}

fn read_kept(file: &Path) -> anyhow::Result<AuditCheckpoints> {
    let name = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("{name} cannot be read"))?;
    AuditCheckpoints::parse(&text).map_err(|line| anyhow!("{name}, line {line}: not a line that `audit verify` prints"))
}

/// Prints no checkpoint for a chain that fails verification: its head must not be kept.
async fn verify(store: &dyn Store, kept: &AuditCheckpoints) -> anyhow::Result<()> {
    say(AuditCheckpoints::HEADER)?;
    let mut broken = 0;
    let mut verification = AuditVerification::new(store, kept);
    while let Some(verdict) = verification.next().await? {
        if verdict.faults.is_empty() {
            let counts = [verdict.seals, verdict.events, verdict.waiting];
            say(AuditCheckpoints::line(&verdict.partner, counts, verdict.head))?;
            continue;
        }
        broken += 1;
        for fault in verdict.faults {
            print_error(fault);
        }
    }
    match broken {
        0 => Ok(()),
        1 => bail!("verification failed for the audit trail of 1 partner"),
        more => bail!("verification failed for the audit trails of {more} partners"),
    }
}

/// One line of an export.
#[derive(Serialize)]
struct Line<'a> {
    partner: &'a str,
    seal: i64,
    event_id: String,
    at: String,
    client_id: &'a str,
    action: &'a str,
    outcome: &'a str,
    /// `null` when the event has no person, or the person was erased.
    person_id: Option<&'a str>,
    object_id: Option<String>,
    key_id: Option<String>,
    country: Option<String>,
    /// The answer of a device, with the hex of its digests; all `null` for other events.
    decision: Option<&'static str>,
    decline_reason: Option<&'static str>,
    text_digest: Option<String>,
    signature_digest: Option<String>,
    /// The text of an approval, while it is kept.
    text: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn new(partner: &'a PartnerId, seal: i64, event: &'a AuditEvent, text: Option<&'a str>) -> Self {
        let answer = event.answer.as_ref();
        let known = event.subject.as_ref().and_then(|subject| subject.known.as_ref());
        Self {
            partner: partner.as_str(),
            seal,
            event_id: event.id.to_string(),
            at: event.at.to_rfc3339_opts(SecondsFormat::Micros, true),
            client_id: &event.client_id,
            action: &event.action,
            outcome: &event.outcome,
            person_id: known.map(|(person, _)| person.as_str()),
            object_id: event.object_id.map(|id| id.to_string()),
            key_id: event.key_id.map(|id| id.to_string()),
            country: event.country.map(|country| country.to_string()),
            decision: answer.map(|answer| answer.decision.as_str()),
            decline_reason: answer.and_then(|answer| answer.reason).map(DeclineReason::as_str),
            text_digest: answer.map(|answer| hex::encode(answer.text_digest)),
            signature_digest: answer.map(|answer| hex::encode(answer.signature_digest)),
            text,
        }
    }
}

async fn export(store: &dyn Store, since: DateTime<Utc>, only: Option<&str>) -> anyhow::Result<()> {
    let mut waiting = 0;
    if let Some(name) = only {
        waiting += export_partner(store, since, &partner_with_trail(store, name).await?).await?;
    } else {
        let mut next = store.next_partner_with_trail(None).await?;
        while let Some(partner) = next {
            waiting += export_partner(store, since, &partner).await?;
            next = store.next_partner_with_trail(Some(&partner)).await?;
        }
    }
    let at_least = if waiting >= WAITING_COUNTED { "at least " } else { "" };
    print_error(format!("{at_least}{waiting} events are still waiting to be sealed"));
    Ok(())
}

/// An unknown partner is an error: a mistyped name must not look like an empty trail.
async fn partner_with_trail(store: &dyn Store, name: &str) -> anyhow::Result<PartnerId> {
    let unknown = || anyhow!("there is no audit trail of partner {name}");
    let partner = PartnerId::parse(name).ok_or_else(unknown)?;
    let chain = store.audit_chain(&partner).await?;
    if chain.seals > 0 || chain.waiting > 0 { Ok(partner) } else { Err(unknown()) }
}

/// Returns how many of the partner's events are not exported because they are not sealed yet.
async fn export_partner(store: &dyn Store, since: DateTime<Utc>, partner: &PartnerId) -> anyhow::Result<i64> {
    let mut export = AuditExport::since(store, partner, since).await?;
    let mut output = io::BufWriter::new(io::stdout());
    loop {
        let page = export.page().await?;
        if page.is_empty() {
            break;
        }
        for SealedEvent { seal, id, event, text } in page {
            let event = event.with_context(|| format!("{partner}: seal {seal}, event {id}"))?;
            serde_json::to_writer(&mut output, &Line::new(partner, seal, &event, text.as_deref()))?;
            output.write_all(b"\n")?;
        }
        output.flush().context("standard output is closed")?;
    }
    Ok(store.audit_chain(partner).await?.waiting)
}

fn print_error(sentence: impl std::fmt::Display) {
    // Standard error may be closed.
    let _ = writeln!(io::stderr(), "{sentence}");
}
