//! The `Idempotency-Key` header (docs/api-design.md#idempotency-keys): a valid request with a key of 1 to 255 visible
//! ASCII characters succeeds however often it is repeated, and any other key is refused.

use axum::body::Body;
use axum::http::{HeaderValue, Request, header};

use super::edge::{OTHER_KEY, PERSON, device_wish};
use super::{Edge, Verdict};

/// Sends a valid request twice, with the input as the value of the header.
pub fn try_out(edge: &Edge, value: &[u8]) -> Verdict {
    let Ok(key) = HeaderValue::from_bytes(value) else { return Verdict::Unsendable };
    let send = || {
        let request = Request::post("/v1/mfa/devices")
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", key.clone());
        let body = Body::from(device_wish(PERSON, OTHER_KEY).to_string());
        edge.request(request.body(body).expect("a good request")).status
    };
    let (first, second) = (send(), send());
    let is_a_key = (1..=255).contains(&value.len()) && value.iter().all(u8::is_ascii_graphic);
    let expected = if is_a_key { 202 } else { 400 };
    assert_eq!((first, second), (expected, expected), "a valid key is accepted, an invalid one refused");
    Verdict::taken_if(first == 202)
}
