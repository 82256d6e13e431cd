//! The length of a text in GSM-7 septets.
//!
//! A segment has 160 septets of the GSM 7 bit default alphabet. A single character outside it turns the message into
//! UCS-2 with 70 characters per segment, and longer texts cost several segments. The table is 3GPP TS 23.038 section
//! 6.2.1.

/// Septets of a single-segment message: 140 octets in units of 7 bits.
pub const SEGMENT_SEPTETS: usize = 160;

/// The default alphabet, in the order of its codes (3GPP TS 23.038 section 6.2.1). `\u{1b}` is the escape to the
/// extension table, not a character.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\u{1b}ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";

/// The extension table: two septets per character, the escape included (3GPP TS 23.038 section 6.2.1.1).
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

const ESCAPE: char = '\u{1b}';

/// The length in septets; `None` when a character is in neither table.
#[must_use]
pub fn septets(text: &str) -> Option<usize> {
    text.chars().map(width).sum()
}

fn width(character: char) -> Option<usize> {
    if character != ESCAPE && BASIC.contains(character) {
        Some(1)
    } else if EXTENSION.contains(character) {
        Some(2)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn code(character: char) -> Option<usize> {
        BASIC.chars().position(|c| c == character)
    }

    #[test]
    fn the_alphabet_has_128_different_characters() {
        assert_eq!(BASIC.chars().count(), 128);
        assert_eq!(BASIC.chars().collect::<HashSet<_>>().len(), 128);
    }

    #[test]
    fn characters_have_the_codes_of_the_standard() {
        let landmarks = [
            ('@', 0x00),
            ('\n', 0x0A),
            ('\r', 0x0D),
            ('Δ', 0x10),
            ('_', 0x11),
            ('Ξ', 0x1A),
            ('\u{1b}', 0x1B),
            ('É', 0x1F),
            (' ', 0x20),
            ('¤', 0x24),
            ('0', 0x30),
            ('¡', 0x40),
            ('A', 0x41),
            ('Ä', 0x5B),
            ('§', 0x5F),
            ('¿', 0x60),
            ('a', 0x61),
            ('ä', 0x7B),
            ('à', 0x7F),
        ];
        for (character, expected) in landmarks {
            assert_eq!(code(character), Some(expected), "{character:?}");
        }
    }

    #[test]
    fn letters_and_figures_have_their_ascii_codes() {
        for character in ('0'..='9').chain('A'..='Z').chain('a'..='z') {
            assert_eq!(code(character), Some(character as usize), "{character:?}");
        }
    }

    #[test]
    fn characters_of_the_extension_table_take_two_septets() {
        for character in ['\u{c}', '^', '{', '}', '\\', '[', '~', ']', '|', '€'] {
            assert_eq!(septets(&character.to_string()), Some(2), "{character:?}");
        }
        assert_eq!(EXTENSION.chars().count(), 10);
        assert_eq!(septets("10 €"), Some(5));
    }

    #[test]
    fn umlauts_take_one_septet_and_two_bytes() {
        assert_eq!(septets("Größe"), Some(5));
        assert_eq!("Größe".len(), 7);
    }

    #[test]
    fn a_text_with_a_character_outside_gsm7_has_no_length() {
        for text in ["ç", "ê", "`", "„", "😀", "\t", "\u{1b}", "\u{a0}", "Ihr Code – 1"] {
            assert_eq!(septets(text), None, "{text:?}");
        }
    }

    #[test]
    fn an_empty_text_has_length_0() {
        assert_eq!(septets(""), Some(0));
    }
}
