//! Request bodies: checks the media type, and reads the body with a size limit and a timeout.
//!
//! Bodies are read frame by frame, and each frame is charged to the memory budget of all bodies. A `Content-Length`
//! alone reserves nothing, so that a client cannot use up the budget by announcing a large body.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING};
use http_body_util::BodyExt;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::App;
use super::admission::{Gate, Visit};
use super::error::ApiError;
use super::fields::Fields;
use super::refusals::ErrorCode;
use crate::domain::invalid::Faults;

/// A JSON body. Its faults are kept for the handler, since other errors may take precedence.
pub(crate) struct JsonBody(pub(crate) Result<Fields, Faults>);

impl JsonBody {
    /// Parses a body.
    pub(crate) fn parse(body: &[u8]) -> Self {
        Self(Fields::parse(body))
    }

    /// Reads a value from the fields.
    pub(crate) fn read<T>(self, read: impl FnOnce(Fields) -> Result<T, Faults>) -> Result<T, Faults> {
        self.0.and_then(read)
    }
}

/// A JSON body, or an empty one.
pub(crate) struct OptionalJsonBody(pub(crate) Option<JsonBody>);

impl FromRequest<App> for OptionalJsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &App) -> Result<Self, ApiError> {
        let is_json = require_json(request.headers());
        let body = of_the_api(request.into_body(), app).await;
        if body.as_ref().is_ok_and(Vec::is_empty) {
            return Ok(Self(None));
        }
        // A wrong media type takes precedence over a body that is too large.
        is_json?;
        Ok(Self(Some(JsonBody::parse(&body?))))
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Accepts `application/json` and `+json` types. A missing content type is accepted, since some clients omit it.
pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let is_json = media_type(headers).is_none_or(|essence| {
        let subtype = essence.strip_prefix("application/").unwrap_or_default();
        subtype == "json" || (subtype.ends_with("+json") && is_subtype(subtype))
    });
    is_json.then_some(()).ok_or_else(|| unsupported("application/json"))?;
    require_plain(headers)
}

/// The same for a form: a body of another media type would be parsed as a form without fields.
pub(crate) fn require_form(headers: &HeaderMap) -> Result<(), ApiError> {
    media_type(headers).is_none_or(|essence| essence == FORM).then_some(()).ok_or_else(|| unsupported(FORM))?;
    require_plain(headers)
}

/// Whether the content type is that of a form.
pub(crate) fn is_form(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|essence| essence == FORM)
}

/// Refuses every content coding: a small compressed body could expand to a large one. RFC 9110 section 15.5.16 has the
/// form of the refusal.
fn require_plain(headers: &HeaderMap) -> Result<(), ApiError> {
    let says_only = |name, coding: &str| {
        let mut codings = headers.get_all(name).iter().map(HeaderValue::as_bytes);
        codings.all(|said| said.is_empty() || said.eq_ignore_ascii_case(coding.as_bytes()))
    };
    let is_plain = says_only(CONTENT_ENCODING, "identity") && says_only(TRANSFER_ENCODING, "chunked");
    is_plain.then_some(()).ok_or_else(|| {
        let detail = "send the body without a Content-Encoding, and without a Transfer-Encoding but chunked";
        ApiError::new(ErrorCode::UnsupportedMediaType, detail)
            .with_header(ACCEPT_ENCODING, HeaderValue::from_static("identity"))
    })
}

fn unsupported(wanted: &str) -> ApiError {
    ApiError::new(ErrorCode::UnsupportedMediaType, format!("send the body as {wanted}"))
}

/// The media type in lower case, without parameters. Two `Content-Type` headers are invalid (RFC 9110 section 8.3): a
/// proxy may have used the other one.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let first = values.next()?;
    let value = values.next().is_none().then(|| first.to_str().ok()).flatten().unwrap_or_default();
    let essence = value.split(';').next().unwrap_or_default();
    Some(essence.trim().to_ascii_lowercase())
}

/// RFC 6838 section 4.2.
fn is_subtype(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
}

/// Reads the body of an API request. Its memory stays charged to the budget until the request has completed.
pub(super) async fn of_the_api(body: Body, app: &App) -> Result<Vec<u8>, ApiError> {
    let bounds = Bounds { bytes: app.limits.body_bytes, deadline: app.limits.body_deadline() };
    let (bytes, permit) = read(body, bounds, &app.admission.api).await?;
    Visit::keep(permit);
    Ok(bytes)
}

/// The size limit and the timeout of a body.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) bytes: usize,
    pub(crate) deadline: Duration,
}

/// Why a body could not be read.
pub(crate) enum BodyError {
    /// It is, or its `Content-Length` is, above the limit.
    TooLarge,
    /// The client disconnected, or the framing is invalid.
    BrokeOff,
    /// It was not complete within the timeout.
    Late(Duration),
    /// The memory budget of all bodies is used up.
    Shed(ApiError),
}

impl From<BodyError> for ApiError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge => Self::new(ErrorCode::PayloadTooLarge, "the body is too large"),
            BodyError::BrokeOff => Self::new(ErrorCode::InvalidJson, "the body is incomplete"),
            BodyError::Late(deadline) => {
                let seconds = deadline.as_secs_f32();
                let detail = format!("the body was not complete within {seconds:.0} s; send it without pauses");
                // The rest of the body must not be parsed as the next request (RFC 9112 section 9.6).
                Self::new(ErrorCode::InvalidJson, detail).with_header(CONNECTION, HeaderValue::from_static("close"))
            }
            BodyError::Shed(error) => error,
        }
    }
}

/// Reads the whole body. The permit holds its share of the memory budget.
pub(crate) async fn read(
    body: Body,
    bounds: Bounds,
    gate: &Gate,
) -> Result<(Vec<u8>, OwnedSemaphorePermit), BodyError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > bounds.bytes {
        return Err(BodyError::TooLarge);
    }
    let length = body.size_hint().exact();
    let in_time = timeout(bounds.deadline, collect(body, announced, bounds.bytes, gate)).await;
    let (bytes, permit) = in_time.unwrap_or(Err(BodyError::Late(bounds.deadline)))?;
    // On HTTP/2 a stream that is reset with NO_ERROR looks like one that ended.
    let is_whole = length.is_none_or(|length| length == bytes.len() as u64);
    is_whole.then_some((bytes, permit)).ok_or(BodyError::BrokeOff)
}

/// Copies each frame, since a frame would keep the connection's whole buffer allocated.
async fn collect(
    mut body: Body,
    announced: usize,
    max: usize,
    gate: &Gate,
) -> Result<(Vec<u8>, OwnedSemaphorePermit), BodyError> {
    let mut permit = gate.hold(0).map_err(BodyError::Shed)?;
    let mut bytes = Vec::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| BodyError::BrokeOff)?;
        let Some(data) = frame.data_ref() else { continue };
        if data.len() > max - bytes.len() {
            return Err(BodyError::TooLarge);
        }
        permit.merge(gate.hold(Bytes::len(data)).map_err(BodyError::Shed)?);
        bytes.extend_from_slice(data);
    }
    Ok((bytes, permit))
}
