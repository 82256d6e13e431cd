//! Races for one challenge: one right answer takes effect, and no more than three wrong ones count.

use super::{CROWD, Crowd, Request, count};
use crate::harness::{Phone, TestApp, books, in_every_form};

in_every_form![
    the_same_right_answer_in_parallel_binds_once,
    different_right_answers_in_parallel_bind_once,
    wrong_answers_in_parallel_count_at_most_three_times,
    right_and_wrong_answers_in_parallel_bind_at_most_once,
    an_answer_races_with_the_deletion_of_the_number,
];

const DEVICES: &str = "select count(*) from device";
const KEYS: &str = "select count(*) from device_key";
const WRONG: &str = "select coalesce(max(binding_wrong_signatures), 0) from person";

async fn the_same_right_answer_in_parallel_binds_once(app: TestApp) {
    let crowd = Crowd::new(app).await;
    crowd.partner().verified_person("ada").await;
    let (asked, signature) = crowd.challenge("ada", &Phone::new(1)).await;
    let statuses = crowd.send((0..CROWD).map(|_| Request::answer(&asked, &signature)).collect()).await;
    // All but the first are treated as replays after a lost 204.
    assert_eq!(count(&statuses, 204), CROWD, "{statuses:?}");
    assert_eq!(books::count(&crowd.app.database, DEVICES).await, 1);
    assert_eq!(books::count(&crowd.app.database, KEYS).await, 1);
}

async fn different_right_answers_in_parallel_bind_once(app: TestApp) {
    let crowd = Crowd::new(app).await;
    crowd.partner().verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = crowd.partner().ask_for_device("ada", &phone).await;
    let code = crowd.app.outbox().last().code();
    let requests = (0..CROWD).map(|seed| Request::answer(&asked, &phone.sign_with_nonce(&code, seed.into())));
    let statuses = crowd.send(requests.collect()).await;
    assert_eq!((count(&statuses, 204), count(&statuses, 404)), (1, CROWD - 1), "{statuses:?}");
    assert_eq!(books::count(&crowd.app.database, DEVICES).await, 1);
    assert_eq!(books::count(&crowd.app.database, KEYS).await, 1);
}

async fn wrong_answers_in_parallel_count_at_most_three_times(app: TestApp) {
    let crowd = Crowd::new(app).await;
    crowd.partner().verified_person("ada").await;
    let phone = Phone::new(1);
    let (asked, right) = crowd.challenge("ada", &phone).await;
    let requests = (0..CROWD).map(|guess| Request::answer(&asked, &phone.sign(&format!("wrong {guess}"))));
    let statuses = crowd.send(requests.collect()).await;
    assert_eq!((count(&statuses, 403), count(&statuses, 404)), (3, CROWD - 3), "{statuses:?}");
    assert_eq!(books::count(&crowd.app.database, WRONG).await, 3);
    crowd.partner().answer(&asked.id, &right).await.assert_status(404);
}

async fn right_and_wrong_answers_in_parallel_bind_at_most_once(app: TestApp) {
    let crowd = Crowd::new(app).await;
    crowd.partner().verified_person("ada").await;
    let phone = Phone::new(1);
    let (asked, right) = crowd.challenge("ada", &phone).await;
    // The first two are wrong, so that wrong answers win in some runs.
    let requests = (0..CROWD).map(|guess| {
        let is_right = guess >= 2 && guess % 2 == 0;
        Request::answer(&asked, &if is_right { right.clone() } else { phone.sign(&format!("wrong {guess}")) })
    });
    let statuses = crowd.send(requests.collect()).await;
    let (bound, wrong) = (count(&statuses, 204), count(&statuses, 403));
    assert_eq!(bound + wrong + count(&statuses, 404), CROWD, "{statuses:?}");
    assert_eq!(books::count(&crowd.app.database, WRONG).await, i64::from(wrong));
    assert_eq!(books::count(&crowd.app.database, DEVICES).await, i64::from(bound > 0));
    if bound > 0 {
        assert!(wrong < 3, "bound although the attempts were used up: {statuses:?}");
    } else {
        assert_eq!(wrong, 3, "neither bound nor closed: {statuses:?}");
    }
}

async fn an_answer_races_with_the_deletion_of_the_number(app: TestApp) {
    let crowd = Crowd::new(app).await;
    let mut requests = Vec::new();
    let mut challenges = Vec::new();
    for seed in 0..15 {
        let person = format!("person-{seed}");
        crowd.partner().verified_person(&person).await;
        let (asked, signature) = crowd.challenge(&person, &Phone::new(seed)).await;
        requests.push(Request::answer(&asked, &signature));
        let path = format!("/v1/persons/{person}/mobile_number");
        requests.push(Request { method: "DELETE", path, body: None });
        challenges.push(asked);
    }
    let statuses = crowd.send(requests).await;
    for (pair, asked) in statuses.chunks(2).zip(&challenges) {
        assert!(matches!(pair, [204 | 404, 200]), "{pair:?}");
        let device = crowd.partner().get(&format!("/v1/mfa/devices/{}", asked.id)).await;
        device.assert_status(if pair[0] == 204 { 200 } else { 404 });
        crowd.partner().get(&format!("/v1/mfa/challenges/signatures/{}", asked.id)).await.assert_status(404);
    }
}
