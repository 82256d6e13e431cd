//! Property tests with random input: each answer is a documented one below 500, and stored data does not change.
//!
//! The test client checks each answer against `openapi.yaml`.

mod material;
mod sender;

use axum::body::Body;
use axum::http::{HeaderValue, Request, Uri};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use self::material::{ODD_CHARACTERS, body, encoded, uuids};
use self::sender::Fuzzed;
use crate::contract::calls::PERSON;
use crate::harness::{NUMBER, Phone, on_both_databases};

on_both_databases![
    arbitrary_json_is_answered_below_500,
    arbitrary_bytes_are_answered_below_500,
    arbitrary_paths_and_queries_are_answered_below_500,
    arbitrary_keys_and_signatures_are_answered_below_500,
    arbitrary_headers_are_answered_below_500,
    an_accepted_name_is_returned_unchanged,
    deep_and_long_input_is_answered_below_500,
];

async fn arbitrary_json_is_answered_below_500(fuzzed: Fuzzed) {
    let bodies = (select((0..fuzzed.calls().len()).collect::<Vec<_>>()), body());
    fuzzed.for_all(&bodies, async |(index, body)| {
        let call = &fuzzed.calls()[index];
        let good = call.body.clone().unwrap_or_default();
        // Fields without random values are valid, so that the checks reach the random ones.
        let body = match (good, body) {
            (Value::Object(mut good), Value::Object(fuzzed)) => {
                good.extend(fuzzed);
                Value::Object(good)
            }
            (_, body) => body,
        };
        fuzzed.send(call.method, &call.path, Some("application/json"), body.to_string().into_bytes()).await
    });
    fuzzed.assert_unchanged().await;
}

async fn arbitrary_bytes_are_answered_below_500(fuzzed: Fuzzed) {
    let tricks: Vec<&[u8]> = vec![
        b"{\"person_id\":\"\\ud800\"}",
        b"{\"person_id\":\"\\ud800\\u0041\"}",
        b"{\"name\":\"\\u0000\"}",
        b"{\"name\":\"\xff\xfe\"}",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\x00}\x00",
        b"{\"key\":1e999}",
        b"{\"key\":-0}",
        b"{\"key\":123456789012345678901234567890}",
        b"{\"key\":1,\"key\":2}",
        b"{\"\":{}}",
        b"{,}",
        b"NaN",
        b"\0",
    ];
    let bytes = prop_oneof![
        vec(any::<u8>(), 0..200),
        select(tricks).prop_map(<[u8]>::to_vec),
        // Truncated JSON.
        (body(), 0..100_usize).prop_map(|(body, part)| {
            let text = body.to_string().into_bytes();
            text[..text.len() * part / 100].to_vec()
        }),
    ];
    let media_types = select(vec![None, Some("application/json"), Some("text/plain"), Some("application/json;\u{7f}")]);
    let requests = (select((0..fuzzed.calls().len()).collect::<Vec<_>>()), bytes, media_types);
    fuzzed.for_all(&requests, async |(index, bytes, media_type)| {
        let call = &fuzzed.calls()[index];
        let media_type = media_type.filter(|text| HeaderValue::from_str(text).is_ok());
        fuzzed.send(call.method, &call.path, media_type, bytes).await
    });
    fuzzed.assert_unchanged().await;
}

async fn arbitrary_paths_and_queries_are_answered_below_500(fuzzed: Fuzzed) {
    let segment =
        prop_oneof!["[!-~]{1,40}", "(%[0-9A-Fa-f]{2}){1,20}", "\\PC{1,20}".prop_map(|text| encoded(&text)), uuids(),];
    let queries = prop_oneof![
        "[!-~]{0,80}",
        "((filter|page)(\\[|%5[Bb])(person_id|include_deleted|number|size|to)(\\]|%5[Dd])=[!-%'-~]{0,20}&?){1,4}",
        "page\\[(number|size)\\]=-?[0-9]{1,25}",
    ];
    let templates = select(vec![
        ("GET", "/v1/mfa/devices/{}"),
        ("DELETE", "/v1/mfa/devices/{}"),
        ("GET", "/v1/mfa/devices/{}/keys"),
        ("POST", "/v1/mfa/devices/{}/keys"),
        ("GET", "/v1/mfa/devices/{}/keys/{}"),
        ("GET", "/v1/mfa/challenges/signatures/{}"),
        ("PUT", "/v1/mfa/challenges/signatures/{}"),
        ("GET", "/v1/persons/{}/mobile_number"),
        ("POST", "/v1/persons/{}/mobile_number"),
        ("DELETE", "/v1/persons/{}/mobile_number"),
        ("POST", "/v1/persons/{}/mobile_number/authorize"),
        ("POST", "/v1/persons/{}/mobile_number/confirm"),
        ("GET", "/v1/mfa/devices"),
        ("GET", "/sandbox/messages"),
        ("GET", "/docs/{}"),
        ("GET", "/{}"),
    ]);
    let requests = (templates, segment, prop_oneof![Just(String::new()), queries]);
    fuzzed.for_all(&requests, async |((method, template), segment, query)| {
        let path = format!("{}?{query}", template.replace("{}", &segment));
        // The server's HTTP library refuses what is not a URI.
        if path.parse::<Uri>().is_err() || segment == PERSON {
            return Ok(());
        }
        let body = json!({"number": NUMBER, "token": "000000", "signature": Phone::new(9).sign("x")});
        let body = if method == "GET" { Vec::new() } else { body.to_string().into_bytes() };
        fuzzed.send(method, &path, None, body).await
    });
    fuzzed.assert_unchanged().await;
}

async fn arbitrary_keys_and_signatures_are_answered_below_500(fuzzed: Fuzzed) {
    let hex = prop_oneof![
        "[0-9a-fA-F]{0,300}",
        "04[0-9a-f]{128}",
        "0[2-7][0-9a-f]{128}",
        "30[0-4][0-9a-f]02[0-2][0-9a-f][0-9a-f]{64}02[0-2][0-9a-f][0-9a-f]{64}",
        "3006020[0-2][0-9a-f]{2}020[0-2][0-9a-f]{2}",
        "(30|02|00|81|ff){1,150}",
        (1..40_u32).prop_map(|seed| Phone::new(seed).sign("212212")),
        any::<String>(),
    ];
    let keys = format!("/v1/mfa/devices/{}/keys", fuzzed.scene.device);
    let keys_or_hex = prop_oneof![(6..40_u32).prop_map(|seed| Phone::new(seed).key()), hex.clone()];
    fuzzed.for_all(&(keys_or_hex, hex), async |(key, signature)| {
        let device_signature = json!({"signature_key_purpose": "unrestricted", "signature": signature});
        let pending = fuzzed.client.ask_for_device("eve", &Phone::new(40)).await.id;
        for (method, path, body) in [
            ("PUT", &format!("/v1/mfa/challenges/signatures/{pending}"), json!({"signature": signature})),
            ("POST", &keys, json!({"key": key, "key_type": "ecdsa-p256", "device_signature": device_signature})),
            ("POST", &"/v1/mfa/devices".into(), json!({"person_id": "eve", "key_type": "ecdsa-p256", "key": key})),
        ] {
            fuzzed.send(method, path, None, body.to_string().into_bytes()).await?;
        }
        Ok(())
    });
    fuzzed.assert_unchanged().await;
}

async fn arbitrary_headers_are_answered_below_500(fuzzed: Fuzzed) {
    let names = select(vec![
        "authorization",
        "content-type",
        "x-request-id",
        "idempotency-key",
        "accept",
        "content-length",
        "expect",
        "transfer-encoding",
        "origin",
        "x-forwarded-for",
    ]);
    let value = vec(prop_oneof![32..=126_u8, 128..=255_u8], 0..150);
    let headers = vec((names, value), 1..4);
    let paths =
        select(vec!["/v1/mfa/devices", "/oauth2/token", "/oauth/token", "/v1/persons/eve/mobile_number/authorize"]);
    fuzzed.for_all(&(paths, headers), async |(path, headers)| {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        fuzzed.answer(request.body(Body::from("grant_type=client_credentials")).unwrap()).await
    });
    fuzzed.assert_unchanged().await;
}

async fn an_accepted_name_is_returned_unchanged(fuzzed: Fuzzed) {
    let (client, phone) = (&fuzzed.client, Phone::new(6));
    let name = prop_oneof![
        ODD_CHARACTERS,
        any::<String>(),
        "\\PC{1,300}",
        ".{250,260}",
        ODD_CHARACTERS.prop_map(|text| format!("x{text}x")),
    ];
    fuzzed.for_all(&name, async |name| {
        let body = json!({"person_id": "eve", "key_type": "ecdsa-p256", "key": phone.key(), "name": name});
        let asked = client.post("/v1/mfa/devices", body).await;
        if asked.status == 400 {
            prop_assert_eq!(&asked.json()["errors"][0]["source"]["field"], "name");
            return Ok(());
        }
        let device = asked.assert_status(202).json()["id"].as_str().expect("an id").to_owned();
        client.answer(&device, &phone.sign(&fuzzed.app.outbox().last().code())).await.assert_status(204);
        let path = format!("/v1/mfa/devices/{device}");
        prop_assert_eq!(&client.get(&path).await.json()["name"], name.as_str());
        client.delete(&path).await.assert_status(204);
        Ok(())
    });
}

async fn deep_and_long_input_is_answered_below_500(fuzzed: Fuzzed) {
    let deep =
        |open: &str, close: &str, depth: usize| format!("{{\"x\":{}0{}}}", open.repeat(depth), close.repeat(depth));
    let long = 300 * 1024;
    let mut bodies = vec![
        deep("[", "]", 100),
        deep("[", "]", 200_000),
        deep("{\"a\":", "}", 50_000),
        "[".repeat(long),
        "{\"a\":".repeat(long / 5),
        format!("{{\"name\":\"{}\"}}", "ä".repeat(long / 2)),
        format!("{{\"{}\":1}}", "k".repeat(long)),
        format!("{{\"x\":{}}}", "9".repeat(long)),
        format!("{{\"x\":[{}0]}}", "0,".repeat(long / 2)),
        format!("{{{}\"x\":1}}", "\"x\":1,".repeat(long / 6)),
    ];
    for field in ["person_id", "key", "signature", "number", "token", "name", "language", "key_type", "device_data"] {
        bodies.push(json!({field: "0".repeat(long)}).to_string());
    }
    for call in fuzzed.calls() {
        for body in bodies.iter().filter(|_| call.body.is_some()) {
            let outcome = fuzzed.send(call.method, &call.path, None, body.clone().into_bytes()).await;
            outcome.unwrap_or_else(|fault| panic!("{}: {fault}", &body[..20]));
        }
    }
    for path in ["f".repeat(30_000), "%00".repeat(10_000), "/".repeat(10_000), "?".repeat(20_000), "a=&".repeat(8_000)]
    {
        for prefix in ["/v1/mfa/devices/", "/v1/mfa/devices?", "/v1/persons/"] {
            fuzzed.send("GET", &format!("{prefix}{path}"), None, Vec::new()).await.unwrap();
        }
    }
    fuzzed.assert_unchanged().await;
}
