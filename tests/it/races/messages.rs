//! One person asks for codes everywhere at once: each window lets as many messages out as allowed (contract section 7).

use chrono::TimeDelta;
use serde_json::json;

use super::{CROWD, Crowd, Request, count};
use crate::harness::{Engine, NUMBER, Phone, Start, TestApp, on_both_databases};

on_both_databases![many_challenges_at_once_share_one_budget_of_messages];

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
