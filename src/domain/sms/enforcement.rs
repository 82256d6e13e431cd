//! Whether SMS limits are enforced.

/// What happens to a request over a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Enforcement {
    /// The request is refused.
    Enforce,
    /// The request proceeds; log and metrics record that it would have been refused.
    DryRun,
    /// The limit is not checked.
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
