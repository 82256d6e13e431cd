//! `sms`: shows conversion, and resumes sending.

use anyhow::anyhow;
use clap::Subcommand;

use super::{open_store, say};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::domain::numbers::country::Country;
use crate::domain::person::PartnerId;
use crate::domain::sms::conversion::Destination;
use crate::domain::sms::enforcement::Enforcement;
use crate::entropy::SystemEntropy;
use crate::service::{ConversionBook, ConversionEntry};

#[derive(Subcommand, Debug)]
pub(super) enum SmsCommand {
    /// Show how many recently sent codes were used, and where sending is stopped because too few were
    Status,
    /// Reset the conversion count, so that sending resumes
    Resume {
        /// The partner
        #[arg(long)]
        partner: String,
        /// The country of the numbers, as an ISO 3166 code like DE
        #[arg(long)]
        country: String,
    },
}

pub(super) async fn run(config: &Config, command: SmsCommand) -> anyhow::Result<()> {
    let store = open_store(config).await?;
    let book = ConversionBook { store: &*store, clock: &SystemClock, entropy: &SystemEntropy, policy: &config.policy };
    let done = match command {
        SmsCommand::Status => list_conversion(&book).await,
        SmsCommand::Resume { partner, country } => {
            let partner = PartnerId::parse(&partner).ok_or_else(|| anyhow!("{partner} is not a valid partner name"))?;
            let country = Country::parse(&country)
                .ok_or_else(|| anyhow!("{country} is not a country code: --country takes an ISO 3166 code like DE"))?;
            let destination = Destination { partner, country };
            book.resume(&destination).await?;
            let Destination { partner, country } = destination;
            say(format!("conversion of {partner} in {country} is reset; sending resumes within seconds"))
        }
    };
    store.close().await;
    done
}

async fn list_conversion(book: &ConversionBook<'_>) -> anyhow::Result<()> {
    say("partner\tcountry\tsent\tused\tpercent\tstate")?;
    for ConversionEntry { sum, stopped } in book.entries().await? {
        say([
            sum.destination.partner.to_string(),
            sum.destination.country.to_string(),
            sum.tally.sent.to_string(),
            sum.tally.used.to_string(),
            sum.tally.percent().map(|percent| percent.to_string()).unwrap_or_default(),
            match (stopped, book.policy.sms_enforcement) {
                (false, _) | (true, Enforcement::Off) => "sending",
                (true, Enforcement::DryRun) => "would stop",
                (true, Enforcement::Enforce) => "stopped",
            }
            .to_owned(),
        ]
        .join("\t"))?;
    }
    Ok(())
}
