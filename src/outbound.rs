//! The HTTP client for calls to other servers, shared by all adapters.
//!
//! It follows no redirects and uses no proxy from the environment: either could send a credential or a code to a server
//! that no setting names. Answers have a size limit. The callers set the timeouts.

pub mod probe;

use std::fmt;
use std::time::Duration;

use reqwest::{Client, Response, Url, redirect};

/// The connect timeout. It is shorter than the timeout of any caller, so that "nothing was sent" can be distinguished
/// from "sent, no answer".
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Idle connections are closed before common servers close them (60 s and more): a request on a connection that is
/// being closed cannot be distinguished from a lost answer.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Creates the client that all adapters share.
///
/// # Errors
///
/// When the platform's certificate store cannot be used.
pub fn client() -> Result<Client, reqwest::Error> {
    Client::builder()
        .user_agent(concat!(env!("CARGO_PKG_NAME"), "/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .redirect(redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .build()
}

/// The address of a server: `http` or `https`, with a host and without credentials.
///
/// `Debug` and `Display` show scheme, host and port only; a gateway's path or query may contain a token.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(Url);

/// The text is not the address of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an http or https URL with a host and without user name or password")]
pub struct InvalidHttpUrl;

impl HttpUrl {
    /// Parses a URL.
    ///
    /// # Errors
    ///
    /// When it is not an `http` or `https` URL with a host and without credentials.
    pub fn parse(text: &str) -> Result<Self, InvalidHttpUrl> {
        let url = Url::parse(text).map_err(|_| InvalidHttpUrl)?;
        let usable = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none();
        usable.then_some(Self(url)).ok_or(InvalidHttpUrl)
    }

    /// Whether the scheme is `https`.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    pub(crate) fn as_url(&self) -> &Url {
        &self.0
    }

    /// The URL of a resource below this one; every segment is percent-encoded.
    pub(crate) fn below(&self, segments: &[&str]) -> Url {
        let mut url = self.0.clone();
        url.path_segments_mut().expect("http and https URLs have a path").pop_if_empty().extend(segments);
        url
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        self.0.port().map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a body was not read to its end.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// It is larger than the limit.
    TooLarge,
    /// The connection ended early.
    Interrupted(reqwest::Error),
}

/// Reads a body of at most `limit` bytes and buffers no more than that, regardless of `Content-Length`.
pub(crate) async fn read_up_to(limit: usize, mut response: Response) -> Result<Vec<u8>, BodyError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| BodyError::Interrupted(e.without_url()))? {
        if chunk.len() > limit - body.len() {
            return Err(BodyError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_needs_http_or_https_and_a_host() {
        for text in
            ["", "api.example", "/path", "ftp://api.example", "mailto:ops@api.example", "http://", "file:///etc"]
        {
            assert_eq!(HttpUrl::parse(text), Err(InvalidHttpUrl), "{text:?}");
        }
    }

    #[test]
    fn a_url_with_credentials_is_refused() {
        for text in ["https://user@api.example", "https://user:pass@api.example", "https://:pass@api.example"] {
            assert_eq!(HttpUrl::parse(text), Err(InvalidHttpUrl), "{text:?}");
        }
    }

    #[test]
    fn only_scheme_and_host_are_shown() {
        let url = HttpUrl::parse("https://sms.example/send/k3y?token=s3cret").unwrap();
        assert_eq!(format!("{url} {url:?}"), "https://sms.example https://sms.example");
        assert!(url.is_encrypted());
    }

    #[test]
    fn segments_go_below_the_path_and_cannot_leave_it() {
        for base in ["http://api.example/base", "http://api.example/base/"] {
            let url = HttpUrl::parse(base).unwrap().below(&["Accounts", "../a?b", "x.json"]);
            assert_eq!(url.as_str(), "http://api.example/base/Accounts/..%2Fa%3Fb/x.json");
        }
        assert_eq!(HttpUrl::parse("http://api.example").unwrap().below(&["v2"]).as_str(), "http://api.example/v2");
    }
}
