//! Each mistake of the menu, with the diagnosis that the page shows.

use super::{Page, Phone};
use crate::harness::{Program, in_chromium};

in_chromium![
    mistakes_in_the_key_are_diagnosed,
    mistakes_in_signing_the_code_are_diagnosed,
    mistakes_in_answering_a_challenge_are_diagnosed,
    mistakes_in_adding_a_key_are_diagnosed,
];

/// A mistake, the status of the answer and a part of the service's text.
type Mistake = (&'static str, &'static str, &'static str);

const IN_THE_KEY: [Mistake; 4] = [
    ("key-with-header", "400", "SubjectPublicKeyInfo"),
    ("compressed-key", "400", "compressed"),
    ("base64-key", "400", "Base64"),
    ("fraud-decline", "403", "declined"),
];

const IN_A_SIGNATURE: [Mistake; 6] = [
    ("hashed-twice", "403", "twice"),
    ("hex-digest", "403", "hex"),
    ("raw-signature", "400", "raw"),
    ("base64-signature", "400", "Base64"),
    ("line-end", "403", "line"),
    ("other-key", "403", "another device"),
];

/// The sandbox with limits that no series of mistakes reaches.
fn lenient() -> Program {
    Program::new().with("LIMIT_WRONG_SIGNATURES", "10").with("LIMIT_FAILURES_PER_PERSON", "100")
}

/// Makes each mistake in a step of the phone. The menu has no others.
async fn make_all(phone: &Phone<'_>, action: &str, mistakes: &[Mistake]) {
    let script = "return [...document.querySelectorAll(arguments[0])].map((option) => option.value)";
    let options = phone.within("[data-field=mistake] option");
    let mut menu: Vec<String> = phone.browser.run(script, &[options.into()]).await;
    assert_eq!(menu.remove(0), "none");
    let known: Vec<&str> = mistakes.iter().map(|(mistake, _, _)| *mistake).collect();
    assert_eq!(menu, known, "{action}");
    for (mistake, status, diagnosis) in mistakes {
        phone.choose("mistake", mistake).await;
        let refused = phone.step(action).await;
        assert_eq!((&*refused.result, &*refused.status), ("error", *status), "{action}, {mistake}: {refused:?}");
        let says = refused.service.to_lowercase().contains(&diagnosis.to_lowercase());
        assert!(says, "{action}, {mistake}: a diagnosis with {diagnosis:?} expected: {refused:?}");
        assert!(!refused.made.is_empty(), "{action}, {mistake}: {refused:?}");
        assert_eq!(phone.value("mistake").await, "none", "the next step is without a mistake");
    }
}

async fn mistakes_in_the_key_are_diagnosed() {
    let service = lenient().serve();
    let page = Page::open(&service).await;
    let phone = page.phone(1);
    phone.succeeds("make-key").await;
    make_all(&phone, "bind", &IN_THE_KEY).await;
    page.browser.until("document.querySelector('[data-tour=mistakes]').dataset.done !== undefined").await;
    phone.ask_for_another_code().await;
    page.browser.quit_after_refusals(&[400, 403]).await;
}

async fn mistakes_in_signing_the_code_are_diagnosed() {
    let service = lenient().serve();
    let page = Page::open(&service).await;
    page.phone(1).bind().await; // the phone whose key is the wrong one
    let phone = page.add_phone(2).await;
    phone.ask_for_code().await;
    phone.take_code().await;
    make_all(&phone, "sign-code", &IN_A_SIGNATURE).await;
    phone.succeeds("sign-code").await;
    page.browser.quit_after_refusals(&[400, 403]).await;
}

async fn mistakes_in_answering_a_challenge_are_diagnosed() {
    let service = lenient().serve();
    let page = Page::open(&service).await;
    page.phone(1).bind().await; // the phone whose key is the wrong one
    let phone = page.add_phone(2).await;
    phone.bind().await;
    phone.ask_for_approval("payment").await;
    let all = [&IN_A_SIGNATURE[..], &[("other-decision", "403", "decline")]].concat();
    make_all(&phone, "approve", &all).await;
    phone.succeeds("approve").await;
    page.browser.quit_after_refusals(&[400, 403]).await;
}

async fn mistakes_in_adding_a_key_are_diagnosed() {
    let service = lenient().serve();
    let page = Page::open(&service).await;
    page.phone(1).bind().await; // the phone whose key is the wrong one
    let phone = page.add_phone(2).await;
    phone.bind().await;
    make_all(&phone, "add-key", &IN_A_SIGNATURE).await;
    phone.succeeds("add-key").await;
    page.browser.quit_after_refusals(&[400, 403]).await;
}
