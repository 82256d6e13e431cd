//! Keys, signatures, codes and digests, and AWS-LC alone as the limit of the signature check.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey, UnparsedPublicKey};
use device_management::crypto::{DerSignature, OtpSecret, OtpSecrets, PublicKey, RequestDigests};

use super::Case;
use super::world::{CHALLENGE, OTP_VERSION, Phone};

const SECRET: &[u8] = b"a secret of at least thirty-two bytes";
const CODE: &str = "212212";
const BODY: &[u8] = include_bytes!("../../examples/create-device.json");

pub(crate) fn cases() -> Vec<Case> {
    let phone = Phone::bound();
    let (key_text, key, signature) = (phone.key(), phone.sec1(), phone.sign(CODE));
    let der = hex::decode(&signature).expect("a phone signs in hex");
    let raw = der.clone();
    let raw_key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key);
    let kept_key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).expect("the key of a phone");
    let wrong = phone.sign("000000");
    let secrets = OtpSecrets::new(OTP_VERSION, OtpSecret::new(SECRET), None);
    let digests = RequestDigests::new([SECRET]);
    let to_parse = signature.clone();
    vec![
        // POST: a key is validated when it is received.
        Case::new(
            "crypto/public_key",
            move || PublicKey::from_hex(&key_text),
            move |read| read.is_ok_and(|read| read.as_bytes() == &key),
        ),
        Case::new("crypto/signature", move || DerSignature::from_hex(&to_parse), |read| read.is_ok()),
        // PUT: the text from the request, the key from the database.
        Case::new("crypto/signature_check", move || is_right(key, &signature), |right| right),
        Case::new("crypto/signature_check_wrong", move || is_right(key, &wrong), |right| !right),
        // The limit: raw DER and the raw bytes of the key, which AWS-LC parses each time, as the service does.
        Case::new("limit/aws_lc_verify", move || raw_key.verify(CODE.as_bytes(), &raw).is_ok(), |right| right),
        // The same with the parsed key in memory.
        Case::new(
            "limit/aws_lc_verify_kept_key",
            move || kept_key.verify_sig(CODE.as_bytes(), &der).is_ok(),
            |right| right,
        ),
        Case::new(
            "crypto/one_time_code",
            move || secrets.derive(OTP_VERSION, CHALLENGE.as_bytes()),
            |code| code.is_some_and(|code| code.expose() == EXPECTED_CODE),
        ),
        Case::new(
            "crypto/request_digest",
            move || digests.of("", BODY),
            |digests| digests.len() == 1 && hex::encode(digests[0]).starts_with(EXPECTED_DIGEST),
        ),
    ]
}

/// The code and the first bytes of the digest, computed with Python's HMAC.
const EXPECTED_CODE: &str = "838585";
const EXPECTED_DIGEST: &str = "18a0c584b170b80d";

fn is_right(key: [u8; 65], signature: &str) -> bool {
    DerSignature::from_hex(signature)
        .is_ok_and(|signature| PublicKey::from_trusted(key).verifies(CODE.as_bytes(), &signature))
}
