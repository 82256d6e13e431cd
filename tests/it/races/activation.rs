//! Races for one activation code: it binds one device, and a person has at most one live code.

use serde_json::json;

use super::{CROWD, Crowd, Request, count};
use crate::activation_codes::{activation_code, activation_wish, ask_by_letter, binding_by_letter};
use crate::harness::{ACTIVATION_CODES, Bound, Phone, TestApp, books, in_every_form};

in_every_form![
    fifty_parallel_bindings_with_one_code_bind_one_device,
    parallel_requests_for_a_code_create_one,
    a_binding_races_with_the_end_of_its_code,
    wrong_signatures_in_parallel_count_once_each_on_the_code,
];

const BINDINGS: u32 = 50;
const DEVICES: &str = "select count(*) from device";
const USED: &str = "select count(*) from activation_code where used_at is not null";

async fn fifty_parallel_bindings_with_one_code_bind_one_device(app: TestApp) {
    let crowd = Crowd::new(app).await;
    let letter = activation_code(crowd.partner(), "ada").await;
    let bindings = (0..BINDINGS).map(|seed| {
        let (client, code) = (crowd.partner().clone(), letter.code.clone());
        tokio::spawn(async move {
            let phone = Phone::new(seed);
            let asked = client.post("/v1/mfa/devices", binding_by_letter("ada", &phone)).await;
            if asked.status != 202 {
                return asked.status.as_u16();
            }
            let id = asked.json()["id"].as_str().expect("an id").to_owned();
            client.answer(&id, &phone.sign(&code)).await.status.as_u16()
        })
    });
    let mut statuses = Vec::new();
    for binding in bindings.collect::<Vec<_>>() {
        statuses.push(binding.await.expect("no panic"));
    }
    assert_eq!(statuses.iter().filter(|status| **status == 204).count(), 1, "{statuses:?}");
    assert!(statuses.iter().all(|status| [204, 400, 404, 409].contains(status)), "{statuses:?}");
    assert_eq!(books::count(&crowd.app.database, DEVICES).await, 1);
    assert_eq!(books::count(&crowd.app.database, USED).await, 1);
    books::assert_balanced(&crowd.app.database).await;
}

async fn parallel_requests_for_a_code_create_one(app: TestApp) {
    let crowd = Crowd::new(app).await;
    let request = |_| Request { method: "POST", path: ACTIVATION_CODES.to_owned(), body: Some(activation_wish("ada")) };
    let statuses = crowd.send((0..CROWD).map(request).collect()).await;
    assert_eq!((count(&statuses, 201), count(&statuses, 409)), (1, CROWD - 1), "{statuses:?}");
    assert_eq!(books::count(&crowd.app.database, "select count(*) from activation_code").await, 1);
}

async fn a_binding_races_with_the_end_of_its_code(app: TestApp) {
    let crowd = Crowd::new(app).await;
    for seed in 0..10 {
        let person = format!("person-{seed}");
        let letter = activation_code(crowd.partner(), &person).await;
        let phone = Phone::new(seed);
        let id = ask_by_letter(crowd.partner(), &person, &phone).await;
        let asked = Bound { id, key_id: String::new() };
        let end = Request { method: "DELETE", path: letter.path(), body: None };
        let statuses = crowd.send(vec![Request::answer(&asked, &phone.sign(&letter.code)), end]).await;
        let (bound, refused) = (count(&statuses, 204), count(&statuses, 404));
        assert_eq!((bound + refused, count(&statuses, 200)), (1, 1), "{statuses:?}");
        let shown = crowd.partner().get(&letter.path()).await.json();
        assert_eq!(shown["usage_count"], json!(bound));
    }
    books::assert_balanced(&crowd.app.database).await;
}

async fn wrong_signatures_in_parallel_count_once_each_on_the_code(app: TestApp) {
    let crowd = Crowd::new(app).await;
    activation_code(crowd.partner(), "ada").await;
    let phone = Phone::new(1);
    let id = ask_by_letter(crowd.partner(), "ada", &phone).await;
    let asked = Bound { id, key_id: String::new() };
    let requests = (0..CROWD).map(|guess| Request::answer(&asked, &phone.sign(&format!("wrong {guess}"))));
    let statuses = crowd.send(requests.collect()).await;
    assert_eq!((count(&statuses, 403), count(&statuses, 404)), (3, CROWD - 3), "{statuses:?}");
    let failures = "select max(failures) from activation_code";
    assert_eq!(books::count(&crowd.app.database, failures).await, 3);
}
