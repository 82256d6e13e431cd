//! The main states of the page, for tests that look at each.

use super::Page;

/// Refusals on the way.
pub(super) const REFUSALS: [u16; 1] = [403];

/// Brings the page from its first state through the others and calls `look` in each, with the name of the state.
pub(super) async fn visit(page: &Page, look: impl AsyncFn(&str)) {
    let phone = page.phone(1);
    look("new").await;
    phone.succeeds("make-key").await;
    look("keyed").await;
    phone.ask_for_another_code().await;
    phone.take_code().await;
    look("code").await;
    phone.choose("mistake", "hashed-twice").await;
    assert_eq!(phone.step("sign-code").await.status, "403");
    look("mistake").await;
    phone.take_code().await;
    phone.succeeds("sign-code").await;
    look("bound").await;
    page.browser.click("[data-phone='1'] [data-action=ask-approval]").await;
    page.browser.until_displayed("#approval").await;
    look("ask").await;
    page.press("send-approval").await;
    page.browser.until_displayed("[data-phone='1'] [data-action=approve]").await;
    look("approval").await;
    phone.succeeds("approve").await;
    look("approved").await;
    phone.succeeds("add-key").await;
    phone.succeeds("list").await;
    look("devices").await;
    phone.press("home").await;
    page.press("settings").await;
    page.browser.until_displayed("#settings").await;
    look("settings").await;
    page.browser.click("#settings [data-action=cancel]").await;
    page.add_phone(2).await.ask_for_code().await;
    look("two-phones").await;
    phone.succeeds("delete").await;
    look("deleted").await;
    page.browser
        .run::<()>("for (const panel of document.querySelectorAll('[data-panel]')) panel.open = true", &[])
        .await;
    page.press("read-inbox").await;
    page.browser.until_displayed("li[data-message]").await;
    look("inbox").await;
}
