//! Texts that are no encoding of bytes: objects as a language prints them, and texts of other formats.

use serde_json::{Map, Value};

use super::{PRIVATE_KEY, Shape};

const PRINTED: Shape =
    Shape { name: "an object as the language prints it", remedy: "encode its bytes as hexadecimal digits" };
const ODD_HEX: Shape = Shape {
    name: "an odd number of hexadecimal digits",
    remedy: "each byte has two digits, so 05 must not become 5, nor lose its leading zero in a big integer",
};
const JWK: Shape = Shape {
    name: "a JWK",
    remedy: "decode x and y from Base64url to 32 bytes each, and send 04, x and y as hexadecimal digits",
};
const JWS: Shape = Shape {
    name: "a JWS or JWT",
    remedy: "it signs other bytes: sign the text itself, and send the signature as DER in hexadecimal digits",
};
const OPENSSH: Shape = Shape {
    name: "an OpenSSH key",
    remedy: "send the last 65 bytes of its Base64: the point, as 130 hexadecimal digits",
};

/// Beginnings of printed objects: Java, JavaScript, Node.js, Dart, Swift, Python, Go, Ruby, PHP.
const PRINTED_BEGIN: [&str; 17] = [
    "[B@",
    "[object ",
    "[Object ",
    "<Buffer ",
    "Uint8Array(",
    "Instance of ",
    "Optional(",
    "{length = ",
    "<SecKeyRef",
    "EC Public Key",
    "Sun EC public key",
    "android.security.",
    "b'",
    "b\"",
    "&{",
    "#<OpenSSL",
    "Resource id ",
];

/// The shape of a text, where the text shows it.
pub(super) fn shape(text: &str) -> Option<Shape> {
    let text = text.trim();
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----") {
        return Some(PRIVATE_KEY);
    }
    if let Ok(Value::Object(object)) = serde_json::from_str(text) {
        return json_web_key(&object);
    }
    let is_printed = PRINTED_BEGIN.iter().any(|begin| text.starts_with(begin))
        || matches!(text, "undefined" | "null" | "nil" | "None" | "NaN")
        || text.strip_suffix(" bytes").is_some_and(|count| count.parse::<u32>().is_ok());
    if is_printed {
        return Some(PRINTED);
    }
    if text.starts_with("ecdsa-sha2-") || text.starts_with("ssh-") {
        return Some(OPENSSH);
    }
    if text.starts_with("eyJ") && text.matches('.').count() == 2 {
        return Some(JWS);
    }
    let is_odd_hex = text.len() % 2 == 1 && text.len() > 1 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_odd_hex.then_some(ODD_HEX)
}

/// A JWK, or the first one of a set (RFC 7517).
fn json_web_key(object: &Map<String, Value>) -> Option<Shape> {
    let first = object.get("keys").and_then(Value::as_array).and_then(|keys| keys.first());
    let key = first.and_then(Value::as_object).unwrap_or(object);
    let is_private = key.contains_key("d");
    key.contains_key("kty").then_some(if is_private { PRIVATE_KEY } else { JWK })
}
