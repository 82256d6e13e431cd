//! Names the form of a text that was refused as a key or as a signature: Base64, PEM, raw r and s, a compressed point.
//!
//! Called only after parsing has failed, for the error message to the client's developer, in the sandbox and in
//! production alike. A form is made of fixed phrases, so a message never contains the input. The work is linear in the
//! length of the text, and longer texts than [`CHARACTERS_MAX`] are not examined.

mod der;
mod encoding;
mod key;
mod printed;
mod signature;

use std::fmt;

use encoding::Encoding;

/// The longest text that is examined, in bytes: longer than an RSA certificate as a list of numbers.
const CHARACTERS_MAX: usize = 16 * 1024;

/// How many encodings may enclose each other: Base64 of PEM, hex of hex.
const ENCODINGS_MAX: usize = 2;

/// A form that is not the expected one, and how to get the expected one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Form {
    /// Outermost first.
    encodings: Vec<Encoding>,
    shape: Shape,
}

/// What the bytes are, or the text if it encodes none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Shape {
    name: &'static str,
    remedy: &'static str,
}

/// A private key in place of a public key or a signature.
const PRIVATE_KEY: Shape = Shape {
    name: "a private key",
    remedy: "a private key must never leave the phone: replace this key pair, and send the public key only",
};

impl Form {
    /// The form of a text that [`PublicKey::from_hex`](super::PublicKey::from_hex) refused.
    #[must_use]
    pub fn of_key(text: &str) -> Option<Self> {
        Self::of(text, key::shape)
    }

    /// The form of a text that [`DerSignature::from_hex`](super::DerSignature::from_hex) refused.
    #[must_use]
    pub fn of_signature(text: &str) -> Option<Self> {
        Self::of(text, signature::shape)
    }

    fn of(text: &str, shape_of: fn(&[u8]) -> Option<Shape>) -> Option<Self> {
        if text.len() > CHARACTERS_MAX {
            return None;
        }
        let mut encodings = Vec::new();
        let mut text = text.to_owned();
        loop {
            if let Some(shape) = printed::shape(&text) {
                return Some(Self { encodings, shape });
            }
            let (encoding, bytes) = encoding::decode(&text)?;
            encodings.push(encoding);
            if let Some(shape) = shape_of(&bytes) {
                return Some(Self { encodings, shape });
            }
            if encodings.len() == ENCODINGS_MAX {
                return None;
            }
            text = String::from_utf8(bytes).ok()?;
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { encodings, shape } = self;
        // Plain hex is the expected encoding, so it is not named when it is the only one.
        if encodings[..] != [Encoding::Hex] {
            for encoding in encodings {
                write!(f, "{} of ", encoding.name())?;
            }
        }
        write!(f, "{}: {}", shape.name, shape.remedy)
    }
}

#[cfg(test)]
mod tests;
