//! `/sandbox/phone`: the phone in the browser, used as a tester uses it.

mod accessibility;
mod keyboard;
mod limits;
mod mistakes;
mod screenshots;
mod several;
mod states;
mod walk;

use serde_json::Value;

use crate::harness::{Browser, Service};

/// The page in a fresh browser, with one phone.
struct Page {
    browser: Browser,
}

impl Page {
    async fn open(service: &Service) -> Self {
        let page = Self { browser: Browser::open(service, "/sandbox/phone").await };
        page.until_ready().await;
        page
    }

    async fn reload(&self) {
        self.browser.reload().await;
        self.until_ready().await;
    }

    async fn until_ready(&self) {
        self.browser.until("document.documentElement.dataset.ready !== undefined").await;
    }

    /// A button of the page, outside the phones.
    async fn press(&self, action: &str) {
        self.browser.click(&format!("[data-action={action}]")).await;
    }

    /// A phone of the page, counted from 1.
    fn phone(&self, number: u32) -> Phone<'_> {
        Phone { browser: &self.browser, element: format!("[data-phone='{number}']") }
    }

    /// Adds a phone: its handle.
    async fn add_phone(&self, number: u32) -> Phone<'_> {
        self.press("add-phone").await;
        let phone = self.phone(number);
        phone.until_state("new").await;
        phone
    }

    /// Moves the clock of the service; the button says by how much.
    async fn advance(&self, action: &str) {
        let steps = self.steps("clock").await;
        self.press(action).await;
        self.browser
            .until(&format!("document.querySelectorAll('[data-log] [data-step=clock]').length > {steps}"))
            .await;
    }

    /// How many steps of this kind the log of the backend has.
    async fn steps(&self, step: &str) -> usize {
        let script = "return document.querySelectorAll(`[data-log] [data-step=${arguments[0]}]`).length";
        self.browser.run(script, &[step.into()]).await
    }

    /// A part of the newest step of this kind in the log of the backend.
    async fn logged(&self, step: &str, part: &str) -> String {
        let script = "return document.querySelector(`[data-log] [data-step=${arguments[0]}]`)
            .querySelector(arguments[1]).textContent";
        self.browser.run(script, &[step.into(), part.into()]).await
    }
}

/// One phone of the page.
struct Phone<'a> {
    browser: &'a Browser,
    element: String,
}

/// What the page shows under a phone after a step.
#[derive(Debug, serde::Deserialize)]
struct Outcome {
    /// `ok` or `error`.
    result: String,
    /// The status of the answer, if there was one.
    status: String,
    /// The error code of the answer.
    code: String,
    /// The page's own sentences.
    said: String,
    /// The texts of the service.
    service: String,
    /// The mistake that was made on purpose, with its remedy.
    made: String,
}

impl Phone<'_> {
    fn within(&self, selector: &str) -> String {
        format!("{} {selector}", self.element)
    }

    async fn until_state(&self, state: &str) {
        self.browser.until(&format!("document.querySelector(\"{}\").dataset.state === '{state}'", self.element)).await;
    }

    async fn state(&self) -> String {
        let script = "return document.querySelector(arguments[0]).dataset.state";
        self.browser.run(script, &[Value::from(&*self.element)]).await
    }

    /// Presses a button of the phone and waits for the end of the step.
    async fn press(&self, action: &str) {
        self.browser.click(&self.within(&format!("[data-action={action}]"))).await;
        self.browser.until(&format!("!document.querySelector(\"{}\").ariaBusy", self.element)).await;
    }

    /// The same, and the outcome of the step.
    async fn step(&self, action: &str) -> Outcome {
        self.press(action).await;
        let script = "
            const shown = document.querySelector(arguments[0] + ' .result');
            const text = (part) => [...shown.querySelectorAll(part)].map((found) => found.innerText).join('\\n');
            const { status, code } = shown.dataset;
            return { result: shown.dataset.result, status, code, said: text('.said'), service: text('.service'), made: text('.made') };";
        self.browser.run(script, &[Value::from(&*self.element)]).await
    }

    /// The same for a step that has to succeed.
    async fn succeeds(&self, action: &str) {
        let outcome = self.step(action).await;
        assert_eq!(outcome.result, "ok", "{action}: {outcome:?}");
    }

    /// Makes a key and starts the binding: the phone has got its SMS.
    async fn ask_for_code(&self) {
        self.succeeds("make-key").await;
        self.ask_for_another_code().await;
    }

    /// Starts the binding of a phone that has a key: the phone has got its SMS.
    async fn ask_for_another_code(&self) {
        self.succeeds("bind").await;
        self.until_state("pending").await;
        self.browser.until_displayed(&self.within("[data-sms]")).await;
    }

    /// Takes the code from the SMS.
    async fn take_code(&self) {
        self.press("autofill").await;
        let code: String = self.value("code").await;
        assert!(code.len() == 6 && code.bytes().all(|digit| digit.is_ascii_digit()), "six digits, not {code:?}");
    }

    /// Binds a new phone.
    async fn bind(&self) {
        self.ask_for_code().await;
        self.take_code().await;
        self.succeeds("sign-code").await;
        assert_eq!(self.state().await, "bound");
    }

    /// The backend asks for the approval of an example; the phone shows it.
    async fn ask_for_approval(&self, example: &str) {
        self.browser.click(&self.within("[data-action=ask-approval]")).await;
        self.browser.click(&format!("#approval [data-field=example-{example}]")).await;
        self.browser.click("#approval [data-action=send-approval]").await;
        self.browser.until_displayed(&self.within("[data-action=approve]")).await;
    }

    /// The value of a line of the request on the screen.
    async fn line(&self, name: &str) -> String {
        self.browser.text(&self.within(&format!("[data-line={name}] dd"))).await
    }

    async fn value(&self, field: &str) -> String {
        let script = "return document.querySelector(arguments[0]).value";
        self.browser.run(script, &[Value::from(self.within(&format!("[data-field={field}]")))]).await
    }

    /// Chooses an option of a menu of the phone.
    async fn choose(&self, field: &str, option: &str) {
        self.browser.choose(&self.within(&format!("[data-field={field}]")), option).await;
        assert_eq!(self.value(field).await, option);
    }
}
