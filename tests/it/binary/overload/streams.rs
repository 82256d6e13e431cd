//! HTTP/2: limits of the streams of one connection.

use std::time::Duration;

use super::Wire;
use crate::binary::framing::authorization;
use crate::harness::Program;

const PATIENCE: Duration = Duration::from_secs(20);
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
/// RFC 9113 section 7.
const ENHANCE_YOUR_CALM: u32 = 11;

/// RFC 9113 section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The frames of an answer: kind and payload.
fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((head, rest)) = bytes.split_at_checked(9) {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let Some((payload, rest)) = rest.split_at_checked(length) else { break };
        frames.push((head[3], payload.to_vec()));
        bytes = rest;
    }
    frames
}

/// Opens a stream with `GET /`, from the static table (RFC 7541 appendix A) except the authority.
fn open(stream: u32) -> Vec<u8> {
    const END_STREAM_AND_HEADERS: u8 = 0x5;
    frame(1, END_STREAM_AND_HEADERS, stream, b"\x82\x86\x84\x41\x01a")
}

fn reset(stream: u32) -> Vec<u8> {
    const CANCEL: [u8; 4] = [0, 0, 0, 8];
    frame(3, 0, stream, &CANCEL)
}

/// `POST` with an authority, a path, a token, a length and a request id, as literals (RFC 7541 section 6.2.2).
fn post(path: &str, token: &str, length: usize, request_id: &str) -> Vec<u8> {
    const END_HEADERS: u8 = 0x4;
    fn text(text: &str) -> Vec<u8> {
        // Section 5.1: seven bits, then groups of seven.
        let (mut bytes, mut rest) = (vec![u8::try_from(text.len().min(127)).unwrap()], text.len().checked_sub(127));
        while let Some(length) = rest {
            let last = length < 128;
            bytes.push(u8::try_from(length % 128).unwrap() | if last { 0 } else { 128 });
            rest = (!last).then_some(length / 128);
        }
        [&bytes, text.as_bytes()].concat()
    }
    let mut block = vec![0x83, 0x86];
    for (name, value) in [
        (":authority", "a"),
        (":path", path),
        ("authorization", token),
        ("content-length", &length.to_string()),
        ("x-request-id", request_id),
    ] {
        block.push(0);
        block.extend(text(name));
        block.extend(text(value));
    }
    frame(1, END_HEADERS, 1, &block)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_contradicts_its_content_length_is_not_served() {
    const END_STREAM: u8 = 1;
    let service = Program::new().serve();
    let authorization = authorization(&service).await;
    let (_, token) = authorization.trim_end().split_once(": ").unwrap();
    let client = service.sandbox_client().await;
    let body = br#"{"number":"+4915112345678"}"#;
    // A reset with NO_ERROR must not count as the end of the body.
    let no_error = frame(3, 0, 1, &[0; 4]);
    for (person, announced, flags, end, is_served) in [
        ("whole", body.len(), END_STREAM, &[][..], true),
        ("reset", body.len() + 1, 0, &no_error, false),
        ("ended", body.len() + 1, END_STREAM, &[], false),
        ("longer", body.len() - 1, END_STREAM, &[], false),
    ] {
        let mut wire = Wire::to(&service).await;
        let path = format!("/v1/persons/{person}/mobile_number");
        let head = [GREETING, &frame(SETTINGS, 0, 0, &[]), &post(&path, token, announced, person)].concat();
        wire.send(&head).await.unwrap();
        // When the ping is answered, the service has read the head.
        wire.send(&frame(PING, 0, 0, &[7; 8])).await.unwrap();
        wire.until_received(&[7; 8], PATIENCE).await;
        wire.send(&[&frame(0, flags, 1, body), end].concat()).await.unwrap();
        let line = service.wait_for_log(&format!("request.id={person} "), PATIENCE);
        client.get(&path).await.assert_status(if is_served { 200 } else { 404 });
        assert!(is_served || line.contains("status=400"), "{person}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_stream_resets_close_the_connection() {
    let service = Program::new().serve();
    let mut wire = Wire::to(&service).await;
    let mut attack = [GREETING, &frame(SETTINGS, 0, 0, &[])].concat();
    for stream in (1..20_000).step_by(2) {
        attack.extend(open(stream));
        attack.extend(reset(stream));
    }
    // The service may close the connection before all of it is sent.
    let _ = wire.send(&attack).await;
    let answer = wire.bytes_until_closed(PATIENCE).await;
    let farewells: Vec<Vec<u8>> =
        frames(&answer).into_iter().filter(|(kind, _)| *kind == GO_AWAY).map(|(_, payload)| payload).collect();
    let reasons: Vec<u32> =
        farewells.iter().map(|payload| u32::from_be_bytes(payload[4..8].try_into().unwrap())).collect();
    assert!(reasons.contains(&ENHANCE_YOUR_CALM), "{reasons:?}");
    service.stranger().get("/readyz").await.assert_status(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_settings_announce_the_limits() {
    let service = Program::new().serve();
    let mut wire = Wire::to(&service).await;
    wire.send(&[GREETING, &frame(SETTINGS, 0, 0, &[]), &frame(GO_AWAY, 0, 0, &[0; 8])].concat()).await.unwrap();
    let answer = wire.bytes_until_closed(PATIENCE).await;
    let (kind, settings) = frames(&answer).remove(0);
    assert_eq!(kind, SETTINGS);
    let setting = |wanted: u16| {
        let mut entries = settings.chunks(6).filter(|entry| entry[..2] == wanted.to_be_bytes());
        entries.next().map(|entry| u32::from_be_bytes(entry[2..].try_into().unwrap()))
    };
    // RFC 9113 section 6.5.2: concurrent streams, initial window of a stream, size of a head.
    assert_eq!((setting(3), setting(4), setting(6)), (Some(256), Some(64 * 1024), Some(32 * 1024)));
}
