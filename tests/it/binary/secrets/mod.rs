//! Redaction: no secret is in the log, the metrics, the traces or the errors of the service, even at level TRACE and
//! under all kinds of failures.

mod leaks;
mod story;

use self::story::{Doubles, Story};
use super::{PATIENCE, exit_code, sandbox_on};
use crate::harness::{Collector, Engine, Phone, PostgresServer, Program, Start, TestDatabase, can_start_servers_for};

/// TRACE for everything, including libraries that see secrets, and for the spans of requests.
const EVERYTHING: &str = "trace,axum=trace,h2=trace,hyper=trace,hyper::proto=trace,hyper_util::client=trace,\
    jsonwebtoken=trace,reqwest::connect=trace,rustls=trace,sqlx::query=trace,sqlx_core::pool=trace,tower_http=trace,\
    [request]=trace";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_leaks_with_a_text_log() {
    no_secret_leaks("text", "binary::secrets::no_secret_leaks_with_a_text_log").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_leaks_with_a_json_log() {
    no_secret_leaks("json", "binary::secrets::no_secret_leaks_with_a_json_log").await;
}

async fn no_secret_leaks(format: &str, test: &str) {
    if !can_start_servers_for(test) {
        return;
    }
    let mut postgres = PostgresServer::start(&[]).unwrap();
    let url = postgres.url("postgres");
    let doubles = Doubles::start().await;
    let program = doubles.used_by(Program::new()).with("DATABASE_URL", &url);
    let program = program.with("RUST_LOG", EVERYTHING).with("LOG_FORMAT", format);
    let collector = Collector::start().await;
    let program = program.with("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint());
    let program = program.with("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hunter2-collector");
    // A random UUID may contain the digits of a code.
    let program = program.with("OTEL_RESOURCE_ATTRIBUTES", "service.instance.id=one");
    let service = program.serve();

    let mut story = Story::begin(&program, &service, &doubles).await;
    story.needles.secret("collector key", "hunter2-collector");
    story.needles.secret("database password", reqwest::Url::parse(&url).unwrap().password().unwrap());
    story.tokens().await;
    story.mobile_number().await;
    story.binding().await;
    story.answers().await;
    story.keys().await;
    story.sms_challenge().await;
    story.unreadable_bodies().await;
    story.other_protocols().await;
    let metrics = service.metrics().await;
    postgres.stop().unwrap();
    story.without_database().await;
    service.terminate();
    exit_code(&service);

    let logs = service.logs().join("\n");
    assert!(logs.contains("TRACE") && logs.contains("request.id"), "TRACE is enabled");
    // Libraries that see secrets log at INFO and above only.
    let finest = logs.lines().filter(|line| line.contains("TRACE") || line.contains("DEBUG"));
    let of_libraries: Vec<&str> = finest.filter(|line| !line.contains("device_management::")).collect();
    assert!(of_libraries.is_empty(), "lines of libraries below INFO: {of_libraries:#?}");
    // Ids and times are numbers and bytes: a code among their digits is an accident.
    let traces = format!("{:#?}", collector.without_ids_and_times());
    let traces = traces.replace('\n', "\nspan ");
    for name in ["POST /v1/mfa/devices", "POST seon", "POST webhook", "error.type", "service.name"] {
        assert!(traces.contains(name), "no {name} in {traces}");
    }
    assert!(!traces.contains("\"ada\"") && !traces.contains("persons/ada"), "a person id in {traces}");
    let places = [("the log", logs), ("the metrics", metrics), ("traces", traces), ("errors", story.errors.join("\n"))];
    for (place, text) in places {
        let found = story.needles.in_text(&text);
        assert!(found.is_empty(), "in {place}: {found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_console_provider_logs_a_code() {
    let database = TestDatabase::start(Engine::Sqlite).await;
    let service = sandbox_on(&database).with("SANDBOX_OTP", "random").with("RUST_LOG", EVERYTHING).serve();
    let client = service.sandbox_client().await;
    client.verified_person("ada").await;
    let phone = Phone::new(1);
    let asked = client.ask_for_device("ada", &phone).await;
    let sms = service.wait_for_log("SMS to", PATIENCE);
    let (_, text) = sms.split_once("SMS to").unwrap();
    let code = text.split(|c: char| !c.is_ascii_digit()).find(|digits| digits.len() == 6).unwrap();
    client.answer(&asked.id, &phone.sign(code)).await.assert_status(204);

    let mut needles = leaks::Needles::default();
    needles.code(code);
    needles.secret("number", "15112345678");
    let found = needles.in_text(&service.logs().join("\n"));
    assert!(
        matches!(&found[..], [one] if one.contains("sms.console") && one.starts_with("one-time code")),
        "{found:#?}"
    );
}
