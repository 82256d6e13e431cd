//! The texts of SMS.
//!
//! One text per purpose and language: it names the sender, contains the code, says what the code does, and warns never
//! to share it. A person who is asked for a code on the phone can see what the caller wants it for. Every text fits one
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

/// What a code does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodePurpose {
    /// Registers a new phone.
    NewPhone,
    /// Logs the person in.
    LogIn,
    /// Confirms the number that the text is sent to.
    Number,
}

impl CodePurpose {
    /// Every purpose.
    pub const ALL: [Self; 3] = [Self::NewPhone, Self::LogIn, Self::Number];
}

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
        let excess = |purpose, language| template.render(purpose, language, "000000", Some("app-hash-11")).excess();
        let all =
            CodePurpose::ALL.into_iter().flat_map(|purpose| Language::ALL.map(|language| excess(purpose, language)));
        match all.max() {
            None | Some(0) => Ok(template),
            Some(excess) => Err(TemplateTooLong { excess }),
        }
    }

    /// The text with the code `otp`.
    #[must_use]
    pub fn text(
        &self,
        purpose: CodePurpose,
        language: Language,
        otp: &Otp,
        app_signature: Option<&AppSignature>,
    ) -> SmsText {
        self.render(purpose, language, otp.expose(), app_signature.map(AppSignature::as_str))
    }

    /// The text that tells a person of a device that was bound with their activation code. It has no code.
    #[must_use]
    pub fn activation_notice(&self, language: Language) -> SmsText {
        let name = self.sender.as_str();
        let sentence = match language {
            Language::De => {
                "Mit dem Code aus Ihrem Brief wurde ein Gerät registriert. Waren Sie das nicht? Rufen Sie uns bitte an."
            }
            Language::En => {
                "A device was registered with the code from your letter. If this was not you, please call us now."
            }
            Language::Fr => {
                "un appareil a été enregistré avec le code de votre lettre. Si ce n'était pas vous, appelez-nous."
            }
        };
        SmsText(Zeroizing::new(format!("{name}: {sentence}")))
    }

    fn render(&self, purpose: CodePurpose, language: Language, code: &str, app_signature: Option<&str>) -> SmsText {
        let name = self.sender.as_str();
        // Full capacity: a reallocation would leave a copy of the code in freed memory.
        let mut text = Zeroizing::new(String::with_capacity(RETRIEVER_BYTES));
        let mut write = |part: fmt::Arguments<'_>| text.write_fmt(part).expect("writing to a string cannot fail");
        let effect = effect(purpose, language);
        let (lead, warning) = match language {
            Language::De => ("Code", "Nie weitergeben, auch nicht an uns."),
            Language::En => ("Your code", "Never share it, not even with us."),
            // "pas même à nous" would be UCS-2: GSM-7 has no "ê".
            Language::Fr => ("Le code", "Ne le donnez à personne, nous compris."),
        };
        write(format_args!("{name}: {lead} {code} {effect}. {warning}"));
        if let Some(hash) = app_signature {
            write(format_args!("\n{hash}"));
        }
        if let Some(domain) = self.ios_domain.as_ref().map(IosDomain::as_str) {
            write(format_args!("\n@{domain} #{code}"));
        }
        SmsText(text)
    }
}

/// The predicate of the sentence whose subject is the code.
fn effect(purpose: CodePurpose, language: Language) -> &'static str {
    use CodePurpose::{LogIn, NewPhone, Number};
    use Language::{De, En, Fr};
    match (purpose, language) {
        (NewPhone, De) => "registriert ein neues Handy",
        (NewPhone, En) => "registers a new phone",
        (NewPhone, Fr) => "ajoute un nouveau mobile",
        (LogIn, De) => "meldet Sie an",
        (LogIn, En) => "logs you in",
        (LogIn, Fr) => "vous connecte",
        (Number, De) => "bestätigt diese Nummer",
        (Number, En) => "confirms this number",
        (Number, Fr) => "confirme ce numéro",
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

    fn text(purpose: CodePurpose, language: Language, hash: Option<&AppSignature>, domain: Option<&str>) -> String {
        template("Sandbox", domain).unwrap().text(purpose, language, &otp(), hash).expose().to_owned()
    }

    /// Every purpose in every language.
    fn texts() -> impl Iterator<Item = (CodePurpose, Language)> {
        CodePurpose::ALL.into_iter().flat_map(|purpose| Language::ALL.map(|language| (purpose, language)))
    }

    fn runs_of_digits(text: &str) -> Vec<&str> {
        text.split(|c: char| !c.is_numeric()).filter(|run| !run.is_empty()).collect()
    }

    #[test]
    fn the_text_of_each_purpose_and_language_is_exact() {
        use CodePurpose::{LogIn, NewPhone, Number};
        use Language::{De, En, Fr};
        let expected = [
            (NewPhone, De, "Code 212212 registriert ein neues Handy. Nie weitergeben, auch nicht an uns."),
            (NewPhone, En, "Your code 212212 registers a new phone. Never share it, not even with us."),
            (NewPhone, Fr, "Le code 212212 ajoute un nouveau mobile. Ne le donnez à personne, nous compris."),
            (LogIn, De, "Code 212212 meldet Sie an. Nie weitergeben, auch nicht an uns."),
            (LogIn, En, "Your code 212212 logs you in. Never share it, not even with us."),
            (LogIn, Fr, "Le code 212212 vous connecte. Ne le donnez à personne, nous compris."),
            (Number, De, "Code 212212 bestätigt diese Nummer. Nie weitergeben, auch nicht an uns."),
            (Number, En, "Your code 212212 confirms this number. Never share it, not even with us."),
            (Number, Fr, "Le code 212212 confirme ce numéro. Ne le donnez à personne, nous compris."),
        ];
        assert_eq!(expected.map(|(purpose, language, _)| (purpose, language)).to_vec(), texts().collect::<Vec<_>>());
        for (purpose, language, sentence) in expected {
            assert_eq!(text(purpose, language, None, None), format!("Sandbox: {sentence}"));
        }
    }

    #[test]
    fn the_code_is_the_only_run_of_digits_in_the_sentence() {
        for (purpose, language) in texts() {
            for app_signature in [None, Some(&hash())] {
                for domain in [None, Some("bank24.example")] {
                    let text = text(purpose, language, app_signature, domain);
                    assert_eq!(runs_of_digits(text.lines().next().unwrap()), [CODE], "{text:?}");
                }
            }
        }
    }

    #[test]
    fn without_an_app_hash_and_a_domain_the_text_is_the_sentence() {
        for (purpose, language) in texts() {
            assert_eq!(text(purpose, language, None, None).lines().count(), 1);
        }
    }

    #[test]
    fn the_app_hash_alone_is_the_last_line() {
        for (purpose, language) in texts() {
            let text = text(purpose, language, Some(&hash()), None);
            assert_eq!(text.rsplit('\n').next(), Some("FA+9qCX9VSu"), "{text:?}");
            assert_eq!(text.lines().count(), 2, "{text:?}");
        }
    }

    #[test]
    fn the_domain_is_the_last_line_after_the_app_hash() {
        for (purpose, language) in texts() {
            let both = text(purpose, language, Some(&hash()), Some("example.com"));
            assert_eq!(both.split('\n').skip(1).collect::<Vec<_>>(), ["FA+9qCX9VSu", "@example.com #212212"]);
            let domain_only = text(purpose, language, None, Some("example.com"));
            assert_eq!(domain_only.split('\n').skip(1).collect::<Vec<_>>(), ["@example.com #212212"]);
        }
    }

    #[test]
    fn with_the_longest_name_every_text_fits_one_segment() {
        for name in ["N".repeat(40), "Ü".repeat(20), "[".repeat(20), "€".repeat(13)] {
            let template = template(&name, None).unwrap();
            for (purpose, language) in texts() {
                assert_fits(&template, purpose, language);
            }
        }
    }

    #[test]
    fn with_the_longest_domain_every_text_fits_one_segment() {
        let longest = (1..).map(|length| format!("{}.example", "d".repeat(length)));
        let longest = longest.take_while(|domain| template("Example Bank", Some(domain)).is_ok()).last();
        let longest = longest.expect("a short domain fits beside the name");
        let template = template("Example Bank", Some(&longest)).unwrap();
        for (purpose, language) in texts() {
            assert_fits(&template, purpose, language);
        }
    }

    #[track_caller]
    fn assert_fits(template: &SmsTemplate, purpose: CodePurpose, language: Language) {
        let without_hash = template.text(purpose, language, &otp(), None);
        let with_hash = template.text(purpose, language, &otp(), Some(&hash()));
        for text in [&without_hash, &with_hash] {
            assert!(gsm7::septets(text.expose()).unwrap() <= 160, "{:?}", text.expose());
        }
        assert!(with_hash.expose().len() <= 140, "{:?}", with_hash.expose());
    }

    #[test]
    fn with_the_longest_names_every_notice_fits_one_segment() {
        for name in ["N".repeat(40), "Ü".repeat(20), "[".repeat(20), "€".repeat(13)] {
            let template = template(&name, None).unwrap();
            for language in Language::ALL {
                let notice = template.activation_notice(language);
                assert!(gsm7::septets(notice.expose()).unwrap() <= SEGMENT_SEPTETS, "{language:?} {name}");
                assert_eq!(runs_of_digits(notice.expose()), [""; 0], "{language:?}");
            }
        }
    }

    #[test]
    fn a_domain_that_does_not_fit_beside_the_name_is_refused_with_the_excess() {
        // The longest French sentence has 82 bytes, the line of the app hash 12, that of the domain 10 and the domain:
        // 36 are left.
        let (name, domain) = ("N".repeat(25), "example.com");
        let template_of = |name: &str| template(name, Some(domain));
        let longest = template_of(&name).unwrap().text(CodePurpose::NewPhone, Language::Fr, &otp(), Some(&hash()));
        assert_eq!(longest.expose().len(), 140);
        let too_long = template_of(&(name + "NN")).unwrap_err();
        assert_eq!(too_long, TemplateTooLong { excess: 2 });
    }

    #[test]
    fn rendering_a_text_never_reallocates() {
        let name = "N".repeat(40);
        for (purpose, language) in texts() {
            let text = template(&name, None).unwrap().text(purpose, language, &otp(), Some(&hash()));
            assert_eq!(text.0.capacity(), RETRIEVER_BYTES);
        }
    }

    #[test]
    fn debug_shows_nothing_of_the_text() {
        let text = template("Sandbox", None).unwrap().text(CodePurpose::LogIn, Language::En, &otp(), None);
        assert_eq!(format!("{text:?}"), "SmsText(..)");
    }
}
