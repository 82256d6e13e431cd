//! Wrong signatures and codes: in the sandbox the 403 names the mistake.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA384, SHA512, digest};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use chrono::TimeDelta;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Row, assert_documented};
use crate::activation_codes::{activation_code, ask_by_letter};
use crate::harness::{Answer, DEVICE_CHALLENGES, OpenChallenge, Phone, TestApp, TestClient, on_both_databases, sql};
use crate::idempotency::send;

on_both_databases![
    each_documented_mistake_in_signing_a_code_is_named,
    each_documented_mistake_in_signing_a_device_challenge_is_named,
    each_documented_mistake_in_signing_a_new_key_is_named,
    each_documented_mistake_in_typing_a_code_is_named,
    a_signature_over_an_unknown_text_has_no_diagnosis,
    a_repeated_request_gets_the_stored_refusal_without_diagnosis,
    a_diagnosis_changes_neither_the_audit_trail_nor_the_limits,
];

/// Signs a text in a wrong way.
pub(super) type Mistake = fn(&Phone, &str) -> String;

/// Mistakes in signing any text, with the names of the document.
pub(super) const MISTAKES: &[(&str, Mistake)] = &[
    ("Hashed twice: the digest was given to a call that hashes", |phone, text| phone.sign_bytes(&Sha256::digest(text))),
    (
        "Not hashed: the text was given to a call that expects a digest (Java and Android `NONEwithECDSA`, Go, Ruby, iOS `...Digest...` algorithms)",
        |phone, text| phone.sign_number(text.as_bytes()),
    ),
    ("The hex text of the digest was signed (`sha256sum`, CryptoJS, `digest('hex')`)", |phone, text| {
        phone.sign(&hex::encode(Sha256::digest(text)))
    }),
    ("The same in upper case", |phone, text| phone.sign(&hex::encode_upper(Sha256::digest(text)))),
    ("The Base64 text of the digest was signed", |phone, text| {
        phone.sign(&BASE64_STANDARD.encode(Sha256::digest(text)))
    }),
    ("SHA-1 (the default of PHP `openssl_sign`)", |phone, text| {
        phone.sign_number(digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()).as_ref())
    }),
    ("SHA-384", |phone, text| phone.sign_number(digest(&SHA384, text.as_bytes()).as_ref())),
    ("SHA-512", |phone, text| phone.sign_number(digest(&SHA512, text.as_bytes()).as_ref())),
    ("A line end (`echo`, `readLine`, a text file)", |phone, text| phone.sign(&format!("{text}\n"))),
    ("A line end of Windows", |phone, text| phone.sign(&format!("{text}\r\n"))),
    ("A line end and the digest as hex text (`echo` and `sha256sum`)", |phone, text| {
        phone.sign(&hex::encode(Sha256::digest(format!("{text}\n"))))
    }),
    ("A blank at the end", |phone, text| phone.sign(&format!("{text} "))),
    ("Quotation marks (a JSON value that was not decoded)", |phone, text| phone.sign(&format!("\"{text}\""))),
    ("UTF-16 (C# and Windows `Unicode`, Swift and Java `utf16`)", |phone, text| {
        phone.sign_bytes(&text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>())
    }),
    ("UTF-16, big-endian", |phone, text| {
        phone.sign_bytes(&text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<_>>())
    }),
    ("A byte order mark", |phone, text| phone.sign(&format!("\u{feff}{text}"))),
    ("A zero byte at the end (C)", |phone, text| phone.sign(&format!("{text}\0"))),
    ("The text in hex", |phone, text| phone.sign(&hex::encode(text))),
    ("The text in Base64", |phone, text| phone.sign(&BASE64_STANDARD.encode(text))),
    ("An empty text", |phone, _| phone.sign("")),
    ("s before r", |phone, text| phone.sign_with_exchanged_integers(text)),
];

/// Mistakes in signing a code.
const WITH_CODES: &[(&str, Mistake)] = &[
    ("The code read as hexadecimal digits (`Buffer.from(code, 'hex')`, `updateHex`)", |phone, code| {
        phone.sign_bytes(&hex::decode(code).unwrap())
    }),
    ("The same, not hashed (JavaScript library `elliptic`)", |phone, code| {
        phone.sign_number(&hex::decode(code).unwrap())
    }),
    ("The code in two blocks (`123 456`)", |phone, code| phone.sign(&format!("{} {}", &code[..3], &code[3..]))),
    ("The public key instead of the code", |phone, _| phone.sign(&phone.key())),
];

/// Mistakes in signing a text of several lines.
const WITH_LINES: &[(&str, Mistake)] = &[
    ("LF turned into CR LF", |phone, text| phone.sign(&text.replace('\n', "\r\n"))),
    ("LF as a backslash and an n: the JSON string was not decoded", |phone, text| {
        phone.sign(&text.replace('\n', "\\n"))
    }),
    ("The lines joined without line ends", |phone, text| phone.sign(&text.replace('\n', ""))),
    ("The first line left out", |phone, text| phone.sign(text.split_once('\n').unwrap().1)),
    ("The nonce alone", |phone, text| phone.sign(text.lines().find_map(|line| line.strip_prefix("nonce: ")).unwrap())),
];

async fn each_documented_mistake_in_signing_a_code_is_named(app: TestApp) {
    let acme = app.partner();
    let mut rows = Vec::new();
    for (number, (mistake, sign)) in MISTAKES.iter().chain(WITH_CODES).enumerate() {
        let person = format!("person-{number}");
        let phone = Phone::new(1);
        acme.verified_person(&person).await;
        let asked = acme.ask_for_device(&person, &phone).await;
        let answer = acme.answer(&asked.id, &sign(&phone, &app.outbox().last().code())).await;
        rows.push(row(mistake, &answer));
    }

    acme.verified_person("ada").await;
    let (old, new) = (Phone::new(2), Phone::new(3));
    acme.bind("ada", &old).await;
    let earlier = app.outbox().last();
    let asked = acme.ask_for_device("ada", &new).await;
    let code = app.outbox().last().code();
    for (mistake, signature) in [
        ("The code of an earlier message", new.sign(&earlier.code())),
        ("The key of another device of the person", old.sign(&code)),
    ] {
        rows.push(row(mistake, &acme.answer(&asked.id, &signature).await));
    }
    acme.verified_person("bob").await;
    let asked = acme.ask_for_device("bob", &new).await;
    let message = app.outbox().last();
    for (mistake, signature) in [
        ("The whole message", new.sign(message.text.trim_end())),
        ("The id of the challenge", new.sign(&asked.id)),
        ("The id of the person", new.sign("bob")),
    ] {
        rows.push(row(mistake, &acme.answer(&asked.id, &signature).await));
    }
    let letter = activation_code(&acme, "cleo").await;
    let asked = ask_by_letter(&acme, "cleo", &new).await;
    let upper = acme.answer(&asked, &new.sign(&letter.code.to_uppercase())).await;
    rows.push(row("An activation code in upper case", &upper));
    acme.delete(&letter.path()).await.assert_status(200);
    activation_code(&acme, "cleo").await;
    let asked = ask_by_letter(&acme, "cleo", &new).await;
    let deleted = acme.answer(&asked, &new.sign(&letter.code)).await;
    rows.push(row("An activation code that was replaced", &deleted));
    assert_documented("### Signatures over a code", &rows);
}

async fn each_documented_mistake_in_signing_a_device_challenge_is_named(app: TestApp) {
    let acme = app.partner();
    let mut rows = Vec::new();
    for (number, (mistake, sign)) in MISTAKES.iter().chain(WITH_LINES).enumerate() {
        let (person, phone) = (format!("person-{number}"), Phone::new(u32::try_from(number).unwrap()));
        let challenge = bound_and_challenged(&acme, &person, &phone).await.1;
        let answer = acme.sign(&challenge.id, &sign(&phone, &challenge.text)).await;
        let row = row(mistake, &answer);
        // The mistakes with any text are listed once, with the code.
        if number >= MISTAKES.len() {
            rows.push(row);
        }
    }

    let phone = Phone::new(101);
    let (device, challenge) = bound_and_challenged(&acme, "ada", &phone).await;
    let declined = acme.sign(&challenge.id, &phone.sign(&challenge.declining())).await;
    rows.push(row("Approved with the text that declines", &declined));
    let body = json!({"signature": phone.sign(&challenge.text), "decision": "declined"});
    let approved = acme.put(&format!("{DEVICE_CHALLENGES}/{}", challenge.id), body).await;
    rows.push(row("Declined with the text that approves", &approved));

    let restricted = Phone::new(102);
    add_restricted_key(&acme, &device, &phone, &restricted).await;
    let challenge = acme.challenge(&device).await;
    let other = if challenge.text.contains("\nkey: restricted\n") { &phone } else { &restricted };
    rows.push(row("A key of the other purpose", &acme.sign(&challenge.id, &other.sign(&challenge.text)).await));

    let (device, _) = bound_and_challenged(&acme, "bob", &Phone::new(103)).await;
    acme.bind("bob", &Phone::new(104)).await;
    let challenge = acme.challenge(&device).await;
    let by_other = acme.sign(&challenge.id, &Phone::new(104).sign(&challenge.text)).await;
    rows.push(row("The key of another device of the person", &by_other));
    assert_documented("### Signatures over a device challenge", &rows);
}

async fn each_documented_mistake_in_signing_a_new_key_is_named(app: TestApp) {
    let acme = app.partner();
    let new = Phone::new(500);
    let cases: &[(&str, Mistake)] = &[
        ("The hex text of the new key in the other case than sent", |phone, key| phone.sign(&key.to_uppercase())),
        ("X and Y of the new key without 04", |phone, key| phone.sign_bytes(&hex::decode(&key[2..]).unwrap())),
        ("The new key with its header (SubjectPublicKeyInfo)", |phone, key| {
            let info = format!("3059301306072a8648ce3d020106082a8648ce3d030107034200{key}");
            phone.sign_bytes(&hex::decode(info).unwrap())
        }),
        ("The bytes of the new key, hashed twice", |phone, key| {
            phone.sign_bytes(&Sha256::digest(hex::decode(key).unwrap()))
        }),
        ("The signing key instead of the new one", |phone, _| phone.sign(&phone.key())),
        ("The new key signed itself", |_, key| Phone::new(500).sign(key)),
    ];
    let mut rows = Vec::new();
    for (number, (mistake, sign)) in MISTAKES.iter().chain(cases).enumerate() {
        let (person, phone) = (format!("person-{number}"), Phone::new(u32::try_from(number).unwrap()));
        acme.verified_person(&person).await;
        let device = acme.bind(&person, &phone).await.id;
        let answer = signed_key(&acme, &device, &new, &sign(&phone, &new.key())).await;
        let row = row(mistake, &answer);
        // The mistakes with any text are listed once, with the code.
        if number >= MISTAKES.len() {
            rows.push(row);
        }
    }
    acme.verified_person("ada").await;
    let (phone, other, restricted) = (Phone::new(201), Phone::new(202), Phone::new(203));
    let device = acme.bind("ada", &phone).await.id;
    acme.bind("ada", &other).await;
    add_restricted_key(&acme, &device, &phone, &restricted).await;
    let by_purpose = signed_key(&acme, &device, &new, &restricted.sign(&new.key())).await;
    rows.push(row("A key of the other purpose", &by_purpose));
    let by_device = signed_key(&acme, &device, &new, &other.sign(&new.key())).await;
    rows.push(row("The key of another device of the person", &by_device));
    assert_documented("### Signatures over a new key", &rows);
}

async fn each_documented_mistake_in_typing_a_code_is_named(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let first = acme.sms_challenge("ada").await;
    let second = acme.sms_challenge("ada").await;
    acme.ask_for_device("ada", &Phone::new(1)).await;
    let for_binding = app.outbox().last().code();
    let mut rows = vec![row("The code of an earlier message", &acme.type_code(&second.id, &first.code).await)];
    rows.push(row("The code of a message for another purpose", &acme.type_code(&second.id, &for_binding).await));

    let fixed = TestApp::with(app.database.engine(), &[("SANDBOX_OTP", "212212")]).await;
    let acme = fixed.partner();
    acme.verified_person("ada").await;
    let challenge = acme.sms_challenge("ada").await;
    rows.push(row("Another code than the fixed one of the sandbox", &acme.type_code(&challenge.id, "123456").await));
    assert_documented("### Typed codes", &rows);
}

async fn a_signature_over_an_unknown_text_has_no_diagnosis(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = acme.ask_for_device("ada", &phone).await;
    for signature in [phone.sign("unknown"), Phone::new(9).sign(&app.outbox().last().code())] {
        acme.answer(&asked.id, &signature).await.assert_error(403, "invalid_tan", "the signature is wrong");
    }
}

/// The stored outcome is committed before the diagnosis is made.
async fn a_repeated_request_gets_the_stored_refusal_without_diagnosis(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = acme.ask_for_device("ada", &phone).await;
    let path = format!("/v1/mfa/challenges/signatures/{}", asked.id);
    let body = json!({"signature": phone.sign(&format!("{}\n", app.outbox().last().code()))});
    let first = send(&acme, "key", "PUT", &path, &body).await;
    row("the first answer has a diagnosis", &first);
    let again = send(&acme, "key", "PUT", &path, &body).await;
    again.assert_error(403, "invalid_tan", "the signature is wrong");
    assert_eq!(again.headers["idempotency-replayed"], "true");
}

async fn a_diagnosis_changes_neither_the_audit_trail_nor_the_limits(app: TestApp) {
    let acme = app.partner();
    let phone = Phone::new(1);
    for (person, diagnosed) in [("ada", true), ("bob", false)] {
        acme.verified_person(person).await;
        let asked = acme.ask_for_device(person, &phone).await;
        let code = app.outbox().last().code();
        for number in 0..3 {
            app.advance(TimeDelta::seconds(1));
            let text = if diagnosed { format!("{code}\n") } else { format!("unknown {number}") };
            acme.answer(&asked.id, &phone.sign(&text)).await.assert_status(403);
        }
        acme.answer(&asked.id, &phone.sign(&code)).await.assert_status(404);
    }
    let outcomes = "select outcome from audit_pending where action = 'binding.answered' order by event_id";
    let expected = ["wrong", "wrong", "wrong", "not_open"];
    assert_eq!(sql::texts(app.database.url(), outcomes).await, [expected, expected].concat());
}

/// The row of a refused signature or code.
#[track_caller]
pub(super) fn row(mistake: &'static str, answer: &Answer) -> Row {
    answer.assert_status(403);
    let error = answer.json()["errors"][0].clone();
    assert_eq!(error["code"], "invalid_tan");
    let detail = error["detail"].as_str().expect("a detail");
    let (_, diagnosis) = detail.split_once(": ").unwrap_or_else(|| panic!("{mistake}: {detail}"));
    let (says, remedy) = diagnosis.split_once("; ").expect("a remedy");
    Row { mistake, says: says.to_owned(), remedy: remedy.to_owned() }
}

/// Binds a device and opens a challenge.
async fn bound_and_challenged(client: &TestClient, person: &str, phone: &Phone) -> (String, OpenChallenge) {
    client.verified_person(person).await;
    let device = client.bind(person, phone).await.id;
    let challenge = client.challenge(&device).await;
    (device, challenge)
}

/// Sends a new key with a signature.
async fn signed_key(client: &TestClient, device: &str, new: &Phone, signature: &str) -> Answer {
    let body = json!({
        "key": new.key(),
        "key_type": "ecdsa-p256",
        "device_signature": {"signature_key_purpose": "unrestricted", "signature": signature},
    });
    client.post(&format!("/v1/mfa/devices/{device}/keys"), body).await
}

/// Adds a restricted key.
async fn add_restricted_key(client: &TestClient, device: &str, phone: &Phone, new: &Phone) {
    let mut body = phone.vouch_for(new);
    body["key_purpose"] = json!("restricted");
    client.post(&format!("/v1/mfa/devices/{device}/keys"), body).await.assert_status(201);
}
