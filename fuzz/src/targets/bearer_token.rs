//! The `Authorization` header.
//!
//! The service only accepts a token with the algorithm HS256 and the HMAC of its secret, both checked here with other
//! code than the service's: not `none`, another algorithm or a changed claim.

use axum::body::Body;
use axum::http::{HeaderValue, Request, header};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use super::edge::TOKEN_SECRET;
use super::{Edge, Verdict};

/// Sends the input as the value of the header, including the scheme.
pub fn try_out(edge: &Edge, value: &[u8]) -> Verdict {
    let Ok(header_value) = HeaderValue::from_bytes(value) else { return Verdict::Unsendable };
    let request = Request::get("/v1/mfa/devices").header(header::AUTHORIZATION, header_value);
    let answer = edge.request(request.body(Body::empty()).expect("a good request"));
    match answer.status {
        200 => {
            let text = std::str::from_utf8(value).expect("an accepted header is text");
            assert!(is_own_token(text).is_some(), "accepted {text}");
            Verdict::Taken
        }
        401 => Verdict::Refused,
        status => panic!("expected 200 or 401, got {status}"),
    }
}

/// Validation by RFC 7515 section 5.2, for HS256 only.
fn is_own_token(value: &str) -> Option<()> {
    let (scheme, token) = value.split_once(' ')?;
    let (signed, signature) = token.trim().rsplit_once('.')?;
    let (head, claims) = signed.split_once('.')?;
    let json = |part| serde_json::from_slice::<Value>(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok();
    let is_ours = scheme.eq_ignore_ascii_case("bearer")
        && json(head)?["alg"] == "HS256"
        && json(claims)?["iss"] == "device-management"
        && json(claims)?["aud"] == "device-management";
    let mut mac = Hmac::<Sha256>::new_from_slice(TOKEN_SECRET.as_bytes()).ok()?;
    mac.update(signed.as_bytes());
    mac.verify_slice(&BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?).ok()?;
    is_ours.then_some(())
}
