//! Listing, reading and deleting devices (docs/api-design.md#list-devices and #read-and-delete-a-device).

use std::collections::HashMap;

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::harness::{Answer, Phone, TestApp, TestClient, on_both_databases};

on_both_databases![
    the_newest_device_comes_first,
    a_filter_shows_only_the_devices_of_one_person,
    deleted_devices_are_listed_only_on_request,
    the_links_lead_through_all_pages_and_show_every_device_once,
    a_page_beyond_the_last_is_empty_and_has_the_total,
    all_faults_of_the_query_are_reported_together,
    a_device_shows_its_name_only_if_it_has_one,
    a_pending_device_is_not_visible,
    a_deletion_answers_without_a_body_and_only_once,
    a_deleted_device_stays_readable_with_its_deletion_time,
    a_deletion_frees_the_device_limit_and_the_key,
    a_device_is_found_under_any_spelling_of_its_id,
    a_malformed_id_gets_404_with_the_id_in_the_detail,
    another_partner_sees_nothing_and_deletes_nothing,
];

async fn the_newest_device_comes_first(app: TestApp) {
    let acme = app.partner();
    let mut expected = bind_one_after_another(&app, &acme, "ada", 1..4).await;
    expected.reverse();

    let list = acme.get("/v1/mfa/devices").await;
    list.assert_status(200);
    assert_eq!(ids(&list), expected);
    assert_eq!(list.json()[2]["created_at"], "2022-03-18T14:50:04Z");
    assert_eq!(list.json()[0]["created_at"], "2022-03-18T14:50:06Z");
}

async fn a_filter_shows_only_the_devices_of_one_person(app: TestApp) {
    let acme = app.partner();
    let hers = bind_one_after_another(&app, &acme, "ada", 1..2).await;
    let his = bind_one_after_another(&app, &acme, "bob&co=50%", 2..3).await;
    for query in ["filter[person_id]=ada", "filter%5Bperson_id%5D=ada", "person_id=ada", "x=y&person_id=ada"] {
        assert_eq!(ids(&acme.get(&format!("/v1/mfa/devices?{query}")).await), hers, "{query}");
    }
    // A person's id is any visible ASCII: characters with a meaning in a query are encoded in requests and in links.
    let list = acme.get("/v1/mfa/devices?filter[person_id]=bob%26co%3D50%25").await;
    assert_eq!(ids(&list), his);
    assert_eq!(ids(&acme.get(&links(&list)["first"]).await), his);

    for unknown in ["eve", "ADA", "ad", "adaa"] {
        let list = acme.get(&format!("/v1/mfa/devices?filter[person_id]={unknown}")).await;
        list.assert_status(200);
        assert_eq!((list.json(), header(&list, "total")), (json!([]), "0"), "{unknown}");
    }
}

async fn deleted_devices_are_listed_only_on_request(app: TestApp) {
    let acme = app.partner();
    let devices = bind_one_after_another(&app, &acme, "ada", 1..3).await;
    acme.delete(&format!("/v1/mfa/devices/{}", devices[0])).await.assert_status(204);

    for query in ["", "?filter[include_deleted]=false", "?person_id=ada"] {
        let list = acme.get(&format!("/v1/mfa/devices{query}")).await;
        assert_eq!((ids(&list), header(&list, "total")), (vec![devices[1].clone()], "1"), "{query:?}");
    }
    for query in ["filter[include_deleted]=true", "filter%5Binclude_deleted%5D=true&person_id=ada"] {
        let list = acme.get(&format!("/v1/mfa/devices?{query}")).await;
        assert_eq!(
            (ids(&list), header(&list, "total")),
            (vec![devices[1].clone(), devices[0].clone()], "2"),
            "{query}"
        );
        assert_eq!(list.json()[0].get("deleted_at"), None);
        assert_eq!(list.json()[1]["deleted_at"], "2022-03-18T14:50:06Z");
        assert!(links(&list)["last"].contains("include_deleted%5D=true"), "{:?}", links(&list));
    }
}

async fn the_links_lead_through_all_pages_and_show_every_device_once(app: TestApp) {
    let acme = app.partner();
    let mut expected = bind_one_after_another(&app, &acme, "ada", 1..5).await;
    expected.extend(bind_one_after_another(&app, &acme, "bob", 5..8).await);
    expected.reverse();

    let first = acme.get("/v1/mfa/devices?page[size]=3").await;
    let mut page = links(&first)["first"].clone();
    let mut seen = Vec::new();
    loop {
        let list = acme.get(&page).await;
        list.assert_status(200);
        assert_eq!((header(&list, "total"), header(&list, "per-page")), ("7", "3"));
        assert_eq!((&links(&list)["first"], &links(&list)["last"]), (&links(&first)["first"], &links(&first)["last"]));
        seen.extend(ids(&list));
        match links(&list).remove("next") {
            Some(next) => page = next,
            None => break,
        }
    }
    assert_eq!(seen, expected);
    assert_eq!(ids(&acme.get(&page).await), ids(&acme.get(&links(&first)["last"]).await));

    let mut backwards = Vec::new();
    loop {
        let list = acme.get(&page).await;
        backwards.splice(0..0, ids(&list));
        match links(&list).remove("prev") {
            Some(previous) => page = previous,
            None => break,
        }
    }
    assert_eq!(backwards, expected);
    assert_eq!(ids(&acme.get(&page).await), ids(&first));

    // The default page size is ten.
    let all = acme.get("/v1/mfa/devices").await;
    assert_eq!((ids(&all), header(&all, "per-page")), (expected, "10"));
    assert_eq!((links(&all).get("next"), links(&all).get("prev")), (None, None));
}

async fn a_page_beyond_the_last_is_empty_and_has_the_total(app: TestApp) {
    let acme = app.partner();
    bind_one_after_another(&app, &acme, "ada", 1..4).await;
    for number in ["3", "4", "2147483647"] {
        let list = acme.get(&format!("/v1/mfa/devices?page[size]=2&page[number]={number}")).await;
        list.assert_status(200);
        assert_eq!((list.json(), header(&list, "total")), (json!([]), "3"), "page {number}");
        assert_eq!(links(&list).get("next"), None);
        assert_eq!(ids(&acme.get(&links(&list)["prev"]).await).len(), 1, "page {number}");
    }
    let widest = acme.get("/v1/mfa/devices?page[size]=1000").await;
    assert_eq!((ids(&widest).len(), header(&widest, "per-page")), (3, "1000"));
}

async fn all_faults_of_the_query_are_reported_together(app: TestApp) {
    let acme = app.partner();
    let query = "page[size]=1001&page%5Bnumber%5D=0&filter[include_deleted]=yes&filter[person_id]=%20";
    acme.get(&format!("/v1/mfa/devices?{query}")).await.assert_faults(&[
        ("filter[person_id]", "must be 1 to 64 visible ASCII characters"),
        ("filter[include_deleted]", "must be true or false"),
        ("page[number]", "must be a whole number from 1 to 2147483647"),
        ("page[size]", "must be a whole number from 1 to 1000"),
    ]);
    for (query, field) in [
        ("page[number]=", "page[number]"),
        ("page[number]=-1", "page[number]"),
        ("page[number]=1.0", "page[number]"),
        ("page[number]=2147483648", "page[number]"),
        ("page[number]=99999999999999999999", "page[number]"),
        ("page[number]=1&page%5Bnumber%5D=2", "page[number]"),
        ("page[size]=0", "page[size]"),
        ("page[size]=+5", "page[size]"),
        ("page[size]=all", "page[size]"),
        ("filter[include_deleted]=TRUE", "filter[include_deleted]"),
        ("filter[include_deleted]=", "filter[include_deleted]"),
        ("filter[person_id]=", "filter[person_id]"),
        ("filter[person_id]=%C3%A4", "filter[person_id]"),
        ("person_id=%00", "filter[person_id]"),
        ("person_id=ada&filter[person_id]=ada", "filter[person_id]"),
    ] {
        let answer = acme.get(&format!("/v1/mfa/devices?{query}")).await;
        answer.assert_status(400);
        assert_eq!(answer.json()["errors"][0]["source"]["field"], field, "{query}");
        assert_eq!(answer.json()["errors"][0]["code"], "validation_error", "{query}");
    }
}

async fn a_device_shows_its_name_only_if_it_has_one(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let phone = Phone::new(1);
    let body = json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": phone.key(), "name": "Adas Händi 📱"});
    let asked = acme.post("/v1/mfa/devices", body).await.assert_status(202).json();
    let id = asked["id"].as_str().unwrap();
    acme.answer(id, &phone.sign(&app.outbox().last().code())).await.assert_status(204);
    let nameless = acme.bind("ada", &Phone::new(2)).await.id;

    let named = acme.get(&format!("/v1/mfa/devices/{id}")).await.json();
    let expected =
        json!({"id": id, "person_id": "ada", "name": "Adas Händi 📱", "created_at": asked["challenge"]["created_at"]});
    assert_eq!(named, expected);
    assert_eq!(acme.get(&format!("/v1/mfa/devices/{nameless}")).await.json().get("name"), None);
}

async fn a_pending_device_is_not_visible(app: TestApp) {
    let acme = app.partner();
    acme.verified_person("ada").await;
    let pending = acme.ask_for_device("ada", &Phone::new(1)).await;
    assert_eq!(acme.get("/v1/mfa/devices?filter[include_deleted]=true").await.json(), json!([]));
    let path = format!("/v1/mfa/devices/{}", pending.id);
    for (method, path) in [("GET", path.clone()), ("DELETE", path.clone()), ("GET", format!("{path}/keys"))] {
        let gone = format!("device \"{}\" not found", pending.id);
        acme.send(method, &path, None).await.assert_error(404, "not_found", &gone);
    }
    let key = acme.get(&format!("{path}/keys/{}", pending.key_id)).await;
    key.assert_error(404, "not_found", &format!("key \"{}\" not found", pending.key_id));
    // The refused deletion did not affect the challenge.
    let code = app.outbox().last().code();
    acme.answer(&pending.id, &Phone::new(1).sign(&code)).await.assert_status(204);
}

async fn a_deletion_answers_without_a_body_and_only_once(app: TestApp) {
    let acme = app.partner();
    let device = &bind_one_after_another(&app, &acme, "ada", 1..2).await[0];
    let path = format!("/v1/mfa/devices/{device}");

    let deleted = acme.delete(&path).await;
    deleted.assert_status(204);
    assert!(deleted.body.is_empty(), "{:?}", deleted.body);
    for absent in ["content-type", "transfer-encoding"] {
        assert_eq!(deleted.headers.get(absent), None);
    }
    let gone = format!("device \"{device}\" not found");
    acme.delete(&path).await.assert_error(404, "not_found", &gone);
}

async fn a_deleted_device_stays_readable_with_its_deletion_time(app: TestApp) {
    let acme = app.partner();
    let device = &bind_one_after_another(&app, &acme, "ada", 1..2).await[0];
    let path = format!("/v1/mfa/devices/{device}");
    app.advance(TimeDelta::minutes(10));
    acme.delete(&path).await.assert_status(204);
    app.advance(TimeDelta::minutes(10));
    acme.delete(&path).await.assert_status(404);

    let expected = json!({
        "id": device,
        "person_id": "ada",
        "created_at": "2022-03-18T14:50:04Z",
        "deleted_at": "2022-03-18T15:00:05Z",
    });
    let tombstone = acme.get(&path).await;
    tombstone.assert_status(200);
    assert_eq!(tombstone.json(), expected);
}

async fn a_deletion_frees_the_device_limit_and_the_key(app: TestApp) {
    let acme = app.partner();
    let devices = bind_one_after_another(&app, &acme, "ada", 1..6).await;
    let body = |seed| json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": Phone::new(seed).key()});
    let full = "the person has as many devices as allowed; delete one first";
    acme.post("/v1/mfa/devices", body(1)).await.assert_error(409, "device_limit_exceeded", full);

    acme.delete(&format!("/v1/mfa/devices/{}", devices[0])).await.assert_status(204);
    let taken = "the key belongs to a bound device; generate a new one";
    acme.post("/v1/mfa/devices", body(2)).await.assert_error(409, "key_already_registered", taken);
    let again = acme.bind("ada", &Phone::new(1)).await.id;
    assert_ne!(again, devices[0]);
    acme.post("/v1/mfa/devices", body(6)).await.assert_error(409, "device_limit_exceeded", full);
}

async fn a_device_is_found_under_any_spelling_of_its_id(app: TestApp) {
    let acme = app.partner();
    let device = &bind_one_after_another(&app, &acme, "ada", 1..2).await[0];
    let bare = device.replace('-', "");
    for spelling in [device.to_uppercase(), bare.clone(), bare.to_uppercase()] {
        let path = format!("/v1/mfa/devices/{spelling}");
        assert_eq!(acme.get(&path).await.json()["id"], **device, "{spelling}");
        assert_eq!(acme.get(&format!("{path}/keys")).await.json()[0]["device_id"], **device, "{spelling}");
    }
    acme.delete(&format!("/v1/mfa/devices/{}", bare.to_uppercase())).await.assert_status(204);
    let gone = format!("device \"{bare}\" not found");
    acme.delete(&format!("/v1/mfa/devices/{bare}")).await.assert_error(404, "not_found", &gone);
}

async fn a_malformed_id_gets_404_with_the_id_in_the_detail(app: TestApp) {
    let acme = app.partner();
    let endless = "f".repeat(3000);
    for (sent, shown) in [
        ("1", "1"),
        ("nonsense", "nonsense"),
        ("6642d15e-8f6b-4d28-9186-cdd61d80032", "6642d15e-8f6b-4d28-9186-cdd61d80032"),
        ("6642d15e-8f6b-4d28-9186-cdd61d80032g", "6642d15e-8f6b-4d28-9186-cdd61d80032g"),
        ("00000000-0000-0000-0000-000000000000", "00000000-0000-0000-0000-000000000000"),
        ("%22%3E%3Cb%3E", "\"><b>"),
        ("%C3%A4", "ä"),
        ("a%00b%0D%0Ac", "abc"),
        ("..%2F..%2Fhealthz", "../../healthz"),
        ("%FF", ""),
        (&endless, &endless[..64]),
    ] {
        for (method, path) in [("GET", ""), ("DELETE", ""), ("GET", "/keys")] {
            let answer = acme.send(method, &format!("/v1/mfa/devices/{sent}{path}"), None).await;
            answer.assert_error(404, "not_found", &format!("device \"{shown}\" not found"));
        }
    }
}

async fn another_partner_sees_nothing_and_deletes_nothing(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    let device = &bind_one_after_another(&app, &acme, "ada", 1..2).await[0];
    let path = format!("/v1/mfa/devices/{device}");
    let before = acme.get(&path).await.json();

    let list = globex.get("/v1/mfa/devices?filter[person_id]=ada&filter[include_deleted]=true").await;
    assert_eq!((list.json(), header(&list, "total")), (json!([]), "0"));
    assert_eq!(globex.get("/v1/mfa/devices").await.json(), json!([]));
    let gone = format!("device \"{device}\" not found");
    for method in ["GET", "DELETE"] {
        globex.send(method, &path, None).await.assert_error(404, "not_found", &gone);
    }
    assert_eq!(acme.get(&path).await.json(), before);
}

/// Gives the person a verified number and binds a phone for each seed, a second apart. Returns the devices' ids, oldest
/// first.
pub(crate) async fn bind_one_after_another(
    app: &TestApp,
    client: &TestClient,
    person: &str,
    seeds: std::ops::Range<u32>,
) -> Vec<String> {
    client.verified_person(&person.replace('%', "%25")).await;
    let mut devices = Vec::new();
    for seed in seeds {
        devices.push(client.bind(person, &Phone::new(seed)).await.id);
        app.advance(TimeDelta::seconds(1));
    }
    devices
}

pub(crate) fn ids(list: &Answer) -> Vec<String> {
    let id = |device: &Value| device["id"].as_str().unwrap().to_owned();
    list.json().as_array().unwrap().iter().map(id).collect()
}

pub(crate) fn header<'a>(answer: &'a Answer, name: &str) -> &'a str {
    answer.headers[name].to_str().unwrap()
}

/// The path prefix of a proxy in front of the service.
const PREFIX: &str = "/banking/devices";

/// The targets of a `link` header by their relation (RFC 8288 section 3), as a client behind a proxy resolves them:
/// each keeps the proxy's prefix.
pub(crate) fn links(list: &Answer) -> HashMap<String, String> {
    let asked = reqwest::Url::parse(&format!("https://gateway.example{PREFIX}/v1/mfa/devices?page[size]=7")).unwrap();
    let link = |link: &str| {
        let (target, relation) = link.split_once("; rel=").expect("a link has a relation");
        let target = asked.join(target.trim_matches(['<', '>'])).expect("a link is a reference");
        let prefix = format!("https://gateway.example{PREFIX}");
        let target = target.as_str().strip_prefix(&prefix).expect("a link keeps the prefix");
        (relation.trim_matches('"').to_owned(), target.to_owned())
    };
    header(list, "link").split(", ").map(link).collect()
}
