//! Races for one SMS challenge: one right code takes effect, and no more than three wrong ones count.

use super::{Crowd, Request, count};
use crate::harness::{TestApp, books, on_both_databases, sql};

on_both_databases![
    right_codes_in_parallel_are_accepted_once,
    wrong_codes_in_parallel_count_three_times,
    one_of_parallel_challenges_stays_open,
    a_code_races_with_the_deletion_of_the_number,
];

/// The number of parallel answers.
const ANSWERS: u32 = 100;

const ACCEPTED: &str =
    "select count(*) from audit_pending where action = 'sms_challenge.answered' and outcome = 'accepted'";
const OPEN: &str = "select count(*) from challenge where kind = 'sms'";

async fn right_codes_in_parallel_are_accepted_once(app: TestApp) {
    let crowd = Crowd::new(app).await;
    crowd.partner().verified_person("ada").await;
    let challenge = crowd.partner().sms_challenge("ada").await;
    let requests = (0..ANSWERS).map(|_| Request::type_code(&challenge.id, &challenge.code));
    let statuses = crowd.send(requests.collect()).await;
    assert_eq!((count(&statuses, 204), count(&statuses, 404)), (1, ANSWERS - 1), "{statuses:?}");
    assert_eq!(books::count(&crowd.app.database, ACCEPTED).await, 1);
    assert_eq!(books::count(&crowd.app.database, OPEN).await, 0);
}

async fn wrong_codes_in_parallel_count_three_times(app: TestApp) {
    let crowd = Crowd::new(app).await;
    crowd.partner().verified_person("ada").await;
    let challenge = crowd.partner().sms_challenge("ada").await;
    let requests = (0..ANSWERS).map(|_| Request::type_code(&challenge.id, &challenge.wrong_code()));
    let statuses = crowd.send(requests.collect()).await;
    assert_eq!((count(&statuses, 403), count(&statuses, 404)), (3, ANSWERS - 3), "{statuses:?}");
    let counts = "select wrong_answers || ' ' || failures from challenge c
                    join person p on p.partner_id = c.partner_id and p.person_id = c.person_id where kind = 'sms'";
    assert_eq!(sql::texts(crowd.app.database.url(), counts).await, ["3 3"]);
    crowd.partner().type_code(&challenge.id, &challenge.code).await.assert_status(404);
}

async fn one_of_parallel_challenges_stays_open(app: TestApp) {
    let crowd = Crowd::new(app).await;
    crowd.partner().verified_person("ada").await;
    let statuses = crowd.send((0..ANSWERS).map(|_| Request::sms_challenge("ada")).collect()).await;
    assert_eq!(count(&statuses, 201), ANSWERS, "{statuses:?}");
    assert_eq!(books::count(&crowd.app.database, OPEN).await, 1);
}

async fn a_code_races_with_the_deletion_of_the_number(app: TestApp) {
    let crowd = Crowd::new(app).await;
    let mut requests = Vec::new();
    for seed in 0..15 {
        let person = format!("person-{seed}");
        crowd.partner().verified_person(&person).await;
        let challenge = crowd.partner().sms_challenge(&person).await;
        requests.push(Request::type_code(&challenge.id, &challenge.code));
        requests.push(Request { method: "DELETE", path: format!("/v1/persons/{person}/mobile_number"), body: None });
    }
    for pair in crowd.send(requests).await.chunks(2) {
        assert!(matches!(pair, [204 | 404, 200]), "{pair:?}");
    }
    assert_eq!(books::count(&crowd.app.database, OPEN).await, 0);
}
