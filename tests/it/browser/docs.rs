//! `/docs`: Swagger UI with the OpenAPI document, which in the sandbox can also send requests.

use axum::Router;
use serde_json::Value;
use tokio::net::TcpListener;

use crate::binary::production_on;
use crate::harness::{Browser, Engine, Program, Service, Start, TestDatabase, in_chromium};

in_chromium![
    the_page_lists_the_operations,
    a_call_can_be_tried_in_the_sandbox_without_the_dialog,
    a_call_can_be_tried_behind_a_path_prefix,
    a_new_token_replaces_an_expired_one,
    no_token_is_filled_in_in_production,
];

const NUMBER: &str = "#operations-Mobile_numbers-createMobileNumber";

/// Opens an operation, presses "Try it out" and "Execute" with the example as it stands: the status of the answer.
async fn try_out(browser: &Browser, operation: &str) -> String {
    browser.click(&format!("{operation} .opblock-summary-control")).await;
    browser.click(&format!("{operation} .try-out__btn")).await;
    execute(browser, operation).await
}

async fn execute(browser: &Browser, operation: &str) -> String {
    browser.click(&format!("{operation} .execute")).await;
    let status = browser.text(&format!("{operation} .live-responses-table .response .response-col_status")).await;
    status.lines().next().unwrap_or_default().to_owned()
}

/// Waits until the page is authorised.
async fn until_authorised(browser: &Browser) {
    browser.until("document.querySelectorAll('.opblock .authorization__btn .locked').length > 10").await;
}

async fn the_page_lists_the_operations() {
    let service = Program::new().serve();
    let browser = Browser::open(&service, "/docs").await;
    browser.until_displayed(NUMBER).await;
    let listed: usize = browser.run("return document.querySelectorAll('.opblock').length", &[]).await;
    let document: Value = serde_saphyr::from_str(include_str!("../../../openapi.yaml")).unwrap();
    let methods = ["get", "post", "put", "delete"];
    let paths = document["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|path| methods.map(|method| path.get(method))).flatten().count();
    assert_eq!(listed, operations);
    browser.quit().await;
}

async fn a_call_can_be_tried_in_the_sandbox_without_the_dialog() {
    let service = Program::new().serve();
    let browser = Browser::open(&service, "/docs").await;
    until_authorised(&browser).await;
    // The examples of the document belong together: the number's code is the fixed one of the sandbox.
    for (operation, status) in [
        ("Mobile_numbers-createMobileNumber", "201"),
        ("Mobile_numbers-authorizeMobileNumber", "201"),
        ("Mobile_numbers-confirmMobileNumber", "201"),
        ("Devices-createDevice", "202"),
        ("SMS_challenges-createSmsChallenge", "201"),
        ("Activation_codes-createActivationCode", "201"),
        ("Tokens-createToken", "200"),
    ] {
        let place = format!("#operations-{operation}");
        assert_eq!(try_out(&browser, &place).await, status, "{operation}");
        // An open operation makes the page slow.
        browser.click(&format!("{place} .opblock-summary-control")).await;
    }
    browser.quit().await;
}

async fn a_call_can_be_tried_behind_a_path_prefix() {
    let service = Program::new().serve();
    let origin = gateway(&service).await;
    let browser = Browser::open_at(origin, "/bank/docs").await;
    until_authorised(&browser).await;
    assert_eq!(try_out(&browser, NUMBER).await, "201");
    let curl = browser.text(&format!("{NUMBER} .curl-command")).await;
    assert!(curl.contains("/bank/v1/persons/"), "{curl}");
    browser.quit().await;
}

async fn a_new_token_replaces_an_expired_one() {
    let service = Program::new().serve();
    let browser = Browser::open(&service, "/docs").await;
    until_authorised(&browser).await;
    let () = browser.run("ui.preauthorizeApiKey('bearerAuth', 'expired')", &[]).await;
    assert_eq!(try_out(&browser, NUMBER).await, "401");
    browser.until("ui.authSelectors.authorized().getIn(['bearerAuth', 'value']) !== 'expired'").await;
    browser.click(&format!("{NUMBER} .btn-clear")).await; // the first answer
    assert_eq!(execute(&browser, NUMBER).await, "201");
    browser.quit_after_refusals(&[401]).await;
}

async fn no_token_is_filled_in_in_production() {
    let database = TestDatabase::start(Engine::Sqlite).await;
    let service = production_on(&database).serve();
    let browser = Browser::open(&service, "/docs").await;
    browser.until_displayed(".opblock .authorization__btn .unlocked").await;
    assert_eq!(try_out(&browser, NUMBER).await, "401");
    browser.quit_after_refusals(&[401]).await;
}

/// A gateway in front of the service that publishes it under `/bank`: its origin.
async fn gateway(service: &Service) -> String {
    let router = Router::new().nest("/bank", service.forwarder());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    origin
}
