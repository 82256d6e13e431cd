//! Shapes of bytes that were sent as a signature.

use super::der::{Structure, structure};
use super::{PRIVATE_KEY, Shape, key};
use crate::crypto::{DerSignature, InvalidSignature};

const DER: Shape =
    Shape { name: "a DER signature", remedy: "send the same bytes as hexadecimal digits and nothing else" };
const RAW: Shape = Shape {
    name: "raw r and s (IEEE P1363, as of WebCrypto and JOSE)",
    remedy: "encode r and s as DER: SEQUENCE { r INTEGER, s INTEGER }",
};
const RAW_UNPADDED: Shape = Shape {
    name: "raw r and s of other lengths than 32 bytes",
    remedy: "encode r and s as DER: SEQUENCE { r INTEGER, s INTEGER }",
};
const TRAILING: Shape = Shape {
    name: "a DER signature with trailing bytes",
    remedy: "cut the buffer to the length that the signing call returned",
};
const TRUNCATED: Shape = Shape {
    name: "a DER signature that is cut off",
    remedy: "send all its bytes: 70 to 72 for most signatures, so no field or column may be shorter",
};
const LEADING_ZEROS: Shape = Shape {
    name: "a DER signature whose integers have leading zeros",
    remedy: "strip leading zeros of r and s, except for one where the first bit of the number is set",
};
const NEGATIVE: Shape = Shape {
    name: "a DER signature with a negative integer",
    remedy: "put 00 before r or s where the first bit of the number is set",
};
const NOT_MINIMAL: Shape =
    Shape { name: "a signature in BER", remedy: "encode it as DER: every length in its shortest form" };
const OTHER_CURVE: Shape = Shape {
    name: "a signature by a key on P-384 or P-521",
    remedy: "sign with the key pair on P-256 whose public key was sent",
};
const RSA: Shape = Shape { name: "an RSA signature", remedy: "sign with an ECDSA key on P-256" };
const PUBLIC_KEY: Shape = Shape { name: "a public key", remedy: "send the signature in this field" };
const CERTIFICATE: Shape = Shape { name: "an X.509 certificate", remedy: "send the signature in this field" };
const DIGEST: Shape =
    Shape { name: "32 bytes, which are a digest", remedy: "send the signature: DER of r and s, in hex" };

/// The longest integer of P-256 with its sign byte.
const INTEGER_MAX: usize = 33;

/// The shape of bytes that were sent in place of a DER signature, or in another encoding.
pub(super) fn shape(bytes: &[u8]) -> Option<Shape> {
    let (first, rest) = bytes.split_first()?;
    if *first == 0x30
        && let Some(structure) = structure(bytes)
    {
        return encoded(bytes, structure);
    }
    match bytes.len() {
        32 => Some(DIGEST),
        65 if matches!(first, 4 | 6 | 7) && key::is_point(rest) => Some(PUBLIC_KEY),
        33 if matches!(first, 2 | 3) => Some(PUBLIC_KEY),
        64 if key::is_point(bytes) => Some(PUBLIC_KEY),
        97 if *first == 4 && key::is_point(&rest[..64]) => Some(PRIVATE_KEY),
        64 => Some(RAW),
        60..=66 => Some(RAW_UNPADDED),
        96 | 132 => Some(OTHER_CURVE),
        256 | 384 | 512 => Some(RSA),
        _ => None,
    }
}

fn encoded(bytes: &[u8], structure: Structure<'_>) -> Option<Shape> {
    Some(match structure {
        Structure::PublicKey(_) | Structure::RsaPublicKey => PUBLIC_KEY,
        Structure::Certificate => CERTIFICATE,
        Structure::PrivateKey => PRIVATE_KEY,
        Structure::Truncated => TRUNCATED,
        Structure::Signature { r, s, .. } if r.len() > INTEGER_MAX + 7 || s.len() > INTEGER_MAX + 7 => OTHER_CURVE,
        Structure::Signature { r, s, .. } if is_negative(r) || is_negative(s) => NEGATIVE,
        Structure::Signature { r, s, .. } if has_leading_zeros(r) || has_leading_zeros(s) => LEADING_ZEROS,
        Structure::Signature { trailing: 1.., .. } => TRAILING,
        Structure::Signature { .. } => match DerSignature::from_der(bytes) {
            Ok(_) => DER,
            Err(InvalidSignature::Der) => NOT_MINIMAL,
            // The message about the range says it all.
            Err(_) => return None,
        },
    })
}

fn is_negative(integer: &[u8]) -> bool {
    integer.first().is_some_and(|first| *first >= 0x80)
}

fn has_leading_zeros(integer: &[u8]) -> bool {
    matches!(integer, [0, ..=0x7f, ..])
}
