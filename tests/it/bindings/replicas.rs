//! Replicas on one database act as one service, also while the secret of the codes is rotated.

use serde_json::json;

use super::{assert_not_open, assert_wrong, challenge_path, device_path};
use crate::harness::{Engine, Phone, Start, TestApp, on_both_databases};

on_both_databases![
    a_change_on_one_replica_is_visible_on_the_other_immediately,
    wrong_signatures_on_all_replicas_share_one_count,
    open_challenges_survive_the_rotation_of_the_secret,
    a_replica_without_the_previous_secret_answers_500_and_counts_no_failure,
];

async fn a_change_on_one_replica_is_visible_on_the_other_immediately(app: TestApp) {
    let here = app.partner();
    let there = here.through(app.replica(&[]).await);
    here.verified_person("ada").await;
    let (phone, second) = (Phone::new(1), Phone::new(2));
    let asked = here.ask_for_device("ada", &phone).await;
    let signature = phone.sign(&app.outbox().last().code());
    there.get(&challenge_path(&asked.id)).await.assert_status(200);
    there.answer(&asked.id, &signature).await.assert_status(204);
    here.answer(&asked.id, &signature).await.assert_status(204);

    let (device, keys) = (device_path(&asked.id), format!("{}/keys", device_path(&asked.id)));
    here.get(&device).await.assert_status(200);
    here.post(&keys, phone.vouch_for(&second)).await.assert_status(201);
    assert_eq!(there.get(&keys).await.json()[0]["keys"].as_array().map(Vec::len), Some(2));

    there.delete(&device).await.assert_status(204);
    let gone = format!("device \"{}\" not found", asked.id);
    here.post(&keys, phone.vouch_for(&Phone::new(3))).await.assert_error(404, "not_found", &gone);
    here.delete(&device).await.assert_error(404, "not_found", &gone);
    assert_not_open(&here.answer(&asked.id, &signature).await, &asked.id);
    assert_eq!(here.get(&keys).await.json()[0]["keys"], json!([]));
}

async fn wrong_signatures_on_all_replicas_share_one_count(app: TestApp) {
    let here = app.partner();
    let there = here.through(app.replica(&[]).await);
    here.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = here.ask_for_device("ada", &phone).await;
    let right = phone.sign(&app.outbox().last().code());
    for replica in [&here, &there, &here] {
        assert_wrong(&replica.answer(&asked.id, &phone.sign("wrong")).await);
    }
    for replica in [&here, &there] {
        assert_not_open(&replica.answer(&asked.id, &right).await, &asked.id);
    }
}

const OLD: &str = "the secret that is about to be replaced";
const NEW: &str = "the secret that comes after it";

/// A service whose codes are derived from `OLD`.
struct BeforeRotation(TestApp);

impl Start for BeforeRotation {
    async fn start(engine: Engine) -> Self {
        Self(TestApp::with(engine, &[("OTP_SECRET", OLD)]).await)
    }
}

async fn open_challenges_survive_the_rotation_of_the_secret(BeforeRotation(app): BeforeRotation) {
    let old = app.partner();
    let rotated = [("OTP_SECRET", NEW), ("OTP_SECRET_VERSION", "2"), ("OTP_SECRET_PREVIOUS", OLD)];
    let new = old.through(app.replica(&rotated).await);
    old.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = old.ask_for_device("ada", &phone).await;
    let code = app.outbox().last().code();
    assert_wrong(&new.answer(&asked.id, &phone.sign("wrong")).await);
    new.answer(&asked.id, &phone.sign(&code)).await.assert_status(204);
    new.bind("ada", &Phone::new(2)).await;
}

async fn a_replica_without_the_previous_secret_answers_500_and_counts_no_failure(BeforeRotation(app): BeforeRotation) {
    let old = app.partner();
    let without_previous = old.through(app.replica(&[("OTP_SECRET", NEW), ("OTP_SECRET_VERSION", "2")]).await);
    old.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = old.ask_for_device("ada", &phone).await;
    let signature = phone.sign(&app.outbox().last().code());
    for _ in 0..3 {
        let answer = without_previous.answer(&asked.id, &signature).await;
        answer.assert_error(500, "generic_error", "internal server error");
    }
    old.answer(&asked.id, &signature).await.assert_status(204);
}
