//! The domain in the last line of a text, `@example.com #123456`.
//!
//! Apple's devices, and Chrome, offer to fill in the code only for that domain's pages and apps (WICG, *Origin-bound
//! one-time codes delivered via SMS*). An internationalised name has to be in its ASCII form.

/// The longest domain name (RFC 1035 section 2.3.4, without the trailing dot).
const DOMAIN_MAX: usize = 253;

/// The domain whose pages and apps may fill in the code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IosDomain(String);

/// The text is not a domain name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a lower-case domain name such as example.com")]
pub struct InvalidIosDomain;

impl IosDomain {
    /// Parses a domain name: letters, digits and hyphens in at least two labels, lower case.
    ///
    /// # Errors
    ///
    /// When the text is not such a name.
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

    /// The domain name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domain_names_are_accepted() {
        for domain in ["example.com", "login.bank24.example", "xn--bcher-kva.example"] {
            assert_eq!(IosDomain::parse(domain).unwrap().as_str(), domain);
        }
    }

    #[test]
    fn texts_that_are_not_a_domain_name_are_refused() {
        for domain in [
            "",
            "localhost",
            ".example",
            "example.",
            "a..b",
            "-a.example",
            "a-.example",
            "Example.com",
            "bücher.example",
            "https://example.com",
            "example.com:443",
            "example.com/x",
            "example.com #1",
            "@example.com",
        ] {
            assert_eq!(IosDomain::parse(domain), Err(InvalidIosDomain), "{domain:?}");
        }
        assert_eq!(IosDomain::parse(&format!("{}.example", "a.".repeat(130))), Err(InvalidIosDomain));
    }
}
