//! The pictures of the page in `docs/images`, for README.md, taken by `just screenshots`.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::Page;
use crate::harness::Program;

/// A file for each colour scheme.
const FILES: [(&str, &str); 2] = [("dark", "phone-page-dark.png"), ("light", "phone-page.png")];

/// The first phone shows an approval, the second one a code, whose signature is a mistake.
async fn set_the_scene(page: &Page) {
    page.browser.fill("[data-field=person]", "ada").await;
    page.browser.fill("[data-field=number]", "+49 151 12345678").await;
    page.press("use-person").await;
    let first = page.phone(1);
    first.until_state("new").await;
    first.bind().await;
    first.ask_for_approval("payment").await;
    let second = page.add_phone(2).await;
    second.ask_for_code().await;
    second.take_code().await;
    second.choose("mistake", "hashed-twice").await;
    assert_eq!(second.step("sign-code").await.status, "403");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it writes docs/images; run it with `just screenshots`"]
async fn screenshots_of_the_phone_page() {
    // The port of the README, which the curl commands show.
    let service = Program::new().with("HTTP_ADDR", "127.0.0.1:8080").serve();
    let page = Page::open(&service).await;
    page.browser.resize(1280, 960).await;
    page.browser.devtools("Emulation.setScrollbarsHidden", json!({"hidden": true})).await;
    set_the_scene(&page).await;
    for (scheme, file) in FILES {
        page.browser.prefer(scheme).await;
        let script = "document.activeElement.blur();
            scrollTo(0, document.querySelector('[data-phone]').getBoundingClientRect().top + scrollY - 24);";
        page.browser.run::<()>(script, &[]).await;
        page.browser.until_still().await;
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/images").join(file);
        fs::write(path, page.browser.screenshot().await).unwrap();
    }
    page.browser.quit_after_refusals(&[403]).await;
}
