//! Two replicas on one database.

use super::sandbox_on;
use crate::harness::{Engine, Phone, Start, TestDatabase};

/// The code of the sandbox.
const CODE: &str = "212212";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_at_one_replica_are_visible_at_the_other_immediately() {
    if !Engine::Postgres
        .is_there_for("binary::replicas::changes_at_one_replica_are_visible_at_the_other_immediately")
        .await
    {
        return;
    }
    let database = TestDatabase::start(Engine::Postgres).await;
    let (first, second) = (sandbox_on(&database).serve(), sandbox_on(&database).serve());
    let here = first.sandbox_client().await;
    // A token from one replica is valid at the other.
    let there = second.with_token(here.token());

    here.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = here.ask_for_device("ada", &phone).await;
    there.answer(&asked.id, &phone.sign(CODE)).await.assert_status(204);
    let device = format!("/v1/mfa/devices/{}", asked.id);
    there.get(&format!("{device}/keys/{}", asked.key_id)).await.assert_status(200);

    here.delete(&device).await.assert_status(204);
    there.get(&format!("{device}/keys/{}", asked.key_id)).await.assert_status(404);
    assert!(there.get(&device).await.json()["deleted_at"].is_string());
    assert_eq!(there.get("/v1/mfa/devices?filter[person_id]=ada").await.json(), serde_json::json!([]));
}
