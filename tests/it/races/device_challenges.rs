//! Races for the challenge of a bound device: one answer takes effect, and failures never exceed their limits.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{CROWD, Crowd, Request, count};
use crate::erasure::erase;
use crate::harness::{DEVICE_CHALLENGES, OpenChallenge, Phone, TestApp, books, in_every_form};

in_every_form![
    two_hundred_right_signatures_have_one_effect,
    two_hundred_different_right_signatures_have_one_effect,
    two_hundred_wrong_signatures_count_three_on_their_challenge,
    wrong_signatures_for_many_challenges_count_five_on_the_device,
    an_approval_and_a_decline_exclude_each_other,
    a_signature_during_the_deletion_of_its_device_counts_before_it_or_not_at_all,
    a_signature_during_the_erasure_of_its_person_leaves_no_data,
    a_signature_while_its_challenge_expires_counts_before_the_expiry_or_not_at_all,
    a_hundred_parallel_requests_never_open_more_than_twenty_challenges,
];

const ACCEPTED: &str = "select count(*) from audit_pending
                         where action = 'device_challenge.answered' and outcome = 'accepted'";

const WRONG: &str = "select count(*) from audit_pending
                      where action = 'device_challenge.answered' and outcome = 'wrong'";

fn approving(phone: &Phone, challenge: &OpenChallenge) -> Value {
    json!({"signature": phone.sign(&challenge.text)})
}

fn declining(phone: &Phone, challenge: &OpenChallenge) -> Value {
    json!({"signature": phone.sign(&challenge.declining()), "decision": "declined", "reason": "not_me"})
}

fn wrong(phone: &Phone) -> Value {
    json!({"signature": phone.sign("wrong")})
}

/// A service with a device of Ada's phone.
async fn with_device(app: TestApp) -> (Crowd, Phone, String) {
    let crowd = Crowd::new(app).await;
    let phone = Phone::new(1);
    crowd.partner().verified_person("ada").await;
    let device = crowd.partner().bind("ada", &phone).await.id;
    (crowd, phone, device)
}

async fn stored(crowd: &Crowd, query: &'static str) -> i64 {
    books::count(&crowd.app.database, query).await
}

async fn two_hundred_right_signatures_have_one_effect(app: TestApp) {
    let (crowd, phone, device) = with_device(app).await;
    let challenge = crowd.partner().challenge(&device).await;
    let body = approving(&phone, &challenge);
    let statuses = crowd.send((0..CROWD).map(|_| Request::sign(&challenge, body.clone())).collect()).await;
    // All the others repeat it.
    assert_eq!(count(&statuses, 204), CROWD, "{statuses:?}");
    assert_eq!(stored(&crowd, ACCEPTED).await, 1);
}

async fn two_hundred_different_right_signatures_have_one_effect(app: TestApp) {
    let (crowd, phone, device) = with_device(app).await;
    let challenge = crowd.partner().challenge(&device).await;
    let answer = |nonce: u32| json!({"signature": phone.sign_with_nonce(&challenge.text, nonce.into())});
    let statuses = crowd.send((0..CROWD).map(|nonce| Request::sign(&challenge, answer(nonce))).collect()).await;
    assert_eq!((count(&statuses, 204), count(&statuses, 404)), (1, CROWD - 1), "{statuses:?}");
    assert_eq!((stored(&crowd, ACCEPTED).await, stored(&crowd, WRONG).await), (1, 0));
}

async fn two_hundred_wrong_signatures_count_three_on_their_challenge(app: TestApp) {
    let (crowd, phone, device) = with_device(app).await;
    let challenge = crowd.partner().challenge(&device).await;
    let statuses = crowd.send((0..CROWD).map(|_| Request::sign(&challenge, wrong(&phone))).collect()).await;
    assert_eq!((count(&statuses, 403), count(&statuses, 404)), (3, CROWD - 3), "{statuses:?}");
    assert_eq!(stored(&crowd, WRONG).await, 3);
    assert_eq!(stored(&crowd, "select failures from device").await, 3);
    crowd.partner().sign(&challenge.id, &phone.sign(&challenge.text)).await.assert_status(404);
}

async fn wrong_signatures_for_many_challenges_count_five_on_the_device(app: TestApp) {
    let (crowd, phone, device) = with_device(app).await;
    let mut challenges = Vec::new();
    for _ in 0..10 {
        challenges.push(crowd.partner().challenge(&device).await);
    }
    let requests = challenges.iter().cycle().take(200).map(|challenge| Request::sign(challenge, wrong(&phone)));
    let statuses = crowd.send(requests.collect()).await;
    assert_eq!(count(&statuses, 403), 5, "{statuses:?}");
    assert_eq!(count(&statuses, 404) + count(&statuses, 429), CROWD - 5, "{statuses:?}");
    assert_eq!(stored(&crowd, WRONG).await, 5);
    assert_eq!(stored(&crowd, "select failures from device").await, 5);
    assert_eq!(stored(&crowd, "select cast(sum(wrong_answers) as bigint) from device_challenge").await, 5);
    for challenge in &challenges {
        let answer = crowd.partner().sign(&challenge.id, &phone.sign(&challenge.text)).await.status.as_u16();
        assert!(matches!(answer, 404 | 429), "{answer}");
    }
}

async fn an_approval_and_a_decline_exclude_each_other(app: TestApp) {
    let (crowd, phone, device) = with_device(app).await;
    for _ in 0..10 {
        let challenge = crowd.partner().challenge(&device).await;
        let (approval, decline) = (approving(&phone, &challenge), declining(&phone, &challenge));
        let bodies = [approval, decline];
        let requests = (0..20).map(|number| Request::sign(&challenge, bodies[number % 2].clone()));
        let statuses = crowd.send(requests.collect()).await;
        let (approved, declined): (Vec<_>, Vec<_>) =
            statuses.iter().enumerate().partition(|(number, _)| number % 2 == 0);
        let [approved, declined] =
            [approved, declined].map(|it| it.into_iter().map(|(_, status)| *status).collect::<Vec<_>>());
        let won = (count(&approved, 204), count(&declined, 204));
        assert!(matches!(won, (10, 0) | (0, 10)), "{statuses:?}");
        assert_eq!(count(&statuses, 404), 10, "{statuses:?}");
    }
    assert_eq!((stored(&crowd, ACCEPTED).await, stored(&crowd, WRONG).await), (10, 0));
}

async fn a_signature_during_the_deletion_of_its_device_counts_before_it_or_not_at_all(app: TestApp) {
    const DEVICES: u32 = 20;
    let crowd = Crowd::new(app).await;
    let partner = crowd.partner();
    let mut requests = Vec::new();
    for number in 0..DEVICES {
        let (person, phone) = (format!("person-{number}"), Phone::new(number));
        partner.verified_person(&person).await;
        let device = partner.bind(&person, &phone).await;
        let challenge = partner.challenge(&device.id).await;
        requests.push(Request::sign(&challenge, approving(&phone, &challenge)));
        requests.push(Request::delete(&device));
    }
    let statuses = crowd.send(requests).await;
    let mut accepted = 0;
    for outcome in statuses.chunks(2) {
        assert!(matches!(outcome, [204 | 404, 204]), "{outcome:?}");
        accepted += i64::from(outcome[0] == 204);
    }
    assert_eq!(stored(&crowd, ACCEPTED).await, accepted);
    assert_eq!(stored(&crowd, "select count(*) from device_challenge").await, 0);
}

async fn a_signature_during_the_erasure_of_its_person_leaves_no_data(app: TestApp) {
    const PERSONS: u32 = 12;
    let crowd = Crowd::new(app).await;
    let partner = crowd.partner();
    let mut requests = Vec::new();
    for number in 0..PERSONS {
        let (person, phone) = (format!("person-{number}"), Phone::new(number));
        partner.verified_person(&person).await;
        let device = partner.bind(&person, &phone).await.id;
        let wish = json!({"device_id": device, "approval": {"action": "card-limit"}});
        let asked = partner.post(DEVICE_CHALLENGES, wish).await.assert_status(201).json();
        let [id, text] = ["id", "string_to_sign"].map(|name| asked[name].as_str().expect("a text").to_owned());
        let challenge = OpenChallenge { id, text };
        requests.push(Request::sign(&challenge, approving(&phone, &challenge)));
    }
    let erasures = async {
        for number in 0..PERSONS {
            assert!(erase(&crowd.app, &format!("person-{number}")).await.is_some(), "person-{number} is there");
        }
    };
    let (statuses, ()) = tokio::join!(crowd.send(requests), erasures);
    assert_eq!(count(&statuses, 204) + count(&statuses, 404), PERSONS, "{statuses:?}");
    assert_eq!(stored(&crowd, "select count(*) from device_challenge").await, 0);
    assert_eq!(stored(&crowd, "select count(*) from approval_text").await, 0);
}

async fn a_signature_while_its_challenge_expires_counts_before_the_expiry_or_not_at_all(app: TestApp) {
    let (crowd, phone, device) = with_device(app).await;
    let challenge = crowd.partner().challenge(&device).await;
    crowd.app.advance(TimeDelta::minutes(5) - TimeDelta::milliseconds(20));
    let answer = |nonce: u32| json!({"signature": phone.sign_with_nonce(&challenge.text, nonce.into())});
    let requests = (0..40).map(|nonce| Request::sign(&challenge, answer(nonce))).collect();
    let expiry = async {
        for _ in 0..40 {
            crowd.app.advance(TimeDelta::milliseconds(1));
            tokio::task::yield_now().await;
        }
    };
    let (statuses, ()) = tokio::join!(crowd.send(requests), expiry);
    let accepted = count(&statuses, 204);
    assert!(accepted <= 1, "{statuses:?}");
    assert_eq!(count(&statuses, 404), 40 - accepted, "{statuses:?}");
    assert_eq!(stored(&crowd, ACCEPTED).await, i64::from(accepted));
    assert_eq!(stored(&crowd, "select count(*) from device_challenge where closed_at >= expires_at").await, 0);
}

async fn a_hundred_parallel_requests_never_open_more_than_twenty_challenges(app: TestApp) {
    let (crowd, _, device) = with_device(app).await;
    let ask =
        || Request { method: "POST", path: DEVICE_CHALLENGES.to_owned(), body: Some(json!({"device_id": device})) };
    let statuses = crowd.send((0..100).map(|_| ask()).collect()).await;
    let opened = count(&statuses, 201);
    assert!((1..=20).contains(&opened), "{statuses:?}");
    // 409: the request lost the race for a turn three times.
    assert_eq!(opened + count(&statuses, 429) + count(&statuses, 409), 100, "{statuses:?}");
    assert_eq!(stored(&crowd, "select count(*) from device_challenge").await, i64::from(opened));
    // The rest of the limit can be used.
    for _ in opened..20 {
        crowd.partner().challenge(&device).await;
    }
    crowd.partner().post(DEVICE_CHALLENGES, json!({"device_id": device})).await.assert_status(429);
}
