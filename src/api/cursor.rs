//! Cursors: a position in a list as text, opaque to clients (`openapi.yaml`, `page[after]`).
//!
//! A cursor contains only an id, nothing about its list: in another list, also another partner's, it is only a start
//! position. Every well-formed cursor is a position.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use crate::store::Position;

/// The cursor of a position: 22 characters that need no encoding in a query.
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
    fn the_ends_of_a_list_have_cursors() {
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
        fn exactly_the_well_formed_cursors_are_accepted(text in "[A-Za-z0-9_-]{21}[AQgw]", other in ".{0,40}") {
            prop_assert_eq!(read(&text).map(write), Ok(text));
            if let Ok(position) = read(&other) {
                prop_assert_eq!(write(position), other);
            }
        }
    }
}
