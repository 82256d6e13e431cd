//! The texts of SMS.
//!
//! One text per language: it names the sender, contains the code, and warns never to share it. Every text fits one
//! GSM-7 segment, and 140 bytes with the app hash (Android SMS Retriever). [`SmsTemplate::new`] checks this, so
//! rendering cannot fail.
//!
//! After the sentence come machine-readable lines: the app hash, then `@domain #code` (WICG, *Origin-bound one-time
//! codes delivered via SMS*). In the sentence the code is the only run of digits; in the machine-readable lines, the
//! app hash may contain digits, and the domain's line repeats the code.

use std::fmt::{self, Write as _};

use zeroize::Zeroizing;

use super::gsm7::{self, SEGMENT_SEPTETS};
use super::ios_domain::IosDomain;
use super::sender_name::SenderName;
use crate::crypto::Otp;
use crate::domain::sms::app_signature::AppSignature;
use crate::domain::sms::language::Language;

/// The longest message that SMS Retriever reads, in bytes. The text with the app hash is the longest, so no text has
/// more.
const RETRIEVER_BYTES: usize = 140;

/// The operator's settings for all texts, validated.
#[derive(Clone, Debug)]
pub struct SmsTemplate {
    sender: SenderName,
    ios_domain: Option<IosDomain>,
}

/// Sender name and domain together are too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("sender name and iOS domain together are {excess} characters too long for one SMS")]
pub struct TemplateTooLong {
    /// How many characters the longest text has too many.
    pub excess: usize,
}

impl SmsTemplate {
    /// Creates the template of all texts.
    ///
    /// # Errors
    ///
    /// When a text would be too long. Without a domain every sender name fits.
    pub fn new(sender: SenderName, ios_domain: Option<IosDomain>) -> Result<Self, TemplateTooLong> {
        let template = Self { sender, ios_domain };
        let longest = Language::ALL.map(|language| template.render(language, "000000", Some("app-hash-11")).excess());
        match longest.into_iter().max() {
            None | Some(0) => Ok(template),
            Some(excess) => Err(TemplateTooLong { excess }),
        }
    }

    /// The text with the code `otp`.
    #[must_use]
    pub fn text(&self, language: Language, otp: &Otp, app_signature: Option<&AppSignature>) -> SmsText {
        self.render(language, otp.expose(), app_signature.map(AppSignature::as_str))
    }

    fn render(&self, language: Language, code: &str, app_signature: Option<&str>) -> SmsText {
        let name = self.sender.as_str();
        // Full capacity: a reallocation would leave a copy of the code in freed memory.
        let mut text = Zeroizing::new(String::with_capacity(RETRIEVER_BYTES));
        let mut write = |part: fmt::Arguments<'_>| text.write_fmt(part).expect("writing to a string cannot fail");
        let (lead, warning) = match language {
            Language::De => ("Ihr Code lautet", "Geben Sie ihn niemals weiter, auch nicht an uns."),
            Language::En => ("Your code is", "Never share it with anyone, not even with us."),
            Language::Fr => ("votre code est", "Ne le donnez jamais à personne, pas non plus à nous."),
        };
        write(format_args!("{name}: {lead} {code}. {warning}"));
        if let Some(hash) = app_signature {
            write(format_args!("\n{hash}"));
        }
        if let Some(domain) = self.ios_domain.as_ref().map(IosDomain::as_str) {
            write(format_args!("\n@{domain} #{code}"));
        }
        SmsText(text)
    }
}

/// A text that contains the code. It has no `Display`, its `Debug` is redacted, and it is zeroized on drop.
pub struct SmsText(Zeroizing<String>);

impl SmsText {
    /// The text, for the SMS provider. Must not be logged.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// By how much the text exceeds its limits.
    fn excess(&self) -> usize {
        let septets = gsm7::septets(&self.0).unwrap_or(usize::MAX);
        septets.saturating_sub(SEGMENT_SEPTETS).max(self.0.len().saturating_sub(RETRIEVER_BYTES))
    }
}

impl fmt::Debug for SmsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SmsText(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &str = "212212";

    fn otp() -> Otp {
        Otp::parse(CODE).unwrap()
    }

    fn hash() -> AppSignature {
        AppSignature::parse("FA+9qCX9VSu").unwrap()
    }

    fn template(name: &str, domain: Option<&str>) -> Result<SmsTemplate, TemplateTooLong> {
        let domain = domain.map(|domain| IosDomain::parse(domain).unwrap());
        SmsTemplate::new(SenderName::parse(name).unwrap(), domain)
    }

    fn text(language: Language, app_signature: Option<&AppSignature>, domain: Option<&str>) -> String {
        template("Sandbox", domain).unwrap().text(language, &otp(), app_signature).expose().to_owned()
    }

    fn runs_of_digits(text: &str) -> Vec<&str> {
        text.split(|c: char| !c.is_numeric()).filter(|run| !run.is_empty()).collect()
    }

    #[test]
    fn the_text_of_each_language_is_exact() {
        for (language, expected) in [
            (Language::De, "Sandbox: Ihr Code lautet 212212. Geben Sie ihn niemals weiter, auch nicht an uns."),
            (Language::En, "Sandbox: Your code is 212212. Never share it with anyone, not even with us."),
            (Language::Fr, "Sandbox: votre code est 212212. Ne le donnez jamais à personne, pas non plus à nous."),
        ] {
            assert_eq!(text(language, None, None), expected);
        }
    }

    #[test]
    fn the_code_is_the_only_run_of_digits_in_the_sentence() {
        for language in Language::ALL {
            for app_signature in [None, Some(&hash())] {
                for domain in [None, Some("bank24.example")] {
                    let text = text(language, app_signature, domain);
                    assert_eq!(runs_of_digits(text.lines().next().unwrap()), [CODE], "{text:?}");
                }
            }
        }
    }

    #[test]
    fn without_an_app_hash_and_a_domain_the_text_is_the_sentence() {
        for language in Language::ALL {
            assert_eq!(text(language, None, None).lines().count(), 1);
        }
    }

    #[test]
    fn the_app_hash_alone_is_the_last_line() {
        for language in Language::ALL {
            let text = text(language, Some(&hash()), None);
            assert_eq!(text.rsplit('\n').next(), Some("FA+9qCX9VSu"), "{text:?}");
            assert_eq!(text.lines().count(), 2, "{text:?}");
        }
    }

    #[test]
    fn the_domain_is_the_last_line_after_the_app_hash() {
        for language in Language::ALL {
            let both = text(language, Some(&hash()), Some("example.com"));
            assert_eq!(both.split('\n').skip(1).collect::<Vec<_>>(), ["FA+9qCX9VSu", "@example.com #212212"]);
            let domain_only = text(language, None, Some("example.com"));
            assert_eq!(domain_only.split('\n').skip(1).collect::<Vec<_>>(), ["@example.com #212212"]);
        }
    }

    #[test]
    fn with_the_longest_names_every_text_fits_one_segment() {
        for name in ["N".repeat(40), "Ü".repeat(20), "[".repeat(20), "€".repeat(13)] {
            let template = template(&name, None).unwrap();
            for language in Language::ALL {
                let bare = template.text(language, &otp(), None);
                assert!(gsm7::septets(bare.expose()).unwrap() <= 160, "{language:?} {name}");
                let with_hash = template.text(language, &otp(), Some(&hash()));
                assert!(gsm7::septets(with_hash.expose()).unwrap() <= 160, "{language:?} {name}");
                assert!(with_hash.expose().len() <= 140, "{language:?} {name}");
            }
        }
    }

    #[test]
    fn a_domain_that_does_not_fit_beside_the_name_is_refused_with_the_excess() {
        // The French sentence has 79 bytes, the line of the app hash 12, that of the domain 10 and the domain: 39 are
        // left.
        let (name, domain) = ("N".repeat(28), "example.com");
        let longest = template(&name, Some(domain)).unwrap().text(Language::Fr, &otp(), Some(&hash()));
        assert_eq!(longest.expose().len(), 140);
        let too_long = template(&(name + "NN"), Some(domain)).unwrap_err();
        assert_eq!(too_long, TemplateTooLong { excess: 2 });
    }

    #[test]
    fn rendering_a_text_never_reallocates() {
        let name = "N".repeat(40);
        for language in Language::ALL {
            let text = template(&name, None).unwrap().text(language, &otp(), Some(&hash()));
            assert_eq!(text.0.capacity(), RETRIEVER_BYTES);
        }
    }

    #[test]
    fn debug_shows_nothing_of_the_text() {
        let text = template("Sandbox", None).unwrap().text(Language::En, &otp(), None);
        assert_eq!(format!("{text:?}"), "SmsText(..)");
    }
}
