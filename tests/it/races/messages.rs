//! Parallel requests for codes: the SMS limits of each window hold (docs/api-design.md#limits).

use chrono::TimeDelta;
use serde_json::json;

use super::{CROWD, Crowd, Request, count};
use crate::harness::{Engine, NUMBER, Phone, Start, TestApp, books, in_every_form};

in_every_form![parallel_challenges_share_one_sms_limit, requests_that_lose_a_race_do_not_count_against_sms_limits];

const ENFORCED: [(&str, &str); 1] = [("SMS_LIMITS", "enforce")];

/// A service that enforces its SMS limits.
struct Limited(TestApp);

impl Start for Limited {
    async fn start(engine: Engine) -> Self {
        Self(TestApp::with(engine, &ENFORCED).await)
    }
}

async fn parallel_challenges_share_one_sms_limit(Limited(app): Limited) {
    let crowd = Crowd::with(app, &ENFORCED).await;
    crowd.partner().verified_person("ada").await;
    // One message in 30 seconds and five in ten minutes, for bindings and confirmations together.
    for (round, allowed) in (0..).zip([1, 1, 1, 1, 1, 0]) {
        let before = crowd.app.outbox().messages().len();
        let requests = (0..CROWD).map(|number| match number % 3 {
            0 => Request {
                method: "POST",
                path: "/v1/persons/ada/mobile_number/authorize".to_owned(),
                body: Some(json!({"number": NUMBER})),
            },
            _ => Request::ask("ada", &Phone::new(number)),
        });
        let statuses = crowd.send(requests.collect()).await;
        let sent = crowd.app.outbox().messages().len() - before;
        assert_eq!(sent, allowed, "in round {round}: {statuses:?}");
        assert_eq!(count(&statuses, 202) + count(&statuses, 201), u32::try_from(allowed).unwrap(), "{statuses:?}");
        // 409 for requests that lost the race in every retry.
        assert_eq!(count(&statuses, 429) + count(&statuses, 409), CROWD - u32::try_from(allowed).unwrap());
        crowd.app.advance(TimeDelta::seconds(30));
    }
}

/// Persons who share a number request codes in parallel. A request that loses the race is not counted for the number,
/// the person or the partner.
async fn requests_that_lose_a_race_do_not_count_against_sms_limits(Limited(app): Limited) {
    let crowd = Crowd::with(app, &ENFORCED).await;
    let persons: Vec<_> = (0..10).map(|number| format!("person-{number}")).collect();
    for person in &persons {
        crowd.partner().verified_person(person).await;
    }
    for sent in 1..=3 {
        let requests =
            persons.iter().cycle().take(40).zip(0..).map(|(person, seed)| Request::ask(person, &Phone::new(seed)));
        let statuses = crowd.send(requests.collect()).await;
        assert_eq!(count(&statuses, 202), 1, "{statuses:?}");
        assert_eq!(crowd.app.outbox().messages().len(), sent);
        let counted = books::count(&crowd.app.database, "select count(*) from sms_sent").await;
        assert_eq!(counted, i64::try_from(sent).unwrap());
        // The partner's rate is 60 per second, so one message takes 16,666 microseconds.
        let now = crowd.app.app.service.clock.now().timestamp_micros();
        let ahead = books::count(&crowd.app.database, "select ahead_to from sms_partner_rate").await;
        assert_eq!(ahead - now, 16_666);
        crowd.app.advance(TimeDelta::seconds(30));
    }
}
