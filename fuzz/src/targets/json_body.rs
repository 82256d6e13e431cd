//! Bodies: each is sent to every operation that reads JSON.
//!
//! A body that is no JSON object is refused with `invalid_json` and without a field. Any other is accepted, or each
//! error names its field.

use serde_json::Value;

use super::{Edge, Verdict};

/// The largest body (docs/api-design.md#limits).
const BYTES_MAX: usize = 524_288;

/// Sends the input as a body. It is taken when at least one operation accepts it.
pub fn try_out(edge: &Edge, body: &[u8]) -> Verdict {
    let is_object = matches!(serde_json::from_slice(body), Ok(Value::Object(_)));
    let keys = format!("/v1/mfa/devices/{}/keys", edge.device());
    let operations = [
        ("POST", "/v1/mfa/devices", "createDevice"),
        ("PUT", &*edge.open_challenge(), "verifySignatureChallenge"),
        ("POST", &keys, "addKey"),
        ("POST", "/v1/persons/bob/mobile_number", "createMobileNumber"),
        ("POST", "/v1/persons/eve/mobile_number/authorize", "authorizeMobileNumber"),
        ("POST", "/v1/persons/eve/mobile_number/confirm", "confirmMobileNumber"),
        ("DELETE", "/v1/persons/eve/mobile_number", "deleteMobileNumber"),
    ];
    let mut taken = false;
    for (method, path, operation) in operations {
        let answer = edge.send(method, path, Some(body));
        if body.len() > BYTES_MAX {
            assert_eq!(answer.status, 413, "{operation}");
        } else if method == "DELETE" && body.is_empty() {
            assert_eq!(answer.status, 404, "without a body it deletes the number, whatever it is");
        } else if !is_object {
            assert_eq!(answer.status, 400, "{operation} accepts only objects");
            let errors = answer.body["errors"].as_array().expect("an error has the envelope");
            let only_the_body =
                errors.len() == 1 && errors[0]["code"] == "invalid_json" && errors[0]["source"].is_null();
            assert!(only_the_body, "{operation}: {}", answer.body);
        } else if answer.status == 400 {
            answer.faulty_fields();
        } else {
            taken = true;
        }
    }
    Verdict::taken_if(gets_a_token(edge, body, is_object) || taken)
}

/// The token endpoint has another format for errors inside an object (RFC 6749 section 5.2).
fn gets_a_token(edge: &Edge, body: &[u8], is_object: bool) -> bool {
    let answer = edge.send("POST", "/oauth/token", Some(body));
    assert!(is_object || matches!(answer.status, 400 | 413), "only an object gets the status {}", answer.status);
    answer.status == 200
}
