//! The token endpoints: `POST /oauth2/token` and its older form `/oauth/token` (`openapi.yaml`, RFC 6749 sections 2.3,
//! 3.2, 4.4 and 5).

use axum::Json;
use axum::body::HttpBody as _;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HeaderValue, PRAGMA, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::api::App;
use crate::api::admission::TOKEN_BODY_MAX;
use crate::api::body::{self, BodyError, Bounds, is_form, require_form, require_json};
use crate::api::caller::name_caller;
use crate::api::error::ApiError;
use crate::api::fields::Fields;
use crate::auth::SCOPE;
use crate::domain::invalid::Faults;
use crate::service::ClientCredentialsError;

/// Issues a token for HTTP Basic credentials, or credentials in the form (RFC 6749 section 2.3.1).
pub(super) async fn issue(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    require_form(request.headers())?;
    answer(&app, request, TokenRequest::from_form, Ok(TokenRequest::default())).await
}

/// The older route, whose clients send a JSON body, a form, or no body and `?grant_type=client_credentials`.
pub(super) async fn issue_older(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    let (required, parse): (_, fn(&[u8]) -> _) = if is_form(request.headers()) {
        (require_form(request.headers()), TokenRequest::from_form)
    } else {
        (require_json(request.headers()), TokenRequest::from_json)
    };
    if !request.body().is_end_stream() {
        required?;
    }
    let query = TokenRequest::from_query(request.uri().query().unwrap_or_default());
    answer(&app, request, parse, query).await
}

/// Reads the body, and issues a token or refuses.
async fn answer(
    app: &App,
    request: Request,
    parse: fn(&[u8]) -> Result<TokenRequest, OAuthError>,
    query: Result<TokenRequest, OAuthError>,
) -> Result<Response, ApiError> {
    let basic = basic_credentials(request.headers());
    let body = read(app, request, parse).await?;
    let credentials = body.and_then(|body| body.with_query(query?)?.credentials(basic));
    let mut response = match credentials {
        Ok(credentials) => grant(app, &credentials).await?,
        Err(refusal) => refusal.into_response(),
    };
    // RFC 6749 section 5.1. `Cache-Control: no-store` is on every answer.
    response.headers_mut().insert(PRAGMA, HeaderValue::from_static("no-cache"));
    Ok(response)
}

/// Reads the parameters from the body. An unreadable body is `invalid_request` (RFC 6749 section 5.2).
async fn read(
    app: &App,
    request: Request,
    parse: fn(&[u8]) -> Result<TokenRequest, OAuthError>,
) -> Result<Result<TokenRequest, OAuthError>, ApiError> {
    let bounds = Bounds { bytes: app.limits.body_bytes.min(TOKEN_BODY_MAX), deadline: app.limits.body_deadline() };
    match body::read(request.into_body(), bounds, &app.admission.tokens).await {
        Ok((body, _room)) => Ok(parse(&body)),
        Err(BodyError::BrokeOff | BodyError::Late(_)) => Ok(Err(OAuthError::InvalidRequest)),
        Err(error @ (BodyError::TooLarge | BodyError::Shed(_))) => Err(error.into()),
    }
}

/// Takes the admission permit only after the body has been read: a client without credentials that sends its body
/// slowly must not block other clients.
async fn grant(app: &App, credentials: &Credentials) -> Result<Response, ApiError> {
    let _permit = app.admission.tokens.enter()?;
    let caller = match app.service.authenticate_client(&credentials.client_id, &credentials.client_secret).await {
        Ok(caller) => caller,
        Err(ClientCredentialsError::InvalidClient) => {
            tracing::info!(target: "audit", "token refused: client id or secret is wrong");
            return Ok(OAuthError::InvalidClient.into_response());
        }
        Err(ClientCredentialsError::Failure(failure)) => return Err(failure.into()),
    };
    name_caller(&caller);
    let issued = app.tokens.own.issue(&caller, app.service.clock.now());
    tracing::info!(target: "audit", "token issued");
    Ok(Json(TokenView {
        access_token: issued.token.expose_secret(),
        token_type: "bearer",
        expires_in: issued.expires_in,
        scope: SCOPE,
    })
    .into_response())
}

/// The parameters, from body or query. A parameter without a value counts as not sent (RFC 6749 section 3.2).
#[derive(Default)]
struct TokenRequest {
    grant_type: Option<String>,
    scope: Option<String>,
    client_id: Option<String>,
    client_secret: Option<SecretString>,
}

/// A client's id and secret.
struct Credentials {
    client_id: String,
    client_secret: SecretString,
}

impl TokenRequest {
    fn from_form(body: &[u8]) -> Result<Self, OAuthError> {
        let mut request = Self::default();
        for (name, value) in form_urlencoded::parse(body).filter(|(_, value)| !value.is_empty()) {
            let value = value.into_owned();
            // RFC 6749 section 3.2: parameters must not be included more than once, and unknown ones are ignored.
            let repeated = match &*name {
                "grant_type" => request.grant_type.replace(value).is_some(),
                "scope" => request.scope.replace(value).is_some(),
                "client_id" => request.client_id.replace(value).is_some(),
                "client_secret" => request.client_secret.replace(value.into()).is_some(),
                _ => false,
            };
            if repeated {
                return Err(OAuthError::InvalidRequest);
            }
        }
        Ok(request)
    }

    /// Credentials must not be in the URL (RFC 6749 section 2.3.1): proxies log it.
    fn from_query(query: &str) -> Result<Self, OAuthError> {
        let request = Self::from_form(query.as_bytes())?;
        let has_credentials = request.client_id.is_some() || request.client_secret.is_some();
        if has_credentials { Err(OAuthError::CredentialsInAddress) } else { Ok(request) }
    }

    fn from_json(body: &[u8]) -> Result<Self, OAuthError> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        Fields::parse(body).and_then(Self::from_fields).map_err(|_| OAuthError::InvalidRequest)
    }

    fn from_fields(mut fields: Fields) -> Result<Self, Faults> {
        let mut sent = |name| fields.optional(name, |text| Ok(text.to_owned())).filter(|text| !text.is_empty());
        let request = Self {
            grant_type: sent("grant_type"),
            scope: sent("scope"),
            client_id: sent("client_id"),
            client_secret: sent("client_secret").map(SecretString::from),
        };
        fields.finish(Some(request))
    }

    /// Merges the parameters of body and query. A parameter in both must have the same value.
    fn with_query(self, query: Self) -> Result<Self, OAuthError> {
        let merge = |body: Option<String>, query: Option<String>| match (body, query) {
            (Some(body), Some(query)) if body != query => Err(OAuthError::InvalidRequest),
            (body, query) => Ok(body.or(query)),
        };
        Ok(Self {
            grant_type: merge(self.grant_type, query.grant_type)?,
            scope: merge(self.scope, query.scope)?,
            client_id: self.client_id,
            client_secret: self.client_secret,
        })
    }

    /// Checks grant type and scope and returns the credentials (RFC 6749 sections 2.3, 4.4.2 and 5.2). `basic` are
    /// those of the `Authorization` header, if any.
    fn credentials(self, basic: Option<Result<Credentials, OAuthError>>) -> Result<Credentials, OAuthError> {
        // One authentication method per request. Some clients repeat their id in the body, but not their secret.
        let repeats_the_id = |basic: &Result<Credentials, OAuthError>| match (basic, &self.client_id) {
            (Ok(basic), Some(client_id)) => basic.client_id == *client_id,
            _ => true,
        };
        if basic.as_ref().is_some_and(|basic| self.client_secret.is_some() || !repeats_the_id(basic)) {
            return Err(OAuthError::InvalidRequest);
        }
        match self.grant_type.as_deref() {
            Some("client_credentials") => {}
            Some(_) => return Err(OAuthError::UnsupportedGrantType),
            None => return Err(OAuthError::InvalidRequest),
        }
        if self.scope.is_some_and(|scope| scope.split_ascii_whitespace().any(|word| word != SCOPE)) {
            return Err(OAuthError::InvalidScope);
        }
        let in_body = self.client_id.zip(self.client_secret);
        let in_body = in_body.map(|(client_id, client_secret)| Ok(Credentials { client_id, client_secret }));
        basic.or(in_body).unwrap_or(Err(OAuthError::InvalidClient))
    }
}

/// The credentials of the Basic scheme (RFC 7617). `None` without the header, and with another scheme.
fn basic_credentials(headers: &HeaderMap) -> Option<Result<Credentials, OAuthError>> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return Some(Err(OAuthError::InvalidRequest));
    }
    let value = value.to_str().unwrap_or_default();
    let (scheme, encoded) = value.split_once(' ').unwrap_or((value, ""));
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    Some(decoded_credentials(encoded).ok_or(OAuthError::InvalidClient))
}

/// Id and secret are each form-encoded before they are joined (RFC 6749 section 2.3.1). The service creates them from
/// characters that encoding does not change, so clients that do not encode them work too.
fn decoded_credentials(encoded: &str) -> Option<Credentials> {
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some(Credentials { client_id: form_decoded(id)?, client_secret: form_decoded(secret)?.into() })
}

/// One form-decoded value (WHATWG URL section 5.1). `None` if it is not UTF-8; a `%` without two digits stays.
fn form_decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    percent_decode_str(&text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// RFC 6749 section 5.2.
#[derive(Clone, Copy)]
enum OAuthError {
    InvalidRequest,
    CredentialsInAddress,
    InvalidClient,
    UnsupportedGrantType,
    InvalidScope,
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let (status, error, description) = match self {
            Self::InvalidRequest => {
                (StatusCode::BAD_REQUEST, "invalid_request", "send grant_type and credentials, each once")
            }
            Self::CredentialsInAddress => (
                StatusCode::BAD_REQUEST,
                "invalid_request",
                "credentials belong in the header or the body, not the URL",
            ),
            Self::InvalidClient => (StatusCode::UNAUTHORIZED, "invalid_client", "client id or secret is wrong"),
            Self::UnsupportedGrantType => {
                (StatusCode::BAD_REQUEST, "unsupported_grant_type", "the only grant is client_credentials")
            }
            Self::InvalidScope => (StatusCode::BAD_REQUEST, "invalid_scope", "the only scope is partners"),
        };
        let mut response = (status, Json(OAuthErrorView { error, error_description: description })).into_response();
        if matches!(self, Self::InvalidClient) {
            response
                .headers_mut()
                .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"device-management\""));
        }
        response
    }
}

#[derive(Serialize)]
struct OAuthErrorView {
    error: &'static str,
    error_description: &'static str,
}

#[derive(Serialize)]
struct TokenView<'a> {
    access_token: &'a str,
    token_type: &'static str,
    expires_in: i64,
    scope: &'static str,
}
