//! Bound devices.
//!
//! A device exists from the moment its challenge is answered right. Before that there is only a pending binding, which
//! no query for devices returns (docs/api-design.md#devices).

pub mod device_data;
pub mod key;

use chrono::{DateTime, Utc};

use crate::domain::devices::key::DeviceKey;
use crate::domain::id::DeviceId;
use crate::domain::person::PersonId;

/// The longest device name, in characters (docs/api-design.md#bind-a-device).
pub const DEVICE_NAME_MAX: usize = 255;

/// The person's name for a device: 1 to 255 characters, none of them a control character.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceName(String);

impl DeviceName {
    /// `None` when the text is empty, too long or has control characters (unsafe in logs, terminals and databases).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=DEVICE_NAME_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        fits.then(|| Self(text.to_owned()))
    }

    /// Restores a stored name without validation.
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

/// A bound device, or the tombstone of a deleted one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Also the id of the challenge that bound it.
    pub id: DeviceId,
    /// Its owner.
    pub person_id: PersonId,
    /// The owner's name for it.
    pub name: Option<DeviceName>,
    /// When the binding was requested; equals the challenge's `created_at`.
    pub created_at: DateTime<Utc>,
    /// Set on tombstones: the device cannot sign any more.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// A device with its live keys; a deleted one has none.
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
    fn the_length_of_a_name_is_counted_in_characters() {
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
