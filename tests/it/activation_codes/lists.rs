//! Lists of activation codes: filters and pages.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{activation_code, activation_wish};
use crate::harness::{ACTIVATION_CODES, TestApp, TestClient, on_both_databases};

on_both_databases![
    a_list_has_the_newest_first_and_each_filter_applies,
    the_links_of_a_page_lead_through_the_whole_list,
    an_invalid_filter_is_refused,
];

async fn ids(client: &TestClient, query: &str) -> Vec<String> {
    let listed = client.get(&format!("{ACTIVATION_CODES}?{query}")).await.assert_status(200).json();
    listed.as_array().expect("a list").iter().map(|code| code["id"].as_str().unwrap().to_owned()).collect()
}

async fn a_list_has_the_newest_first_and_each_filter_applies(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    activation_code(&globex, "ada").await;
    let ended = activation_code(&acme, "ada").await;
    app.advance(TimeDelta::seconds(1));
    acme.delete(&ended.path()).await.assert_status(200);
    let live = activation_code(&acme, "ada").await;
    app.advance(TimeDelta::seconds(1));
    let mut wish = activation_wish("bob");
    wish["origin"] = "MOBILE_APP".into();
    let of_bob = acme.post(ACTIVATION_CODES, wish).await.assert_status(201).json();
    let of_bob = of_bob["id"].as_str().unwrap().to_owned();

    let [live, ended] = [live.id, ended.id];
    for (query, expected) in [
        ("", vec![&of_bob, &live]),
        ("filter[include_expired]=true", vec![&of_bob, &live, &ended]),
        ("filter[person_id]=ada", vec![&live]),
        ("person_id=ada&filter[include_expired]=true", vec![&live, &ended]),
        ("filter[origin]=MOBILE_APP", vec![&of_bob]),
        ("filter[origin]=WEBUI", vec![]),
        ("filter[purpose]=DEVICE_BINDING&filter[delivery_method]=SNAILMAIL", vec![&of_bob, &live]),
        ("filter[person_id]=unknown", vec![]),
    ] {
        assert_eq!(ids(&acme, query).await, expected.into_iter().cloned().collect::<Vec<_>>(), "{query}");
    }
    let listed = acme.get(ACTIVATION_CODES).await;
    assert_eq!(listed.headers["total"], "2");
    assert!(listed.json()[0]["code"].is_string(), "a live code is shown");
}

/// The target of a link of this relation.
fn link(links: &str, rel: &str) -> Option<String> {
    let of_rel = links.split(", ").find(|link| link.ends_with(&format!("rel=\"{rel}\"")))?;
    Some(of_rel[1..of_rel.find('>')?].to_owned())
}

async fn the_links_of_a_page_lead_through_the_whole_list(app: TestApp) {
    let acme = app.partner();
    let mut expected = Vec::new();
    for person in 0..5 {
        app.advance(TimeDelta::seconds(1));
        expected.insert(0, activation_code(&acme, &format!("person-{person}")).await.id);
    }
    let mut query = "?filter[origin]=WEB&page[size]=2".to_owned();
    let (mut found, mut last) = (Vec::new(), query.clone());
    loop {
        let page = acme.get(&format!("{ACTIVATION_CODES}{query}")).await;
        assert_eq!((&page.headers["total"], &page.headers["per-page"]), (&"5".parse().unwrap(), &"2".parse().unwrap()));
        let codes = page.json();
        found.extend(codes.as_array().unwrap().iter().map(|code: &Value| code["id"].as_str().unwrap().to_owned()));
        let links = page.headers["link"].to_str().unwrap();
        assert!(links.contains("filter%5Borigin%5D=WEB"), "{links}");
        let Some(next) = link(links, "next") else { break };
        last = std::mem::replace(&mut query, next);
    }
    assert_eq!(found, expected);
    let page = acme.get(&format!("{ACTIVATION_CODES}{query}")).await;
    let previous = link(page.headers["link"].to_str().unwrap(), "prev").expect("a page before the last");
    let [back, forth] = [previous, last].map(|query| format!("{ACTIVATION_CODES}{query}"));
    assert_eq!(acme.get(&back).await.json(), acme.get(&forth).await.json());
}

async fn an_invalid_filter_is_refused(app: TestApp) {
    let query = "filter[origin]=FAX&filter[include_expired]=1&page[size]=0&filter[delivery_method]=PIGEON";
    app.partner().get(&format!("{ACTIVATION_CODES}?{query}")).await.assert_faults(&[
        ("filter[include_expired]", "must be true or false"),
        ("filter[origin]", "must be one of: MOBILE_APP, WEB, WEBUI"),
        ("filter[delivery_method]", "must be one of: SNAILMAIL"),
        ("page[size]", "must be a whole number from 1 to 1000"),
    ]);
    assert_eq!(app.partner().get(ACTIVATION_CODES).await.json(), json!([]));
}
