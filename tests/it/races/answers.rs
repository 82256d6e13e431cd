//! Races for one challenge: one right answer takes effect, and only as many wrong ones count as are allowed.

use super::{CROWD, Crowd, Request, count};
use crate::harness::{Phone, TestApp, books, in_every_form};

in_every_form![
    the_same_right_answer_many_times_at_once_binds_once,
    many_right_answers_at_once_bind_once,
    many_wrong_answers_at_once_count_no_more_often_than_allowed,
    right_and_wrong_answers_at_once_bind_once_or_never,
    answers_race_with_the_end_of_the_number,
];

const DEVICES: &str = "select count(*) from device";
const KEYS: &str = "select count(*) from device_key";
const WRONG: &str = "select coalesce(max(binding_wrong_signatures), 0) from person";

async fn the_same_right_answer_many_times_at_once_binds_once(app: TestApp) {
    let crowd = Crowd::new(app).await;
    crowd.partner().verified_person("ada").await;
    let (asked, signature) = crowd.challenge("ada", &Phone::new(1)).await;
    let statuses = crowd.send((0..CROWD).map(|_| Request::answer(&asked, &signature)).collect()).await;
    // All but the first are repeats of a lost answer, for all that anybody can tell.
    assert_eq!(count(&statuses, 204), CROWD, "{statuses:?}");
    assert_eq!(books::count(&crowd.app.database, DEVICES).await, 1);
    assert_eq!(books::count(&crowd.app.database, KEYS).await, 1);
}

async fn many_right_answers_at_once_bind_once(app: TestApp) {
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

async fn many_wrong_answers_at_once_count_no_more_often_than_allowed(app: TestApp) {
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

async fn right_and_wrong_answers_at_once_bind_once_or_never(app: TestApp) {
    let crowd = Crowd::new(app).await;
    crowd.partner().verified_person("ada").await;
    let phone = Phone::new(1);
    let (asked, right) = crowd.challenge("ada", &phone).await;
    // The wrong ones go first, so that now and then they win.
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

async fn answers_race_with_the_end_of_the_number(app: TestApp) {
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
