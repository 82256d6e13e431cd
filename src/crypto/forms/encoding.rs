//! Undoes the encodings in which bytes are sent in place of plain hexadecimal digits.

use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, Engine as _, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

/// Padding or none: both are common.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// An encoding of bytes as text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Encoding {
    Hex,
    PrefixedHex,
    SeparatedHex,
    OpensslOutput,
    Pem,
    Numbers,
    Base64,
    Base64Url,
}

impl Encoding {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Hex => "hex",
            Self::PrefixedHex => "hex with the prefix 0x",
            Self::SeparatedHex => "hex with separators",
            Self::OpensslOutput => "the output line of openssl with the hex",
            Self::Pem => "PEM",
            Self::Numbers => "a list of decimal numbers",
            Self::Base64 => "Base64",
            Self::Base64Url => "Base64url",
        }
    }
}

/// The bytes that the text encodes.
pub(super) fn decode(text: &str) -> Option<(Encoding, Vec<u8>)> {
    let text = text.trim();
    if text.contains("-----BEGIN ") {
        return pem(text).map(|der| (Encoding::Pem, der));
    }
    if let Some(digits) = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        return hex::decode(digits).ok().map(|bytes| (Encoding::PrefixedHex, bytes));
    }
    if let Ok(bytes) = hex::decode(text) {
        return Some((Encoding::Hex, bytes));
    }
    // `openssl dgst -hex` prints `SHA2-256(file)= 3045...`.
    if let Some((_, digits)) = text.rsplit_once(")= ") {
        return hex::decode(digits).ok().map(|bytes| (Encoding::OpensslOutput, bytes));
    }
    // Before hex with separators: a comma and a minus sign may be taken for such.
    if let Some(bytes) = numbers(text) {
        return Some((Encoding::Numbers, bytes));
    }
    if let Some(bytes) = separated_hex(text) {
        return Some((Encoding::SeparatedHex, bytes));
    }
    // MIME breaks the lines of Base64.
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let standard = BASE64.decode(&text).map(|bytes| (Encoding::Base64, bytes));
    standard.or_else(|_| BASE64_URL.decode(&text).map(|bytes| (Encoding::Base64Url, bytes))).ok()
}

/// The first block of a PEM text (RFC 7468).
fn pem(text: &str) -> Option<Vec<u8>> {
    let (_, block) = text.split_once("-----BEGIN ")?;
    let (_, block) = block.split_once("-----")?;
    let (body, _) = block.split_once("-----END ")?;
    // In a JSON text that was escaped twice, the line ends are a backslash and an n.
    let body = body.replace("\\n", "").replace("\\r", "");
    BASE64.decode(body.split_ascii_whitespace().collect::<String>()).ok()
}

/// `04:a3:46`, `04 A3 46`, `<04a346 ...>`.
fn separated_hex(text: &str) -> Option<Vec<u8>> {
    let is_separator = |c: char| c.is_ascii_whitespace() || matches!(c, ':' | '-' | ',' | '<' | '>');
    let digits: String = text.chars().filter(|c| !is_separator(*c)).collect();
    (digits.len() < text.len()).then(|| hex::decode(digits).ok())?
}

/// `[48, 69, -95]`, also as a JavaScript buffer or typed array in JSON.
fn numbers(text: &str) -> Option<Vec<u8>> {
    if let Ok(Value::Object(object)) = serde_json::from_str(text) {
        let values: Vec<&Value> = match object.get("data") {
            Some(Value::Array(data)) => data.iter().collect(),
            // `{"0": 48, "1": 69}`.
            _ => (0..object.len()).map(|place| object.get(&place.to_string())).collect::<Option<_>>()?,
        };
        return values.into_iter().map(|value| octet(value.as_i64()?)).collect();
    }
    let listed = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let octets: Option<Vec<u8>> = listed.split(',').map(|number| octet(number.trim().parse().ok()?)).collect();
    octets.filter(|octets| octets.len() > 1)
}

/// A byte, or one of the signed bytes of Java.
fn octet(number: i64) -> Option<u8> {
    let signed = i8::try_from(number).ok().map(i8::cast_unsigned);
    u8::try_from(number).ok().or(signed)
}
