//! The text of a cursor: a position in a list, opaque to callers (`openapi.yaml`, `page[after]`).
//!
//! It holds an id, and nothing of the list that it came from: in another list, or another partner's, it is merely a place to
//! begin at. Every text of the right form is a position.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::store::Position;

/// The cursor of a position: 22 characters that mean nothing in a query.
pub(in crate::api) fn write(position: Position) -> String {
    URL_SAFE_NO_PAD.encode(position.0)
}

/// The position of a cursor.
pub(in crate::api) fn read(text: &str) -> Result<Position, String> {
    let bytes: Option<[u8; 16]> = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    bytes
        .map(|bytes| Position(Uuid::from_bytes(bytes)))
        .ok_or_else(|| "must be a cursor from a `link` header".to_owned())
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
    }

    proptest! {
        #[test]
        fn a_position_is_read_as_it_was_written(id in any::<u128>()) {
            let position = Position(Uuid::from_u128(id));
            let cursor = write(position);
            prop_assert_eq!(cursor.len(), 22);
            prop_assert_eq!(read(&cursor), Ok(position));
        }

        #[test]
        fn every_text_of_the_form_is_a_position_and_no_other(text in "[A-Za-z0-9_-]{21}[AQgw]", other in ".{0,40}") {
            prop_assert_eq!(read(&text).map(write), Ok(text));
            if let Ok(position) = read(&other) {
                prop_assert_eq!(write(position), other);
            }
        }
    }
}
