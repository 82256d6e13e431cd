//! Activation codes: a code that the partner delivers, for example by letter, and that the phone signs in place of one
//! sent by SMS. See docs/api-design.md#activation-codes.
//!
//! A code is live until it has bound a device or has expired. Deleting it, replacing it and the last failure set its
//! expiry to now. The code itself is derived from the id and not stored.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::domain::challenges::{ChallengeId, ChallengeLife};
use crate::domain::id::id;
use crate::domain::person::PersonId;

/// Devices that one code binds.
pub const USES_MAX: i64 = 1;

/// Wrong signatures, over all bindings with a code, that end it.
pub const FAILURES_MAX: i64 = 5;

/// Delivery events of one code.
pub const DELIVERY_EVENTS_MAX: i64 = 100;

id! {
    /// A delivery event of an activation code.
    DeliveryEventId
}

/// Defines an enum of wire names.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $names:literal { $($(#[$about:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$about])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// All names, for an error message.
            pub const NAMES: &'static str = $names;

            /// `None` when the text is none of the names.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                match text {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }
    };
}

words! {
    /// Where the person asked for the code.
    Origin, "MOBILE_APP, WEB, WEBUI" {
        /// The partner's app.
        MobileApp = "MOBILE_APP",
        /// The partner's web site.
        Web = "WEB",
        /// The partner's back office.
        WebUi = "WEBUI",
    }
}

words! {
    /// What the code may be used for.
    ActivationPurpose, "DEVICE_BINDING" {
        /// Binds a device.
        DeviceBinding = "DEVICE_BINDING",
    }
}

words! {
    /// How the partner delivers the code.
    DeliveryMethod, "SNAILMAIL" {
        /// By letter.
        Snailmail = "SNAILMAIL",
    }
}

/// Defines a text with a maximum number of characters and without control characters.
macro_rules! text {
    ($(#[$doc:meta])* $name:ident, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name(String);

        impl $name {
            /// The maximum number of characters.
            pub const MAX: usize = $max;

            /// `None` when the text is empty, too long or has a control character.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                let length = text.chars().count();
                let fits = (1..=Self::MAX).contains(&length) && !text.chars().any(char::is_control);
                fits.then(|| Self(text.to_owned()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($name), "(..)"))
            }
        }
    };
}

text! {
    /// The type of a delivery event, in the partner's words.
    DeliveryEventType, 64
}
text! {
    /// The postal service.
    Provider, 255
}
text! {
    /// Details of a delivery event. They may contain an address.
    Detail, 1024
}

/// An activation code without the code itself, which only the service can derive.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ActivationChallenge {
    /// The id. The code is derived from it.
    pub id: ChallengeId,
    /// The person whose device it binds.
    pub person_id: PersonId,
    /// Where the person asked for it.
    pub origin: Origin,
    /// What it may be used for.
    pub purpose: ActivationPurpose,
    /// How it is delivered.
    pub delivery_method: DeliveryMethod,
    /// The version of the secret that the code is derived with.
    pub otp_version: u32,
    /// Start and expiry.
    pub life: ChallengeLife,
    /// When it bound a device.
    pub used_at: Option<DateTime<Utc>>,
}

impl ActivationChallenge {
    /// Whether the code can still bind a device.
    #[must_use]
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.used_at.is_none() && self.life.expires_at > now
    }

    /// Number of devices that it bound.
    #[must_use]
    pub fn uses(&self) -> i64 {
        i64::from(self.used_at.is_some())
    }
}

/// An activation code that is not stored yet.
#[derive(Clone, Debug)]
pub struct NewActivation {
    /// The code.
    pub challenge: ActivationChallenge,
    /// Its number among the codes of the person.
    pub turn: i64,
}

/// Which activation codes to list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ActivationFilter {
    /// The person's codes only.
    pub person_id: Option<PersonId>,
    /// Codes that expire later than this instant only.
    pub unexpired_at: Option<DateTime<Utc>>,
    /// Codes of this origin only.
    pub origin: Option<Origin>,
    /// Codes of this purpose only.
    pub purpose: Option<ActivationPurpose>,
    /// Codes that are delivered this way only.
    pub delivery_method: Option<DeliveryMethod>,
}

/// An event of the delivery, as the partner reported it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeliveryEvent {
    /// The id.
    pub id: DeliveryEventId,
    /// The type.
    pub kind: DeliveryEventType,
    /// When it happened.
    pub at: DateTime<Utc>,
    /// The postal service.
    pub provider: Option<Provider>,
    /// More about it.
    pub details: Option<Detail>,
}
