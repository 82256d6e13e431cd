//! One-time codes: derivation agrees with other implementations of the RFCs, codes are uniformly distributed, and
//! secrets are redacted.

use aws_lc_rs::hmac;
use proptest::prelude::*;

use crate::crypto::otp::truncate;
use crate::crypto::{Otp, OtpSecret, OtpSecrets};

const SECRET: &[u8] = b"a secret of the test, 32 bytes or more";

/// Fails to compile if `$type` implements one of the traits: then both impls of `Absent` apply and `_` is ambiguous.
macro_rules! assert_not_implemented {
    ($type:ty: $($bound:path),+) => { $(const _: fn() = || {
        trait Absent<Marker> { fn proof() {} }
        struct Present;
        impl<T: ?Sized> Absent<()> for T {}
        impl<T: ?Sized + $bound> Absent<Present> for T {}
        let _ = <$type as Absent<_>>::proof;
    };)+ };
}

assert_not_implemented!(Otp: std::fmt::Debug, std::fmt::Display, Clone, AsRef<str>, AsRef<[u8]>);
assert_not_implemented!(OtpSecret: std::fmt::Display, Clone, AsRef<[u8]>);

fn id(number: u128) -> [u8; 16] {
    number.to_be_bytes()
}

fn secrets(version: u32, current: &[u8], previous: Option<&[u8]>) -> OtpSecrets {
    OtpSecrets::new(version, OtpSecret::new(current), previous.map(OtpSecret::new))
}

fn code(secrets: &OtpSecrets, version: u32, number: u128) -> Option<String> {
    secrets.derive(version, &id(number)).map(|otp| otp.expose().to_owned())
}

/// A second implementation with another HMAC library, which selects the bits from the output as a string of bits.
fn code_derived_independently(secret: &[u8], id: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), id);
    let bits = tag.as_ref().iter().map(|byte| format!("{byte:08b}")).collect::<Vec<_>>().concat();
    let offset = usize::from_str_radix(&bits[bits.len() - 4..], 2).expect("four bits");
    let number = u32::from_str_radix(&bits[offset * 8 + 1..offset * 8 + 32], 2).expect("31 bits");
    let decimal = format!("{number:010}");
    decimal[decimal.len() - 6..].to_owned()
}

#[test]
fn truncation_matches_the_example_of_rfc_4226_section_5_4() {
    let mac = hex::decode("1f8698690e02ca16618550ef7f19da8e945b555a").expect("hex");
    assert_eq!(truncate(&mac), 0x50ef_7f19);
    assert_eq!(truncate(&mac) % 1_000_000, 872_921);
}

#[test]
fn truncation_matches_the_sha_256_codes_of_rfc_6238_appendix_b() {
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"12345678901234567890123456789012");
    for (seconds, expected) in [
        (59_u64, 46_119_246),
        (1_111_111_109, 68_084_774),
        (1_111_111_111, 67_062_674),
        (1_234_567_890, 91_819_424),
        (2_000_000_000, 90_698_825),
        (20_000_000_000, 77_737_706),
    ] {
        let mac = hmac::sign(&key, &(seconds / 30).to_be_bytes());
        assert_eq!(truncate(mac.as_ref()) % 100_000_000, expected, "at {seconds}");
    }
}

/// Computed with Python's `hmac`. The last four have leading zeros.
#[test]
fn codes_match_those_of_another_implementation_leading_zeros_included() {
    let secrets = secrets(1, SECRET, None);
    for (number, expected) in [
        (0, "908153"),
        (1, "304960"),
        (2, "191986"),
        (0x0123_4567_89ab_cdef, "747009"),
        (63, "006523"),
        (1215, "000941"),
        (11_221, "000012"),
        (150, "002175"),
    ] {
        assert_eq!(code(&secrets, 1, number).as_deref(), Some(expected), "id {number}");
    }
}

/// Deterministic, so it cannot be flaky: within five standard deviations of uniform.
#[test]
fn the_digits_of_codes_are_uniformly_distributed_at_every_position() {
    const CODES: u32 = 30_000;
    let secrets = secrets(1, SECRET, None);
    let mut counts = [[0_u32; 10]; 6];
    for number in 0..u128::from(CODES) {
        let otp = secrets.derive(1, &id(number)).expect("the current version");
        for (position, digit) in otp.expose().bytes().enumerate() {
            counts[position][usize::from(digit - b'0')] += 1;
        }
    }
    let deviation = (f64::from(CODES) * 0.1 * 0.9).sqrt();
    for (position, digits) in counts.iter().enumerate() {
        for (digit, count) in digits.iter().enumerate() {
            let distance = (f64::from(*count) - f64::from(CODES) / 10.0).abs();
            assert!(distance < 5.0 * deviation, "digit {digit} occurs {count} times at position {position}");
        }
    }
}

#[test]
fn only_codes_of_the_current_and_the_previous_version_are_derived() {
    let before = secrets(6, b"the secret of version six", None);
    let after = secrets(7, b"the secret of version seven", Some(b"the secret of version six"));
    assert_eq!((before.current_version(), after.current_version()), (6, 7));
    assert!(code(&before, 6, 1).is_some());
    assert_eq!(code(&after, 6, 1), code(&before, 6, 1));
    assert!(code(&after, 7, 1).is_some());
    assert_ne!(code(&after, 7, 1), code(&after, 6, 1));
    for unknown in [0, 5, 8, u32::MAX] {
        assert_eq!(code(&after, unknown, 1), None);
    }
    assert_eq!(code(&before, 5, 1), None);
}

#[test]
fn versions_do_not_wrap_around() {
    let first = secrets(0, SECRET, Some(b"another secret"));
    assert_eq!(code(&first, u32::MAX, 1), None);
    let last = secrets(u32::MAX, SECRET, Some(b"another secret"));
    assert!(code(&last, u32::MAX - 1, 1).is_some());
    assert_eq!(code(&last, 0, 1), None);
}

#[test]
fn a_typed_code_is_exactly_six_ascii_digits() {
    for text in ["000000", "212212", "999999", "000042"] {
        assert_eq!(Otp::parse(text).map(|otp| otp.expose().to_owned()).as_deref(), Some(text));
    }
    for text in
        ["", "21221", "2122122", " 212212", "212212 ", "21 212", "+12212", "-12212", "21221a", "２１２２１２", "٢١"]
    {
        assert!(Otp::parse(text).is_none(), "{text}");
    }
}

#[test]
fn codes_match_when_all_six_digits_do() {
    let otp = |text| Otp::parse(text).expect("six digits");
    assert!(otp("212212").matches(&otp("212212")));
    for near in ["112212", "222212", "211212", "212112", "212222", "212213"] {
        assert!(!otp("212212").matches(&otp(near)), "{near}");
    }
    let derived = secrets(1, SECRET, None).derive(1, &id(11_221)).expect("the current version");
    assert!(derived.matches(&otp("000012")));
}

#[test]
fn debug_shows_no_byte_of_a_secret() {
    let text = format!("{:?}", secrets(3, b"zzzz", Some(b"zzzz")));
    assert!(text.contains("version: 3") && text.contains("REDACTED"));
    assert!(!text.contains("zz") && !text.contains("122"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn derivation_matches_a_second_implementation(secret in prop::collection::vec(any::<u8>(), 0..150), id in any::<[u8; 16]>()) {
        let otp = secrets(1, &secret, None).derive(1, &id).expect("the current version");
        prop_assert_eq!(otp.expose(), code_derived_independently(&secret, &id));
    }

    #[test]
    fn parsing_accepts_exactly_six_ascii_digits_and_never_panics(text in any::<String>()) {
        let digits = text.chars().count() == 6 && text.chars().all(|c| c.is_ascii_digit());
        prop_assert_eq!(Otp::parse(&text).is_some(), digits);
    }

    #[test]
    fn any_six_digits_are_a_code(text in "[0-9]{6}") {
        prop_assert_eq!(Otp::parse(&text).map(|otp| otp.expose().to_owned()), Some(text));
    }
}
