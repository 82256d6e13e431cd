//! Long lists of devices: cursors, the limit of page numbers, and totals counted in the background (decision 0025).

use chrono::TimeDelta;
use device_management::domain::person::PartnerId;

use crate::devices::{bind_one_after_another, header, ids, links};
use crate::harness::{Answer, TestApp, TestClient, on_both_databases_and_citus};
use crate::store::device_lists::fill;

on_both_databases_and_citus![
    cursors_page_through_every_filter_in_both_directions,
    new_and_deleted_devices_do_not_shift_pages,
    a_cursor_of_another_list_is_a_position_in_this_list,
    a_malformed_cursor_is_refused,
    a_page_has_either_a_number_or_a_cursor,
    page_numbers_reach_a_hundred_thousand_devices,
    the_last_page_of_a_long_list_is_linked,
    many_devices_are_counted_in_the_background,
    one_replica_counts_and_totals_are_at_most_a_minute_old,
];

async fn cursors_page_through_every_filter_in_both_directions(app: TestApp) {
    let acme = app.partner();
    let mut all = bind_one_after_another(&app, &acme, "ada", 1..5).await;
    all.extend(bind_one_after_another(&app, &acme, "bob", 5..8).await);
    for deleted in [&all[1], &all[5]] {
        acme.delete(&format!("/v1/mfa/devices/{deleted}")).await.assert_status(204);
    }
    all.reverse();
    for (filter, expected) in [
        ("", &[0, 2, 3, 4, 6][..]),
        ("&filter[include_deleted]=true", &[0, 1, 2, 3, 4, 5, 6]),
        ("&filter[person_id]=ada", &[3, 4, 6]),
        ("&person_id=ada&filter[include_deleted]=true", &[3, 4, 5, 6]),
        ("&person_id=eve", &[]),
    ] {
        let expected: Vec<String> = expected.iter().map(|index| all[*index].clone()).collect();
        for size in 1..=7 {
            let path = format!("/v1/mfa/devices?page[size]={size}{filter}");
            let (found, last) = walk(&acme, &path, "next").await;
            assert_eq!(found.concat(), expected, "{path}");
            assert_eq!(ids(&acme.get(&links(&last)["last"]).await), ids(&last), "{path}");
            let (found, first) = walk(&acme, &links(&last)["last"], "prev").await;
            assert_eq!(found.into_iter().rev().collect::<Vec<_>>().concat(), expected, "{path} from its end");
            assert_eq!(links(&first).get("prev"), None);
        }
    }
}

async fn new_and_deleted_devices_do_not_shift_pages(app: TestApp) {
    let acme = app.partner();
    let devices = bind_one_after_another(&app, &acme, "ada", 1..6).await;
    let first = acme.get("/v1/mfa/devices?page[size]=2").await;
    assert_eq!(ids(&first), [devices[4].clone(), devices[3].clone()]);
    // The last device of the first page, which the cursor of `next` points to, and the first of the next page.
    for deleted in [&devices[3], &devices[2]] {
        acme.delete(&format!("/v1/mfa/devices/{deleted}")).await.assert_status(204);
    }
    let newer = bind_one_after_another(&app, &acme, "bob", 6..8).await;
    let second = acme.get(&links(&first)["next"]).await;
    assert_eq!((ids(&second), header(&second, "total")), (vec![devices[1].clone(), devices[0].clone()], "5"));
    assert_eq!(links(&second).get("next"), None);
    // Backwards past the deleted devices to the new ones.
    let (found, _) = walk(&acme, &links(&second)["prev"], "prev").await;
    assert_eq!(found, [vec![newer[0].clone(), devices[4].clone()], vec![newer[1].clone()]]);

    // A page whose devices were all deleted is empty, and still links to the page before it.
    for deleted in [&devices[0], &devices[1]] {
        acme.delete(&format!("/v1/mfa/devices/{deleted}")).await.assert_status(204);
    }
    let empty = acme.get(&links(&first)["next"]).await;
    assert_eq!((ids(&empty), links(&empty).get("next")), (vec![], None));
    assert_eq!(ids(&acme.get(&links(&empty)["prev"]).await), [devices[4].clone()], "the last page");
}

async fn a_cursor_of_another_list_is_a_position_in_this_list(app: TestApp) {
    let (acme, globex) = (app.partner(), app.other_partner());
    let hers = bind_one_after_another(&app, &acme, "ada", 1..3).await;
    let theirs = bind_one_after_another(&app, &globex, "ada", 3..4).await;
    let his = bind_one_after_another(&app, &acme, "bob", 4..6).await;
    // With a second device of globex, the page of the first has a link with its cursor.
    let newest = bind_one_after_another(&app, &globex, "bob", 6..7).await;
    let list = globex.get("/v1/mfa/devices?page[number]=2&page[size]=1").await;
    assert_eq!((ids(&list), newest.len()), (theirs, 1));
    let before_it = links(&list).remove("prev").unwrap();
    let of_theirs = before_it.split(['=', '&']).nth(1).unwrap();
    for (list, expected) in
        [("", &hers[..]), ("&person_id=ada", &hers), ("&person_id=bob", &[]), ("&filter[include_deleted]=true", &hers)]
    {
        let mut found = ids(&acme.get(&format!("/v1/mfa/devices?page[after]={of_theirs}{list}")).await);
        found.reverse();
        assert_eq!(found, expected, "{list}");
    }
    let mut before = ids(&acme.get(&format!("/v1/mfa/devices?page%5Bbefore%5D={of_theirs}")).await);
    before.reverse();
    assert_eq!(before, his);
}

async fn a_malformed_cursor_is_refused(app: TestApp) {
    let acme = app.partner();
    let right = "A".repeat(22);
    for name in ["page[after]", "page[before]"] {
        for cursor in [
            "",
            "1",
            "%20",
            &right[1..],
            &format!("{right}A"),
            &format!("{}%2B", &right[1..]),
            &format!("{}_", &right[1..]),
            "%00",
            "%FF",
        ] {
            let answer = acme.get(&format!("/v1/mfa/devices?{name}={cursor}")).await;
            answer.assert_faults(&[(name, "must be a cursor from a `link` header")]);
        }
        // Any position is a valid cursor, also before the first and after the last possible device.
        for cursor in [
            &right,
            &format!("{}w", "_".repeat(21)),
            &format!("f{}Q", "_".repeat(20)),
            &format!("g{right}")[..22].to_owned(),
        ] {
            acme.get(&format!("/v1/mfa/devices?{name}={cursor}")).await.assert_status(200);
            let both = format!("{name}={cursor}&person_id=ada&filter[include_deleted]=true");
            acme.get(&format!("/v1/mfa/devices?{both}")).await.assert_status(200);
        }
        let twice = format!("/v1/mfa/devices?{name}={right}&{name}={right}");
        acme.get(&twice).await.assert_faults(&[(name, "must be given only once")]);
    }
}

async fn a_page_has_either_a_number_or_a_cursor(app: TestApp) {
    let acme = app.partner();
    let cursor = "A".repeat(22);
    let number = ("page[number]", "must not come with page[after] or page[before]; leave one out");
    for name in ["page[after]", "page[before]"] {
        acme.get(&format!("/v1/mfa/devices?page[number]=1&{name}={cursor}")).await.assert_faults(&[number]);
    }
    let both = format!("/v1/mfa/devices?page[after]={cursor}&page[before]={cursor}");
    acme.get(&both).await.assert_faults(&[("page[before]", "must not come with page[after]; leave one out")]);
}

async fn page_numbers_reach_a_hundred_thousand_devices(app: TestApp) {
    fill(&app.database, "acme", "ada", 100_001, 0).await;
    let acme = app.partner();
    for filter in ["", "&person_id=ada", "&filter[include_deleted]=true"] {
        let page = |number: i64, size: i64| format!("/v1/mfa/devices?page[number]={number}&page[size]={size}{filter}");
        let deepest = acme.get(&page(101, 1000)).await;
        assert_eq!((ids(&deepest).len(), links(&deepest).get("next")), (1, None), "{filter}");
        for (number, size, last) in [(102, 1000, 101), (33_335, 3, 33_334), (i64::from(i32::MAX), 1000, 101)] {
            let message = format!("must be at most {last} with this page[size]; follow the link `next` to get further");
            acme.get(&page(number, size)).await.assert_faults(&[("page[number]", &message)]);
        }
    }
    // A shorter list has an empty page at any number.
    let beyond = acme.get("/v1/mfa/devices?person_id=eve&page[number]=2147483647&page[size]=1000").await;
    assert_eq!((beyond.status.as_u16(), ids(&beyond)), (200, vec![]));
}

async fn the_last_page_of_a_long_list_is_linked(app: TestApp) {
    fill(&app.database, "acme", "ada", 1500, 0).await;
    let acme = app.partner();
    let first = acme.get("/v1/mfa/devices?page[size]=1000").await;
    let rest = acme.get(&links(&first)["next"]).await;
    assert_eq!((ids(&first).len(), ids(&rest).len(), links(&rest).get("next")), (1000, 500, None));
    let last = acme.get(&links(&acme.get("/v1/mfa/devices").await)["last"]).await;
    assert_eq!((ids(&last), links(&last).get("next")), (ids(&rest)[490..].to_vec(), None));
    let before = acme.get(&links(&last)["prev"]).await;
    assert_eq!(ids(&before), ids(&rest)[480..490]);
}

async fn many_devices_are_counted_in_the_background(app: TestApp) {
    let acme = app.partner();
    let total = async |filter: &str| {
        let list = acme.get(&format!("/v1/mfa/devices?page[size]=1{filter}")).await;
        header(&list, "total").parse::<i64>().unwrap()
    };
    let [live, all, of_ada] = ["", "&filter[include_deleted]=true", "&person_id=ada"];
    fill(&app.database, "acme", "ada", 3, 7).await;
    app.app.service.count_devices().await.unwrap();
    assert_eq!((total(live).await, total(all).await), (3, 10));

    fill(&app.database, "acme", "bob", 1500, 0).await;
    fill(&app.database, "globex", "ada", 1, 0).await;
    assert!(total(live).await > 1000, "nothing has been counted yet");
    app.advance(TimeDelta::seconds(30));
    app.app.service.count_devices().await.unwrap();
    assert_eq!((total(live).await, total(all).await, total(of_ada).await), (1503, 1510, 3));

    // Few devices are counted with each list, and the stored count is deleted.
    crate::harness::sql::execute(app.database.url(), "delete from device where person_id = 'bob'").await;
    app.advance(TimeDelta::seconds(30));
    app.app.service.count_devices().await.unwrap();
    assert_eq!((total(live).await, total(all).await), (3, 10));
    assert_eq!(crate::harness::books::count(&app.database, "select count(*) from device_count").await, 0);
}

async fn one_replica_counts_and_totals_are_at_most_a_minute_old(app: TestApp) {
    let replicas = [app.another(&[]).await, app.another(&[]).await];
    let acme = PartnerId::parse("acme").unwrap();
    fill(&app.database, "acme", "ada", 1500, 0).await;
    let stored = "select live from device_count where partner_id = 'acme'";
    // The longest interval between two background runs of a replica is 12.5 seconds.
    let mut age = TimeDelta::zero();
    let mut counts = 0;
    for run in 0..40 {
        app.store().keep_device_count(&acme, 5000 + run, 0).await.unwrap();
        for replica in &replicas {
            replica.service.count_devices().await.unwrap();
        }
        if crate::harness::books::count(&app.database, stored).await == 1500 {
            (age, counts) = (TimeDelta::zero(), counts + 1);
        }
        app.advance(TimeDelta::milliseconds(12_500));
        age += TimeDelta::milliseconds(12_500);
        assert!(age < TimeDelta::minutes(1), "{age}");
    }
    assert_eq!(counts, 14, "one replica counts in every third run");
}

/// Follows the links of a relation to their end. Returns the devices page by page, and the last page.
async fn walk(client: &TestClient, from: &str, relation: &str) -> (Vec<Vec<String>>, Answer) {
    let (mut pages, mut list) = (Vec::new(), client.get(from).await);
    loop {
        list.assert_status(200);
        pages.push(ids(&list));
        let Some(further) = links(&list).remove(relation) else { return (pages, list) };
        list = client.get(&further).await;
    }
}
