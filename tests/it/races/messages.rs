//! One person asks for codes everywhere at once: each window lets as many messages out as allowed (docs/api-design.md#limits).

use chrono::TimeDelta;
use serde_json::json;

use super::{CROWD, Crowd, Request, count};
use crate::harness::{Engine, NUMBER, Phone, Start, TestApp, books, in_every_form};

in_every_form![many_challenges_at_once_share_one_budget_of_messages, requests_that_collide_charge_for_what_is_sent];

const ENFORCED: [(&str, &str); 1] = [("SMS_LIMITS", "enforce")];

/// A service whose limits hold.
struct Limited(TestApp);

impl Start for Limited {
    async fn start(engine: Engine) -> Self {
        Self(TestApp::with(engine, &ENFORCED).await)
    }
}

async fn many_challenges_at_once_share_one_budget_of_messages(Limited(app): Limited) {
    let crowd = Crowd::with(app, &ENFORCED).await;
    crowd.partner().verified_person("ada").await;
    // One in 30 seconds, five in ten minutes; bindings and confirmations together.
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
        // 409 for those whom others overtook again and again.
        assert_eq!(count(&statuses, 429) + count(&statuses, 409), CROWD - u32::try_from(allowed).unwrap());
        crowd.app.advance(TimeDelta::seconds(30));
    }
}

/// Persons who share a number ask at once: a request that is overtaken has changed nothing, neither the number's nor the person's
/// nor the partner's account.
async fn requests_that_collide_charge_for_what_is_sent(Limited(app): Limited) {
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
        // Sixty a second.
        let now = crowd.app.app.service.clock.now().timestamp_micros();
        let ahead = books::count(&crowd.app.database, "select ahead_to from sms_partner_rate").await;
        assert_eq!(ahead - now, 16_666);
        crowd.app.advance(TimeDelta::seconds(30));
    }
}
