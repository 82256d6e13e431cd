//! The page without a mouse.

use thirtyfour::Key;

use super::Page;
use crate::harness::{Program, in_chromium};

in_chromium![a_phone_is_bound_and_approves_with_the_keyboard_alone];

/// More presses of Tab than the page has elements to focus.
const TABS: usize = 80;

impl Page {
    /// Moves the focus to an element with Tab, and checks that the focus is visible.
    async fn tab_to(&self, selector: &str) {
        for _ in 0..TABS {
            let script = "return document.activeElement.matches(arguments[0])";
            if self.browser.run(script, &[selector.into()]).await {
                let visible: bool = self
                    .browser
                    .run(
                        "const { outlineStyle, boxShadow } = getComputedStyle(document.activeElement);
                        return document.activeElement.matches(':focus-visible') && (outlineStyle !== 'none' || boxShadow !== 'none')",
                        &[],
                    )
                    .await;
                assert!(visible, "{selector}: the focus is not visible");
                return;
            }
            self.browser.press(Key::Tab).await;
        }
        panic!("{selector} cannot be reached with {TABS} presses of Tab");
    }

    /// Presses a button of the first phone with the keyboard, and waits for the end of the step.
    async fn enter(&self, action: &str) {
        self.tab_to(&format!("[data-phone='1'] [data-action={action}]")).await;
        self.browser.press(Key::Enter).await;
        self.browser.until("!document.querySelector(\"[data-phone='1']\").ariaBusy").await;
    }
}

async fn a_phone_is_bound_and_approves_with_the_keyboard_alone() {
    let service = Program::new().serve();
    let page = Page::open(&service).await;
    let phone = page.phone(1);
    // The first stop of Tab skips to the phones.
    page.browser.press(Key::Tab).await;
    page.browser.press(Key::Enter).await;
    page.enter("make-key").await;
    page.enter("bind").await;
    page.browser.until_displayed("[data-phone='1'] [data-sms]").await;
    page.enter("autofill").await;
    // The code is filled in and its field has the focus: Enter sends it.
    page.browser.press(Key::Enter).await;
    phone.until_state("bound").await;

    page.enter("log-in").await;
    page.enter("approve").await;
    page.enter("ask-approval").await;
    page.browser.press(Key::Escape).await;
    page.browser.until("!document.querySelector('dialog[open]')").await;
    page.enter("ask-approval").await;
    page.tab_to("#approval [data-action=send-approval]").await;
    page.browser.press(Key::Enter).await;
    page.browser.until_displayed("[data-phone='1'] [data-action=decline]").await;
    page.tab_to("[data-phone='1'] [data-field=reason]").await;
    page.browser.press(Key::Down).await;
    assert_eq!(phone.value("reason").await, "wrong_details");
    page.enter("decline").await;
    assert!(page.logged("decline", "[data-part=answer]").await.contains("wrong_details"));
    page.browser.quit().await;
}
