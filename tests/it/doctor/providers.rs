//! Providers that cannot be reached, or are not what they should be.

use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use super::Report;
use crate::harness::certificates::{Authority, Certificate};
use crate::harness::identity_provider::{AUDIENCE, IdentityProvider, IssuerKey};
use crate::harness::{Process, Program, free_port};

/// A path with a token, as the URLs of gateways have.
const PATH: &str = "/send?token=hunter2-is-a-secret";

fn program(webhook: &str, seon: &str) -> Program {
    Program::new()
        .with("SMS_PROVIDERS", "webhook")
        .with("SMS_WEBHOOK_URL", &format!("{webhook}{PATH}"))
        .with("SMS_WEBHOOK_TOKEN", "hunter2-is-a-secret")
        .with("SEON_API_KEY", "hunter2-is-a-secret")
        .with("SEON_BASE_URL", seon)
}

fn report(program: &Program) -> Report {
    let report = Report::of(program);
    let text = report.json.to_string();
    assert!(!text.contains("hunter2"), "{text}");
    report
}

/// `openssl s_server` with this certificate: its process and its address.
fn tls_server(certificate: &Certificate) -> (Process, String) {
    let port = free_port();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-www", "-accept", &format!("127.0.0.1:{port}")]);
    command.arg("-cert").arg(&certificate.file).arg("-key").arg(&certificate.key);
    let process = Process::start(&mut command);
    let started = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(started.elapsed() < Duration::from_secs(20), "openssl does not listen");
        std::thread::yield_now();
    }
    (process, format!("https://127.0.0.1:{port}"))
}

#[test]
fn a_handshake_reaches_a_provider_only_with_a_valid_certificate() {
    let authority = Authority::new();
    let (_valid, valid) = tls_server(&authority.sign("provider", "IP:127.0.0.1"));
    let (_expired, expired) = tls_server(&authority.sign_expired("provider", "IP:127.0.0.1"));
    let program = program(&valid, &expired);
    let trusting = program.clone().with("SSL_CERT_FILE", &authority.file().display().to_string());
    let found = report(&trusting);
    found.assert("provider.webhook", "ok", "accepts TLS connections");
    found.assert("provider.seon", "failure", "Expired");
    assert_eq!(found.code, 1);
    report(&program).assert("provider.webhook", "failure", "the TLS handshake failed");
}

#[test]
fn a_closed_port_a_silent_server_and_an_unknown_name_are_failures() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("https://{}", silent.local_addr().unwrap());
    let closed_url = format!("https://127.0.0.1:{}", free_port());
    let found = report(&program(&closed_url, &silent_url).with("OTEL_EXPORTER_OTLP_ENDPOINT", &closed_url));
    found.assert("traces.collector", "warning", "the TCP connection failed");
    found.assert("provider.webhook", "failure", "the TCP connection failed");
    found.assert("provider.seon", "failure", "the TLS handshake was not complete within 3 s");
    found.assert("provider.twilio", "skipped", "not configured");
    let found = report(&program("https://sms.invalid", "gopher://seon"));
    found.assert("provider.webhook", "failure", "DNS has no address for sms.invalid");
    found.assert("provider.seon", "skipped", "its settings are invalid");
}

#[test]
fn no_request_is_sent_to_a_provider() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    report(&program(&url, &url)).assert("provider.webhook", "ok", "no request was sent");
    for _ in 0..2 {
        let received = std::io::read_to_string(listener.accept().unwrap().0).unwrap();
        assert_eq!(received, "");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_of_the_identity_provider_are_fetched_and_parsed() {
    let provider = IdentityProvider::with(&[&IssuerKey::ec("one", 1)]).await;
    let program = Program::new().with("EXTERNAL_ISSUER", &provider.issuer()).with("EXTERNAL_AUDIENCE", AUDIENCE);
    report(&program).assert("provider.identity", "ok", "1 usable keys");
    provider.publish(&[]).await;
    report(&program).assert("provider.identity", "warning", "empty");
    provider.answer_html().await;
    report(&program).assert("provider.identity", "failure", "not a valid metadata document");
    provider.answer_503().await;
    report(&program).assert("provider.identity", "failure", "status 503");
    provider.hang().await;
    report(&program).assert("provider.identity", "failure", "timed out");
}
