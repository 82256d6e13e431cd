//! Challenges with an approval: what the person is shown, signs and approves (docs/api-design.md#approvals).

use serde_json::{Value, json};

use super::{answer_in_full, bound, path};
use crate::harness::{Answer, DEVICE_CHALLENGES, Phone, TestApp, in_every_form};

in_every_form![
    a_payment_is_shown_in_the_text_and_approved,
    a_batch_lists_each_payee_and_its_total,
    an_approval_prefers_a_restricted_key,
    approvals_can_require_a_restricted_key,
    every_fault_of_an_approval_is_told_with_its_path,
    an_answer_about_another_approval_is_a_conflict_and_consumes_nothing,
    only_the_decision_that_was_signed_counts,
];

fn payment() -> Value {
    json!({
        "action": "payment",
        "amount": {"value": "12.50", "currency": "EUR"},
        "payee": {"name": "Café Müller GmbH", "account": "DE89370400440532013000"},
        "reference": "Invoice 4711",
    })
}

/// The lines of the approval in a challenge's text.
fn lines(challenge: &Value) -> Vec<String> {
    let text = challenge["string_to_sign"].as_str().expect("a text");
    assert!(text.starts_with("device-management/approval/v1\nchallenge: "), "{text}");
    let mut lines = text.split('\n').map(str::to_owned).skip_while(|line| !line.starts_with("expires: "));
    lines.next().expect("the line with the end of the challenge");
    lines.collect()
}

async fn a_payment_is_shown_in_the_text_and_approved(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let challenge = acme.post(DEVICE_CHALLENGES, json!({"device_id": device, "approval": payment()})).await;
    let challenge = challenge.assert_status(201).json();
    let expected = [
        "action: payment",
        "amount: 12.50 EUR",
        "payee: Café Müller GmbH",
        "account: DE89370400440532013000",
        "reference: Invoice 4711",
    ];
    assert_eq!(lines(&challenge), expected);
    assert_eq!(challenge["approval"], payment());
    let id = challenge["id"].as_str().unwrap();
    assert_eq!(acme.get(&path(id)).await.json(), challenge);
    let signature = phone.sign(challenge["string_to_sign"].as_str().unwrap());
    let answer = answer_in_full(&acme, id, json!({"signature": signature, "approval": payment()})).await;
    assert_eq!(answer.assert_status(200).json()["approval"], payment());
}

async fn a_batch_lists_each_payee_and_its_total(app: TestApp) {
    let acme = app.partner();
    let device = bound(&acme, "ada", &Phone::new(1)).await;
    let approval = json!({
        "action": "payment",
        "amount": {"value": "1500", "currency": "JPY"},
        "payees": [
            {"name": "A", "account": "1", "amount": "1000"},
            {"name": "B", "amount": "500"},
        ],
        "details": [{"label": "branch", "value": "Kyōto"}, {"label": "batch", "value": "7"}],
    });
    let challenge = acme.post(DEVICE_CHALLENGES, json!({"device_id": device, "approval": approval})).await;
    let challenge = challenge.assert_status(201).json();
    let expected = [
        "action: payment",
        "amount: 1500 JPY",
        "payee-1: A",
        "account-1: 1",
        "amount-1: 1000 JPY",
        "payee-2: B",
        "amount-2: 500 JPY",
        "branch: Kyōto",
        "batch: 7",
    ];
    assert_eq!(lines(&challenge), expected);
    assert_eq!(challenge["approval"], approval);
}

async fn an_approval_prefers_a_restricted_key(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let wish = json!({"device_id": device, "approval": payment()});
    let with_one_key = acme.post(DEVICE_CHALLENGES, wish.clone()).await.json();
    assert!(with_one_key["string_to_sign"].as_str().unwrap().contains("\nkey: unrestricted\n"));
    let mut key = phone.vouch_for(&Phone::new(2));
    key["key_purpose"] = "restricted".into();
    acme.post(&format!("/v1/mfa/devices/{device}/keys"), key).await.assert_status(201);
    let with_both = acme.post(DEVICE_CHALLENGES, wish).await.json();
    let text = with_both["string_to_sign"].as_str().unwrap();
    assert!(text.contains("\nkey: restricted\n"), "{text}");
    acme.sign(with_both["id"].as_str().unwrap(), &Phone::new(2).sign(text)).await.assert_status(204);
}

async fn approvals_can_require_a_restricted_key(app: TestApp) {
    let acme = app.partner().through(app.replica(&[("APPROVALS_REQUIRE_RESTRICTED_KEYS", "true")]).await);
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let wish = |purpose: Value| json!({"device_id": device, "approval": payment(), "key_purpose": purpose});
    let refused = [("key_purpose", "an approval must be signed by a restricted key of the device")];
    for purpose in [Value::Null, json!(""), json!("unrestricted"), json!("restricted")] {
        let answer = acme.post(DEVICE_CHALLENGES, wish(purpose.clone())).await;
        if purpose == "restricted" {
            answer.assert_faults(&[("key_purpose", "the device has no key of this purpose")]);
        } else {
            answer.assert_faults(&refused);
        }
    }
    // Log-ins are not affected.
    acme.challenge(&device).await;
    let mut key = phone.vouch_for(&Phone::new(2));
    key["key_purpose"] = "restricted".into();
    acme.post(&format!("/v1/mfa/devices/{device}/keys"), key).await.assert_status(201);
    acme.post(DEVICE_CHALLENGES, wish(json!("unrestricted"))).await.assert_faults(&refused);
    for purpose in [Value::Null, json!(""), json!("restricted")] {
        acme.post(DEVICE_CHALLENGES, wish(purpose)).await.assert_status(201);
    }
}

async fn every_fault_of_an_approval_is_told_with_its_path(app: TestApp) {
    let acme = app.partner();
    let device = bound(&acme, "ada", &Phone::new(1)).await;
    let refused = async |approval: Value| -> Answer {
        acme.post(DEVICE_CHALLENGES, json!({"device_id": device, "approval": approval})).await
    };
    let required = [("approval.amount", "is required for a payment"), ("approval.payee", "is required for a payment")];
    refused(json!({"action": "payment"})).await.assert_faults(&required);
    refused(json!({})).await.assert_faults(&[("approval.action", "is required")]);
    refused(json!("pay")).await.assert_faults(&[("approval", "must be an object, not a string")]);

    let everything = json!({
        "action": "Pay",
        "amount": {"value": 12.5, "currency": "EUR"},
        "payee": {"name": "a\u{202e}b", "account": " 1"},
        "payees": [{"name": "A", "amount": "1.0"}, 7, {"name": "", "amount": "1.00"}],
        "reference": "Cafe\u{301}",
        "details": [{"label": "x"}],
    });
    let faults = [
        ("approval.action", "must be 1 to 36 characters of a-z, 0-9 and -, the first a letter"),
        ("approval.amount.value", "must be a string, not a number"),
        ("approval.payee.name", "must not contain bidirectional controls"),
        ("approval.payee.account", "must not begin or end with white space"),
        ("approval.payees[1]", "must be an object, not a number"),
        ("approval.payees[2].name", "length (0) out of bounds (min: 1, max: 140)"),
        ("approval.reference", "must be in Unicode normalization form C (NFC)"),
        ("approval.details[0].value", "is required"),
    ];
    refused(everything).await.assert_faults(&faults);

    let with = |name: &str, value: Value| {
        let mut approval = payment();
        approval[name] = value;
        approval
    };
    let digits = "must be a decimal number with exactly 2 digits after the point, without sign or leading zeros";
    for (value, message) in [("12.5", digits), ("012.50", digits), ("0.00", "must be more than zero")] {
        let approval = with("amount", json!({"value": value, "currency": "EUR"}));
        refused(approval).await.assert_faults(&[("approval.amount.value", message)]);
    }
    let approval = with("amount", json!({"value": "1.00", "currency": "eur"}));
    refused(approval).await.assert_faults(&[("approval.amount.currency", "must be a currency code of ISO 4217")]);

    let part = |amount: &str| json!({"name": "A", "amount": amount});
    let mut batch = with("payees", json!([part("6.25"), part("6.24")]));
    batch["payee"] = Value::Null;
    let sum = [("approval.amount.value", "must be the sum of the payees' amounts")];
    refused(batch.clone()).await.assert_faults(&sum);
    batch["payees"][1] = part("6.2");
    refused(batch.clone()).await.assert_faults(&[("approval.payees[1].amount", digits)]);
    batch["payees"] = vec![part("1.00"); 11].into();
    refused(batch).await.assert_faults(&[("approval.payees", "must have at most 10 elements, not 11")]);
    let both = with("payees", json!([part("12.50")]));
    refused(both).await.assert_faults(&[("approval.payees", "must not stand beside payee")]);

    let detail = |label: &str| json!({"label": label, "value": "x"});
    let labels = with("details", json!([detail("limit"), detail("amount-3"), detail("limit")]));
    let faults = [
        ("approval.details[1].label", "must not be the name of a line of the service"),
        ("approval.details[2].label", "must not stand twice"),
    ];
    refused(labels).await.assert_faults(&faults);
}

async fn an_answer_about_another_approval_is_a_conflict_and_consumes_nothing(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let challenge = acme.post(DEVICE_CHALLENGES, json!({"device_id": device, "approval": payment()})).await.json();
    let id = challenge["id"].as_str().unwrap();
    let signature = phone.sign(challenge["string_to_sign"].as_str().unwrap());
    let mut others = vec![json!({"action": "payment-2"})];
    for (path, value) in [
        ("/amount/value", "12.51"),
        ("/amount/currency", "USD"),
        ("/payee/name", "Cafe Müller GmbH"),
        ("/payee/account", "DE89370400440532013001"),
        ("/reference", "Invoice 4712"),
    ] {
        let mut other = payment();
        *other.pointer_mut(path).expect("a field of the payment") = value.into();
        others.push(other);
    }
    let mut without_account = payment();
    without_account["payee"]["account"] = Value::Null;
    others.push(without_account);
    for other in others {
        let answer = acme.put(&path(id), json!({"signature": signature, "approval": other})).await;
        answer.assert_error(409, "conflict", "the approval differs from the one that the person was shown");
    }
    // A differing approval comes before a wrong signature, which it keeps from counting.
    for _ in 0..4 {
        let answer = json!({"signature": phone.sign("wrong"), "approval": {"action": "other"}});
        acme.put(&path(id), answer).await.assert_status(409);
    }
    acme.put(&path(id), json!({"signature": signature, "approval": payment()})).await.assert_status(204);
}

async fn only_the_decision_that_was_signed_counts(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    let device = bound(&acme, "ada", &phone).await;
    let challenge = acme.post(DEVICE_CHALLENGES, json!({"device_id": device, "approval": payment()})).await.json();
    let id = challenge["id"].as_str().unwrap();
    let text = challenge["string_to_sign"].as_str().unwrap();
    let declining = text.replacen("device-management/approval/v1", "device-management/decline/v1", 1);
    acme.sign(id, &phone.sign(&declining)).await.assert_status(403);
    let declined = json!({"signature": phone.sign(text), "decision": "declined"});
    acme.put(&path(id), declined).await.assert_status(403);
    let declined = json!({"signature": phone.sign(&declining), "decision": "declined"});
    acme.put(&path(id), declined).await.assert_status(204);
}
