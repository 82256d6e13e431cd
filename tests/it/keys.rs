//! The keys of a device: adding, reading, and the time of use (docs/api-design.md#keys).

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::harness::{Answer, Phone, TestApp, TestClient, on_both_databases};

on_both_databases![
    a_restricted_key_is_added_with_a_signature_of_the_first,
    the_signature_covers_the_key_as_sent_or_its_bytes,
    only_the_key_that_signed_counts_as_used,
    a_key_can_sign_only_under_its_own_purpose,
    a_wrong_signature_adds_nothing,
    a_key_of_any_device_of_the_partner_is_refused,
    a_device_has_at_most_ten_keys,
    all_faults_of_a_body_are_reported_together_in_order,
    an_unknown_device_is_reported_before_faults_of_the_body,
    answers_do_not_contain_public_keys,
    a_deleted_device_has_no_keys,
];

const TAKEN: &str = "the key belongs to a bound device; generate a new one";

async fn a_restricted_key_is_added_with_a_signature_of_the_first(app: TestApp) {
    let (acme, device, first) = acme_with_device(&app, 1).await;
    app.advance(TimeDelta::minutes(1));
    let mut body = request_body(&Phone::new(2), "unrestricted", &Phone::new(1));
    body["key_purpose"] = json!("restricted");
    let second = add(&acme, &device, body).await;

    let list = acme.get(&format!("/v1/mfa/devices/{device}/keys")).await;
    list.assert_status(200);
    let expected = json!([{
        "device_id": device,
        "person_id": "ada",
        "created_at": "2022-03-18T14:50:04Z",
        "keys": [
            {"key_id": first, "key_purpose": "unrestricted", "key_type": "ecdsa-p256", "used_at": "2022-03-18T14:51:04Z"},
            {"key_id": second, "key_purpose": "restricted", "key_type": "ecdsa-p256"},
        ],
    }]);
    assert_eq!(list.json(), expected);
    for key in list.json()[0]["keys"].as_array().unwrap() {
        let shown = acme.get(&format!("/v1/mfa/devices/{device}/keys/{}", key["key_id"].as_str().unwrap())).await;
        assert_eq!(shown.assert_status(200).json(), *key);
    }
}

async fn the_signature_covers_the_key_as_sent_or_its_bytes(app: TestApp) {
    let (acme, device, _) = acme_with_device(&app, 1).await;
    let signer = Phone::new(1);
    let lower = |seed| Phone::new(seed).key();
    let upper = |seed| Phone::new(seed).key().to_uppercase();
    let bytes = |seed| hex::decode(Phone::new(seed).key()).unwrap();
    for (sent, signature) in [
        (lower(2), signer.sign(&lower(2))),
        (upper(3), signer.sign(&upper(3))),
        (lower(4), signer.sign_bytes(&bytes(4))),
        (upper(5), signer.sign_bytes(&bytes(5)).to_uppercase()),
    ] {
        add(&acme, &device, request_body_with(&sent, "unrestricted", &signature)).await;
    }
    for (sent, signature) in [
        (lower(6), signer.sign(&upper(6))),
        (upper(6), signer.sign(&lower(6))),
        (lower(6), signer.sign_bytes(&bytes(6)[1..])),
        (lower(6), signer.sign(&lower(2))),
    ] {
        post(&acme, &device, request_body_with(&sent, "unrestricted", &signature)).await.assert_status(403);
    }
}

async fn only_the_key_that_signed_counts_as_used(app: TestApp) {
    let (acme, device, first) = acme_with_device(&app, 1).await;
    let second = add(&acme, &device, request_body(&Phone::new(2), "unrestricted", &Phone::new(1))).await;
    app.advance(TimeDelta::minutes(1));
    let third = add(&acme, &device, request_body(&Phone::new(3), "unrestricted", &Phone::new(2))).await;
    let used = async |key: &str| {
        let key = acme.get(&format!("/v1/mfa/devices/{device}/keys/{key}")).await;
        key.json().get("used_at").map(|at| at.as_str().unwrap().to_owned())
    };
    assert_eq!(used(&first).await.as_deref(), Some("2022-03-18T14:50:04Z"));
    assert_eq!(used(&second).await.as_deref(), Some("2022-03-18T14:51:04Z"));
    assert_eq!(used(&third).await, None);

    app.advance(TimeDelta::minutes(1));
    add(&acme, &device, request_body(&Phone::new(4), "unrestricted", &Phone::new(2))).await;
    assert_eq!(used(&second).await.as_deref(), Some("2022-03-18T14:52:04Z"));
}

async fn a_key_can_sign_only_under_its_own_purpose(app: TestApp) {
    let (acme, device, _) = acme_with_device(&app, 1).await;
    let no_such_key = ("device_signature.signature_key_purpose", "the device has no key of this purpose");
    post(&acme, &device, request_body(&Phone::new(2), "restricted", &Phone::new(1)))
        .await
        .assert_faults(&[no_such_key]);

    let mut restricted = request_body(&Phone::new(2), "unrestricted", &Phone::new(1));
    restricted["key_purpose"] = json!("restricted");
    add(&acme, &device, restricted).await;
    // Now the device has a restricted key, but another key signed.
    post(&acme, &device, request_body(&Phone::new(3), "restricted", &Phone::new(1))).await.assert_status(403);
    post(&acme, &device, request_body(&Phone::new(3), "unrestricted", &Phone::new(2))).await.assert_status(403);
    add(&acme, &device, request_body(&Phone::new(3), "restricted", &Phone::new(2))).await;
}

async fn a_wrong_signature_adds_nothing(app: TestApp) {
    let (acme, device, first) = acme_with_device(&app, 1).await;
    let unregistered = Phone::new(2);
    // A new key cannot sign for itself.
    let answer = post(&acme, &device, request_body(&unregistered, "unrestricted", &unregistered)).await;
    answer.assert_wrong("the signature is wrong");
    app.advance(TimeDelta::minutes(1));

    let keys = acme.get(&format!("/v1/mfa/devices/{device}/keys")).await.json()[0]["keys"].clone();
    assert_eq!(keys.as_array().map(Vec::len), Some(1));
    let unchanged = [json!(first), json!("2022-03-18T14:50:04Z")];
    assert_eq!([&keys[0]["key_id"], &keys[0]["used_at"]], [&unchanged[0], &unchanged[1]]);
    add(&acme, &device, request_body(&unregistered, "unrestricted", &Phone::new(1))).await;
}

async fn a_key_of_any_device_of_the_partner_is_refused(app: TestApp) {
    let (acme, device, _) = acme_with_device(&app, 1).await;
    let other_device = acme.bind("ada", &Phone::new(2)).await.id;
    add(&acme, &other_device, request_body(&Phone::new(3), "unrestricted", &Phone::new(2))).await;
    for (whose, seed) in [("its own", 1), ("another device's first", 2), ("another device's second", 3)] {
        let answer = post(&acme, &device, request_body(&Phone::new(seed), "unrestricted", &Phone::new(1))).await;
        answer.assert_error(409, "key_already_registered", TAKEN);
        let keys = acme.get(&format!("/v1/mfa/devices/{device}/keys")).await;
        assert_eq!(keys.json()[0]["keys"].as_array().map(Vec::len), Some(1), "{whose}");
    }
    // The key of a deleted device is free, and so are the keys of another partner's devices.
    acme.delete(&format!("/v1/mfa/devices/{other_device}")).await.assert_status(204);
    add(&acme, &device, request_body(&Phone::new(3), "unrestricted", &Phone::new(1))).await;
    let globex = app.other_partner();
    globex.verified_person("ada").await;
    let theirs = globex.bind("ada", &Phone::new(1)).await.id;
    add(&globex, &theirs, request_body(&Phone::new(3), "unrestricted", &Phone::new(1))).await;
}

async fn a_device_has_at_most_ten_keys(app: TestApp) {
    let (acme, device, _) = acme_with_device(&app, 1).await;
    for seed in 2..=10 {
        add(&acme, &device, request_body(&Phone::new(seed), "unrestricted", &Phone::new(1))).await;
    }
    let eleventh = post(&acme, &device, request_body(&Phone::new(11), "unrestricted", &Phone::new(1))).await;
    eleventh.assert_error(409, "key_limit_exceeded", "the device has as many keys as allowed");
    let keys = acme.get(&format!("/v1/mfa/devices/{device}/keys")).await;
    assert_eq!(keys.json()[0]["keys"].as_array().map(Vec::len), Some(10));
    // The next request is refused in the same way.
    let again = post(&acme, &device, request_body(&Phone::new(11), "unrestricted", &Phone::new(10))).await;
    again.assert_error(409, "key_limit_exceeded", "the device has as many keys as allowed");
}

async fn all_faults_of_a_body_are_reported_together_in_order(app: TestApp) {
    let (acme, device, _) = acme_with_device(&app, 1).await;
    let required = |field| (field, "is required");
    post(&acme, &device, json!({})).await.assert_faults(&[
        required("key"),
        required("key_type"),
        required("device_signature"),
    ]);
    let inner = [required("device_signature.signature_key_purpose"), required("device_signature.signature")];
    let empty = json!({"key": Phone::new(2).key(), "key_type": "ecdsa-p256", "device_signature": {"signature": null}});
    post(&acme, &device, empty).await.assert_faults(&inner);

    let wrong = json!({
        "device_data": "",
        "device_signature": {"signature": "", "signature_key_purpose": "any"},
        "key_purpose": 7,
        "key_type": "rsa",
        "key": "04",
    });
    post(&acme, &device, wrong).await.assert_faults(&[
        (
            "key",
            "must be 130 hexadecimal characters: an uncompressed SEC 1 point, 04 followed by X and Y of 32 bytes each",
        ),
        ("key_type", "must be one of: ecdsa-p256"),
        ("key_purpose", "must be a string, not a number"),
        ("device_signature.signature_key_purpose", "must be one of: unrestricted, restricted"),
        ("device_signature.signature", "length (0) out of bounds (min: 1, max: 2048)"),
        ("device_data", "length (0) out of bounds (min: 1, max: 262144)"),
    ]);
    let mistyped = json!({"key": Phone::new(2).key(), "key_type": "ecdsa-p256", "device_signature": "3045"});
    post(&acme, &device, mistyped).await.assert_faults(&[("device_signature", "must be an object, not a string")]);
}

async fn an_unknown_device_is_reported_before_faults_of_the_body(app: TestApp) {
    let (acme, device, _) = acme_with_device(&app, 1).await;
    let pending = acme.ask_for_device("ada", &Phone::new(2)).await.id;
    let deleted = acme.bind("ada", &Phone::new(3)).await.id;
    acme.delete(&format!("/v1/mfa/devices/{deleted}")).await.assert_status(204);
    for (client, device) in [
        (&acme, pending.as_str()),
        (&acme, &deleted),
        (&app.other_partner(), &device),
        (&acme, "6642d15e-8f6b-4d28-9186-cdd61d80032a"),
        (&acme, "nonsense"),
    ] {
        let not_found = format!("device \"{device}\" not found");
        for body in [json!({}), json!([]), request_body(&Phone::new(4), "unrestricted", &Phone::new(1))] {
            post(client, device, body).await.assert_error(404, "not_found", &not_found);
        }
    }
    assert_eq!(
        acme.get(&format!("/v1/mfa/devices/{device}/keys")).await.json()[0]["keys"].as_array().unwrap().len(),
        1
    );
}

async fn answers_do_not_contain_public_keys(app: TestApp) {
    let (acme, device, first) = acme_with_device(&app, 1).await;
    let added = post(&acme, &device, request_body(&Phone::new(2), "unrestricted", &Phone::new(1))).await;
    let answers = [
        added,
        acme.get(&format!("/v1/mfa/devices/{device}/keys")).await,
        acme.get(&format!("/v1/mfa/devices/{device}/keys/{first}")).await,
        acme.get(&format!("/v1/mfa/devices/{device}")).await,
        acme.get("/v1/mfa/devices").await,
    ];
    for answer in answers {
        let text = String::from_utf8(answer.body.to_vec()).unwrap().to_lowercase();
        for seed in [1, 2] {
            // The x coordinate identifies the key.
            assert!(!text.contains(&Phone::new(seed).key()[2..66]), "{text}");
        }
    }
}

async fn a_deleted_device_has_no_keys(app: TestApp) {
    let (acme, device, first) = acme_with_device(&app, 1).await;
    let other = acme.bind("ada", &Phone::new(2)).await;
    acme.delete(&format!("/v1/mfa/devices/{device}")).await.assert_status(204);

    let list = acme.get(&format!("/v1/mfa/devices/{device}/keys")).await;
    let expected = json!([{
        "device_id": device,
        "person_id": "ada",
        "created_at": "2022-03-18T14:50:04Z",
        "deleted_at": "2022-03-18T14:50:04Z",
        "keys": [],
    }]);
    assert_eq!(list.assert_status(200).json(), expected);
    // A device's path does not show the keys of another device.
    for (device, key) in
        [(&device, first.as_str()), (&device, &other.key_id), (&other.id, &first), (&other.id, "first")]
    {
        let answer = acme.get(&format!("/v1/mfa/devices/{device}/keys/{key}")).await;
        answer.assert_error(404, "not_found", &format!("key \"{key}\" not found"));
    }
    let spelling = other.key_id.replace('-', "").to_uppercase();
    acme.get(&format!("/v1/mfa/devices/{}/keys/{spelling}", other.id)).await.assert_status(200);
}

/// A partner with one device of the person `ada`, and the ids of the device and its key.
async fn acme_with_device(app: &TestApp, seed: u32) -> (TestClient, String, String) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let bound = acme.bind("ada", &Phone::new(seed)).await;
    (acme, bound.id, bound.key_id)
}

/// The body that adds a key, signed by a phone.
fn request_body(new: &Phone, purpose_of_signer: &str, signer: &Phone) -> Value {
    request_body_with(&new.key(), purpose_of_signer, &signer.sign(&new.key()))
}

fn request_body_with(key: &str, purpose_of_signer: &str, signature: &str) -> Value {
    let signature = json!({"signature_key_purpose": purpose_of_signer, "signature": signature});
    json!({"key": key, "key_type": "ecdsa-p256", "device_signature": signature})
}

async fn post(client: &TestClient, device: &str, body: Value) -> Answer {
    client.post(&format!("/v1/mfa/devices/{device}/keys"), body).await
}

/// Adds a key and returns its id.
async fn add(client: &TestClient, device: &str, body: Value) -> String {
    let answer = post(client, device, body).await;
    answer.assert_status(201);
    answer.json()["id"].as_str().unwrap().to_owned()
}
