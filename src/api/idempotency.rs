//! `Idempotency-Key` (contract section 1.2): of several requests with one key one runs, and all get its answer.
//!
//! The key is scoped to client, method and path, so it means nothing before the caller is known. An answer is kept if its
//! request changed something, and in the commit of the change; what is written here, at the end of the request, makes it
//! final, or frees the key.

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequestParts, RawPathParams, Request, State};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::body::{BodyRead, of_the_api, require_json};
use super::caller::Authenticated;
use super::error::{ApiError, ErrorCode};
use super::request_log::RequestId;
use crate::domain::idempotency::{ClaimId, Claimed, KEY_MAX, StoredAnswer, scope};
use crate::domain::person::PersonId;
use crate::service::{Keeping, RepeatableRequest};

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Lets a request with a key run once.
pub(super) async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    if !request.headers().contains_key(IDEMPOTENCY_KEY) {
        return next.run(request).await;
    }
    once(app, request, next).await.into_response()
}

async fn once(app: App, request: Request, next: Next) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    let Authenticated(caller) = Authenticated::from_request_parts(&mut parts, &app).await?;
    let key = idempotency_key(&parts.headers)?;
    let person = person_in_path(&mut parts).await;
    let request = Request::from_parts(parts.clone(), body);
    require_json(&request)?;
    let body = of_the_api(request, &app).await?;
    let request = RepeatableRequest {
        scope: scope(&caller.partner, &caller.client_id, parts.method.as_str(), parts.uri.path(), &key),
        digests: app.request_digests.of(&body),
        person,
    };
    let (claim, claimed) = app.service.claim_request(&caller, request).await?;
    match claimed {
        Claimed::Yes => {}
        Claimed::Answered(answer) => return Ok(replay(answer)),
        Claimed::Running { until } => return Err(still_running(app.service.seconds_until(until))),
        Claimed::OtherRequest => return Err(key_reused()),
    }

    let request_id = parts.extensions.get::<RequestId>().cloned().unwrap_or_default();
    parts.extensions.insert(InForce { claim, request_id });
    parts.extensions.insert(BodyRead(body));
    let response = next.run(Request::from_parts(parts, Body::empty())).await;
    if let Err(error) = app.service.end_request(&caller, claim).await {
        // The caller gets the answer all the same; a retry waits until the lease is over.
        tracing::warn!(error = &error as &dyn std::error::Error, "a request with an idempotency key was not ended");
    }
    Ok(response)
}

fn still_running(retry_after: u64) -> ApiError {
    ApiError::conflict("the first request with this Idempotency-Key still runs; ask again later", retry_after)
}

fn key_reused() -> ApiError {
    let detail = "this Idempotency-Key was used for another request; make a new key for each request";
    ApiError::new(ErrorCode::IdempotencyKeyReused, detail)
}

/// 1 to 255 visible ASCII characters, once.
fn idempotency_key(headers: &HeaderMap) -> Result<String, ApiError> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let key = values
        .next()
        .and_then(|value| value.to_str().ok())
        .filter(|key| (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|b| b.is_ascii_graphic()));
    let key = key.filter(|_| values.next().is_none());
    key.map(str::to_owned).ok_or_else(|| {
        let detail = format!("Idempotency-Key must be one value of 1 to {KEY_MAX} visible ASCII characters");
        ApiError::new(ErrorCode::ValidationError, detail)
    })
}

async fn person_in_path(parts: &mut Parts) -> Option<PersonId> {
    let params = RawPathParams::from_request_parts(parts, &()).await.ok()?;
    params.iter().find(|(name, _)| *name == "person_id").and_then(|(_, text)| PersonId::parse(text))
}

/// The claim that a request runs under.
#[derive(Clone)]
struct InForce {
    claim: ClaimId,
    request_id: RequestId,
}

/// What a handler needs to have its answer kept, whether or not the request has a key.
pub(super) struct Once(Option<InForce>);

impl<S: Send + Sync> FromRequestParts<S> for Once {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self(parts.extensions.get::<InForce>().cloned()))
    }
}

impl Once {
    /// How the outcome of a use case is kept, given how it is answered.
    pub(super) fn keeping<T>(
        self,
        respond: impl Fn(T) -> Result<Response, ApiError> + Send + Sync + 'static,
    ) -> Keeping<T> {
        let Some(InForce { claim, request_id }) = self.0 else { return Keeping::nothing() };
        Keeping::under(claim, move |outcome| stored(respond(outcome).into_response(), &request_id))
    }
}

/// An answer as it is kept: nothing of a failure of ours.
fn stored(mut response: Response, request_id: &RequestId) -> Option<StoredAnswer> {
    if response.status().is_server_error() {
        return None;
    }
    if let Some(error) = response.extensions().get::<ApiError>() {
        response = error.render(request_id.as_str());
    }
    let (parts, body) = response.into_parts();
    let retry_after = parts.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    Some(StoredAnswer { status: parts.status.as_u16(), body: in_memory(body).to_vec(), retry_after })
}

/// The bytes of an answer, all of which are there: no handler streams.
fn in_memory(mut body: Body) -> Bytes {
    use std::pin::Pin;
    use std::task::{Context, Poll, Waker};
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(&mut body).poll_frame(&mut context) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        _ => Bytes::new(),
    }
}

/// An answer that was given before.
fn replay(answer: StoredAnswer) -> Response {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let has_body = !answer.body.is_empty();
    let mut response = (status, answer.body).into_response();
    let headers = response.headers_mut();
    headers.remove(CONTENT_TYPE);
    if has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    if let Some(seconds) = answer.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    headers.insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    response
}
