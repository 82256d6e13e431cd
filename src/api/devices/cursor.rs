//! The text of a cursor: a position in a list, opaque to callers (`openapi.yaml`, `page[after]`).
//!
//! It holds an instant and an id, and nothing of the list that it came from: in another list, or another partner's, it is
//! merely a place to begin at. Every text of the right form is a position.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::store::Position;

/// The cursor of a position: 32 characters that mean nothing in a query.
pub(in crate::api) fn write(position: Position) -> String {
    let mut bytes = [0; 24];
    bytes[..8].copy_from_slice(&position.created_at.timestamp_micros().to_be_bytes());
    bytes[8..].copy_from_slice(position.device_id.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The position of a cursor. What lies outside of all lists stands for the nearer end.
pub(in crate::api) fn read(text: &str) -> Result<Position, String> {
    let bytes: Option<[u8; 24]> = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    let bytes = bytes.ok_or("must be a cursor from a `link` header")?;
    let (micros, id) = bytes.split_at(8);
    let micros = i64::from_be_bytes(micros.try_into().expect("eight bytes"));
    let (oldest, newest) = (Position::OLDEST.created_at, Position::NEWEST.created_at);
    let beyond = if micros < 0 { oldest } else { newest };
    let created_at: DateTime<Utc> = DateTime::from_timestamp_micros(micros).unwrap_or(beyond).clamp(oldest, newest);
    Ok(Position { created_at, device_id: Uuid::from_slice(id).expect("sixteen bytes") })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_of_all_lists_have_cursors() {
        for end in [Position::NEWEST, Position::OLDEST] {
            assert_eq!(read(&write(end)), Ok(end));
        }
        assert_eq!(read(&"_".repeat(32)).unwrap(), Position { device_id: Uuid::max(), ..before(1970) });
        assert_eq!(read(&format!("f{}", "_".repeat(31))), Ok(Position::NEWEST));
        assert_eq!(read(&format!("g{}", "A".repeat(31))), Ok(Position::OLDEST));
    }

    fn before(year: i32) -> Position {
        let instant = format!("{}-12-31T23:59:59.999999Z", year - 1);
        Position { created_at: instant.parse().expect("an instant"), device_id: Uuid::nil() }
    }

    proptest! {
        #[test]
        fn a_position_is_read_as_it_was_written(
            micros in -62_135_596_800_000_000..=253_402_300_799_999_999_i64, id in any::<u128>()
        ) {
            let created_at = DateTime::from_timestamp_micros(micros).unwrap();
            let position = Position { created_at, device_id: Uuid::from_u128(id) };
            let cursor = write(position);
            prop_assert_eq!(cursor.len(), 32);
            prop_assert_eq!(read(&cursor), Ok(position));
        }

        #[test]
        fn every_text_of_the_form_is_a_position_and_no_other(text in "[A-Za-z0-9_-]{32}", other in ".{0,40}") {
            prop_assert!(read(&text).is_ok());
            if read(&other).is_ok() {
                prop_assert!(other.len() == 32 && other.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)));
            }
        }
    }
}
