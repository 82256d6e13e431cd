//! Several phones of one person: the second device, the limit of five, and a deletion that both phones see.

use super::Page;
use crate::harness::{Program, in_chromium};

in_chromium![
    a_second_phone_is_listed_and_can_delete_the_first,
    the_sixth_device_of_a_person_is_refused,
    a_lost_phone_is_deleted_with_another_one,
    another_person_has_other_phones,
];

async fn a_second_phone_is_listed_and_can_delete_the_first() {
    let service = Program::new().serve();
    let page = Page::open(&service).await;
    let first = page.phone(1);
    first.bind().await;
    let second = page.add_phone(2).await;
    second.bind().await;

    second.succeeds("list").await;
    page.browser.until("document.querySelectorAll(\"[data-phone='2'] li[data-device]\").length === 2").await;
    // The newest device is the first in the list, so the other phone's is the last.
    page.browser.click("[data-phone='2'] li[data-device]:last-child [data-action=delete-device]").await;
    page.browser.until("document.querySelectorAll(\"[data-phone='2'] li[data-device]\").length === 1").await;
    assert_eq!(second.state().await, "bound");

    let refused = first.step("log-in").await;
    assert_eq!((&*refused.result, &*refused.status, &*first.state().await), ("error", "400", "deleted"), "{refused:?}");
    assert!(refused.said.contains("deleted"), "{refused:?}");
    page.browser.quit_after_refusals(&[400, 404]).await;
}

async fn the_sixth_device_of_a_person_is_refused() {
    let service = Program::new().serve();
    let page = Page::open(&service).await;
    page.phone(1).bind().await;
    for number in 2..=5 {
        page.add_phone(number).await.bind().await;
    }
    let sixth = page.add_phone(6).await;
    sixth.succeeds("make-key").await;
    let refused = sixth.step("bind").await;
    assert_eq!((&*refused.status, &*refused.code), ("409", "device_limit_exceeded"), "{refused:?}");
    assert!(refused.said.contains("five"), "{refused:?}");

    page.phone(3).succeeds("delete").await;
    sixth.ask_for_another_code().await;
    sixth.take_code().await;
    sixth.succeeds("sign-code").await;
    page.browser.quit_after_refusals(&[409]).await;
}

async fn a_lost_phone_is_deleted_with_another_one() {
    let service = Program::new().serve();
    let page = Page::open(&service).await;
    let (lost, other) = (page.phone(1), page.phone(2));
    lost.bind().await;
    lost.press("erase").await;
    assert_eq!(lost.state().await, "new");

    page.add_phone(2).await.bind().await;
    other.succeeds("list").await;
    page.browser.click("[data-phone='2'] li[data-device]:last-child [data-action=delete-device]").await;
    page.browser.until("document.querySelectorAll(\"[data-phone='2'] li[data-device]\").length === 1").await;
    page.browser.quit().await;
}

async fn another_person_has_other_phones() {
    let service = Program::new().serve();
    let page = Page::open(&service).await;
    page.phone(1).bind().await;
    let person = "return document.querySelector('[data-field=person]').value";
    let first: String = page.browser.run(person, &[]).await;
    page.press("new-person").await;
    page.phone(1).until_state("new").await;
    let second: String = page.browser.run(person, &[]).await;
    assert_ne!(first, second);

    page.browser.fill("[data-field=person]", &first).await;
    page.press("use-person").await;
    page.phone(1).until_state("bound").await;
    page.browser.quit().await;
}
