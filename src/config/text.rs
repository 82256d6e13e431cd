//! The rules for the text of a setting, the same for the environment, the TOML file and the files of secrets.
//!
//! Text is UTF-8. Leading and trailing white space is trimmed: editors, templates and `echo` add it. A setting that is
//! empty after that counts as not set. Invisible characters and quotes around the value are errors: the tool that wrote
//! them added them by mistake.

/// The trimmed text of a setting; `None` when it is empty.
///
/// # Errors
/// The problem, without quoting the text.
pub(super) fn clean(bytes: &[u8]) -> Result<Option<&str>, &'static str> {
    let text = str::from_utf8(bytes).map_err(|_| "is not UTF-8 text")?;
    // Not `trim`: it would also remove control characters that count as white space, such as a form feed.
    let text =
        text.trim_matches(|c: char| matches!(c, ' ' | '\t' | '\r' | '\n') || (c.is_whitespace() && !c.is_control()));
    if text.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err("contains a control character, a line break or an invisible character");
    }
    let in_quotes = |quote| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote);
    if in_quotes('"') || in_quotes('\'') {
        return Err("is quoted: remove the quotes");
    }
    Ok((!text.is_empty()).then_some(text))
}

/// Unicode characters without a glyph: the byte order mark, zero-width characters, line and paragraph separators,
/// bidirectional controls, the soft hyphen.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surrounding_white_space_is_trimmed() {
        for text in ["a b", " a b", "a b\r\n", "\t\n a b \n", "a b\u{a0}\u{3000}"] {
            assert_eq!(clean(text.as_bytes()), Ok(Some("a b")), "{text:?}");
        }
        for nothing in ["", " ", "\r\n", "\u{a0}"] {
            assert_eq!(clean(nothing.as_bytes()), Ok(None), "{nothing:?}");
        }
    }

    #[test]
    fn invisible_characters_quotes_and_invalid_utf8_are_refused() {
        for text in ["\u{feff}a", "a\0", "a\nb", "a\tb", "a\u{200b}", "\u{202e}a", "a\u{2028}b", "\x1b[1ma", "a\x0c"] {
            assert!(clean(text.as_bytes()).is_err(), "{text:?}");
        }
        for text in ["\"a\"", "'a'", " \"a\"\n"] {
            assert!(clean(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(clean(b"\xff").is_err() && clean(b"a\xc3").is_err());
    }
}
