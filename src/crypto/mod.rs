//! The cryptography of device binding: public keys, signatures, one-time and activation codes, request
//! digests; and, for developers, the form of a text that was refused as a key or signature, and the mistake
//! behind a signature that does not verify.
//!
//! Public keys and signatures are parsed once, at the edge, into types that cannot hold a malformed value; codes are
//! derived, never stored. No I/O, no clock, no randomness, and no type shows its bytes through `Debug` or
//! `Display`. The accepted formats are specified in docs/api-design.md#cryptography.

mod activation_code;
mod forms;
mod mistakes;
mod otp;
mod public_key;
mod request_digest;
mod signature;
mod software_key;

#[cfg(test)]
mod tests;

pub use activation_code::ActivationCode;
pub use forms::Form;
pub use mistakes::{Aspect, Diagnosis, SuspectKey, SuspectText, diagnose};
pub use otp::{Otp, OtpSecret, OtpSecrets};
pub use public_key::{InvalidPublicKey, PublicKey};
pub use request_digest::RequestDigests;
pub use signature::{DerSignature, InvalidSignature};
pub use software_key::SoftwareKey;
