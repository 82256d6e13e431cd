//! Whether a rule refuses, only tells what it would refuse, or is off.

/// How far a rule goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Enforcement {
    /// It refuses.
    Enforce,
    /// It counts and logs what it would refuse.
    DryRun,
    /// It does nothing.
    Off,
}

impl Enforcement {
    /// `None` for a word that is none of the three.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Enforce, Self::DryRun, Self::Off].into_iter().find(|it| it.as_str() == text)
    }

    /// Its word in settings, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::DryRun => "dry-run",
            Self::Off => "off",
        }
    }
}
