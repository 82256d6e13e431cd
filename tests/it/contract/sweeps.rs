//! Every operation, tried by somebody without a token and by another partner. Neither gets anywhere, and what they tried it
//! on stays as it was.

use super::calls::{PERSON, Scene};
use crate::harness::{TestApp, on_both_databases};

on_both_databases![nobody_gets_in_without_a_token, another_partners_ids_are_not_found];

/// More often than a challenge forgives: an attempt that counted would show.
const TIMES: usize = 4;

async fn nobody_gets_in_without_a_token(app: TestApp) {
    let acme = app.partner();
    let scene = Scene::set(&app, &acme).await;
    let (before, sent) = (scene.state(&acme).await, app.outbox().messages().len());
    let (stranger, forger) = (app.stranger(), app.with_token(Some("e30.e30.e30")));
    for _ in 0..TIMES {
        for call in scene.calls() {
            let asked = call.send(&stranger).await;
            let detail = "send an access token: Authorization: Bearer ...";
            asked.assert_error(401, "token_required", detail);
            let refused = call.send(&forger).await;
            refused.assert_error(401, "invalid_token", "the access token is invalid or expired");
        }
    }
    assert_eq!((scene.state(&acme).await, app.outbox().messages().len()), (before, sent));
    acme.answer(&scene.challenge, &scene.right_signature).await.assert_status(204);
}

async fn another_partners_ids_are_not_found(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    let scene = Scene::set(&app, &acme).await;
    let (before, sent) = (scene.state(&acme).await, app.outbox().messages().len());
    for _ in 0..TIMES {
        for call in scene.calls() {
            // A person is another partner's by name only: theirs is somebody else, and may get a number of their own.
            let expected = match call.operation {
                "createMobileNumber" => continue,
                "listDevices" => 200,
                "createDevice" => 400,
                _ => 404,
            };
            let answer = call.send(&globex).await;
            assert_eq!(answer.status, expected, "{}", call.operation);
            match expected {
                200 => assert_eq!(answer.json(), serde_json::json!([])),
                400 => drop(answer.assert_faults(&[("number", "telephone number not found")])),
                _ => assert!(
                    ["not_found", "model_not_found"].map(Some).contains(&answer.json()["errors"][0]["code"].as_str())
                ),
            }
        }
    }
    // Not even the right answer helps the wrong partner.
    globex.answer(&scene.challenge, &scene.right_signature).await.assert_status(404);
    globex.verified_person(PERSON).await;
    globex.delete(&format!("/v1/persons/{PERSON}/mobile_number")).await.assert_status(200);
    assert_eq!((scene.state(&acme).await, app.outbox().messages().len()), (before, sent));
    acme.answer(&scene.challenge, &scene.right_signature).await.assert_status(204);
}
