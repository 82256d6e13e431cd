//! The kinds of challenges.

/// The purpose of a challenge.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ChallengeKind {
    /// Binds a device: the phone signs a code that was sent by SMS.
    Binding,
    /// Confirms a mobile number: the person types a code that was sent to it.
    Number,
    /// A bound device: the phone signs a text that the service made.
    Device,
    /// A log-in without a phone's key: the person types a code that was sent by SMS.
    Sms,
}

impl ChallengeKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Binding, Self::Number, Self::Device, Self::Sms];

    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Binding => "binding",
            Self::Number => "number",
            Self::Device => "device",
            Self::Sms => "sms",
        }
    }

    /// The audit action of requesting a challenge of this kind.
    #[must_use]
    pub const fn asked(self) -> &'static str {
        match self {
            Self::Binding => "binding.asked",
            Self::Number => "number.code_asked",
            Self::Device => "device_challenge.asked",
            Self::Sms => "sms_challenge.asked",
        }
    }

    /// The audit action of answering a challenge of this kind.
    #[must_use]
    pub const fn answered(self) -> &'static str {
        match self {
            Self::Binding => "binding.answered",
            Self::Number => "number.confirmed",
            Self::Device => "device_challenge.answered",
            Self::Sms => "sms_challenge.answered",
        }
    }

    /// The name in the API.
    #[must_use]
    pub const fn wire_name(self) -> &'static str {
        match self {
            Self::Binding => "signature",
            Self::Number => "number",
            Self::Device => "device",
            Self::Sms => "sms",
        }
    }
}
