//! Ids that the service mints: UUIDs with a distinct type per entity, so that a key's id is never passed for a
//! device's.
//!
//! They are `UUIDv7` (RFC 9562 section 5.7): ids minted together are adjacent in an index, and 74 random bits make them
//! unguessable. Written lower-case with hyphens; read with or without hyphens, in either case
//! (docs/api-design.md#conventions).

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Defines an id type.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub struct $name(::uuid::Uuid);

        impl $name {
            /// Mints an id from the current time and randomness.
            #[must_use]
            pub fn mint(now: ::chrono::DateTime<::chrono::Utc>, random: [u8; 10]) -> Self {
                Self($crate::domain::id::uuid_v7(now, random))
            }

            /// Reads a UUID, hyphenated or not, in upper or lower case.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                $crate::domain::id::read_uuid(text).map(Self)
            }

            /// When it was minted, to the millisecond. `None` for a UUID without a timestamp.
            #[must_use]
            pub fn minted_at(self) -> Option<::chrono::DateTime<::chrono::Utc>> {
                let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
                ::chrono::DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
            }

            /// The bare UUID, for the database and for derivations.
            #[must_use]
            pub fn uuid(self) -> ::uuid::Uuid {
                self.0
            }
        }

        impl From<::uuid::Uuid> for $name {
            fn from(uuid: ::uuid::Uuid) -> Self {
                Self(uuid)
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(self.0.as_hyphenated(), f)
            }
        }

        impl ::serde::Serialize for $name {
            fn serialize<S: ::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> ::serde::Deserialize<'de> for $name {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <String as ::serde::Deserialize>::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| ::serde::de::Error::custom("an id is a UUID"))
            }
        }
    };
}
pub(in crate::domain) use id;

id! {
    /// A device.
    DeviceId
}
id! {
    /// A public key of a device.
    KeyId
}
id! {
    /// A person's mobile number.
    NumberId
}
/// Reads the two documented spellings. The `uuid` crate also reads braces and URNs (RFC 9562 section 4); both are
/// longer.
pub(in crate::domain) fn read_uuid(text: &str) -> Option<Uuid> {
    const PLAIN: usize = 32;
    const HYPHENATED: usize = 36;
    matches!(text.len(), PLAIN | HYPHENATED).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// A `UUIDv7` from an instant and ten random bytes.
#[must_use]
pub fn uuid_v7(now: DateTime<Utc>, random: [u8; 10]) -> Uuid {
    let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_with_or_without_hyphens_in_either_case_names_the_same_device() {
        let id = DeviceId::parse("6642d15e-8f6b-4d28-9186-cdd61d80032a").unwrap();
        assert_eq!(DeviceId::parse("6642D15E8F6B4D289186CDD61D80032A"), Some(id));
        assert_eq!(DeviceId::parse("6642D15E-8f6b-4D28-9186-CDD61d80032a"), Some(id));
        assert_eq!(id.to_string(), "6642d15e-8f6b-4d28-9186-cdd61d80032a");
    }

    #[test]
    fn a_text_that_is_not_a_uuid_is_no_device_id() {
        for text in ["", "1", "6642d15e-8f6b-4d28-9186-cdd61d80032", "6642d15e-8f6b-4d28-9186-cdd61d80032g", "é"] {
            assert_eq!(DeviceId::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_id_contains_the_time_at_which_it_was_minted() {
        let at = DateTime::from_timestamp_micros(1_700_000_000_123_456).unwrap();
        let minted = DeviceId::mint(at, [7; 10]).minted_at().unwrap();
        assert_eq!(minted.timestamp_micros(), 1_700_000_000_123_000);
        assert_eq!(DeviceId::parse("6642d15e-8f6b-4d28-9186-cdd61d80032a").unwrap().minted_at(), None);
    }

    #[test]
    fn other_spellings_of_a_uuid_are_no_device_id() {
        for text in [
            "{6642d15e-8f6b-4d28-9186-cdd61d80032a}",
            "{6642d15e8f6b4d289186cdd61d80032a}",
            "urn:uuid:6642d15e-8f6b-4d28-9186-cdd61d80032a",
            "6642d15e8f6b-4d28-9186-cdd61d80032a",
            "6642d15e-8f6b4d28-9186-cdd61d-80032a",
            " 642d15e-8f6b-4d28-9186-cdd61d80032a",
        ] {
            assert_eq!(DeviceId::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn ids_minted_later_sort_later() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let earlier = DeviceId::mint(at(1_700_000_000), [255; 10]);
        let later = DeviceId::mint(at(1_700_000_001), [0; 10]);
        assert!(earlier.uuid() < later.uuid());
        assert_eq!(later.uuid().get_version_num(), 7);
    }
}
