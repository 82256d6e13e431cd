//! What any setting's text may be: the one rule for the environment, the TOML file and the files of secrets.
//!
//! Text is UTF-8. White space and line ends around it do not count: editors, templates and `echo` add them. Nothing but
//! that is nothing: the setting counts as not set. Characters that an editor does not show, and quotes around the whole, are faults:
//! they come from a tool that wrote something else than was meant.

/// The text of a setting; `None` when there is none.
///
/// # Errors
/// What is wrong with it, without any of it.
pub(super) fn clean(bytes: &[u8]) -> Result<Option<&str>, &'static str> {
    let text = str::from_utf8(bytes).map_err(|_| "is not UTF-8 text")?;
    // Not `trim` alone: a control character that counts as white space (a form feed) is no line end.
    let text =
        text.trim_matches(|c: char| matches!(c, ' ' | '\t' | '\r' | '\n') || (c.is_whitespace() && !c.is_control()));
    if text.chars().any(|c| c.is_control() || is_invisible(c)) {
        return Err("holds a control character, a line end or another character that cannot be seen");
    }
    let in_quotes = |quote| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote);
    if in_quotes('"') || in_quotes('\'') {
        return Err("stands in quotes: take them away");
    }
    Ok((!text.is_empty()).then_some(text))
}

/// Marks, joiners and directions of Unicode that have no shape: the byte order mark, zero-width characters, line and
/// paragraph separators, bidirectional controls, the soft hyphen.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_around_a_text_does_not_count() {
        for text in ["a b", " a b", "a b\r\n", "\t\n a b \n", "a b\u{a0}\u{3000}"] {
            assert_eq!(clean(text.as_bytes()), Ok(Some("a b")), "{text:?}");
        }
        for nothing in ["", " ", "\r\n", "\u{a0}"] {
            assert_eq!(clean(nothing.as_bytes()), Ok(None), "{nothing:?}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_refused() {
        for text in ["\u{feff}a", "a\0", "a\nb", "a\tb", "a\u{200b}", "\u{202e}a", "a\u{2028}b", "\x1b[1ma", "a\x0c"] {
            assert!(clean(text.as_bytes()).is_err(), "{text:?}");
        }
        for text in ["\"a\"", "'a'", " \"a\"\n"] {
            assert!(clean(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(clean(b"\xff").is_err() && clean(b"a\xc3").is_err());
    }
}
