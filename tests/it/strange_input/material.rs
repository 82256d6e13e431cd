//! Generators of random texts, ids and bodies.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value};

/// Characters that some specification treats as white space, invisible or forbidden, and one ordinary letter.
pub(super) const ODD_CHARACTERS: &str =
    "[\u{0}\t\n\u{7f}\u{85}\u{a0}\u{200b}\u{2028}\u{3000}\u{feff}\u{fffd}\u{10ffff}a]{1,5}";

/// Percent-encodes every byte.
pub(super) fn encoded(text: &str) -> String {
    hex::encode(text)
        .as_bytes()
        .chunks(2)
        .fold(String::new(), |path, byte| path + "%" + std::str::from_utf8(byte).expect("two hexadecimal digits"))
}

pub(super) fn uuids() -> impl Strategy<Value = String> {
    any::<u128>().prop_flat_map(|number| {
        let id = uuid::Uuid::from_u128(number);
        select(vec![
            id.to_string(),
            id.simple().to_string().to_uppercase(),
            id.braced().to_string(),
            id.urn().to_string(),
            format!("{id}-"),
        ])
    })
}

/// Bodies with known field names and unexpected values.
pub(super) fn body() -> impl Strategy<Value = Value> {
    const NAMES: [&str; 18] = [
        "person_id",
        "key_type",
        "challenge_type",
        "key",
        "key_purpose",
        "name",
        "sms_challenge",
        "app_signature",
        "language",
        "device_data",
        "signature",
        "device_signature",
        "signature_key_purpose",
        "number",
        "token",
        "verified",
        "",
        "unknown",
    ];
    let text = prop_oneof![
        any::<String>(),
        "[ -~]{0,300}",
        "\\+[0-9 ()/.-]{1,30}",
        "[0-9]{6}",
        ODD_CHARACTERS,
        select(vec!["unrestricted", "restricted", "ecdsa-p256", "sms", "de", "eve"]).prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => any::<f64>().prop_map(Value::from),
        4 => text.prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(select(&NAMES[..]).prop_map(str::to_owned), inner, 0..4)
                .prop_map(|fields| Value::Object(Map::from_iter(fields))),
        ]
    });
    prop_oneof![
        9 => btree_map(select(&NAMES[..]).prop_map(str::to_owned), value.clone(), 0..6)
            .prop_map(|fields| Value::Object(Map::from_iter(fields))),
        1 => value,
    ]
}
