//! A bound device.
//!
//! A device exists from the moment its challenge is met; before that there is only a pending binding, which no query for
//! devices can see (docs/api-design.md#devices).

pub mod device_data;
pub mod key;

use chrono::{DateTime, Utc};

use crate::domain::devices::key::DeviceKey;
use crate::domain::id::DeviceId;
use crate::domain::person::PersonId;

/// The longest device name, in characters (docs/api-design.md#bind-a-device).
pub const DEVICE_NAME_MAX: usize = 255;

/// What the person calls the device: 1 to 255 characters, none of them a control character.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceName(String);

impl DeviceName {
    /// `None` when the text is empty, too long or has control characters (which no log, terminal or database likes).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=DEVICE_NAME_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }

    /// A name that was valid when it was stored.
    #[must_use]
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A device that was bound, and perhaps deleted since.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Also the id of the challenge that bound it.
    pub id: DeviceId,
    /// Who owns it.
    pub person_id: PersonId,
    /// What they call it.
    pub name: Option<DeviceName>,
    /// When its registration began; equals the challenge's `created_at`.
    pub created_at: DateTime<Utc>,
    /// Set on tombstones: nothing can be signed with this device any more.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// A device together with the keys that can sign for it: none once it is deleted.
#[derive(Clone, Debug)]
pub struct DeviceWithKeys {
    /// The device.
    pub device: Device,
    /// Its live keys, oldest first.
    pub keys: Vec<DeviceKey>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_counted_in_characters_not_bytes() {
        assert!(DeviceName::parse(&"é".repeat(255)).is_some());
        assert!(DeviceName::parse(&"é".repeat(256)).is_none());
    }

    #[test]
    fn a_name_with_a_control_character_is_refused() {
        for text in ["", "a\0b", "a\nb", "\u{1b}[31m"] {
            assert_eq!(DeviceName::parse(text), None, "{text:?}");
        }
    }
}
