//! Ambiguous or unsupported requests, as bytes on a connection: body length, media type, duplicate headers, method and
//! path.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::hosts::exchange;
use super::{PATIENCE, sandbox_on};
use crate::harness::{Engine, Service, Start, TestDatabase};

/// The end of a head and a complete body, without the required field `number`.
const BODY: &str = "Content-Length: 2\r\n\r\n{}";

/// The header with the sandbox's access token.
pub(super) async fn authorization(service: &Service) -> String {
    let body = r#"{"grant_type":"client_credentials","client_id":"sandbox","client_secret":"sandbox"}"#;
    let head = "POST /oauth/token HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json";
    let answer = exchange(service, &format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len())).await;
    let (_, rest) = answer.split_once(r#""access_token":""#).expect("a token");
    format!("Authorization: Bearer {}\r\n", rest.split_once('"').unwrap().0)
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or(answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ambiguous_body_lengths_are_refused_and_close_the_connection() {
    let database = TestDatabase::start(Engine::Sqlite).await;
    let service = sandbox_on(&database).serve();
    let hidden = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let rest = format!("0\r\n\r\n{hidden}");
    let length = format!("Content-Length: {}", rest.len());
    for (lengths, wanted) in [
        // Refused, and the rest of the bytes is not parsed as a request (RFC 9112 section 6.1).
        (format!("{length}\r\nTransfer-Encoding: chunked"), &["400"][..]),
        (format!("Transfer-Encoding: chunked\r\n{length}"), &["400"]),
        (format!("Transfer-Encoding: gzip\r\n{length}"), &["400"]),
        ("Transfer-Encoding: gzip".to_owned(), &["400"]),
        ("Transfer-Encoding: chunked, gzip".to_owned(), &["400"]),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(), &["400"]),
        ("Transfer-Encoding: xchunked".to_owned(), &["400"]),
        ("Transfer-Encoding : chunked".to_owned(), &["400"]),
        ("Transfer-Encoding:\r\n chunked".to_owned(), &["400"]),
        (format!("{length}\r\nContent-Length: 5"), &["400"]),
        ("Content-Length: 5, 5".to_owned(), &["400"]),
        ("Content-Length: +5".to_owned(), &["400"]),
        ("Content-Length: -5".to_owned(), &["400"]),
        ("Content-Length: 0x5".to_owned(), &["400"]),
        ("Content-Length:".to_owned(), &["400"]),
        ("Content-Length: 18446744073709551616".to_owned(), &["400", "413"]),
    ] {
        let head = format!("POST /oauth/token HTTP/1.1\r\nHost: a\r\n{lengths}\r\n\r\n");
        let answer = exchange(&service, &format!("{head}{rest}")).await;
        assert!(wanted.contains(&status(&answer)), "{lengths}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{lengths}: the rest was read as a request: {answer}");
    }
    let http_1_0 = "POST /oauth/token HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(status(&exchange(&service, &format!("{http_1_0}{rest}")).await), "400");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn duplicate_headers_are_refused() {
    let database = TestDatabase::start(Engine::Sqlite).await;
    let service = sandbox_on(&database).serve();
    let token = authorization(&service).await;
    for (lines, wanted) in [
        ("", "400"),
        (token.as_str(), "401"),
        ("Authorization: Basic c2FuZGJveDpzYW5kYm94\r\n", "401"),
        ("Idempotency-Key: a\r\nIdempotency-Key: a\r\n", "400"),
        ("Content-Type: application/json\r\nContent-Type: application/json\r\n", "415"),
        ("Content-Type: application/json\r\nContent-Type: text/plain\r\n", "415"),
        ("Content-Encoding: identity\r\nContent-Encoding: gzip\r\n", "415"),
    ] {
        let head = format!("POST /v1/persons/p/mobile_number HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{token}");
        let answer = exchange(&service, &format!("{head}{lines}{BODY}")).await;
        assert_eq!(status(&answer), wanted, "{lines}: {answer}");
        let names_the_number = answer.contains(r#""field":"number""#);
        assert_eq!(names_the_number, lines.is_empty(), "{lines}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_media_type_decides_how_a_body_is_parsed() {
    let database = TestDatabase::start(Engine::Sqlite).await;
    let service = sandbox_on(&database).serve();
    let token = authorization(&service).await;
    let head = format!("POST /v1/persons/p/mobile_number HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{token}");
    for json in [
        "application/json",
        "Application/JSON",
        "application/json;charset=UTF-8",
        "application/json ; charset=\"utf-8\"",
        "application/json; charset=iso-8859-1",
        "application/problem+json",
        "application/vnd.example.v1+json; charset=utf-8",
    ] {
        let answer = exchange(&service, &format!("{head}Content-Type: {json}\r\n{BODY}")).await;
        assert!(answer.contains(r#""field":"number""#), "{json}: {answer}");
    }
    for other in [
        "",
        "json",
        "text/json",
        "text/plain",
        "application/jsonp",
        "application/+json",
        "application/json+xml",
        "application/json/more+json",
        "application/json, text/plain",
        "text/plain, application/json",
        "application/xml, application/problem+json",
        "application/x-www-form-urlencoded",
    ] {
        let answer = exchange(&service, &format!("{head}Content-Type: {other}\r\n{BODY}")).await;
        assert_eq!(status(&answer), "415", "{other}: {answer}");
    }
    let coded = format!("{head}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n");
    assert_eq!(status(&exchange(&service, &coded).await), "415");
    let chunked = format!("{head}Transfer-Encoding: Chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n");
    assert_eq!(status(&exchange(&service, &chunked).await), "400");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unknown_methods_and_paths_are_refused() {
    let database = TestDatabase::start(Engine::Sqlite).await;
    let service = sandbox_on(&database).serve();
    let token = authorization(&service).await;
    for (line, wanted, allowed) in [
        ("HEAD /healthz", "200", None),
        ("HEAD /v1/mfa/devices", "200", None),
        ("HEAD /nowhere", "404", None),
        ("OPTIONS /v1/mfa/devices", "405", Some("GET,HEAD,POST")),
        ("PATCH /v1/mfa/devices", "405", Some("GET,HEAD,POST")),
        ("TRACE /v1/mfa/devices", "405", Some("GET,HEAD,POST")),
        ("get /v1/mfa/devices", "405", Some("GET,HEAD,POST")),
        ("GET /oauth2/token", "405", Some("POST")),
        ("OPTIONS *", "404", None),
        ("GET /v1/mfa/devices/", "404", None),
        ("GET //v1/mfa/devices", "404", None),
        ("GET /v1/mfa/./devices", "404", None),
        ("GET /v1/mfa/%64evices", "404", None),
        ("GET /v1/mfa%2Fdevices", "404", None),
        ("GET /v1/persons/%70/mobile_number", "404", None),
        ("GET /v1/persons/%FF/mobile_number", "404", None),
        ("GET /v1/persons/%/mobile_number", "404", None),
    ] {
        let answer =
            exchange(&service, &format!("{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{token}\r\n")).await;
        assert_eq!(status(&answer), wanted, "{line}: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.is_empty(), line.starts_with("HEAD"), "{line}: {answer}");
        let allow = head.lines().find_map(|header| header.strip_prefix("allow: "));
        let sorted = |list: &str| {
            let mut methods: Vec<_> = list.split(',').map(|method| method.trim().to_owned()).collect();
            methods.sort();
            methods
        };
        assert_eq!(allow.map(sorted), allowed.map(sorted), "{line}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expect_100_continue_is_answered_before_the_body() {
    let database = TestDatabase::start(Engine::Sqlite).await;
    let service = sandbox_on(&database).serve();
    let token = authorization(&service).await;
    for (authorization, length, told) in [(token.as_str(), 2, "100"), ("", 2, "401"), (&token, 4_000_000, "413")] {
        let mut stream = TcpStream::connect(service.address()).await.unwrap();
        let head = "POST /v1/persons/p/mobile_number HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue";
        let head = format!("{head}\r\n{authorization}Content-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut line = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut line)).await.expect("an answer").unwrap();
        assert_eq!(status(str::from_utf8(&line).unwrap()), told);
        if told == "100" {
            stream.write_all(b"{}").await.unwrap();
        }
        let mut rest = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut rest)).await.expect("it closes").unwrap();
        assert_eq!(rest.contains("HTTP/1.1 400 "), told == "100", "{rest}");
    }
}
