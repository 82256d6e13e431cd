//! The ways in which a text changes before it is signed, the unchanged text first.

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::Aspect;

/// A change of a text; its result is empty or the text itself where it cannot be applied.
type Change = fn(&str) -> Vec<u8>;

const ALONE: &str = "sign exactly the characters that were received, without a line end, blanks or quotes";
const UTF_8: &str = "encode the text as UTF-8 before signing";
const TEXT_ITSELF: &str = "sign the bytes of the text itself";
const LINES: &str = "sign the text exactly as received: do not change its line ends";

const CHANGES: &[(Aspect, Change)] = &[
    (wrong("followed by a line end", ALONE), |text| format!("{text}\n").into()),
    (wrong("followed by a line end (CR LF)", ALONE), |text| format!("{text}\r\n").into()),
    (wrong("followed by a blank", ALONE), |text| format!("{text} ").into()),
    (wrong("after a blank", ALONE), |text| format!(" {text}").into()),
    (wrong("between blanks", ALONE), |text| format!(" {text} ").into()),
    (wrong("in quotation marks", ALONE), |text| format!("\"{text}\"").into()),
    (wrong("in single quotation marks", ALONE), |text| format!("'{text}'").into()),
    (wrong("in two blocks of three with a blank", ALONE), |text| split(text, ' ')),
    (wrong("in two blocks of three with a hyphen", ALONE), |text| split(text, '-')),
    (wrong("followed by a zero byte", "sign without the zero byte at the end of a C string"), |text| {
        format!("{text}\0").into()
    }),
    (wrong("after a byte order mark", UTF_8), |text| format!("\u{feff}{text}").into()),
    (wrong("as UTF-16 (little-endian)", UTF_8), |text| text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
    (wrong("as UTF-16 (big-endian)", UTF_8), |text| text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
    (wrong("as UTF-16 (big-endian) after a byte order mark", UTF_8), |text| {
        [0xfeff].into_iter().chain(text.encode_utf16()).flat_map(u16::to_be_bytes).collect()
    }),
    (wrong("as Latin-1", UTF_8), |text| text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()),
    (wrong("as hex text", TEXT_ITSELF), |text| hex::encode(text).into()),
    (wrong("as Base64 text", TEXT_ITSELF), |text| BASE64_STANDARD.encode(text).into()),
    (wrong("read as hexadecimal digits", TEXT_ITSELF), |text| hex::decode(text).unwrap_or_default()),
    (wrong("read as a number, without its leading zeros", "keep the code as text"), |text| {
        text.trim_start_matches('0').into()
    }),
    (wrong("in upper case", ALONE), |text| text.to_uppercase().into()),
    (wrong("in lower case", ALONE), |text| text.to_lowercase().into()),
    (wrong("with CR LF for each line end", LINES), |text| text.replace('\n', "\r\n").into()),
    (wrong("with CR LF for each line end and at the end", LINES), |text| {
        format!("{}\r\n", text.replace('\n', "\r\n")).into()
    }),
    (wrong("with a backslash and an n for each line end", "decode the JSON string before signing"), |text| {
        text.replace('\n', "\\n").into()
    }),
    (wrong("as a JSON string in quotation marks", "decode the JSON string before signing"), |text| {
        serde_json::Value::from(text).to_string().into()
    }),
    (wrong("without its line ends", LINES), |text| text.replace('\n', "").into()),
    (wrong("with a blank for each line end", LINES), |text| text.replace('\n', " ").into()),
    (wrong("without its first line", "sign all lines"), |text| {
        text.split_once('\n').map_or(text, |(_, rest)| rest).into()
    }),
    (wrong("with its lines sorted", "keep the order of the lines"), |text| {
        let mut lines: Vec<&str> = text.split('\n').collect();
        lines.sort_unstable();
        lines.join("\n").into()
    }),
];

const fn wrong(says: &'static str, remedy: &'static str) -> Aspect {
    Aspect { says, remedy }
}

/// The text and its changes, without those that leave it as it is. Bytes that are no text have no changes.
pub(super) fn variants(text: &[u8]) -> Vec<(Aspect, Vec<u8>)> {
    let mut variants = vec![(wrong("", ""), text.to_vec())];
    if let Ok(characters) = std::str::from_utf8(text).as_ref()
        && !characters.is_empty()
    {
        let changed = CHANGES.iter().map(|(name, change)| (*name, change(characters)));
        variants.extend(changed.filter(|(_, bytes)| bytes != text && !bytes.is_empty()));
    }
    variants
}

/// A code of six digits in two blocks, as a message or a letter may show it.
fn split(text: &str, separator: char) -> Vec<u8> {
    match text.split_at_checked(3) {
        Some((first, second)) if second.len() == 3 => format!("{first}{separator}{second}").into(),
        _ => text.into(),
    }
}
