//! The opaque payload of a fingerprinting library on the phone: passed to the fraud check, never stored.

use std::fmt;

use zeroize::Zeroizing;

/// The longest payload, in bytes: 256 KiB (docs/api-design.md#bind-a-device).
pub const DEVICE_DATA_MAX: usize = 256 * 1024;

/// An opaque payload of 1 byte to 256 KiB. Never decoded, stored or shown.
#[derive(Clone)]
pub struct DeviceData(Zeroizing<String>);

impl DeviceData {
    /// `None` when it is empty or too long.
    #[must_use]
    pub fn parse(text: String) -> Option<Self> {
        (1..=DEVICE_DATA_MAX).contains(&text.len()).then(|| Self(Zeroizing::new(text)))
    }

    /// The payload, for the fraud check. Must not be logged.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DeviceData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceData(..)")
    }
}
