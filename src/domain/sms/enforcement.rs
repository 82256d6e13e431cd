//! Whether limits hold, or are only watched.

/// What a limit does about a request beyond it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Enforcement {
    /// The request is refused.
    Enforce,
    /// The request goes on; log and metrics tell that it would have been refused.
    DryRun,
    /// The limit is not looked at.
    Off,
}

impl Enforcement {
    /// Reads a setting.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Enforce, Self::DryRun, Self::Off].into_iter().find(|enforcement| enforcement.as_str() == text)
    }

    /// Its name in settings and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::DryRun => "dry-run",
            Self::Off => "off",
        }
    }
}
