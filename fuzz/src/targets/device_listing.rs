//! The query of the device listing.
//!
//! The links of a page lead to pages; an error names an existing parameter; a repeated parameter is always an error.

use axum::body::Body;
use axum::http::{Request, Uri};

use super::{Edge, Verdict};

const PARAMETERS: [&str; 6] =
    ["filter[person_id]", "filter[include_deleted]", "page[number]", "page[after]", "page[before]", "page[size]"];

/// An alias of the first.
const ALIAS: &str = "person_id";

/// Sends the input as the query, after the question mark.
pub fn try_out(edge: &Edge, query: &[u8]) -> Verdict {
    let Ok(uri) = Uri::try_from([b"/v1/mfa/devices?", query].concat()) else { return Verdict::Unsendable };
    let repeats = repeats_a_parameter(uri.query().unwrap_or_default());
    let answer = edge.request(Request::get(uri).body(Body::empty()).expect("a good address"));
    if answer.status == 400 {
        let fields = answer.faulty_fields();
        assert!(fields.iter().all(|field| PARAMETERS.contains(field)), "{fields:?}");
        return Verdict::Refused;
    }
    assert_eq!(answer.status, 200);
    assert!(!repeats, "a repeated parameter is refused");

    let size: usize = header(&answer.headers, "per-page").parse().expect("a number");
    assert!(answer.body.as_array().is_some_and(|devices| devices.len() <= size), "a page has at most per-page devices");
    for link in header(&answer.headers, "link").split(", ") {
        let target = link.split(['<', '>']).nth(1).expect("a link has a target");
        let linked = edge.send("GET", &format!("/v1/mfa/devices{target}"), None);
        assert_eq!(linked.status, 200, "{link}");
        assert_eq!(linked.headers["total"], answer.headers["total"], "{link} is a page of the same list");
    }
    Verdict::Taken
}

fn repeats_a_parameter(query: &str) -> bool {
    let names: Vec<_> = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name).collect();
    let count = |wanted: &str| {
        let alias = (wanted == PARAMETERS[0]).then_some(ALIAS);
        names.iter().filter(|name| *name == wanted || Some(&***name) == alias).count()
    };
    PARAMETERS.into_iter().any(|parameter| count(parameter) > 1)
}

fn header<'a>(headers: &'a axum::http::HeaderMap, name: &str) -> &'a str {
    headers[name].to_str().expect("the check against openapi.yaml has passed")
}
