//! Forms of a key or signature that the service recognises and refuses with 400.

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::json;

use super::{Row, assert_documented};
use crate::harness::{Phone, TestApp, TestClient, on_both_databases};

on_both_databases![
    each_documented_form_of_a_key_is_named_in_the_answer,
    each_documented_form_of_a_signature_is_named_in_the_answer,
    a_recognised_form_costs_no_attempt,
    the_form_of_a_new_key_and_of_its_signature_is_named_too,
];

/// The header of a `SubjectPublicKeyInfo` with an uncompressed point on P-256.
const INFO: &str = "3059301306072a8648ce3d020106082a8648ce3d030107034200";

/// The generator of secp256k1 (SEC 2 section 2.4.1).
const SECP256K1: &str = "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798\
                         483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8";

/// A point on P-256 with y = 5.
const SHORT_Y: &str = "d7325d7646cd60d80a92738ceb345f844cffaf35841022cab176f692de8de1d7";

/// A certificate without content.
const CERTIFICATE: &str = "300c3005a0030201023000030100";

fn keys() -> Vec<(&'static str, String)> {
    let point = Phone::new(1).key();
    let bytes = hex::decode(&point).unwrap();
    let (x, y) = (&point[2..66], &point[66..]);
    let info = format!("{INFO}{point}");
    let reversed = |number: &str| hex::encode(hex::decode(number).unwrap().into_iter().rev().collect::<Vec<_>>());
    let url = |number: &str| BASE64_URL_SAFE_NO_PAD.encode(hex::decode(number).unwrap());
    let colons: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let numbers: Vec<String> = bytes.iter().map(|byte| byte.cast_signed().to_string()).collect();
    let rsa = format!("30819f300d06092a864886f70d010101050003818d0030818902818100{}0203010001", "c1".repeat(128));
    let jwk = json!({"kty": "EC", "crv": "P-256", "x": url(x), "y": url(y)});
    let private_jwk = json!({"kty": "EC", "crv": "P-256", "x": url(x), "y": url(y), "d": url(x)});
    let pkcs8 = format!("308141020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420{}", "11".repeat(32));
    vec![
        ("Base64 of the point (iOS: `base64EncodedString()` of the external representation)", base64(&point)),
        ("Base64url of the point", BASE64_URL_SAFE_NO_PAD.encode(&bytes)),
        ("Hex with `0x`", format!("0x{point}")),
        ("Hex with colons or blanks (`openssl ec -text`)", colons.join(":")),
        ("Hex of the hex text", hex::encode(&point)),
        (
            "A byte array as numbers (Java `Arrays.toString`, `JSON.stringify` of a buffer)",
            format!("[{}]", numbers.join(", ")),
        ),
        ("A printed object (Java `[B@...`, JavaScript `[object ...]`, Swift `65 bytes`)", "[B@1b6d3586".to_owned()),
        ("`getEncoded()` of Java and Android, `export` with `spki`, in hex", info.clone()),
        ("The same in Base64 (most React Native and Flutter libraries)", base64(&info)),
        ("PEM", pem("PUBLIC KEY", &info)),
        ("A certificate", pem("CERTIFICATE", CERTIFICATE)),
        (
            "Compressed (`02` or `03`)",
            format!("{}{x}", if y.ends_with(['0', '2', '4', '6', '8', 'a', 'c', 'e']) { "02" } else { "03" }),
        ),
        ("Hybrid (`06` or `07`)", format!("06{x}{y}")),
        ("X and Y alone (64 bytes)", format!("{x}{y}")),
        ("`BigInteger.toByteArray()` of Java: 33 bytes where the first bit is set", format!("0400{x}00{y}")),
        ("Leading zeros lost (`toString(16)`, `toByteArray()`)", format!("04{SHORT_Y}{:0>58}", 5)),
        ("Leading zeros lost, an odd number of digits", point[..129].to_owned()),
        ("Y before X", format!("04{y}{x}")),
        ("Little-endian coordinates", format!("04{}{}", reversed(x), reversed(y))),
        ("A JWK as text", jwk.to_string()),
        ("A COSE key of a passkey", format!("a5010203262001215820{x}225820{y}")),
        ("The key file of OpenSSH", format!("ecdsa-sha2-nistp256 {} phone", base64(&point))),
        ("A key on secp256k1 (Ethereum and Bitcoin libraries)", SECP256K1.to_owned()),
        ("A key on P-384 or P-521", format!("04{}", "11".repeat(96))),
        ("RSA (`react-native-biometrics`)", base64(&rsa)),
        ("Ed25519", base64(&format!("302a300506032b6570032100{}", "11".repeat(32)))),
        ("A private key: PKCS #8, SEC 1, PEM", pem("PRIVATE KEY", &pkcs8)),
        ("A private key: JWK with `d`", private_jwk.to_string()),
        ("A private key: external representation of iOS, 97 bytes", format!("{point}{}", "11".repeat(32))),
        ("32 bytes", x.to_owned()),
        ("The signature", Phone::new(1).sign("212212")),
    ]
}

fn signatures() -> Vec<(&'static str, String)> {
    let der = Phone::new(1).sign("212212");
    let (r, s) = integers(&der);
    let (r, s) = (&*r, &*s);
    let bytes = hex::decode(&der).unwrap();
    let spaced: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
    let [raw_r, raw_s] = [r, s].map(|number| format!("{number:0>64}"));
    let raw = format!("{raw_r}{raw_s}");
    let long = format!("00{}", "ee".repeat(48));
    vec![
        (
            "Raw r and s in hex (WebCrypto, JOSE, CryptoKit `rawRepresentation`, Node.js `ieee-p1363`, .NET)",
            raw.clone(),
        ),
        ("The same in Base64", base64(&raw)),
        ("The same in Base64url", BASE64_URL_SAFE_NO_PAD.encode(hex::decode(&raw).unwrap())),
        ("Raw r and s, not padded or with a sign byte", format!("00{raw}")),
        ("DER in Base64 (Android `Base64.encodeToString`, most React Native libraries)", base64(&der)),
        ("DER in Base64url", BASE64_URL_SAFE_NO_PAD.encode(&bytes)),
        ("Hex with `0x`", format!("0x{der}")),
        ("Hex with blanks or colons", spaced.join(" ")),
        ("Hex of the hex text", hex::encode(&der)),
        ("Base64 of the hex text", BASE64_STANDARD.encode(&der)),
        ("A byte array as numbers", format!("[{}]", numbers.join(","))),
        ("A printed object", "[object ArrayBuffer]".to_owned()),
        ("The output of `openssl dgst -hex`", format!("EC-SHA2-256(stdin)= {der}")),
        ("DER in a buffer that is too long", format!("{der}0000")),
        ("DER cut off by a database column or a length of 64 or 70 bytes", der[..128].to_owned()),
        ("DER with padded integers (hand-written encoder)", sequence(&format!("000000{raw_r}"), &raw_s)),
        ("DER without the zero byte before a set first bit (hand-written encoder)", sequence(&"ee".repeat(32), &raw_s)),
        ("BER", format!("3081{}", &der[2..])),
        ("An odd number of digits", der[1..].to_owned()),
        ("A JWS or JWT", "eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl".to_owned()),
        ("A key on P-384 or P-521 signed", sequence(&long, &long)),
        ("An RSA key signed", BASE64_STANDARD.encode([0x5a; 256])),
        ("The digest", "5a".repeat(32)),
        ("The public key", Phone::new(1).key()),
        ("A private key", pem("EC PRIVATE KEY", "3003020101")),
    ]
}

async fn each_documented_form_of_a_key_is_named_in_the_answer(app: TestApp) {
    let acme = app.partner();
    let mut rows = Vec::new();
    for (mistake, key) in keys() {
        let message = fault_of_key(&acme, &key).await;
        assert!(!message.contains(&key), "the message quotes the input: {message}");
        rows.push(row(mistake, &message));
    }
    assert_documented("### Forms of `key`", &rows);
}

async fn each_documented_form_of_a_signature_is_named_in_the_answer(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let binding = acme.ask_for_device("ada", &Phone::new(1)).await;
    let mut rows = Vec::new();
    for (mistake, signature) in signatures() {
        let answer = acme.answer(&binding.id, &signature).await;
        answer.assert_status(400);
        let error = answer.json()["errors"][0].clone();
        assert_eq!(error["source"]["field"], "signature");
        let message = error["source"]["message"].as_str().unwrap();
        assert!(!message.contains(&signature), "the message quotes the input: {message}");
        rows.push(row(mistake, message));
    }
    assert_documented("### Forms of `signature`", &rows);
}

async fn a_recognised_form_costs_no_attempt(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let binding = acme.ask_for_device("ada", &phone).await;
    for (_, signature) in signatures() {
        acme.answer(&binding.id, &signature).await.assert_status(400);
    }
    acme.answer(&binding.id, &phone.sign(&app.outbox().last().code())).await.assert_status(204);
}

async fn the_form_of_a_new_key_and_of_its_signature_is_named_too(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let (phone, other) = (Phone::new(1), Phone::new(2));
    let device = acme.bind("ada", &phone).await.id;
    let body = json!({
        "key": base64(&other.key()),
        "key_type": "ecdsa-p256",
        "device_signature": {"signature_key_purpose": "unrestricted", "signature": base64(&phone.sign("212212"))},
    });
    let answer = acme.post(&format!("/v1/mfa/devices/{device}/keys"), body).await;
    answer.assert_faults(&[
        (
            "key",
            "must be 130 hexadecimal characters: an uncompressed SEC 1 point, 04 followed by X and Y of 32 bytes each; \
             this looks like Base64 of an uncompressed point: send its 65 bytes as 130 hexadecimal digits and nothing else",
        ),
        (
            "device_signature.signature",
            "must be hexadecimal: two digits for each byte, and nothing else; this looks like Base64 of a DER signature: \
             send the same bytes as hexadecimal digits and nothing else",
        ),
    ]);
}

async fn fault_of_key(client: &TestClient, key: &str) -> String {
    let body = json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": key});
    let answer = client.post("/v1/mfa/devices", body).await;
    answer.assert_status(400);
    let error = answer.json()["errors"][0].clone();
    assert_eq!(error["source"]["field"], "key");
    error["source"]["message"].as_str().unwrap().to_owned()
}

fn row(mistake: &'static str, message: &str) -> Row {
    // Without a form, the whole message stands in the row, which no document has.
    let form = message.split_once("; this looks like ").map_or(message, |(_, form)| form);
    let (name, remedy) = form.split_once(": ").unwrap_or_default();
    Row { mistake, says: format!("this looks like {name}"), remedy: remedy.to_owned() }
}

fn base64(hex: &str) -> String {
    BASE64_STANDARD.encode(hex::decode(hex).unwrap())
}

fn pem(label: &str, der: &str) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----", base64(der))
}

/// DER of a sequence of two integers with these contents, also invalid ones.
fn sequence(r: &str, s: &str) -> String {
    let integer = |content: &str| format!("02{:02x}{content}", content.len() / 2);
    let integers = [integer(r), integer(s)].concat();
    format!("30{:02x}{integers}", integers.len() / 2)
}

/// The integers of a DER signature in hex, without sign bytes.
fn integers(der: &str) -> (String, String) {
    let length = |at: usize| 2 * usize::from_str_radix(&der[at..at + 2], 16).unwrap();
    let r_end = 8 + length(6);
    let unsigned = |content: &str| if content.len() == 66 { content[2..].to_owned() } else { content.to_owned() };
    (unsigned(&der[8..r_end]), unsigned(&der[r_end + 4..]))
}
