//! The secrets that must not leak, and the search for them.

use serde_json::Value;

/// The length of the pieces in which a long secret is searched for: any 40 characters of it contain a whole piece.
const PIECE: usize = 20;

/// Secrets that passed through the service.
#[derive(Default)]
pub(super) struct Needles {
    codes: Vec<String>,
    pieces: Vec<(&'static str, String)>,
}

impl Needles {
    /// A one-time code.
    pub(super) fn code(&mut self, code: &str) {
        self.codes.push(code.to_owned());
    }

    /// Any other secret, and its name.
    pub(super) fn secret(&mut self, what: &'static str, secret: &str) {
        let whole_pieces =
            secret.as_bytes().chunks_exact(PIECE).map(|piece| String::from_utf8(piece.to_vec()).unwrap());
        let before = self.pieces.len();
        self.pieces.extend(whole_pieces.map(|piece| (what, piece)));
        if secret.len() < 2 * PIECE {
            self.pieces.truncate(before);
            self.pieces.push((what, secret.to_owned()));
        }
    }

    /// Every secret in a text, with the line that shows it.
    pub(super) fn in_text(&self, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        for line in text.lines() {
            let secrets = self.pieces.iter().filter(|(_, piece)| line.contains(piece)).map(|(what, _)| *what);
            let codes = self.codes.iter().filter(|code| shows_code(line, code)).map(|_| "one-time code");
            found.extend(secrets.chain(codes).map(|what| format!("{what} in: {line}")));
        }
        found.dedup();
        found
    }
}

/// Whether a line contains these six digits, except in timestamps and durations, which have six digits too.
fn shows_code(line: &str, code: &str) -> bool {
    if !line.contains(code) {
        return false;
    }
    let line = if let Ok(mut line) = serde_json::from_str::<Value>(line) {
        line["timestamp"].take();
        line["fields"]["duration_us"].take();
        line.to_string()
    } else {
        let words = line.split_whitespace().skip(1).filter(|word| !word.starts_with("duration_us="));
        words.collect::<Vec<_>>().join(" ")
    };
    line.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == code)
}

#[test]
fn a_planted_secret_is_found_in_either_format() {
    let mut needles = Needles::default();
    needles.code("212212");
    needles.secret("short one", "hunter2");
    let long: String = ('a'..='z').chain('A'..='Z').chain('0'..='9').collect();
    needles.secret("long one", &long);
    for (line, expected) in [
        ("2026-11-23T22:01:12.212212Z  INFO x: answered duration_us=212212 id=0212212a", 0),
        ("2026-11-23T22:01:12.000000Z  INFO x: code=212212", 1),
        ("2026-11-23T22:01:12.000000Z  INFO x: your code is 212212. Never share it", 1),
        (r#"{"timestamp":"2026-11-23T22:01:12.212212Z","fields":{"duration_us":212212}}"#, 0),
        (r#"{"timestamp":"2026-11-23T22:01:12.000000Z","fields":{"message":"is 212212."}}"#, 1),
        ("a line with hunter2 in it", 1),
        (&long[1..41], 1),
        (&long[..19], 0),
    ] {
        assert_eq!(needles.in_text(line).len(), expected, "{line}");
    }
}
