//! Shapes of bytes that were sent as a public key.

use aws_lc_rs::signature::{ECDSA_P256K1_SHA256_ASN1, ParsedPublicKey};

use super::der::{Algorithm, Structure, structure};
use super::{PRIVATE_KEY, Shape};
use crate::crypto::PublicKey;

/// Length of a coordinate in bytes.
const COORDINATE: usize = 32;

/// Coordinates that lost leading zeros or have a sign byte have these lengths.
const COORDINATE_LENGTHS: [usize; 5] = [29, 30, 31, 32, 33];

const POINT: Shape =
    Shape { name: "an uncompressed point", remedy: "send its 65 bytes as 130 hexadecimal digits and nothing else" };
const COMPRESSED: Shape =
    Shape { name: "a compressed point", remedy: "export the key uncompressed: 04, X and Y, 65 bytes in hex" };
const HYBRID: Shape = Shape { name: "a hybrid point", remedy: "replace its first byte by 04" };
const NO_PREFIX: Shape =
    Shape { name: "X and Y without the first byte of an uncompressed point", remedy: "put 04 before X and Y" };
const SIGN_BYTE: Shape = Shape {
    name: "coordinates with the sign byte of a big integer",
    remedy: "remove the leading 00, as BigInteger.toByteArray adds it, so that X and Y have 32 bytes each",
};
const UNPADDED: Shape = Shape {
    name: "coordinates without their leading zeros",
    remedy: "pad X and Y on the left with zeros to 32 bytes each",
};
const SWAPPED: Shape = Shape { name: "a point with Y before X", remedy: "send 04, X, Y in this order" };
const LITTLE_ENDIAN: Shape =
    Shape { name: "a point with little-endian coordinates", remedy: "send X and Y big-endian" };
const PUBLIC_KEY_INFO: Shape = Shape {
    name: "a SubjectPublicKeyInfo (X.509)",
    remedy: "drop its header and send the last 65 bytes, which begin with 04, in hex",
};
const PUBLIC_KEY_INFO_COMPRESSED: Shape = Shape {
    name: "a SubjectPublicKeyInfo (X.509) with a compressed point",
    remedy: "export the key uncompressed: 04, X and Y, 65 bytes in hex",
};
const CERTIFICATE: Shape =
    Shape { name: "an X.509 certificate", remedy: "send the public key in it: 04, X and Y, 65 bytes in hex" };
const COSE: Shape = Shape {
    name: "a COSE key (WebAuthn)",
    remedy: "send 04 and the two byte strings of 32 bytes in it, -2 (x) and -3 (y), in hex",
};
const SECP256K1: Shape = Shape {
    name: "a key on secp256k1",
    remedy: "make the key pair on P-256, which is also called secp256r1 and prime256v1",
};
const OTHER_CURVE: Shape = Shape {
    name: "a key on P-384 or P-521",
    remedy: "make the key pair on P-256, which is also called secp256r1 and prime256v1",
};
const RSA: Shape = Shape { name: "an RSA key", remedy: "make an ECDSA key pair on P-256" };
const ED25519: Shape = Shape { name: "an Ed25519 key", remedy: "make an ECDSA key pair on P-256" };
const SIGNATURE: Shape = Shape { name: "a signature", remedy: "send the public key in this field" };
const COORDINATE_ALONE: Shape = Shape {
    name: "32 bytes, which are one coordinate or a private key",
    remedy: "send 04, X and Y; if it is a private key, replace the key pair: it must never leave the phone",
};

/// The shape of bytes that were sent in place of the 65 bytes of an uncompressed point, or in another encoding.
pub(super) fn shape(bytes: &[u8]) -> Option<Shape> {
    let (first, rest) = bytes.split_first()?;
    match (first, bytes.len()) {
        (_, 32) => Some(COORDINATE_ALONE),
        (4, 65) => uncompressed(rest).or_else(|| coordinates(rest)),
        (6 | 7, 65) if is_point(rest) => Some(HYBRID),
        (2 | 3, 33) if p256::PublicKey::from_sec1_bytes(bytes).is_ok() => Some(COMPRESSED),
        (2 | 3, 33) if is_on_secp256k1(bytes) => Some(SECP256K1),
        // An iPhone exports a private key as 04, X, Y and the secret number.
        (4, 97) if is_point(&rest[..2 * COORDINATE]) => Some(PRIVATE_KEY),
        (4, 97 | 133) | (2 | 3, 49 | 67) => Some(OTHER_CURVE),
        (0xa5, _) if bytes.windows(3).any(|window| window == [0x21, 0x58, 0x20]) => Some(COSE),
        (0x30, _) => encoded(bytes),
        (4, _) => coordinates(rest),
        _ => coordinates(bytes),
    }
}

fn uncompressed(coordinates: &[u8]) -> Option<Shape> {
    let (x, y) = coordinates.split_at_checked(COORDINATE)?;
    let backwards = |number: &[u8]| number.iter().rev().copied().collect::<Vec<u8>>();
    if is_point(coordinates) {
        Some(POINT)
    } else if is_point(&[y, x].concat()) {
        Some(SWAPPED)
    } else if is_point(&[backwards(x), backwards(y)].concat()) {
        Some(LITTLE_ENDIAN)
    } else if is_on_secp256k1(&[&[4], coordinates].concat()) {
        Some(SECP256K1)
    } else {
        None
    }
}

/// X and Y of any usual length, one after the other.
fn coordinates(bytes: &[u8]) -> Option<Shape> {
    if bytes.len() == 2 * COORDINATE && is_point(bytes) {
        return Some(NO_PREFIX);
    }
    COORDINATE_LENGTHS.into_iter().find_map(|length| {
        let (x, y) = bytes.split_at_checked(length)?;
        let point = [padded(x)?, padded(y)?].concat();
        let has_sign_byte = x.len() > COORDINATE || y.len() > COORDINATE;
        is_point(&point).then_some(if has_sign_byte { SIGN_BYTE } else { UNPADDED })
    })
}

fn padded(number: &[u8]) -> Option<[u8; COORDINATE]> {
    let number = match number {
        [0, number @ ..] if number.len() == COORDINATE => number,
        number if COORDINATE_LENGTHS.contains(&number.len()) => number,
        _ => return None,
    };
    let mut padded = [0; COORDINATE];
    padded.get_mut(COORDINATE.checked_sub(number.len())?..)?.copy_from_slice(number);
    Some(padded)
}

fn encoded(bytes: &[u8]) -> Option<Shape> {
    let ends_with_point = bytes.len() > 65 && PublicKey::from_sec1(&bytes[bytes.len() - 65..]).is_ok();
    Some(match structure(bytes)? {
        Structure::PublicKey(Algorithm::P256) if ends_with_point => PUBLIC_KEY_INFO,
        Structure::PublicKey(Algorithm::P256) => PUBLIC_KEY_INFO_COMPRESSED,
        Structure::PublicKey(Algorithm::Secp256k1) => SECP256K1,
        Structure::PublicKey(Algorithm::LargerCurve) => OTHER_CURVE,
        Structure::PublicKey(Algorithm::Rsa) | Structure::RsaPublicKey => RSA,
        Structure::PublicKey(Algorithm::Ed25519) => ED25519,
        Structure::Certificate => CERTIFICATE,
        Structure::PrivateKey => PRIVATE_KEY,
        Structure::Signature { .. } => SIGNATURE,
        Structure::Truncated => return None,
    })
}

/// Whether the 64 bytes are X and Y of a point on P-256.
pub(super) fn is_point(coordinates: &[u8]) -> bool {
    PublicKey::from_sec1(&[&[4], coordinates].concat()).is_ok()
}

fn is_on_secp256k1(point: &[u8]) -> bool {
    ParsedPublicKey::new(&ECDSA_P256K1_SHA256_ASN1, point).is_ok()
}
