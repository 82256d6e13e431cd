//! Classifies a provider's HTTP response: was the message accepted, may it have been, and is failover allowed.
//!
//! If no connection was made, nothing was sent. A status that means that the request was not processed (RFC 9110
//! sections 15.5.9, 15.6.2 and 15.6.4) allows failover to another provider. With any other 5xx the message may have
//! been sent already.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::error::{Fault, SmsError};

/// The upper bound of `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(1);

/// Classifies a request without a response.
pub(super) fn no_answer(error: reqwest::Error) -> SmsError {
    let error = error.without_url();
    if error.is_connect() || error.is_builder() {
        SmsError::Unavailable(Fault::NoConnection(error))
    } else {
        SmsError::Uncertain(Fault::Interrupted(error))
    }
}

/// Classifies an error status that the provider's documentation does not explain.
pub(super) fn refused(status: StatusCode, headers: &HeaderMap) -> SmsError {
    let fault = Fault::Status { status: status.as_u16() };
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY => {
            SmsError::Throttled { retry_after: retry_after(headers), fault }
        }
        // The message itself is refused: no other provider could deliver it either.
        StatusCode::BAD_REQUEST
        | StatusCode::GONE
        | StatusCode::UNPROCESSABLE_ENTITY
        | StatusCode::UNAVAILABLE_FOR_LEGAL_REASONS => SmsError::Rejected(fault),
        // The provider has seen this message before, so it may have accepted it.
        StatusCode::CONFLICT => SmsError::Uncertain(fault),
        // Misconfiguration: wrong credentials, unpaid account, wrong URL, or a request format that is not supported.
        _ if status.is_client_error() || status.is_redirection() => misconfigured(status),
        StatusCode::NOT_IMPLEMENTED | StatusCode::SERVICE_UNAVAILABLE | StatusCode::HTTP_VERSION_NOT_SUPPORTED => {
            SmsError::Unavailable(fault)
        }
        _ => SmsError::Uncertain(fault),
    }
}

/// `Retry-After` in seconds. The date form is ignored, because it would rely on the provider's clock.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

fn misconfigured(status: StatusCode) -> SmsError {
    SmsError::Unavailable(Fault::Misconfigured { status: status.as_u16(), code: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16) -> &'static str {
        refused(StatusCode::from_u16(status).unwrap(), &HeaderMap::new()).outcome()
    }

    #[test]
    fn the_status_determines_the_outcome() {
        for (statuses, expected) in [
            (&[400, 410, 422, 451][..], "rejected"),
            (&[408, 425, 429], "throttled"),
            (
                &[
                    301, 302, 307, 308, 401, 402, 403, 404, 405, 406, 407, 411, 413, 414, 415, 417, 421, 426, 431, 499,
                    501, 503, 505,
                ],
                "unavailable",
            ),
            (&[409, 500, 502, 504, 507, 520, 599], "uncertain"),
        ] {
            for status in statuses {
                assert_eq!(outcome(*status), expected, "{status}");
            }
        }
    }

    #[test]
    fn a_refusal_of_credentials_or_settings_is_a_misconfiguration() {
        for status in [
            StatusCode::UNAUTHORIZED,
            StatusCode::PAYMENT_REQUIRED,
            StatusCode::NOT_FOUND,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            StatusCode::FOUND,
        ] {
            let error = refused(status, &HeaderMap::new());
            assert!(matches!(error.fault(), Fault::Misconfigured { .. }), "{status}");
        }
    }

    #[test]
    fn retry_after_is_parsed_in_seconds_and_bounded() {
        for (value, expected) in [
            ("7", Some(7)),
            (" 30 ", Some(30)),
            ("99999999", Some(3600)),
            ("-1", None),
            ("soon", None),
            ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            assert_eq!(retry_after(&headers), expected.map(Duration::from_secs), "{value:?}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
