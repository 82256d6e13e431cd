//! Checks that a request names one well-formed host (RFC 9112 section 3.2, RFC 9113 section 8.3.1). With two, a proxy
//! and the service could interpret the request differently.

use axum::extract::Request;
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::error::ApiError;
use super::refusals::ErrorCode;

/// Middleware of every route.
pub(super) async fn around(request: Request, next: Next) -> Response {
    if has_one_host(&request) {
        return next.run(request).await;
    }
    let detail =
        "name the host once: one Host header with a host and an optional port, on HTTP/2 the same as :authority";
    ApiError::new(ErrorCode::ValidationError, detail).into_response()
}

fn has_one_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (_, Some(_)) => false,
        (Some(host), None) => authority(host).is_some_and(|host| is_target(&host, request)),
        // HTTP/1.0 has no Host header; HTTP/2 has `:authority` instead.
        (None, None) => match request.version() {
            Version::HTTP_11 => false,
            version => version < Version::HTTP_11 || request.uri().authority().is_some(),
        },
    }
}

/// Whether the header agrees with the target. HTTP/1 ignores the header if the target has an authority (RFC 9112
/// section 3.2.2); in HTTP/2 a difference makes the request malformed.
fn is_target(host: &Authority, request: &Request) -> bool {
    let target = request.uri().authority().filter(|_| request.version() > Version::HTTP_11);
    target.is_none_or(|target| is_same(host, target, request.uri().scheme_str()))
}

/// `uri-host [ ":" port ]`, without user information. RFC 3986 allows a comma in a name, the DNS does not: a comma
/// means that the values of two headers were joined.
fn authority(host: &HeaderValue) -> Option<Authority> {
    let authority = Authority::try_from(host.as_bytes()).ok()?;
    let port = authority.as_str().strip_prefix(authority.host())?;
    let is_port = port.is_empty() || port == ":" || authority.port_u16().is_some();
    let is_host = !authority.host().is_empty() && !authority.host().contains(',');
    (is_host && is_port).then_some(authority)
}

/// Hosts are case-insensitive, and a scheme has a default port (RFC 9110 section 4.2.3).
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
        has_one_host(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn one_well_formed_host_is_accepted() {
        for host in ["a", "a.example:8080", "a.example:", "127.0.0.1:80", "[::1]", "[::1]:8080", "A.Example"] {
            assert!(check(Version::HTTP_11, "/", &[host]), "{host}");
        }
    }

    #[test]
    fn a_missing_repeated_or_malformed_host_is_refused() {
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
    fn on_http_2_the_header_must_agree_with_the_target() {
        assert!(check(Version::HTTP_11, "http://a/", &["a"]));
        assert!(check(Version::HTTP_11, "http://a/", &["A:80"]));
        assert!(check(Version::HTTP_2, "https://a/", &["a:443"]));
        assert!(check(Version::HTTP_2, "http://a/", &[]));
        assert!(check(Version::HTTP_10, "/", &[]));
        assert!(check(Version::HTTP_11, "http://a/", &["b"]), "HTTP/1.1 uses the target");
        assert!(!check(Version::HTTP_11, "http://a/", &["b/"]));
        assert!(!check(Version::HTTP_2, "http://a/", &["a:81"]));
    }
}
