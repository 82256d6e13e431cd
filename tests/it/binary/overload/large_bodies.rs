//! Two thousand concurrent connections that each send the largest allowed body.

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
/// File descriptors of this process and of the service for other purposes.
const OTHER_FILES: usize = 500;
const BODY: usize = 512 * 1024;
/// The number of pieces of a body. Each is sent when all connections have sent the previous one.
const PIECES: usize = 16;
const MEBIBYTE: u64 = 1024 * 1024;
const SERVED: &str = "202";
const SHED: &str = "503 retry-after: 1";
/// Admitted, but the connection pool timed out.
const DATABASE_BUSY: &str = "503 retry-after: 2";
/// The memory that `docs/operations.md` tells operators to plan for: twice the memory for bodies, 64 KiB for each
/// connection, and 64 MiB for everything else. All bodies together would be 1000 MiB.
const MEMORY_MAX: u64 = 2 * 128 * MEBIBYTE + CROWD as u64 * 64 * 1024 + 64 * MEBIBYTE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "keeps two cores busy and measures the time of readiness: `bash .ci/run alone` runs it"]
async fn many_large_bodies_use_bounded_memory_and_get_documented_answers() {
    let database = TestDatabase::start(Engine::Sqlite).await;
    // A long deadline, so that the limit of memory applies and not that of time.
    let service = sandbox_on(&database).with("REQUEST_DEADLINE_SECONDS", "60").serve();
    let client = service.sandbox_client().await;
    client.verified_person("ada").await;
    let before = peak_memory(&service);

    // Each connection needs a file descriptor in both processes.
    let crowd = CROWD.min(open_files_max().saturating_sub(OTHER_FILES));
    let request: Arc<[u8]> = request(client.token().unwrap()).into();
    let step = Arc::new(Barrier::new(crowd));
    let started = Instant::now();
    let mut senders = JoinSet::new();
    for number in 0..crowd {
        let (wire, request, step) = (Wire::to(&service).await, request.clone(), step.clone());
        senders.spawn(send_in_step(wire, request, step, number % 8 == 0));
    }
    // Readiness checks need no place.
    let mut probes = Vec::new();
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    while let Some(answer) = senders.join_next().await {
        *answers.entry(answer.unwrap()).or_default() += 1;
        if probes.len() < 20 {
            let asked = Instant::now();
            let answer = service.stranger().get("/readyz").await;
            probes.push(asked.elapsed());
            // Admission does not refuse it, with 1 second. The database check may miss its deadline, as a request may.
            if answer.headers.get("retry-after").is_none_or(|seconds| seconds != "2") {
                answer.assert_status(200);
            }
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
    // There are places for 512 requests, and memory for 256 whole bodies.
    assert!(count(SERVED) >= 100 && count(SHED) >= crowd - 512, "{figures}");
    // The deadline of the database check is two seconds; the rest is the time of a debug build on two busy cores.
    assert!(*slowest < Duration::from_secs(5), "{figures}");
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

/// A request for a device with the largest allowed body.
fn request(token: &str) -> Vec<u8> {
    let mut device_body = json!({"person_id": "ada", "key_type": "ecdsa-p256", "key": Phone::new(1).key()});
    device_body["device_data"] = "x".repeat(256 * 1024).into();
    device_body["more"] = "".into();
    device_body["more"] = "x".repeat(BODY - device_body.to_string().len()).into();
    let body = device_body.to_string();
    assert_eq!(body.len(), BODY);
    let head = format!(
        "POST /v1/mfa/devices HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-length: {BODY}\r\n\r\n"
    );
    [head.into_bytes(), body.into_bytes()].concat()
}

/// Sends piece by piece, and returns the status and `Retry-After`. With `ignores_refusal` it sends on after a refusal.
async fn send_in_step(wire: Wire, request: Arc<[u8]>, step: Arc<Barrier>, ignores_refusal: bool) -> String {
    let Wire(stream) = wire;
    let (mut reader, writer) = stream.into_split();
    let answered = AtomicBool::new(false);
    let sending = async {
        let mut writer = writer;
        for piece in request.chunks(request.len().div_ceil(PIECES)) {
            if ignores_refusal || !answered.load(Ordering::Relaxed) {
                // The service may close a refused connection; the other connections continue.
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

/// The peak resident memory of the service in bytes.
fn peak_memory(service: &Service) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", service.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux counts it");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// The limit of open files of this process, which the service inherits.
fn open_files_max() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("Linux has this limit");
    line.split_whitespace().next().unwrap().parse().unwrap_or(usize::MAX)
}
