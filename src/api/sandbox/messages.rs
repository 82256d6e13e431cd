//! `GET /sandbox/messages`: the messages that the service sent, with their codes (docs/sandbox.md#the-inbox).

use std::sync::Arc;

use axum::extract::RawQuery;
use axum::{Extension, Json};
use serde::Serialize;

use crate::api::caller::Authenticated;
use crate::api::devices::listing::take_person;
use crate::api::error::ApiError;
use crate::api::paging::Parameters;
use crate::api::views::instant;
use crate::domain::invalid::Faults;
use crate::domain::numbers::{InvalidMobileNumber, MobileNumber};
use crate::sandbox::{InboxFilter, InboxMessage, Sandbox};

const TO: &str = "filter[to]";

/// Lists the partner's messages, newest first.
pub(super) async fn list(
    Authenticated(caller): Authenticated,
    Extension(sandbox): Extension<Arc<Sandbox>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Vec<MessageView>>, ApiError> {
    let filter = filter(query.as_deref().unwrap_or_default())?;
    let messages = sandbox.inbox.list(&caller.partner, &filter);
    Ok(Json(messages.iter().map(|message| MessageView::from(&**message)).collect()))
}

fn filter(query: &str) -> Result<InboxFilter, Faults> {
    let mut parameters = Parameters::new(query);
    let person_id = take_person(&mut parameters);
    let to = parameters.take(TO, None, |text| {
        MobileNumber::parse(text).map_err(|error| match error {
            // An unencoded + is a space (WHATWG URL, application/x-www-form-urlencoded).
            InvalidMobileNumber::NoCountryCode => format!("{error}; in a query, + is written %2B"),
            other => other.to_string(),
        })
    });
    parameters.finish(InboxFilter { person_id, to })
}

/// A message.
#[derive(Serialize)]
pub(super) struct MessageView {
    id: String,
    to: String,
    person_id: String,
    purpose: &'static str,
    language: &'static str,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge_id: Option<String>,
    status: &'static str,
    created_at: String,
}

impl From<&InboxMessage> for MessageView {
    fn from(message: &InboxMessage) -> Self {
        let id = message.id.to_string();
        Self {
            challenge_id: message.code.is_some().then(|| id.clone()),
            id,
            to: message.to.as_e164().to_owned(),
            person_id: message.person_id.to_string(),
            purpose: message.purpose.as_str(),
            language: message.language.as_str(),
            text: message.text.clone(),
            code: message.code.clone(),
            status: message.status.as_str(),
            created_at: instant(message.created_at),
        }
    }
}
