//! The `Idempotency-Key` header (docs/api-design.md#idempotency-keys): 1 to 255 visible ASCII characters never stand in the way of a good
//! request, however often they come with it, and anything else is refused.

use axum::body::Body;
use axum::http::{HeaderValue, Request, header};

use super::edge::{OTHER_KEY, PERSON, device_wish};
use super::{Edge, Verdict};

/// Tries the header's value on a request that is good without it, twice.
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
    assert_eq!((first, second), (expected, expected), "a good key is no fault, and another is one");
    Verdict::taken_if(first == 202)
}
