//! The ways in which a text becomes the number that ECDSA signs, the right one first.

use aws_lc_rs::digest::{
    Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA3_256, SHA224, SHA256, SHA384, SHA512, digest as hash,
};
use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::Aspect;

/// How a text is hashed.
#[derive(Clone, Copy)]
pub(super) enum Method {
    Once(&'static Algorithm),
    /// SHA-256 over the digest.
    Twice,
    /// SHA-256 over a text of the digest.
    OfText(fn(&[u8]) -> String),
    /// The text itself, as a number.
    None,
    /// The text itself, read as hexadecimal digits.
    Hex,
}

const fn wrong(says: &'static str, remedy: &'static str) -> Aspect {
    Aspect { says, remedy }
}

const HASHED_ALREADY: &str = "give the signing call the text itself, because the call hashes";
const NOT_HASHED: &str = "hash the text with SHA-256 once: use SHA256withECDSA or its equal, or give a call that does not hash the 32 bytes of the digest";
const SHA_256: &str = "sign with SHA-256: SHA256withECDSA, ecdsaSignatureMessageX962SHA256, OPENSSL_ALGO_SHA256";

/// How many of the digests are tried with changed texts.
pub(super) const COMMON: usize = 4;

/// Every way.
pub(super) const DIGESTS: &[(Aspect, Method)] = &[
    (wrong("", ""), Method::Once(&SHA256)),
    (wrong("hashed twice", HASHED_ALREADY), Method::Twice),
    (wrong("not hashed", NOT_HASHED), Method::None),
    (wrong("whose digest was signed as hex text", HASHED_ALREADY), Method::OfText(lower)),
    (wrong("whose digest was signed as hex text in upper case", HASHED_ALREADY), Method::OfText(upper)),
    (wrong("whose digest was signed as Base64 text", HASHED_ALREADY), Method::OfText(base64)),
    (wrong("read as hexadecimal digits and not hashed", NOT_HASHED), Method::Hex),
    (wrong("hashed with SHA-1", SHA_256), Method::Once(&SHA1_FOR_LEGACY_USE_ONLY)),
    (wrong("hashed with SHA-224", SHA_256), Method::Once(&SHA224)),
    (wrong("hashed with SHA-384", SHA_256), Method::Once(&SHA384)),
    (wrong("hashed with SHA-512", SHA_256), Method::Once(&SHA512)),
    (wrong("hashed with SHA3-256", SHA_256), Method::Once(&SHA3_256)),
];

/// The 32 bytes that ECDSA on P-256 takes as a number: a longer digest is cut, a shorter one is a smaller number (FIPS
/// 186-5 section 6.4.1).
pub(super) fn digest(method: Method, text: &[u8]) -> [u8; 32] {
    let sha256 = |bytes: &[u8]| hash(&SHA256, bytes);
    match method {
        Method::Once(algorithm) => number(hash(algorithm, text).as_ref()),
        Method::Twice => number(sha256(sha256(text).as_ref()).as_ref()),
        Method::OfText(shown) => number(sha256(shown(sha256(text).as_ref()).as_bytes()).as_ref()),
        Method::None => number(text),
        Method::Hex => number(&from_hex(text)),
    }
}

/// The digest of the right way.
pub(super) fn hashed_once(text: &[u8]) -> [u8; 32] {
    digest(Method::Once(&SHA256), text)
}

fn number(bytes: &[u8]) -> [u8; 32] {
    let mut number = [0; 32];
    let taken = bytes.len().min(32);
    number[32 - taken..].copy_from_slice(&bytes[..taken]);
    number
}

/// Like JavaScript libraries: other characters are skipped.
fn from_hex(text: &[u8]) -> Vec<u8> {
    let mut digits: String =
        text.iter().filter(|byte| byte.is_ascii_hexdigit()).map(|byte| char::from(*byte)).collect();
    if digits.len() % 2 == 1 {
        digits.insert(0, '0');
    }
    hex::decode(digits).unwrap_or_default()
}

fn lower(digest: &[u8]) -> String {
    hex::encode(digest)
}

fn upper(digest: &[u8]) -> String {
    hex::encode_upper(digest)
}

fn base64(digest: &[u8]) -> String {
    BASE64_STANDARD.encode(digest)
}
