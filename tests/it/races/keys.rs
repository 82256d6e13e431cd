//! Races for the keys of one device.

use super::{CROWD, Crowd, Request, count};
use crate::harness::{Phone, TestApp, books, in_every_form};

in_every_form![a_device_gets_no_more_keys_than_allowed, the_same_key_in_parallel_is_added_once];

const LIVE_KEYS: &str = "select count(*) from device_key where deleted_at is null";

async fn a_device_gets_no_more_keys_than_allowed(app: TestApp) {
    let crowd = Crowd::new(app).await;
    crowd.partner().verified_person("ada").await;
    let phone = Phone::new(0);
    let device = crowd.partner().bind("ada", &phone).await;
    let requests = (1..=CROWD).map(|seed| Request::add_key(&device, &phone, &Phone::new(seed)));
    let statuses = crowd.send(requests.collect()).await;
    assert_eq!((count(&statuses, 201), count(&statuses, 409)), (9, CROWD - 9), "{statuses:?}");
    assert_eq!(books::count(&crowd.app.database, LIVE_KEYS).await, 10);
}

async fn the_same_key_in_parallel_is_added_once(app: TestApp) {
    let crowd = Crowd::new(app).await;
    crowd.partner().verified_person("ada").await;
    let (phone, key) = (Phone::new(0), Phone::new(1));
    let device = crowd.partner().bind("ada", &phone).await;
    let statuses = crowd.send((0..CROWD).map(|_| Request::add_key(&device, &phone, &key)).collect()).await;
    assert_eq!((count(&statuses, 201), count(&statuses, 409)), (1, CROWD - 1), "{statuses:?}");
    assert_eq!(books::count(&crowd.app.database, LIVE_KEYS).await, 2);
}
