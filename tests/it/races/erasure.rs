//! Races with the erasure of a person: each parallel request takes effect before the erasure, or finds no such person.

use device_management::clock::SystemClock;
use device_management::domain::person::{PartnerId, PersonId};
use device_management::entropy::SystemEntropy;
use device_management::service::{AuditCheckpoints, PersonErasure};
use device_management::store::Erased;
use serde_json::json;

use super::{Crowd, Request, count};
use crate::activation_codes::{activation_code, activation_wish, ask_by_letter, binding_by_letter, delivery_event};
use crate::audit::verdicts;
use crate::harness::faulty_server::{Behaviour, FaultyServer};
use crate::harness::{ACTIVATION_CODES, Bound, NUMBER, Phone, TestApp, books, in_every_form, sql};

in_every_form![
    a_person_is_erased_before_or_after_each_request,
    a_binding_with_an_activation_code_during_the_erasure_takes_effect_before_it_or_not_at_all,
    a_number_created_during_the_erasure_has_a_row_for_failures,
    records_of_a_request_during_the_erasure_are_removed_by_the_next_erasure,
];

/// Counts numbers without a row in person, where failures are counted.
const NUMBERS_WITHOUT_PERSON: &str = "select count(*) from mobile_number n
                          where not exists (select 1 from person p
                                             where p.partner_id = n.partner_id and p.person_id = n.person_id)";

/// Erases a person, and seals the pending audit events.
async fn erase(crowd: &Crowd, number: u32) -> Option<Erased> {
    let erasure = PersonErasure { store: crowd.app.store(), clock: &SystemClock, entropy: &SystemEntropy };
    let person = PersonId::parse(&format!("person-{number}")).unwrap();
    let erased = erasure.erase(&PartnerId::parse("acme").unwrap(), &person).await.unwrap();
    crowd.app.app.service.seal_audit_trail().await.unwrap();
    erased
}

async fn a_person_is_erased_before_or_after_each_request(app: TestApp) {
    const PERSONS: u32 = 12;
    let crowd = Crowd::new(app).await;
    let partner = crowd.partner();
    let mut requests = Vec::new();
    for number in 0..PERSONS {
        let person = format!("person-{number}");
        partner.verified_person(&person).await;
        let [old, new, added, late] = [0, 1, 2, 3].map(|seed| Phone::new(4 * number + seed));
        let device = partner.bind(&person, &old).await;
        let (asked, signature) = crowd.challenge(&person, &new).await;
        let ask = json!({"person_id": person, "key_type": "ecdsa-p256", "key": late.key()});
        let path = format!("/v1/persons/{person}/mobile_number");
        requests.push(Request::answer(&asked, &signature));
        requests.push(Request::add_key(&device, &old, &added));
        requests.push(Request { method: "POST", path: "/v1/mfa/devices".to_owned(), body: Some(ask) });
        requests.push(Request::delete(&device));
        requests.push(Request { method: "POST", path, body: Some(json!({"number": NUMBER, "verified": true})) });
    }
    let erasures = async {
        for number in 0..PERSONS {
            assert!(erase(&crowd, number).await.is_some(), "person-{number} exists");
        }
    };
    let (statuses, ()) = tokio::join!(crowd.send(requests), erasures);
    for outcome in statuses.chunks(5) {
        // Each request succeeded, or was refused because the erasure came first.
        assert!(matches!(outcome, [204 | 404, 201 | 404, 202 | 400 | 404 | 409, 204 | 404, 201 | 409]), "{outcome:?}");
    }
    let live = "select count(*) from device where deleted_at is null";
    assert_eq!(books::count(&crowd.app.database, live).await, 0, "no device was bound after the erasure");
    assert_eq!(books::count(&crowd.app.database, NUMBERS_WITHOUT_PERSON).await, 0);

    // Rows that were written after the erasures can be erased as well.
    for number in 0..PERSONS {
        erase(&crowd, number).await;
    }
    let left = "select count(*) from device where person_id like 'person-%'";
    assert_eq!(books::count(&crowd.app.database, left).await, 0);
    let verdicts = verdicts(crowd.app.store(), &AuditCheckpoints::default()).await;
    assert!(verdicts.iter().all(|verdict| verdict.faults.is_empty()), "{verdicts:?}");
}

async fn a_binding_with_an_activation_code_during_the_erasure_takes_effect_before_it_or_not_at_all(app: TestApp) {
    const PERSONS: u32 = 12;
    let crowd = Crowd::new(app).await;
    let partner = crowd.partner();
    let mut requests = Vec::new();
    for number in 0..PERSONS {
        let person = format!("person-{number}");
        let [phone, late] = [0, 1].map(|seed| Phone::new(2 * number + seed));
        let letter = activation_code(partner, &person).await;
        let asked = Bound { id: ask_by_letter(partner, &person, &phone).await, key_id: String::new() };
        let post = |path: &str, body| Request { method: "POST", path: path.to_owned(), body: Some(body) };
        requests.push(Request::answer(&asked, &phone.sign(&letter.code)));
        requests.push(post("/v1/mfa/devices", binding_by_letter(&person, &late)));
        requests.push(post(&format!("{}/delivery_events", letter.path()), delivery_event()));
        requests.push(post(ACTIVATION_CODES, activation_wish(&person)));
    }
    let erasures = async {
        for number in 0..PERSONS {
            assert!(erase(&crowd, number).await.is_some(), "person-{number} exists");
        }
    };
    let (statuses, ()) = tokio::join!(crowd.send(requests), erasures);
    for outcome in statuses.chunks(4) {
        assert!(matches!(outcome, [204 | 404, 202 | 400 | 409, 201 | 404, 201 | 409]), "{outcome:?}");
    }
    let live = "select count(*) from device where deleted_at is null";
    assert_eq!(books::count(&crowd.app.database, live).await, 0, "no device was bound after the erasure");
    let lonely = "select count(*) from delivery_event e
                   where not exists (select 1 from activation_code c where c.partner_id = e.partner_id and c.code_id = e.code_id)";
    assert_eq!(books::count(&crowd.app.database, lonely).await, 0, "each delivery event has its code");

    // Rows that were written after the erasures can be erased as well.
    for number in 0..PERSONS {
        erase(&crowd, number).await;
    }
    assert!(!sql::every_value(&crowd.app.database).await.contains("person-"), "no table names an erased person");
    let verdicts = verdicts(crowd.app.store(), &AuditCheckpoints::default()).await;
    assert!(verdicts.iter().all(|verdict| verdict.faults.is_empty()), "{verdicts:?}");
}

async fn a_number_created_during_the_erasure_has_a_row_for_failures(app: TestApp) {
    const PERSONS: u32 = 60;
    let crowd = Crowd::new(app).await;
    let mut requests = Vec::new();
    for number in 0..PERSONS {
        let path = format!("/v1/persons/person-{number}/mobile_number");
        crowd.partner().verified_person(&format!("person-{number}")).await;
        // The person's row still exists when the erasure begins, without a number to lock.
        crowd.partner().delete(&path).await.assert_status(200);
        requests.push(Request { method: "POST", path, body: Some(json!({"number": NUMBER, "verified": true})) });
    }
    let erasures = async {
        for number in 0..PERSONS {
            assert!(erase(&crowd, number).await.is_some(), "person-{number} exists");
        }
    };
    let (statuses, ()) = tokio::join!(crowd.send(requests), erasures);
    assert_eq!(count(&statuses, 201), PERSONS, "{statuses:?}");
    assert_eq!(books::count(&crowd.app.database, NUMBERS_WITHOUT_PERSON).await, 0);
}

/// A request that has read the person and waits for its fraud check records the person's id after the erasure.
async fn records_of_a_request_during_the_erasure_are_removed_by_the_next_erasure(app: TestApp) {
    let seon = FaultyServer::start(Behaviour::Hang).await;
    let url = seon.url();
    let settings = [
        ("SEON_API_KEY", "a-licence"),
        ("SEON_BASE_URL", url.as_str()),
        ("SEON_TIMEOUT_MS", "10000"),
        ("REQUEST_DEADLINE_SECONDS", "300"),
    ];
    let crowd = Crowd::with(app, &settings).await;
    let [here, slow] = &crowd.replicas;
    here.verified_person("person-0").await;
    let device = here.bind("person-0", &Phone::new(1)).await;
    let mut request = Request::add_key(&device, &Phone::new(1), &Phone::new(2));
    let payload = "Web;179ac83968ab42f7;jVl14emA+OcyALb9F+CMFg==;NU7aFh0jdzM15wj8hQtqbA5LbzEFWDI1bUwZf";
    request.body.as_mut().unwrap()["device_data"] = json!(payload);
    let adding = tokio::spawn(request.send(slow.clone()));
    seon.has_read(1).await;
    assert!(erase(&crowd, 0).await.is_some(), "the person exists");
    drop(seon);
    adding.await.unwrap().assert_status(404);

    // The request left only its audit event and its fraud assessment.
    let live = "select count(*) from device_key where deleted_at is null";
    assert_eq!(books::count(&crowd.app.database, live).await, 0);
    if let Some(erased) = erase(&crowd, 0).await {
        let expected = Erased { assessments: erased.assessments, events: erased.events, ..Erased::default() };
        assert_eq!(erased, expected);
    }
    assert!(!sql::every_value(&crowd.app.database).await.contains("person-0"));
    assert_eq!(erase(&crowd, 0).await, None);
    let verdicts = verdicts(crowd.app.store(), &AuditCheckpoints::default()).await;
    assert!(verdicts.iter().all(|verdict| verdict.faults.is_empty()), "{verdicts:?}");
}
