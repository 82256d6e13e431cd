//! Expiry and the cool-down, with the clock of the sandbox.

use super::Page;
use crate::harness::{Program, in_chromium};

in_chromium![
    a_code_expires_when_the_clock_moves,
    a_request_on_the_screen_expires_when_the_clock_moves,
    a_cool_down_ends_when_the_clock_moves,
    a_second_code_within_half_a_minute_is_refused_and_explained,
];

async fn a_code_expires_when_the_clock_moves() {
    let service = Program::new().serve();
    let page = Page::open(&service).await;
    let phone = page.phone(1);
    phone.ask_for_code().await;
    phone.take_code().await;
    page.advance("advance-5").await;
    page.browser.until_text("[data-phone='1']", "has expired").await;
    let refused = phone.step("sign-code").await;
    assert_eq!((&*refused.status, &*phone.state().await), ("404", "keyed"), "{refused:?}");
    assert!(refused.said.contains("expired"), "{refused:?}");

    phone.ask_for_another_code().await;
    phone.take_code().await;
    phone.succeeds("sign-code").await;
    page.browser.quit_after_refusals(&[404]).await;
}

async fn a_request_on_the_screen_expires_when_the_clock_moves() {
    let service = Program::new().serve();
    let page = Page::open(&service).await;
    let phone = page.phone(1);
    phone.bind().await;
    phone.ask_for_approval("access").await;
    page.advance("advance-5").await;
    page.browser.until_text("[data-phone='1']", "has expired").await;
    let refused = phone.step("approve").await;
    assert_eq!((&*refused.status, &*phone.state().await), ("404", "bound"), "{refused:?}");
    page.browser.quit_after_refusals(&[404]).await;
}

async fn a_cool_down_ends_when_the_clock_moves() {
    let service = Program::new().with("LIMIT_FAILURES_PER_PERSON", "2").serve();
    let page = Page::open(&service).await;
    let phone = page.phone(1);
    phone.ask_for_code().await;
    phone.take_code().await;
    for status in ["403", "403", "429"] {
        phone.choose("mistake", "hashed-twice").await;
        let refused = phone.step("sign-code").await;
        assert_eq!(refused.status, status, "{refused:?}");
    }
    page.advance("advance-30").await;
    phone.succeeds("resend").await;
    page.browser.until_displayed("[data-phone='1'] [data-action=autofill]").await;
    phone.take_code().await;
    phone.succeeds("sign-code").await;
    page.browser.quit_after_refusals(&[403, 429]).await;
}

async fn a_second_code_within_half_a_minute_is_refused_and_explained() {
    let service = Program::new().with("SMS_LIMITS", "enforce").serve();
    let page = Page::open(&service).await;
    let phone = page.phone(1);
    phone.ask_for_code().await;
    let refused = phone.step("resend").await;
    assert_eq!((&*refused.status, &*refused.code), ("429", "too_many_requests"), "{refused:?}");
    page.advance("advance-5").await;
    phone.succeeds("resend").await;
    page.browser.quit_after_refusals(&[429]).await;
}
