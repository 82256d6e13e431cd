//! Delivery events, and the removal of expired codes with them.

use chrono::TimeDelta;
use serde_json::json;

use super::{activation_code, delivery_event};
use crate::harness::{TestApp, books, on_both_databases};

on_both_databases![
    events_are_listed_by_their_timestamp_newest_first,
    invalid_events_are_refused,
    housekeeping_removes_expired_codes_with_their_events,
];

async fn events_are_listed_by_their_timestamp_newest_first(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    let letter = activation_code(&acme, "ada").await;
    let events = format!("{}/delivery_events", letter.path());
    assert_eq!(acme.get(&events).await.assert_status(200).json(), json!([]));
    let shown = acme.get(&letter.path()).await.json();
    for (kind, timestamp) in [
        ("DELIVERED", "2026-11-28T10:00:00+01:00"),
        ("DISPATCHED", "2026-11-26T07:30:00Z"),
        ("SORTED", "2026-11-28T08:59:59.5Z"),
    ] {
        let event = json!({"type": kind, "timestamp": timestamp, "additional_details": "to the neighbour"});
        assert_eq!(acme.post(&events, event).await.assert_status(201).json(), shown);
    }
    let listed = acme.get(&events).await.assert_status(200).json();
    let found: Vec<_> = listed.as_array().unwrap().iter().map(|it| (&it["type"], &it["timestamp"])).collect();
    let expected = [
        (&json!("DELIVERED"), &json!("2026-11-28T09:00:00Z")),
        (&json!("SORTED"), &json!("2026-11-28T08:59:59Z")),
        (&json!("DISPATCHED"), &json!("2026-11-26T07:30:00Z")),
    ];
    assert_eq!(found, expected);
    assert_eq!((listed[0].get("provider"), &listed[0]["additional_details"]), (None, &json!("to the neighbour")));

    let one = format!("{events}/{}", listed[1]["id"].as_str().unwrap());
    assert_eq!(acme.get(&one).await.assert_status(200).json(), listed[1]);
    globex.get(&one).await.assert_status(404);
    globex.post(&events, delivery_event()).await.assert_status(404);
    let unknown = acme.get(&format!("{events}/{}", letter.id)).await;
    unknown.assert_error(404, "not_found", &format!("delivery event \"{}\" not found", letter.id));
}

async fn invalid_events_are_refused(app: TestApp) {
    let acme = app.partner();
    let events = format!("{}/delivery_events", activation_code(&acme, "ada").await.path());
    let instant = "must be an RFC 3339 timestamp like 2026-03-18T14:50:04Z, not before 1970";
    for timestamp in ["yesterday", "2026-11-26", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00"] {
        let event = json!({"type": "SENT", "timestamp": timestamp});
        acme.post(&events, event).await.assert_faults(&[("timestamp", instant)]);
    }
    let event = json!({"type": "", "provider": "a\u{0}b", "additional_details": "x".repeat(1025)});
    acme.post(&events, event).await.assert_faults(&[
        ("type", "length (0) out of bounds (min: 1, max: 64)"),
        ("timestamp", "is required"),
        ("provider", "must not contain control characters"),
        ("additional_details", "length (1025) out of bounds (min: 1, max: 1024)"),
    ]);
    assert_eq!(acme.get(&events).await.json(), json!([]));
}

async fn housekeeping_removes_expired_codes_with_their_events(app: TestApp) {
    let acme = app.partner();
    let (kept, ended) = (activation_code(&acme, "ada").await, activation_code(&acme, "bob").await);
    for letter in [&kept, &ended] {
        acme.post(&format!("{}/delivery_events", letter.path()), delivery_event()).await.assert_status(201);
    }
    acme.delete(&ended.path()).await.assert_status(200);
    app.advance(TimeDelta::days(1) + TimeDelta::seconds(1));
    app.app.service.keep_house().await.unwrap();
    let acme = app.partner();
    acme.get(&kept.path()).await.assert_status(200);
    acme.get(&ended.path()).await.assert_status(404);
    assert_eq!(books::count(&app.database, "select count(*) from delivery_event").await, 1);
}
