//! axe-core finds nothing, and the page fits a phone's width.

use super::Page;
use super::states::{REFUSALS, visit};
use crate::harness::{Browser, Program, in_chromium};

in_chromium![axe_finds_no_violation_in_light_and_dark, the_page_fits_a_width_of_360];

async fn axe_finds_no_violation_in_light_and_dark() {
    if !Browser::has_axe_for(concat!(module_path!(), "::axe_finds_no_violation_in_light_and_dark")) {
        return;
    }
    let service = Program::new().serve();
    let page = Page::open(&service).await;
    visit(&page, async |state| page.browser.assert_accessible(state).await).await;
    page.browser.quit_after_refusals(&REFUSALS).await;
}

async fn the_page_fits_a_width_of_360() {
    let service = Program::new().serve();
    let page = Page::open(&service).await;
    page.browser.resize(360, 740).await;
    visit(&page, async |state| {
        let beyond: Vec<String> = page
            .browser
            .run(
                "const { scrollWidth, clientWidth } = document.documentElement;
                if (scrollWidth <= clientWidth) return [];
                return [...document.querySelectorAll('body *')]
                    .filter((element) => element.getBoundingClientRect().right > clientWidth + 1)
                    .map((element) => element.outerHTML.slice(0, 200));",
                &[],
            )
            .await;
        assert!(beyond.is_empty(), "{state}: wider than the screen:\n{}", beyond.join("\n"));
    })
    .await;
    page.browser.quit_after_refusals(&REFUSALS).await;
}
