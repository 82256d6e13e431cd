//! The text to sign, by itself: its exact bytes, and that it says what was approved and nothing else.

use chrono::DateTime;
use device_management::crypto::{DerSignature, PublicKey};
use device_management::domain::approvals::Approval;
use device_management::domain::challenges::signing_text::{SigningText, TextToSign};
use device_management::domain::devices::key::KeyPurpose;
use device_management::domain::person::{PartnerId, PersonId};
use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// The text of docs/api-design.md#the-text-to-sign.
const TEXT: &str = "device-management/approval/v1
challenge: 0199f3c1-a4b2-7d5e-8f00-112233445566
nonce: 00112233445566778899aabbccddeeff
partner: example-bank
person: ec3d16cbc106f481b72d881d90c89cc5cper
device: 0199f3c0-aaaa-7bbb-8ccc-ddddeeeeffff
key: restricted
expires: 2026-11-25T20:05:00Z
action: payment
amount: 12.50 EUR
payee: Café Müller GmbH
account: DE89370400440532013000
reference: Invoice 4711";

/// The private key of RFC 6979, appendix A.2.5.
const PRIVATE_KEY: &str = "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721";

/// Computed by another implementation: the Python package `ecdsa`, `sign_deterministic` with SHA-256.
const APPROVING: &str = "3045022052580bfe3d89451be873f48bd672d430fa99489395263549d1ea49aeab9473ff\
                         022100a1c20b105e0e5ce75cd36447024183ae63b7ba4cbd02e4081443bc12f546cf23";
const DECLINING: &str = "3045022100fe9c1857df8daa0dea1baaad7133d994f3149d9b53833429ab9b9bb093cb35ba\
                         02205687993ed4258aff4db9595109a7884db64f89e72a43439755f617b4b58cc7cf";

fn text_of(approval: Option<&Approval>) -> TextToSign {
    let text = SigningText {
        challenge: "0199f3c1-a4b2-7d5e-8f00-112233445566".parse::<uuid::Uuid>().unwrap().into(),
        nonce: hex::decode("00112233445566778899aabbccddeeff").unwrap().try_into().unwrap(),
        partner: &PartnerId::parse("example-bank").unwrap(),
        person: &PersonId::parse("ec3d16cbc106f481b72d881d90c89cc5cper").unwrap(),
        device: "0199f3c0-aaaa-7bbb-8ccc-ddddeeeeffff".parse::<uuid::Uuid>().unwrap().into(),
        key: KeyPurpose::Restricted,
        expires_at: DateTime::parse_from_rfc3339("2026-11-25T20:05:00.75Z").unwrap().to_utc(),
        approval,
    };
    text.compose()
}

fn read(json: &Value) -> Approval {
    Approval::from_json(&json.to_string()).unwrap_or_else(|| panic!("{json}"))
}

#[test]
fn the_published_text_has_its_published_bytes_and_signatures() {
    let approval = read(&json!({
        "action": "payment",
        "amount": {"value": "12.50", "currency": "EUR"},
        "payee": {"name": "Café Müller GmbH", "account": "DE89370400440532013000"},
        "reference": "Invoice 4711",
    }));
    let text = text_of(Some(&approval));
    assert_eq!(text.as_str(), TEXT);
    assert_eq!(text.as_str().len(), 391);
    let digest = hex::encode(Sha256::digest(text.as_str()));
    assert_eq!(digest, "a69afe39d520004c3892a47da58af9747c71581f61a4ec69a54624a24a4f088e");

    let key = SigningKey::from_slice(&hex::decode(PRIVATE_KEY).unwrap()).unwrap();
    let public_key = PublicKey::from_sec1(key.verifying_key().to_sec1_point(false).as_bytes()).unwrap();
    for (text, signature, other) in [(text.clone(), APPROVING, DECLINING), (text.declining(), DECLINING, APPROVING)] {
        let ours: Signature = key.sign(text.as_str().as_bytes());
        assert_eq!(hex::encode(ours.to_der()), signature);
        let verifies =
            |signature| public_key.verifies(text.as_str().as_bytes(), &DerSignature::from_hex(signature).unwrap());
        assert!(verifies(signature) && !verifies(other));
    }
}

/// Reads an approval back out of its text, as an app does that shows it to a person.
fn parse(text: &str) -> Value {
    let mut lines = text.split('\n').skip_while(|line| !line.starts_with("expires: ")).skip(1).peekable();
    let mut next = |name: &str| -> Option<String> {
        let value = lines.peek()?.strip_prefix(name)?.strip_prefix(": ")?.to_owned();
        lines.next();
        Some(value)
    };
    let mut approval = Map::new();
    approval.insert("action".into(), next("action").expect("an action").into());
    if let Some(amount) = next("amount") {
        let (value, currency) = amount.split_once(' ').expect("a value and a currency");
        approval.insert("amount".into(), json!({"value": value, "currency": currency}));
    }
    let payee = |name: String, account: Option<String>| {
        let mut payee = Map::from_iter([("name".to_owned(), Value::from(name))]);
        payee.extend(account.map(|account| ("account".to_owned(), account.into())));
        payee
    };
    if let Some(name) = next("payee") {
        approval.insert("payee".into(), payee(name, next("account")).into());
    }
    let mut payees = Vec::new();
    while let Some(name) = next(&format!("payee-{}", payees.len() + 1)) {
        let number = payees.len() + 1;
        let mut payee = payee(name, next(&format!("account-{number}")));
        let amount = next(&format!("amount-{number}")).expect("an amount");
        payee.insert("amount".into(), amount.split_once(' ').expect("a value and a currency").0.into());
        payees.push(Value::from(payee));
    }
    if !payees.is_empty() {
        approval.insert("payees".into(), payees.into());
    }
    if let Some(reference) = next("reference") {
        approval.insert("reference".into(), reference.into());
    }
    let details: Vec<Value> = lines
        .map(|line| line.split_once(": ").expect("a label and a value"))
        .map(|(label, value)| json!({"label": label, "value": value}))
        .collect();
    if !details.is_empty() {
        approval.insert("details".into(), details.into());
    }
    approval.into()
}

/// Texts that try to look like other lines, and ordinary ones.
fn values() -> impl Strategy<Value = String> {
    prop_oneof![
        "[A-Za-z0-9:. -]{1,20}",
        "\\PC{1,140}",
        Just("payee-2: x".to_owned()),
        Just("reference: y".to_owned()),
        Just("12.50 EUR".to_owned()),
    ]
}

fn approvals() -> impl Strategy<Value = Value> {
    let payee = || (values(), prop::option::of(values()));
    let details = vec(("[a-z][a-z0-9-]{0,35}", values()), 0..5);
    let recipients = prop_oneof![
        Just((None, Vec::new())),
        payee().prop_map(|payee| (Some(payee), Vec::new())),
        vec((payee(), 1_u64..1_000_000), 1..=10).prop_map(|payees| (None, payees)),
    ];
    ("[a-z][a-z0-9-]{0,35}", recipients, any::<bool>(), 1_u64..1_000_000, prop::option::of(values()), details).prop_map(
        |(action, (payee, payees), has_amount, units, reference, details)| {
            let decimal = |units: u64| format!("{}.{:02}", units / 100, units % 100);
            let person = |(name, account): (String, Option<String>)| {
                account.map_or_else(|| json!({"name": name}), |account| json!({"name": name, "account": account}))
            };
            let mut approval = json!({"action": action});
            let total = if payees.is_empty() { units } else { payees.iter().map(|(_, units)| units).sum() };
            if has_amount || !payees.is_empty() {
                approval["amount"] = json!({"value": decimal(total), "currency": "EUR"});
            }
            if let Some(payee) = payee {
                approval["payee"] = person(payee);
            }
            let payees: Vec<Value> = payees
                .into_iter()
                .map(|(payee, units)| {
                    let mut payee = person(payee);
                    payee["amount"] = decimal(units).into();
                    payee
                })
                .collect();
            if !payees.is_empty() {
                approval["payees"] = payees.into();
            }
            if let Some(reference) = reference {
                approval["reference"] = reference.into();
            }
            let details: Vec<Value> =
                details.into_iter().map(|(label, value)| json!({"label": label, "value": value})).collect();
            if !details.is_empty() {
                approval["details"] = details.into();
            }
            approval
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, max_global_rejects: 200_000, ..ProptestConfig::default() })]

    #[test]
    fn what_is_read_out_of_the_text_is_what_was_approved(json in approvals()) {
        let approval = Approval::from_json(&json.to_string());
        prop_assume!(approval.as_ref().is_some_and(|approval| approval.contradictions().is_empty()));
        let text = text_of(approval.as_ref());
        prop_assert_eq!(parse(text.as_str()), json.clone());
        prop_assert_eq!(parse(text.declining().as_str()), json);
    }
}
