//! `/v1/mfa/challenges/activation`: activation codes and their delivery (docs/api-design.md#activation-codes).

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::{DateTime, Datelike, Utc};
use serde::Serialize;

use crate::api::App;
use crate::api::answer::answer;
use crate::api::caller::Authenticated;
use crate::api::challenges::activation_listing::ActivationListing;
use crate::api::devices::person_id;
use crate::api::error::ApiError;
use crate::api::fields::{Fields, Parsed, one_of, within_bounds};
use crate::api::idempotency::Once;
use crate::api::paging::{Parameters, boolean};
use crate::api::path::PathIds;
use crate::api::views::instant;
use crate::domain::challenges::{
    ActivationChallenge, ActivationPurpose, DeliveryEvent, DeliveryEventType, DeliveryMethod, Detail, Origin, Provider,
    USES_MAX,
};
use crate::domain::invalid::Faults;
use crate::service::{AskForActivation, ExistingCode, NewDelivery};

const INVALIDATE: &str = "invalidate_existing_code";

/// Its routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/v1/mfa/challenges/activation", post(ask).get(list))
        .route("/v1/mfa/challenges/activation/{id}", get(show).delete(delete))
        .route("/v1/mfa/challenges/activation/{id}/delivery_events", post(report).get(events))
        .route("/v1/mfa/challenges/activation/{id}/delivery_events/{event_id}", get(event))
}

/// Creates an activation code.
async fn ask(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    RawQuery(query): RawQuery,
    path: PathIds,
    Once { repeatable, body }: Once,
) -> Response {
    let wish = body.read(|fields| ask_for_activation(fields, query.as_deref().unwrap_or_default()));
    let asked = async |run| app.service.ask_for_activation(&caller, wish?, run).await;
    let asked = app.service.once(&caller, repeatable, asked).await;
    answer(asked, &path, |challenge| (StatusCode::CREATED, Json(ActivationView::of(&app, &challenge))))
}

/// Lists activation codes, newest first.
async fn list(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, ApiError> {
    let listing = ActivationListing::parse(query.as_deref().unwrap_or_default())?;
    let page = app.service.activations(&caller, &listing.query(app.service.clock.now())).await?;
    listing.paging.within_reach(&page)?;
    let headers = listing.headers(&page);
    let codes: Vec<_> = page.entries.iter().map(|challenge| ActivationView::of(&app, challenge)).collect();
    Ok((headers, Json(codes)))
}

/// Shows an activation code.
async fn show(State(app): State<App>, Authenticated(caller): Authenticated, path: PathIds) -> Response {
    let found = async { app.service.activation(&caller, path.activation()?).await };
    answer(found.await, &path, |challenge| Json(ActivationView::of(&app, &challenge)))
}

/// Ends an activation code.
async fn delete(State(app): State<App>, Authenticated(caller): Authenticated, path: PathIds) -> Response {
    let deleted = async { app.service.delete_activation(&caller, path.activation()?).await };
    answer(deleted.await, &path, |challenge| Json(ActivationView::of(&app, &challenge)))
}

/// Adds an event to the delivery of a code.
async fn report(
    State(app): State<App>,
    Authenticated(caller): Authenticated,
    path: PathIds,
    Once { repeatable, body }: Once,
) -> Response {
    let given = body.read(new_delivery);
    let reported = async |run| app.service.report_delivery(&caller, path.activation()?, given, run).await;
    let reported = app.service.once(&caller, repeatable, reported).await;
    answer(reported, &path, |challenge| (StatusCode::CREATED, Json(ActivationView::of(&app, &challenge))))
}

/// Lists the events of the delivery of a code.
async fn events(State(app): State<App>, Authenticated(caller): Authenticated, path: PathIds) -> Response {
    let found = async { app.service.delivery_events(&caller, path.activation()?).await };
    answer(found.await, &path, |events| Json(events.into_iter().map(DeliveryEventView::from).collect::<Vec<_>>()))
}

/// Shows one event of the delivery of a code.
async fn event(State(app): State<App>, Authenticated(caller): Authenticated, path: PathIds) -> Response {
    let found = async { app.service.delivery_event(&caller, path.activation()?, path.delivery_event()?).await };
    answer(found.await, &path, |event| Json(DeliveryEventView::from(event)))
}

fn ask_for_activation(mut fields: Fields, query: &str) -> Result<AskForActivation, Faults> {
    let person_id = fields.required("person_id", person_id);
    let origin = fields.required("origin", one_of(Origin::parse, Origin::NAMES));
    let purpose = fields.required("purpose", one_of(ActivationPurpose::parse, ActivationPurpose::NAMES));
    let delivery_method = fields.required("delivery_method", one_of(DeliveryMethod::parse, DeliveryMethod::NAMES));
    let in_body = fields.optional_bool(INVALIDATE);
    let mut parameters = Parameters::new(query);
    let in_query = parameters.take(INVALIDATE, None, boolean);
    for fault in parameters.faults {
        fields.fault(INVALIDATE, fault.message);
    }
    let ends_existing = in_body == Some(true) || in_query == Some(true);
    let wish = person_id.zip(origin).zip(purpose.zip(delivery_method)).map(
        |((person_id, origin), (purpose, delivery_method))| AskForActivation {
            person_id,
            origin,
            purpose,
            delivery_method,
            existing: if ends_existing { ExistingCode::End } else { ExistingCode::Keep },
        },
    );
    fields.finish(wish)
}

fn new_delivery(mut fields: Fields) -> Result<NewDelivery, Faults> {
    let kind = fields.required("type", |text| {
        within_bounds(text, DeliveryEventType::MAX)?;
        DeliveryEventType::parse(text).ok_or_else(no_control_characters)
    });
    let at = fields.required("timestamp", timestamp);
    let provider = fields.optional("provider", |text| {
        within_bounds(text, Provider::MAX)?;
        Provider::parse(text).ok_or_else(no_control_characters)
    });
    let details = fields.optional("additional_details", |text| {
        within_bounds(text, Detail::MAX)?;
        Detail::parse(text).ok_or_else(no_control_characters)
    });
    let wish = kind.zip(at).map(|(kind, at)| NewDelivery { kind, at, provider, details });
    fields.finish(wish)
}

fn no_control_characters() -> String {
    "must not contain control characters".to_owned()
}

/// RFC 3339, in any offset, to the microsecond that the databases store.
fn timestamp(text: &str) -> Parsed<DateTime<Utc>> {
    let parsed = DateTime::parse_from_rfc3339(text).ok();
    let utc = parsed.and_then(|at| DateTime::from_timestamp_micros(at.timestamp_micros()));
    utc.filter(|at| (1970..=9999).contains(&at.year()))
        .ok_or_else(|| "must be an RFC 3339 timestamp like 2026-03-18T14:50:04Z, not before 1970".to_owned())
}

/// An activation code.
#[derive(Serialize)]
struct ActivationView {
    id: String,
    person_id: String,
    /// While it can be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    created_at: String,
    expires_at: String,
    origin: &'static str,
    purpose: &'static str,
    delivery_method: &'static str,
    usage_count: i64,
    max_usage_count: i64,
}

impl ActivationView {
    fn of(app: &App, challenge: &ActivationChallenge) -> Self {
        Self {
            id: challenge.id.to_string(),
            code: app.service.activation_code(challenge).map(|code| code.expose().to_owned()),
            created_at: instant(challenge.life.created_at),
            expires_at: instant(challenge.life.expires_at),
            origin: challenge.origin.as_str(),
            purpose: challenge.purpose.as_str(),
            delivery_method: challenge.delivery_method.as_str(),
            usage_count: challenge.uses(),
            max_usage_count: USES_MAX,
            person_id: challenge.person_id.to_string(),
        }
    }
}

/// An event of the delivery.
#[derive(Serialize)]
struct DeliveryEventView {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_details: Option<String>,
}

impl From<DeliveryEvent> for DeliveryEventView {
    fn from(event: DeliveryEvent) -> Self {
        Self {
            id: event.id.to_string(),
            kind: event.kind.as_str().to_owned(),
            timestamp: instant(event.at),
            provider: event.provider.map(|provider| provider.as_str().to_owned()),
            additional_details: event.details.map(|details| details.as_str().to_owned()),
        }
    }
}
