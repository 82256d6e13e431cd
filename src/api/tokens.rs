//! POST /oauth2/token and its older JSON form /oauth/token (contract section 1.1, RFC 6749 sections 4.4 and 5).

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::App;
use super::admission::TOKEN_BODY_MAX;
use super::body::{self, BodyError, Bounds, require_form, require_json};
use super::caller::name_caller;
use super::error::ApiError;
use super::fields::Fields;
use crate::auth::SCOPE;
use crate::domain::invalid::Faults;
use crate::service::ClientCredentialsError;

/// Issues a token for HTTP Basic credentials, or credentials in the form (RFC 6749 section 2.3.1).
pub(super) async fn issue_for_form(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    require_form(&request)?;
    let basic = basic_credentials(request.headers());
    let form = read(&app, request, TokenRequest::from_form).await?;
    Ok(match form.and_then(|form| form.with_credentials(basic)) {
        Ok(request) => issue(&app, request).await?,
        Err(refusal) => refusal.into_response(),
    })
}

/// Issues a token for credentials in a JSON body: a widely used client still sends it.
pub(super) async fn issue_for_json(State(app): State<App>, request: Request) -> Result<Response, ApiError> {
    require_json(&request)?;
    let json = |body: &[u8]| Fields::parse(body).and_then(TokenRequest::from_json);
    let request = read(&app, request, |body| json(body).map_err(|_| OAuthError::InvalidRequest)).await?;
    Ok(match request.and_then(|request| request.with_credentials(None)) {
        Ok(request) => issue(&app, request).await?,
        Err(refusal) => refusal.into_response(),
    })
}

/// What stands in the body. RFC 6749 has its own words for one that cannot be read.
async fn read(
    app: &App,
    request: Request,
    parse: impl FnOnce(&[u8]) -> Result<TokenRequest, OAuthError>,
) -> Result<Result<TokenRequest, OAuthError>, ApiError> {
    let bounds = Bounds { bytes: app.limits.body_bytes.min(TOKEN_BODY_MAX), deadline: app.limits.body_deadline() };
    match body::read(request.into_body(), bounds, &app.admission.tokens).await {
        Ok((body, _room)) => Ok(parse(&body)),
        Err(BodyError::BrokeOff | BodyError::Late(_)) => Ok(Err(OAuthError::InvalidRequest)),
        Err(error @ (BodyError::TooLarge | BodyError::Shed(_))) => Err(error.into()),
    }
}

/// Takes a place only now: anybody can send a body slowly, and must not keep others from their tokens by it.
async fn issue(app: &App, request: GrantRequest) -> Result<Response, ApiError> {
    let _place = app.admission.tokens.enter()?;
    let caller = match app.service.authenticate_client(&request.client_id, &request.client_secret).await {
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

/// What a client sent, from whichever body.
#[derive(Default)]
struct TokenRequest {
    grant_type: Option<String>,
    scope: Option<String>,
    client_id: Option<String>,
    client_secret: Option<SecretString>,
}

/// A request for the one grant that there is.
struct GrantRequest {
    client_id: String,
    client_secret: SecretString,
}

impl TokenRequest {
    fn from_form(body: &[u8]) -> Result<Self, OAuthError> {
        let mut request = Self::default();
        for (name, value) in form_urlencoded::parse(body) {
            let value = value.into_owned();
            // RFC 6749 section 3.2: parameters must not be included more than once.
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

    fn from_json(mut fields: Fields) -> Result<Self, Faults> {
        let text = |text: &str| Ok(text.to_owned());
        let request = Self {
            grant_type: fields.optional("grant_type", text),
            scope: fields.optional("scope", text),
            client_id: fields.optional("client_id", text),
            client_secret: fields.optional("client_secret", |text| Ok(text.into())),
        };
        fields.finish(Some(request))
    }

    /// Checks the request against RFC 6749 sections 4.4.2 and 5.2.
    fn with_credentials(self, basic: Option<(String, SecretString)>) -> Result<GrantRequest, OAuthError> {
        let in_body = self.client_id.zip(self.client_secret);
        if basic.is_some() && in_body.is_some() {
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
        let (client_id, client_secret) = basic.or(in_body).ok_or(OAuthError::InvalidClient)?;
        Ok(GrantRequest { client_id, client_secret })
    }
}

/// RFC 7617; id and secret are form-encoded first (RFC 6749 section 2.3.1), which changes nothing for ours.
fn basic_credentials(headers: &HeaderMap) -> Option<(String, SecretString)> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.into()))
}

/// RFC 6749 section 5.2.
#[derive(Clone, Copy)]
enum OAuthError {
    InvalidRequest,
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
