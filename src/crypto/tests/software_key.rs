//! The key of the software phone: strict DER that AWS-LC verifies, and an encoding that can be read again.

use crate::crypto::SoftwareKey;

#[test]
fn signatures_of_all_lengths_are_strict_der_and_verify() {
    let mut lengths = std::collections::BTreeSet::new();
    for seed in 1..=1000_u32 {
        let mut scalar = [0; 32];
        scalar[28..].copy_from_slice(&seed.to_be_bytes());
        let key = SoftwareKey::from_scalar(&scalar).expect("a small scalar is in range");
        let text = format!("a text\nwith ümläuts {seed}");
        // `sign` parses its own result as strict DER.
        let signature = key.sign(text.as_bytes());
        assert!(key.public_key().verifies(text.as_bytes(), &signature));
        assert!(!key.public_key().verifies(b"another text", &signature));
        lengths.insert(signature.as_der().len());
    }
    // r and s of 32 bytes with and without a leading zero byte, and shorter ones.
    assert!([69, 70, 71, 72].iter().all(|length| lengths.contains(length)), "{lengths:?}");
}

#[test]
fn a_key_is_the_same_after_pem() {
    let key = SoftwareKey::from_scalar(&[7; 32]).expect("in range");
    let read = SoftwareKey::from_pem(&key.to_pem()).expect("its own encoding");
    assert_eq!(read.public_key(), key.public_key());
}

#[test]
fn scalars_out_of_range_are_no_keys() {
    let order: [u8; 32] = hex::decode(super::ORDER).unwrap().try_into().unwrap();
    assert!(SoftwareKey::from_scalar(&[0; 32]).is_none());
    assert!(SoftwareKey::from_scalar(&order).is_none());
    assert!(SoftwareKey::from_scalar(&[0xff; 32]).is_none());
}

#[test]
fn debug_shows_nothing_of_the_key() {
    let key = SoftwareKey::from_scalar(&[7; 32]).expect("in range");
    assert_eq!(format!("{key:?}"), "SoftwareKey { .. }");
}
