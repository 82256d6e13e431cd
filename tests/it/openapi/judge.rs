//! Tests of the contract check: it accepts documented answers and refuses each kind of deviation.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::harness::contract::CONTRACT;

const DEVICE: &str = "/v1/mfa/devices/6642d15e-8f6b-4d28-9186-cdd61d80032a";
const JSON: (&str, &str) = ("content-type", "application/json");
const REQUEST: (&str, &str) = ("x-request-id", "r-1");

#[test]
fn a_documented_answer_passes() {
    assert_eq!(verdict("GET", DEVICE, 200, &[JSON, REQUEST], &device().to_string()), Ok(Some("getDevice")));
    let with_charset = ("content-type", "application/json; charset=utf-8");
    assert_eq!(verdict("GET", DEVICE, 200, &[with_charset, REQUEST], &device().to_string()), Ok(Some("getDevice")));
    assert_eq!(verdict("DELETE", DEVICE, 204, &[REQUEST], ""), Ok(Some("deleteDevice")));
    assert_eq!(verdict("GET", "/healthz", 200, &[JSON, REQUEST], r#"{"status":"ok"}"#), Ok(Some("getHealth")));
}

#[test]
fn an_answer_to_head_is_one_to_get_without_its_body() {
    assert_eq!(verdict("HEAD", DEVICE, 200, &[JSON, REQUEST], ""), Ok(Some("getDevice")));
    refused("HEAD", DEVICE, 200, &[JSON, REQUEST], &device().to_string(), "there must be no body");
    refused("HEAD", DEVICE, 200, &[REQUEST], "", "content type is missing");
}

#[test]
fn an_undocumented_status_is_refused() {
    for status in [201, 204, 302, 400, 409, 422, 502] {
        refused("GET", DEVICE, status, &[JSON, REQUEST], &device().to_string(), "not documented");
    }
}

#[test]
fn a_wrong_body_is_refused() {
    let with = |field: &str, value: Value| {
        let mut body = device();
        body[field] = value;
        body.to_string()
    };
    let mut undated = device();
    undated.as_object_mut().expect("an object").remove("created_at");
    let wrong = [
        ("required", undated.to_string()),
        ("is not of type", json!([device()]).to_string()),
        ("Additional properties", with("push_token", json!("x"))),
        ("/deleted_at", with("deleted_at", Value::Null)),
        ("/name", with("name", json!(""))),
        ("/name", with("name", json!("x".repeat(256)))),
        ("/id", with("id", json!("20f892fdc6414320b5b1df612f833edb"))),
        ("/id", with("id", json!("20F892FD-C641-4320-B5B1-DF612F833EDB"))),
        ("/created_at", with("created_at", json!("2022-06-30T22:19:37.5Z"))),
        ("/created_at", with("created_at", json!("2022-06-31T22:19:37Z"))),
    ];
    for (complaint, body) in wrong {
        refused("GET", DEVICE, 200, &[JSON, REQUEST], &body, complaint);
    }
    refused("GET", DEVICE, 200, &[JSON, REQUEST], "<html>", "not JSON");
    refused("GET", DEVICE, 200, &[JSON, REQUEST], "", "not JSON");
}

#[test]
fn a_204_with_a_body_or_a_content_type_is_refused() {
    refused("DELETE", DEVICE, 204, &[REQUEST], "{}", "there must be no body");
    refused("DELETE", DEVICE, 204, &[REQUEST, JSON], "", "\"application/json\" is not documented");
}

#[test]
fn a_missing_or_malformed_header_is_refused() {
    refused("GET", DEVICE, 200, &[JSON], &device().to_string(), "x-request-id is missing");
    refused("GET", DEVICE, 200, &[REQUEST], &device().to_string(), "content type is missing");
    refused("GET", DEVICE, 200, &[REQUEST, ("content-type", "text/plain")], &device().to_string(), "text/plain");

    let (total, per_page) = (("total", "0"), ("per-page", "10"));
    let link = ("link", r#"<?page%5Bnumber%5D=1>; rel="first""#);
    let list = |headers: &[_]| {
        verdict("GET", "/v1/mfa/devices?page[size]=10", 200, &[&[JSON, REQUEST], headers].concat(), "[]")
    };
    assert_eq!(list(&[total, per_page, link]), Ok(Some("listDevices")));
    for headers in [vec![per_page, link], vec![total, link], vec![total, per_page]] {
        assert!(list(&headers).expect_err("a header is missing").contains("is missing"));
    }
    for bad in [("total", "-1"), ("total", "many"), ("per-page", "0"), ("link", "/v1/mfa/devices")] {
        let headers: Vec<_> =
            [total, per_page, link].into_iter().filter(|(name, _)| *name != bad.0).chain([bad]).collect();
        assert!(list(&headers).expect_err("a header is malformed").contains("must not be"));
    }
}

#[test]
fn a_refusal_needs_its_documented_header() {
    let unauthorized = errors(401, "token_required", "Token Required");
    refused("GET", DEVICE, 401, &[JSON, REQUEST], &unauthorized, "www-authenticate is missing");
    let challenge = ("www-authenticate", "Bearer");
    assert_eq!(verdict("GET", DEVICE, 401, &[JSON, REQUEST, challenge], &unauthorized), Ok(Some("getDevice")));

    let unavailable = errors(503, "service_unavailable", "Service Unavailable");
    refused("GET", DEVICE, 503, &[JSON, REQUEST], &unavailable, "retry-after is missing");
    refused("GET", DEVICE, 503, &[JSON, REQUEST, ("retry-after", "soon")], &unavailable, "must not be");
    assert_eq!(
        verdict("GET", DEVICE, 503, &[JSON, REQUEST, ("retry-after", "1")], &unavailable),
        Ok(Some("getDevice"))
    );
}

#[test]
fn an_error_that_contradicts_its_answer_is_refused() {
    let judge = |body: &str| verdict("GET", DEVICE, 404, &[JSON, REQUEST], body);
    assert_eq!(judge(&errors(404, "not_found", "Not Found")), Ok(Some("getDevice")));

    let elsewhere =
        verdict("GET", DEVICE, 404, &[JSON, ("x-request-id", "r-2")], &errors(404, "not_found", "Not Found"));
    assert!(elsewhere.expect_err("another id").contains("not the request id"));
    assert!(judge(&errors(400, "not_found", "Not Found")).expect_err("another status").contains("/errors/0/status"));
    assert!(
        judge(&errors(404, "model_not_found", "Model Not Found")).expect_err("persons only").contains("/errors/0/code")
    );
    assert!(judge(&errors(404, "not_found", "Missing")).expect_err("another title").contains("table of errors"));
    assert!(judge(r#"{"errors":[]}"#).expect_err("no error").contains("/errors"));
    assert!(judge(r#"{"error":"gone"}"#).expect_err("no envelope").contains("required"));
}

#[test]
fn an_unknown_path_needs_404_in_the_envelope() {
    let not_found = errors(404, "not_found", "Not Found");
    for path in ["/", "/v2/mfa/devices", "/v1/mfa/devices/", "/v1/mfa/devices/a/b/c", "/v1/persons//mobile_number"] {
        assert_eq!(verdict("GET", path, 404, &[JSON, REQUEST], &not_found), Ok(None), "{path}");
        refused("GET", path, 404, &[JSON], &not_found, "x-request-id is missing");
        refused("GET", path, 404, &[REQUEST], "", "content type is missing");
        refused("GET", path, 200, &[JSON, REQUEST], "{}", "not documented");
    }
}

#[test]
fn an_unknown_method_needs_405_with_the_allowed_methods() {
    let wrong_method = errors(405, "method_not_allowed", "Method Not Allowed");
    let judge = |headers: &[_]| verdict("PATCH", DEVICE, 405, &[&[JSON, REQUEST], headers].concat(), &wrong_method);
    assert_eq!(judge(&[("allow", "GET,HEAD,DELETE")]), Ok(None));
    assert!(judge(&[]).expect_err("no methods").contains("allow is missing"));
    assert!(judge(&[("allow", "GET,HEAD")]).expect_err("one is missing").contains("lacks DELETE"));
    refused("PATCH", DEVICE, 404, &[JSON, REQUEST], &errors(404, "not_found", "Not Found"), "not documented");
    refused("GET", DEVICE, 405, &[JSON, REQUEST, ("allow", "GET")], &wrong_method, "not documented");
}

fn verdict(
    method: &str,
    path: &str,
    status: u16,
    headers: &[(&str, &str)],
    body: &str,
) -> Result<Option<&'static str>, String> {
    let pairs = headers.iter().map(|(name, value)| {
        let name = HeaderName::try_from(*name).expect("a header name");
        (name, HeaderValue::from_str(value).expect("a header value"))
    });
    let headers: HeaderMap = pairs.collect();
    CONTRACT.check(method, path, status, &headers, body.as_bytes()).map(|operation| operation.map(|it| &*it.id))
}

#[track_caller]
fn refused(method: &str, path: &str, status: u16, headers: &[(&str, &str)], body: &str, complaint: &str) {
    let verdict = verdict(method, path, status, headers, body).expect_err("the contract check must refuse this");
    assert!(verdict.contains(complaint), "{complaint:?} is not in {verdict:?}");
}

fn device() -> Value {
    json!({
        "id": "20f892fd-c641-4320-b5b1-df612f833edb",
        "name": "Samsung Galaxy S20",
        "person_id": "83caf49280604836bdbb41ba33d8cper",
        "created_at": "2022-06-30T22:19:37Z",
    })
}

fn errors(status: u16, code: &str, title: &str) -> String {
    json!({ "errors": [{ "id": "r-1", "status": status, "code": code, "title": title, "detail": "a reason" }] })
        .to_string()
}
