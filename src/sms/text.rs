//! What the SMS says.
//!
//! One text per language: it names the sender, holds the code, and warns never to share it. Every text fits one GSM-7
//! segment, and 140 bytes when the app hash is in it (Android SMS Retriever). All of this is settled when an
//! [`SmsTemplate`] is made; rendering cannot fail.
//!
//! Below the sentence stand lines for machines: the app hash, then `@domain #code` (WICG, *Origin-bound one-time codes
//! delivered via SMS*). In the sentence the code is the only run of digits. The machine lines are outside that rule: an
//! app hash may contain digits, and the domain's line repeats the code.

use std::fmt::{self, Write as _};

use zeroize::Zeroizing;

use super::gsm7::{self, SEGMENT_SEPTETS};
use crate::domain::app_signature::AppSignature;
use crate::domain::language::Language;

/// Bytes of a message that SMS Retriever looks at.
const RETRIEVER_BYTES: usize = 140;

/// Room for every text, so that writing one never moves it and leaves no copy behind.
const CAPACITY: usize = 320;

/// The longest sender name, in bytes and in septets: with it, every sentence and an app hash fill [`RETRIEVER_BYTES`].
const SENDER_NAME_MAX: usize = 40;

/// The longest domain name, RFC 1035 section 2.3.4 without the root's dot.
const DOMAIN_MAX: usize = 253;

/// Who speaks to the person: the name at the head of every text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderName(String);

/// Why a name cannot stand in the texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSenderName {
    /// Nothing, or white space at an end.
    #[error("must not be empty, nor start or end with white space")]
    Empty,
    /// The texts would not fit one SMS.
    #[error("must be at most {SENDER_NAME_MAX} characters long (accented letters count twice)")]
    TooLong,
    /// A digit beside the code confuses people and the phones that look for it.
    #[error("must not contain digits: the code is the only number in the text")]
    Digit,
    /// The character would turn the whole text into UCS-2, of which 70 characters fit one SMS.
    #[error("must not contain {0:?}, which the GSM-7 alphabet of SMS does not have")]
    NotGsm7(char),
}

impl SenderName {
    /// Reads a name.
    ///
    /// # Errors
    ///
    /// When the texts could not keep their promises with it.
    pub fn parse(name: &str) -> Result<Self, InvalidSenderName> {
        if name.is_empty() || name.trim() != name {
            return Err(InvalidSenderName::Empty);
        }
        if name.contains(|c: char| c.is_numeric()) {
            return Err(InvalidSenderName::Digit);
        }
        if let Some(foreign) =
            name.chars().find(|c| c.is_control() || gsm7::septets(c.encode_utf8(&mut [0; 4])).is_none())
        {
            return Err(InvalidSenderName::NotGsm7(foreign));
        }
        if name.len().max(gsm7::septets(name).unwrap_or(usize::MAX)) > SENDER_NAME_MAX {
            return Err(InvalidSenderName::TooLong);
        }
        Ok(Self(name.to_owned()))
    }
}

/// The domain whose web pages and apps may fill in the code on Apple's devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IosDomain(String);

/// The text is not a domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a lower-case domain name such as example.com")]
pub struct InvalidIosDomain;

impl IosDomain {
    /// Reads a domain name: letters, digits and hyphens in at least two labels, lower case.
    ///
    /// # Errors
    ///
    /// When it is no such name.
    pub fn parse(domain: &str) -> Result<Self, InvalidIosDomain> {
        let is_label = |label: &str| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        let well_formed = domain.len() <= DOMAIN_MAX && domain.contains('.') && domain.split('.').all(is_label);
        well_formed.then(|| Self(domain.to_owned())).ok_or(InvalidIosDomain)
    }
}

/// The operator's share of every text, checked once.
#[derive(Clone, Debug)]
pub struct SmsTemplate {
    sender: SenderName,
    ios_domain: Option<IosDomain>,
}

/// Sender name and domain are too long together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sender name and iOS domain together are {excess} characters too long for one SMS")]
pub struct TemplateTooLong {
    /// By how much the longest text passes its bound.
    pub excess: usize,
}

impl SmsTemplate {
    /// Makes the template of all texts.
    ///
    /// # Errors
    ///
    /// When a text would not fit; without a domain every sender name does.
    pub fn new(sender: SenderName, ios_domain: Option<IosDomain>) -> Result<Self, TemplateTooLong> {
        let template = Self { sender, ios_domain };
        let hash = AppSignature::parse("AAAAAAAAAAA").expect("eleven letters are an app hash");
        let excess = Language::ALL
            .into_iter()
            .flat_map(|language| {
                [template.render(language, "000000", None), template.render(language, "000000", Some(&hash))]
            })
            .map(|text| text.excess())
            .max();
        match excess {
            None | Some(0) => Ok(template),
            Some(excess) => Err(TemplateTooLong { excess }),
        }
    }

    fn render(&self, language: Language, code: &str, app_signature: Option<&AppSignature>) -> SmsText {
        let name = &self.sender.0;
        let mut text = Zeroizing::new(String::with_capacity(CAPACITY));
        let mut write = |part: fmt::Arguments<'_>| text.write_fmt(part).expect("writing to a string cannot fail");
        match language {
            Language::De => {
                write(format_args!("{name}: Ihr Code lautet {code}. Geben Sie ihn niemals weiter, auch nicht an uns."))
            }
            Language::En => {
                write(format_args!("{name}: Your code is {code}. Never share it with anyone, not even with us."))
            }
            Language::Fr => write(format_args!(
                "{name}: votre code est {code}. Ne le donnez jamais à personne, pas non plus à nous."
            )),
        }
        if let Some(hash) = app_signature {
            write(format_args!("\n{hash}"));
        }
        if let Some(IosDomain(domain)) = &self.ios_domain {
            write(format_args!("\n@{domain} #{code}"));
        }
        SmsText { text, for_retriever: app_signature.is_some() }
    }
}

/// A finished text with the code in it. It has no `Display`, `Debug` shows nothing, and its memory is wiped.
pub struct SmsText {
    text: Zeroizing<String>,
    for_retriever: bool,
}

impl SmsText {
    /// The text, for the one who sends it. Never for a log.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// By how much the text passes its bounds.
    fn excess(&self) -> usize {
        let septets = gsm7::septets(&self.text).unwrap_or(usize::MAX);
        let bytes = if self.for_retriever { self.text.len() } else { 0 };
        septets.saturating_sub(SEGMENT_SEPTETS).max(bytes.saturating_sub(RETRIEVER_BYTES))
    }
}

impl fmt::Debug for SmsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmsText(..)")
    }
}
