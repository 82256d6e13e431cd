//! The kinds of challenges.

/// What a challenge is for. Another kind is another variant, and its place in each `match` over them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChallengeKind {
    /// A device to be bound: the phone signs a code that was sent by SMS.
    Binding,
    /// A mobile number to be confirmed: the person types a code that was sent to it.
    Number,
}

impl ChallengeKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Binding, Self::Number];

    /// In a word, for the metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Binding => "binding",
            Self::Number => "number",
        }
    }

    /// What asking for one is called in the audit trail.
    #[must_use]
    pub const fn asked(self) -> &'static str {
        match self {
            Self::Binding => "binding.asked",
            Self::Number => "number.code_asked",
        }
    }

    /// What answering one is called in the audit trail.
    #[must_use]
    pub const fn answered(self) -> &'static str {
        match self {
            Self::Binding => "binding.answered",
            Self::Number => "number.confirmed",
        }
    }

    /// What the API calls it.
    #[must_use]
    pub const fn wire_name(self) -> &'static str {
        match self {
            Self::Binding => "signature",
            Self::Number => "number",
        }
    }
}
