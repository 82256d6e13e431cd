//! Clients and the hashes of their secrets.

use chrono::TimeDelta;
use device_management::domain::clients::Permissions;
use device_management::store::{Client, SecretHash};

use super::{TestStore, acme, globex, now, record};
use crate::harness::on_both_databases_and_citus;

on_both_databases_and_citus![
    a_client_is_read_as_it_was_written,
    clients_are_listed_oldest_first,
    a_rotation_keeps_the_last_secret_for_a_while_and_no_older_one,
    a_revoked_client_has_no_secrets_and_stays_revoked,
];

fn client(id: &str) -> Client {
    Client {
        id: id.to_owned(),
        partner: acme(),
        name: Some("Die Täschner".to_owned()),
        permissions: Permissions::all(),
        created_at: now(),
        revoked_at: None,
    }
}

async fn a_client_is_read_as_it_was_written(it: TestStore) {
    it.create_client(&client("one"), [1; 32], &record()).await.unwrap();
    let other = Client { partner: globex(), name: None, permissions: Permissions::default(), ..client("two") };
    it.create_client(&other, [2; 32], &record()).await.unwrap();
    for (wanted, hash) in [(client("one"), [1; 32]), (other, [2; 32])] {
        let (found, secrets) = it.client_with_secrets(&wanted.id, now()).await.unwrap().unwrap();
        assert_eq!((&found.id, &found.partner, &found.name), (&wanted.id, &wanted.partner, &wanted.name));
        assert_eq!(found.permissions, wanted.permissions);
        assert_eq!((found.created_at, found.revoked_at), (now(), None));
        let secrets: Vec<_> = secrets.iter().map(|secret| (secret.hash, secret.expires_at)).collect();
        assert_eq!(secrets, [(hash, None)]);
    }
    assert!(it.client_with_secrets("three", now()).await.unwrap().is_none());
    // A client id is unique.
    assert!(!it.create_client(&client("one"), [3; 32], &record()).await.unwrap_err().is_transient());
    assert_eq!(hashes(&it, "one", now()).await, [[1; 32]]);
}

async fn clients_are_listed_oldest_first(it: TestStore) {
    for (id, seconds) in [("c", 0), ("a", 2), ("b", 1), ("d", 0)] {
        let client = Client { created_at: now() + TimeDelta::seconds(seconds), ..client(id) };
        it.create_client(&client, [0; 32], &record()).await.unwrap();
    }
    let expected = ["c", "d", "b", "a"];
    for limit in 1..=5_usize {
        let (mut found, mut last) = (Vec::new(), None::<Client>);
        loop {
            let after = last.as_ref().map(|client| (client.created_at, client.id.as_str()));
            let page = it.clients(after, i64::try_from(limit).unwrap()).await.unwrap();
            assert!(page.len() <= limit);
            let Some(client) = page.last() else { break };
            last = Some(client.clone());
            found.extend(page.into_iter().map(|client| client.id));
        }
        assert_eq!(found, expected, "pages of {limit}");
    }
}

async fn a_rotation_keeps_the_last_secret_for_a_while_and_no_older_one(it: TestStore) {
    it.create_client(&client("one"), [1; 32], &record()).await.unwrap();
    it.create_client(&client("two"), [9; 32], &record()).await.unwrap();
    let day = TimeDelta::days(1);
    assert!(it.rotate_client_secret("one", [2; 32], now(), now() + day, &record()).await.unwrap());
    assert_eq!(hashes(&it, "one", now()).await, [[1; 32], [2; 32]]);
    assert_eq!(hashes(&it, "one", now() + day - TimeDelta::microseconds(1)).await, [[1; 32], [2; 32]]);
    assert_eq!(hashes(&it, "one", now() + day).await, [[2; 32]]);
    assert!(it.rotate_client_secret("one", [3; 32], now(), now() + day, &record()).await.unwrap());
    assert_eq!(hashes(&it, "one", now()).await, [[2; 32], [3; 32]]);
    assert_eq!(hashes(&it, "two", now()).await, [[9; 32]]);
    assert!(!it.rotate_client_secret("three", [4; 32], now(), now() + day, &record()).await.unwrap());
}

async fn a_revoked_client_has_no_secrets_and_stays_revoked(it: TestStore) {
    it.create_client(&client("one"), [1; 32], &record()).await.unwrap();
    it.create_client(&client("two"), [2; 32], &record()).await.unwrap();
    assert!(!it.revoke_client("three", now(), &record()).await.unwrap());
    assert!(it.revoke_client("one", now(), &record()).await.unwrap());
    let later = now() + TimeDelta::seconds(1);
    assert!(!it.revoke_client("one", later, &record()).await.unwrap());
    assert!(!it.rotate_client_secret("one", [3; 32], later, later, &record()).await.unwrap());
    let (revoked, secrets) = it.client_with_secrets("one", later).await.unwrap().unwrap();
    assert_eq!((revoked.revoked_at, secrets.len()), (Some(now()), 0));
    assert_eq!(hashes(&it, "two", later).await, [[2; 32]]);
}

/// The secrets that are valid at an instant, in the order of their bytes.
async fn hashes(it: &TestStore, id: &str, at: chrono::DateTime<chrono::Utc>) -> Vec<SecretHash> {
    let (_, secrets) = it.client_with_secrets(id, at).await.unwrap().unwrap();
    let mut hashes: Vec<SecretHash> = secrets.iter().map(|secret| secret.hash).collect();
    hashes.sort_unstable();
    hashes
}
