//! Two thousand connections that all send the largest body there is, at the same time.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::{Wire, status};
use crate::binary::sandbox_on;
use crate::harness::{Engine, Phone, Service, Start, TestDatabase};

const CROWD: usize = 2000;
/// Descriptors of this process and of the service for anything else.
const OTHER_FILES: usize = 500;
const BODY: usize = 512 * 1024;
/// Sent in so many pieces, each when everybody has sent the one before.
const PIECES: usize = 16;
const MEBIBYTE: u64 = 1024 * 1024;
const SERVED: &str = "202";
const SHED: &str = "503 retry-after: 1";
/// A place was found, but no connection of the pool in time.
const DATABASE_BUSY: &str = "503 retry-after: 2";
/// What `docs/operations.md` tells operators to reckon with: twice the room for bodies, 64 KiB for each connection, and
/// 64 MiB for everything else. Bodies of all would be 1000 MiB before anything is done with them.
const MEMORY_MAX: u64 = 2 * 128 * MEBIBYTE + CROWD as u64 * 64 * 1024 + 64 * MEBIBYTE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_with_large_bodies_takes_bounded_memory_and_gets_documented_answers() {
    let database = TestDatabase::start(Engine::Sqlite).await;
    // Nobody is late on a busy machine: what bounds memory here is room, not time.
    let service = sandbox_on(&database).with("REQUEST_DEADLINE_SECONDS", "60").serve();
    let client = service.sandbox_client().await;
    client.verified_person("ada").await;
    let before = peak_memory(&service);

    // Both ends of each connection need a descriptor, each in its own process.
    let crowd = CROWD.min(open_files_max().saturating_sub(OTHER_FILES));
    let request: Arc<[u8]> = request(client.token().unwrap()).into();
    let step = Arc::new(Barrier::new(crowd));
    let started = Instant::now();
    let mut senders = JoinSet::new();
    for number in 0..crowd {
        let (wire, request, step) = (Wire::to(&service).await, request.clone(), step.clone());
        senders.spawn(send_in_step(wire, request, step, number % 8 == 0));
    }
    // Whether it is ready does not depend on who finds a place.
    let mut probes = Vec::new();
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    while let Some(answer) = senders.join_next().await {
        *answers.entry(answer.unwrap()).or_default() += 1;
        if probes.len() < 20 {
            let asked = Instant::now();
            service.stranger().get("/readyz").await.assert_status(200);
            probes.push(asked.elapsed());
        }
    }
    let took = started.elapsed();
    let peak = peak_memory(&service);
    let slowest = probes.iter().max().unwrap();
    let figures = format!(
        "{crowd} connections (of {CROWD}; open files bound them) with {BODY} bytes each in {took:?}: {answers:?}, \
         memory {} -> {} MiB, slowest /readyz {slowest:?}\n",
        before / MEBIBYTE,
        peak / MEBIBYTE
    );
    // Past the capture of test output.
    std::io::stderr().write_all(figures.as_bytes()).unwrap();

    assert!(crowd > 100, "{figures}");
    assert!(peak < MEMORY_MAX, "{figures}");
    let documented = [SERVED, SHED, DATABASE_BUSY];
    assert!(answers.keys().all(|answer| documented.contains(&answer.as_str())), "{figures}");
    let count = |answer| answers.get(answer).copied().unwrap_or_default();
    // Places for 512, room for 256 whole bodies: as many as find room are served, whatever the order.
    assert!(count(SERVED) >= 100 && count(SHED) >= crowd - 512, "{figures}");
    assert!(*slowest < Duration::from_secs(3), "{figures}");
    let metrics = service.metrics().await;
    let shed: usize = metrics
        .lines()
        .filter(|line| line.starts_with("requests_shed_total{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<usize>().unwrap())
        .sum();
    assert_eq!(shed, count(SHED), "{figures}{metrics}");
    client.get("/v1/mfa/devices").await.assert_status(200);
    client.ask_for_device("ada", &Phone::new(2)).await;
}

/// A wish for a device that is as long as a body may be.
fn request(token: &str) -> Vec<u8> {
    let mut wish = json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": Phone::new(1).key()});
    wish["device_data"] = "x".repeat(256 * 1024).into();
    wish["more"] = "".into();
    wish["more"] = "x".repeat(BODY - wish.to_string().len()).into();
    let body = wish.to_string();
    assert_eq!(body.len(), BODY);
    let head = format!(
        "POST /v1/mfa/devices HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-length: {BODY}\r\n\r\n"
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

/// Sends piece by piece; the status, and when to come again. Whoever is stubborn goes on after a refusal.
async fn send_in_step(wire: Wire, request: Arc<[u8]>, step: Arc<Barrier>, is_stubborn: bool) -> String {
    let Wire(stream) = wire;
    let (mut reader, writer) = stream.into_split();
    let answered = AtomicBool::new(false);
    let sending = async {
        let mut writer = writer;
        for piece in request.chunks(request.len().div_ceil(PIECES)) {
            if is_stubborn || !answered.load(Ordering::Relaxed) {
                // Whoever was refused may be cut off; the others must not wait for it.
                let _ = writer.write_all(piece).await;
            }
            step.wait().await;
        }
        writer
    };
    let reading = async {
        let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
        while let Ok(length @ 1..) = reader.read(&mut buffer).await {
            answer.extend_from_slice(&buffer[..length]);
            if answer.ends_with(b"}]}") || answer.ends_with(b"\"}") {
                break;
            }
        }
        answered.store(true, Ordering::Relaxed);
        String::from_utf8(answer).unwrap()
    };
    let (_writer, answer) = tokio::join!(sending, reading);
    let retry_after = answer.lines().find(|line| line.starts_with("retry-after: "));
    let status = status(&answer).map_or_else(|| "none".to_owned(), |status| status.to_string());
    [Some(status.as_str()), retry_after].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The most memory that the service ever had, in bytes.
fn peak_memory(service: &Service) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", service.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux counts it");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// How many files this process, and with it the service, may open.
fn open_files_max() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("Linux has this limit");
    line.split_whitespace().next().unwrap().parse().unwrap_or(usize::MAX)
}
