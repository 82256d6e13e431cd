//! Races with the deletion of a device: its key is bound or added to another device, or its person binds another one.

use super::{CROWD, Crowd, Request, count};
use crate::harness::{Phone, TestApp, books, in_every_form};

in_every_form![
    a_device_is_deleted_once,
    a_key_goes_to_at_most_one_device_while_its_device_is_deleted,
    a_device_is_deleted_while_a_key_is_added_and_another_device_is_bound,
];

async fn a_device_is_deleted_once(app: TestApp) {
    let crowd = Crowd::new(app).await;
    crowd.partner().verified_person("ada").await;
    crowd.partner().verified_person("bob").await;
    let adas_only = crowd.partner().bind("ada", &Phone::new(1)).await;
    let one_of_bobs = crowd.partner().bind("bob", &Phone::new(2)).await;
    crowd.partner().bind("bob", &Phone::new(3)).await;
    for device in [adas_only, one_of_bobs] {
        let statuses = crowd.send((0..CROWD).map(|_| Request::delete(&device)).collect()).await;
        assert_eq!((count(&statuses, 204), count(&statuses, 404)), (1, CROWD - 1), "{statuses:?}");
    }
    assert_eq!(books::count(&crowd.app.database, "select count(*) from device where deleted_at is null").await, 1);
}

/// For each of twelve keys, three requests in parallel: Ada's device with the key is deleted, Bob's pending device is
/// to be bound with it, and Eve's device is to get it as another key.
async fn a_key_goes_to_at_most_one_device_while_its_device_is_deleted(app: TestApp) {
    let crowd = Crowd::new(app).await;
    let partner = crowd.partner();
    let mut requests = Vec::new();
    for round in 0..12 {
        let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| format!("{name}-{round}"));
        for person in [&ada, &bob, &eve] {
            partner.verified_person(person).await;
        }
        let (contested, own) = (Phone::new(2 * round), Phone::new(2 * round + 1));
        // Bob's request comes while the key is free.
        let (asked, signature) = crowd.challenge(&bob, &contested).await;
        let device = partner.bind(&ada, &contested).await;
        let other = partner.bind(&eve, &own).await;
        requests.push(Request::delete(&device));
        requests.push(Request::answer(&asked, &signature));
        requests.push(Request::add_key(&other, &own, &contested));
    }
    let statuses = crowd.send(requests).await;
    for outcome in statuses.chunks(3) {
        // The device is deleted. One of the others gets the key, or neither if both requests ran before the deletion.
        assert!(matches!(outcome, [204, 204, 409] | [204, 409, 201 | 409]), "{outcome:?}");
    }
}

async fn a_device_is_deleted_while_a_key_is_added_and_another_device_is_bound(app: TestApp) {
    let crowd = Crowd::new(app).await;
    let partner = crowd.partner();
    let (mut requests, mut persons) = (Vec::new(), Vec::new());
    for round in 0..12 {
        let person = format!("person-{round}");
        partner.verified_person(&person).await;
        let [old, new, added] = [0, 1, 2].map(|seed| Phone::new(3 * round + seed));
        let device = partner.bind(&person, &old).await;
        let (asked, signature) = crowd.challenge(&person, &new).await;
        requests.push(Request::add_key(&device, &old, &added));
        requests.push(Request::delete(&device));
        requests.push(Request::answer(&asked, &signature));
        requests.push(Request::delete(&device));
        persons.push((person, asked));
    }
    let statuses = crowd.send(requests).await;
    for (outcome, (person, asked)) in statuses.chunks(4).zip(persons) {
        assert!(matches!(outcome, [201 | 404, 204, 204, 404] | [201 | 404, 404, 204, 204]), "{outcome:?}");
        let devices = partner.get(&format!("/v1/mfa/devices?person_id={person}")).await.json();
        assert_eq!((devices[0]["id"].as_str(), devices.as_array().map(Vec::len)), (Some(&*asked.id), Some(1)));
    }
}
