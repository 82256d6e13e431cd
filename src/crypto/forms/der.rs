//! Reads as much of DER (ITU-T X.690) as tells keys, certificates and signatures apart.

/// Tags (ITU-T X.680 section 8.4).
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const SEQUENCE: u8 = 0x30;
/// The version of a certificate (RFC 5280 section 4.1): `[0]`, constructed.
const VERSION: u8 = 0xa0;

/// Object identifiers with tag and length (RFC 5480 section 2.1.1.1, SEC 2, RFC 8017, RFC 8410).
const SECP256K1: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 0x0a];
const SECP384R1: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 0x22];
const SECP521R1: &[u8] = &[6, 5, 0x2b, 0x81, 4, 0, 0x23];
const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
const ED25519: &[u8] = &[6, 3, 0x2b, 0x65, 0x70];

/// A structure in DER.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Structure<'a> {
    /// `SubjectPublicKeyInfo` (RFC 5280 section 4.1).
    PublicKey(Algorithm),
    /// A certificate (RFC 5280), or another structure that is signed.
    Certificate,
    /// PKCS #8 (RFC 5958), SEC 1 (RFC 5915) or PKCS #1 (RFC 8017).
    PrivateKey,
    /// `RSAPublicKey` (RFC 8017).
    RsaPublicKey,
    /// Two integers (RFC 3279 section 2.2.3), not necessarily encoded as DER demands.
    Signature {
        /// The contents of the integers.
        r: &'a [u8],
        s: &'a [u8],
        /// How many bytes follow the structure.
        trailing: usize,
    },
    /// Shorter than its length says.
    Truncated,
}

/// The algorithm of a public key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Algorithm {
    /// P-256, or another one that has no name here.
    P256,
    Secp256k1,
    LargerCurve,
    Rsa,
    Ed25519,
}

/// The structure that the bytes begin with.
pub(super) fn structure(bytes: &[u8]) -> Option<Structure<'_>> {
    let Some(outer) = element(bytes) else {
        return is_truncated(bytes).then_some(Structure::Truncated);
    };
    if outer.tag != SEQUENCE {
        return None;
    }
    let first = element(outer.content)?;
    let second = element(first.rest)?;
    match (first.tag, second.tag) {
        (SEQUENCE, BIT_STRING) => Some(Structure::PublicKey(algorithm(first.content))),
        (SEQUENCE, SEQUENCE) => {
            matches!(first.content.first(), Some(&(VERSION | INTEGER))).then_some(Structure::Certificate)
        }
        (INTEGER, SEQUENCE | OCTET_STRING) => Some(Structure::PrivateKey),
        // PKCS #1 begins with the version 0 and the modulus.
        (INTEGER, INTEGER) if first.content == [0] && second.content.len() > 66 => Some(Structure::PrivateKey),
        (INTEGER, INTEGER) if first.content.len() > 66 => Some(Structure::RsaPublicKey),
        (INTEGER, INTEGER) => Some(Structure::Signature {
            r: first.content,
            s: second.content,
            trailing: outer.rest.len() + second.rest.len(),
        }),
        _ => None,
    }
}

struct Element<'a> {
    tag: u8,
    content: &'a [u8],
    rest: &'a [u8],
}

/// The first element, its length in the short form or in one or two bytes.
fn element(bytes: &[u8]) -> Option<Element<'_>> {
    let (tag, length, rest) = head(bytes)?;
    let (content, rest) = rest.split_at_checked(length)?;
    Some(Element { tag, content, rest })
}

fn head(bytes: &[u8]) -> Option<(u8, usize, &[u8])> {
    match bytes {
        [tag, 0x82, high, low, rest @ ..] => Some((*tag, usize::from(u16::from_be_bytes([*high, *low])), rest)),
        [tag, 0x81, length, rest @ ..] | [tag, length @ ..=0x7f, rest @ ..] => Some((*tag, usize::from(*length), rest)),
        _ => None,
    }
}

/// Whether the bytes begin like a signature: other data may begin with the tag of a sequence by chance.
fn is_truncated(bytes: &[u8]) -> bool {
    let Some((SEQUENCE, length, rest)) = head(bytes) else { return false };
    rest.len() < length && rest.first() == Some(&INTEGER)
}

fn algorithm(content: &[u8]) -> Algorithm {
    let names = |identifier: &[u8]| content.windows(identifier.len()).any(|window| window == identifier);
    if names(SECP256K1) {
        Algorithm::Secp256k1
    } else if names(SECP384R1) || names(SECP521R1) {
        Algorithm::LargerCurve
    } else if names(RSA) {
        Algorithm::Rsa
    } else if names(ED25519) {
        Algorithm::Ed25519
    } else {
        Algorithm::P256
    }
}
