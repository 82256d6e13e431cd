//! The sample key and signature of the API that existing clients use. They determine which bytes are signed.

use p256::ecdsa::signature::Signer;
use sha2::{Digest, Sha256};

use super::{private_key, public_key};
use crate::crypto::{DerSignature, PublicKey};

const KEY: &str = "04a346c447bac867d15a0a0f555eece87b416ba6f917df1e39f1cba7515757b4da\
                   9eaf5f1604f7e47f1948af3b34ed2735aa565cfd97d5361e12b3b8603bdad73c";
const SIGNATURE: &str = "3045022100bdbebd8ba5e4ea23a4ab3d852cbf0968cbc7319c7c4388e0c54bf34e896d19d8\
                         02205880fca38bf5450bff73d41c675e1444b8e3c75dc8bf764d5c0e9282bd150ade";

fn sample() -> (PublicKey, DerSignature) {
    let key = PublicKey::from_hex(KEY).expect("the sample key is valid");
    (key, DerSignature::from_hex(SIGNATURE).expect("the sample signature is well-formed"))
}

#[test]
fn the_sample_signature_is_over_212212_under_the_sample_key() {
    let (key, signature) = sample();
    assert!(key.verifies(b"212212", &signature));
}

#[test]
fn the_sample_signature_verifies_for_no_neighbouring_code() {
    let (key, signature) = sample();
    let verified: Vec<u32> =
        (211_212..213_212).filter(|code| key.verifies(format!("{code:06}").as_bytes(), &signature)).collect();
    assert_eq!(verified, [212_212]);
}

#[test]
fn the_sample_signature_is_not_over_the_integer_the_digest_or_the_digest_in_hex() {
    let (key, signature) = sample();
    let digest = Sha256::digest(b"212212");
    assert!(!key.verifies(&212_212_u32.to_be_bytes(), &signature));
    assert!(!key.verifies(&digest, &signature));
    assert!(!key.verifies(hex::encode(digest).as_bytes(), &signature));
}

#[test]
fn a_signature_over_the_digest_of_the_code_is_refused() {
    let phone = private_key([7; 32]);
    let signed = |message: &[u8]| {
        let signature: p256::ecdsa::DerSignature = phone.sign(message);
        DerSignature::from_der(signature.as_bytes()).expect("a signer encodes strictly")
    };
    let key = public_key(&phone);
    assert!(key.verifies(b"212212", &signed(b"212212")));
    assert!(!key.verifies(b"212212", &signed(&Sha256::digest(b"212212"))));
}
