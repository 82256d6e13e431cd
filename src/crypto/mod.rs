//! The cryptography of device binding: bytes in, verdict out.
//!
//! Public keys and signatures are parsed once, at the edge, into types that cannot hold a malformed value; one-time codes
//! are derived, never stored. Nothing here performs I/O, reads a clock or draws randomness, and no type shows its
//! bytes through `Debug` or `Display`. docs/api-design.md#cryptography decides what is accepted.

mod otp;
mod public_key;
mod request_digest;
mod signature;

#[cfg(test)]
mod tests;

pub use otp::{Otp, OtpSecret, OtpSecrets};
pub use public_key::{InvalidPublicKey, PublicKey};
pub use request_digest::RequestDigests;
pub use signature::{DerSignature, InvalidSignature};
