//! Every operation, called without a valid token and by another partner. All are refused, and the objects stay
//! unchanged.

use super::calls::{PERSON, Scene};
use crate::harness::{TestApp, on_both_databases};

on_both_databases![every_secured_operation_needs_a_token, ids_of_another_partner_are_not_found];

/// More than the failures that a challenge allows: a counted attempt would show.
const TIMES: usize = 4;

async fn every_secured_operation_needs_a_token(app: TestApp) {
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

async fn ids_of_another_partner_are_not_found(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    let scene = Scene::set(&app, &acme).await;
    let (before, sent) = (scene.state(&acme).await, app.outbox().messages().len());
    for _ in 0..TIMES {
        for call in scene.calls() {
            // A person's id belongs to its partner: the same id under another partner is another person, who may get a
            // number and an activation code. The sandbox's clock belongs to no partner.
            let expected = match call.operation {
                "createMobileNumber" | "createActivationCode" | "getSandboxClock" | "advanceSandboxClock" => continue,
                "listDevices" | "listActivationCodes" | "listSandboxMessages" => 200,
                "createDevice" | "createDeviceChallenge" | "createSmsChallenge" => 400,
                _ => 404,
            };
            let answer = call.send(&globex).await;
            assert_eq!(answer.status, expected, "{}", call.operation);
            match expected {
                200 => assert_eq!(answer.json(), serde_json::json!([])),
                400 if call.operation != "createDeviceChallenge" => {
                    answer.assert_faults(&[("number", "telephone number not found")]);
                }
                400 => {
                    answer.assert_faults(&[("device_id", "device-id invalid")]);
                }
                _ => assert!(
                    ["not_found", "model_not_found"].map(Some).contains(&answer.json()["errors"][0]["code"].as_str())
                ),
            }
        }
    }
    // The right answer from the wrong partner is not found either.
    globex.answer(&scene.challenge, &scene.right_signature).await.assert_status(404);
    globex.type_code(&scene.sms_challenge.id, &scene.sms_challenge.code).await.assert_status(404);
    globex.verified_person(PERSON).await;
    globex.delete(&format!("/v1/persons/{PERSON}/mobile_number")).await.assert_status(200);
    assert_eq!((scene.state(&acme).await, app.outbox().messages().len()), (before, sent));
    acme.type_code(&scene.sms_challenge.id, &scene.sms_challenge.code).await.assert_status(204);
    acme.answer(&scene.challenge, &scene.right_signature).await.assert_status(204);
}
