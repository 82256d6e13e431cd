//! Which host a request is for (RFC 9112 section 3.2, RFC 9113 section 8.3.1): said once and well-formed, or refused. A
//! request that says two things here may be one thing to a proxy and another to the service.

use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::refusals::ErrorCode;

/// Around every route.
pub(super) async fn around(request: Request, next: Next) -> Response {
    if is_clear(&request) {
        return next.run(request).await;
    }
    let detail = "name the host once: one Host header with a host and perhaps a port, on HTTP/2 the same as :authority";
    ApiError::new(ErrorCode::ValidationError, detail).into_response()
}

fn is_clear(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => false,
        (Some(host), None) => authority(host).is_some_and(|host| is_target(&host, request)),
        // HTTP/1.0 knew no Host; in HTTP/2 `:authority` stands for it.
        (None, None) => match request.version() {
            Version::HTTP_11 => false,
            version => version < Version::HTTP_11 || request.uri().authority().is_some(),
        },
    }
}

/// Whether the header may stand beside the target. HTTP/1 ignores it there (RFC 9112 section 3.2.2), HTTP/2 takes a
/// difference for a malformed request.
fn is_target(host: &Authority, request: &Request) -> bool {
    let target = request.uri().authority().filter(|_| request.version() > Version::HTTP_11);
    target.is_none_or(|target| is_same(host, target, request.uri().scheme_str()))
}

/// `uri-host [ ":" port ]`, without user information. A comma may stand in a name by RFC 3986, but in no name of the DNS:
/// it is what joins the values of two headers.
fn authority(host: &HeaderValue) -> Option<Authority> {
    let authority = Authority::try_from(host.as_bytes()).ok()?;
    let port = authority.as_str().strip_prefix(authority.host())?;
    let is_port = port.is_empty() || port == ":" || authority.port_u16().is_some();
    let is_host = !authority.host().is_empty() && !authority.host().contains(',');
    (is_host && is_port).then_some(authority)
}

/// Hosts are the same in any case, and a scheme has a port of its own (RFC 9110 section 4.2.3).
fn is_same(one: &Authority, other: &Authority, scheme: Option<&str>) -> bool {
    let usual = if scheme == Some("https") { 443 } else { 80 };
    let port = |authority: &Authority| authority.port_u16().unwrap_or(usual);
    one.host().eq_ignore_ascii_case(other.host()) && port(one) == port(other)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn check(version: Version, target: &str, hosts: &[&str]) -> bool {
        let request = Request::get(target).version(version);
        let request = hosts.iter().fold(request, |request, host| request.header(HOST, *host));
        is_clear(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn one_well_formed_host_is_clear() {
        for host in ["a", "a.example:8080", "a.example:", "127.0.0.1:80", "[::1]", "[::1]:8080", "A.Example"] {
            assert!(check(Version::HTTP_11, "/", &[host]), "{host}");
        }
    }

    #[test]
    fn none_two_or_a_malformed_one_is_not() {
        assert!(!check(Version::HTTP_11, "/", &[]));
        assert!(!check(Version::HTTP_11, "http://a/", &[]));
        assert!(!check(Version::HTTP_2, "/", &[]));
        for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
            assert!(!check(version, "/", &["a", "a"]), "{version:?}");
        }
        for host in ["", "a b", "a/b", "a@b", "a:b", "a:99999", "http://a", "a,b", "[::1", "a?b", "a#b"] {
            assert!(!check(Version::HTTP_11, "/", &[host]), "{host}");
        }
    }

    #[test]
    fn the_header_agrees_with_the_target_on_http_2() {
        assert!(check(Version::HTTP_11, "http://a/", &["a"]));
        assert!(check(Version::HTTP_11, "http://a/", &["A:80"]));
        assert!(check(Version::HTTP_2, "https://a/", &["a:443"]));
        assert!(check(Version::HTTP_2, "http://a/", &[]));
        assert!(check(Version::HTTP_10, "/", &[]));
        assert!(check(Version::HTTP_11, "http://a/", &["b"]), "the target counts");
        assert!(!check(Version::HTTP_11, "http://a/", &["b/"]));
        assert!(!check(Version::HTTP_2, "http://a/", &["a:81"]));
    }
}
