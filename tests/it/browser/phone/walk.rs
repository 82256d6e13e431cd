//! The whole walk with one phone, and the commands that the page offers beside it.

use std::process::Command;

use super::Page;
use crate::harness::{Process, Program, in_chromium};

in_chromium![
    a_phone_is_bound_logs_in_approves_declines_and_is_deleted,
    the_curl_commands_of_the_log_work_as_they_are_shown,
    keys_and_the_person_survive_a_reload,
    the_sms_has_the_chosen_language,
    wrong_credentials_of_the_backend_are_explained,
    an_approval_that_is_not_json_stays_in_the_dialog,
];

async fn a_phone_is_bound_logs_in_approves_declines_and_is_deleted() {
    let service = Program::new().serve();
    let page = Page::open(&service).await;
    let phone = page.phone(1);
    assert_eq!(phone.state().await, "new");
    phone.bind().await;

    phone.succeeds("log-in").await;
    assert!(!phone.line("person").await.is_empty());
    phone.succeeds("approve").await;

    phone.ask_for_approval("payment").await;
    assert_eq!(phone.line("amount").await, "12.50 EUR");
    phone.succeeds("approve").await;

    phone.ask_for_approval("batch").await;
    phone.choose("reason", "not_me").await;
    phone.succeeds("decline").await;
    assert!(page.logged("decline", "[data-part=answer]").await.contains("\"reason\": \"not_me\""));

    phone.succeeds("add-key").await;
    phone.ask_for_approval("payment").await;
    phone.press("home").await;
    phone.succeeds("list").await;
    let keys = page.logged("list-keys", "[data-part=answer]").await;
    assert_eq!((keys.matches("\"unrestricted\"").count(), keys.matches("\"restricted\"").count()), (1, 1), "{keys}");
    page.browser.until_displayed("[data-phone='1'] li[data-device]").await;
    phone.press("home").await;

    phone.succeeds("delete").await;
    assert_eq!(phone.state().await, "deleted");
    page.browser.until("document.querySelectorAll('[data-tour][data-done]').length === 3").await;
    page.browser.quit().await;
}

async fn the_curl_commands_of_the_log_work_as_they_are_shown() {
    let service = Program::new().serve();
    let page = Page::open(&service).await;
    let phone = page.phone(1);
    phone.bind().await;
    phone.succeeds("list").await;

    let token: String = page.browser.run("return document.querySelector('[data-part=token]').textContent", &[]).await;
    for (step, status) in [("list-devices", "200"), ("sign-code", "204"), ("register-number", "409")] {
        let curl = page.logged(step, "[data-part=curl]").await;
        let mut shell = Command::new("sh");
        shell.args(["-euc", &format!("{token}\n{curl}")]).env("no_proxy", "*");
        let process = Process::start(&mut shell);
        assert_eq!(crate::binary::exit_code(&process), 0, "{}", process.logs().join("\n"));
        let output = process.output();
        assert!(
            output[0].contains(&format!(" {status} ")),
            "{step}: {status} expected:\n{curl}\n{}",
            output.join("\n")
        );
    }
    page.browser.quit().await;
}

async fn keys_and_the_person_survive_a_reload() {
    let service = Program::new().serve();
    let page = Page::open(&service).await;
    page.phone(1).bind().await;
    let person = "return document.querySelector('[data-field=person]').value";
    let before: String = page.browser.run(person, &[]).await;

    page.reload().await;
    let after: String = page.browser.run(person, &[]).await;
    assert_eq!(before, after);
    let phone = page.phone(1);
    assert_eq!(phone.state().await, "bound");
    phone.succeeds("log-in").await;
    phone.succeeds("approve").await;

    // The private key cannot be exported, not even by a script in the page.
    let exported: bool = page
        .browser
        .run_async(
            "const done = arguments[0];
            const request = indexedDB.open('device-management-sandbox');
            request.onsuccess = () => {
                const phones = request.result.transaction('phones').objectStore('phones').getAll();
                phones.onsuccess = () => crypto.subtle.exportKey('pkcs8', phones.result[0].keys[0].pair.privateKey)
                    .then(() => done(true), () => done(false));
            };",
            &[],
        )
        .await;
    assert!(!exported);
    page.browser.quit().await;
}

async fn the_sms_has_the_chosen_language() {
    let service = Program::new().serve();
    let page = Page::open(&service).await;
    page.press("settings").await;
    page.browser.choose("#settings [data-field=language]", "de").await;
    page.press("save-settings").await;
    let phone = page.phone(1);
    phone.ask_for_code().await;
    let text = page.browser.text("[data-phone='1'] [data-sms]").await;
    assert!(text.contains("registriert ein neues Handy"), "German expected: {text}");
    page.browser.quit().await;
}

async fn wrong_credentials_of_the_backend_are_explained() {
    let service = Program::new().serve();
    let page = Page::open(&service).await;
    let phone = page.phone(1);
    phone.succeeds("make-key").await;
    page.press("settings").await;
    page.browser.fill("#settings [data-field=client-secret]", "wrong").await;
    page.press("save-settings").await;
    let refused = phone.step("bind").await;
    assert_eq!((&*refused.result, &*refused.status), ("error", "401"), "{refused:?}");
    assert!(refused.said.contains("id or secret"), "{refused:?}");

    page.press("settings").await;
    page.browser.fill("#settings [data-field=client-secret]", "sandbox").await;
    page.press("save-settings").await;
    phone.succeeds("bind").await;
    page.browser.quit_after_refusals(&[401]).await;
}

async fn an_approval_that_is_not_json_stays_in_the_dialog() {
    let service = Program::new().serve();
    let page = Page::open(&service).await;
    let phone = page.phone(1);
    phone.bind().await;
    page.browser.click("[data-phone='1'] [data-action=ask-approval]").await;
    page.browser.fill("#approval [data-field=approval]", "{").await;
    page.press("send-approval").await;
    page.browser.until_text("#approval-error", "JSON").await;
    // An approval that the service refuses is shown with the field.
    page.browser
        .fill(
            "#approval [data-field=approval]",
            r#"{"action": "payment", "amount": {"value": "1.234", "currency": "EUR"}}"#,
        )
        .await;
    page.press("send-approval").await;
    page.browser.until("document.querySelector('[data-phone] .result').dataset.status === '400'").await;
    page.browser.until_text("[data-phone] .result .service", "approval").await;
    page.browser.quit_after_refusals(&[400]).await;
}
