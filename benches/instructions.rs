//! The instructions of the pure parts, counted under callgrind: `cargo bench --bench instructions`, or
//! `bash .ci/run instructions`, which also installs Valgrind and gungraun's runner.
//!
//! A benchmark fails when it needs more instructions than its baseline in the list below allows. A baseline is the
//! number that gungraun prints for the release build of the compiler that CI pins. Log, metrics and allocator are those
//! of production. Instructions hardly differ from machine to machine; time does (`benches/pure.rs`).

#![allow(missing_docs, unreachable_pub, reason = "the items that the macros of gungraun generate")]

mod cases;

use cases::Case;
use device_management::config::LogFormat;
use device_management::telemetry;
use gungraun::{Callgrind, EventKind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main};
use tikv_jemallocator::Jemalloc;

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// Repetitions that are counted: enough that a rare reallocation does not matter, few enough for an emulated processor.
const TIMES: u64 = 20;

macro_rules! count {
    ($($id:ident = $name:literal: $baseline:literal + $percent:literal %;)*) => {
        const NAMES: &[&str] = &[$($name),*];

        #[library_benchmark]
        $(#[bench::$id(args = (warm($name),), config = limit($baseline, $percent))])*
        fn repeat(case: Case) -> Case {
            case.repeat(TIMES);
            case
        }
    };
}

// Name of the case: instructions of all repetitions + tolerance. The tolerance is smaller where a signature check,
// which AWS-LC does, is most of the work. Those with 0 % are estimated upper bounds, not counted yet.
count! {
    crypto_public_key = "crypto/public_key": 171_940 + 10 %;
    crypto_signature = "crypto/signature": 148_363 + 10 %;
    crypto_signature_check = "crypto/signature_check": 14_620_443 + 2 %;
    crypto_signature_check_wrong = "crypto/signature_check_wrong": 14_688_663 + 2 %;
    limit_aws_lc_verify = "limit/aws_lc_verify": 14_472_300 + 2 %;
    limit_aws_lc_verify_kept_key = "limit/aws_lc_verify_kept_key": 14_180_080 + 2 %;
    crypto_one_time_code = "crypto/one_time_code": 278_302 + 10 %;
    crypto_request_digest = "crypto/request_digest": 4_200_142 + 10 %;
    approval_compose_text = "approval/compose_text": 1_000_000 + 0 %;
    approval_parse = "approval/parse": 2_000_000 + 0 %;
    auth_bearer_token = "auth/bearer_token": 431_495 + 10 %;
    request_alive = "request/alive": 864_385 + 10 %;
    request_bind_device = "request/bind_device": 3_487_593 + 10 %;
    request_bind_device_once = "request/bind_device_once": 8_028_474 + 10 %;
    request_bind_device_all_wrong = "request/bind_device_all_wrong": 3_057_259 + 10 %;
    request_challenge = "request/challenge": 1_678_683 + 10 %;
    request_verify_signature = "request/verify_signature": 17_432_197 + 2 %;
    request_verify_signature_wrong = "request/verify_signature_wrong": 17_459_857 + 2 %;
    request_device = "request/device": 1_681_704 + 10 %;
    request_device_unknown = "request/device_unknown": 1_816_646 + 10 %;
    request_device_list_of_ten = "request/device_list_of_ten": 2_691_972 + 10 %;
    request_delete_device = "request/delete_device": 1_830_804 + 10 %;
    request_add_key = "request/add_key": 17_599_604 + 2 %;
    request_key_list = "request/key_list": 1_773_274 + 10 %;
    request_key = "request/key": 1_755_209 + 10 %;
    request_create_number = "request/create_number": 2_623_046 + 10 %;
    request_number = "request/number": 1_672_554 + 10 %;
    request_authorize_number = "request/authorize_number": 2_955_751 + 10 %;
    request_confirm_number = "request/confirm_number": 2_951_698 + 10 %;
    request_delete_number = "request/delete_number": 2_571_951 + 10 %;
    request_open_device_challenge = "request/open_device_challenge": 5_000_000 + 0 %;
    request_open_device_challenge_once = "request/open_device_challenge_once": 10_000_000 + 0 %;
    request_open_approval = "request/open_approval": 8_000_000 + 0 %;
    request_device_challenge = "request/device_challenge": 3_000_000 + 0 %;
    request_approve = "request/approve": 20_000_000 + 0 %;
    request_decline = "request/decline": 21_000_000 + 0 %;
    request_approve_wrong = "request/approve_wrong": 20_000_000 + 0 %;
    request_open_sms_challenge = "request/open_sms_challenge": 5_000_000 + 0 %;
    request_answer_sms_challenge = "request/answer_sms_challenge": 5_000_000 + 0 %;
    request_create_activation_code = "request/create_activation_code": 6_000_000 + 0 %;
    request_token = "request/token": 2_135_803 + 10 %;
    request_token_refused = "request/token_refused": 1_401_180 + 10 %;
}

/// The case, run often enough that everything made once and kept is there.
fn warm(name: &str) -> Case {
    let all = cases::all();
    assert_eq!(all.iter().map(|case| case.name).collect::<Vec<_>>(), NAMES, "benches/instructions.rs lists every case");
    let case = all.into_iter().find(|case| case.name == name).expect("the list has just been compared");
    std::mem::forget(telemetry::install_log(LogFormat::Json, "info").expect("a thread for the log"));
    std::mem::forget(telemetry::install_metrics().expect("no metrics are installed yet"));
    assert!(case.comes_out_right(), "{name} comes out wrong");
    case.repeat(TIMES);
    case
}

/// Callgrind emulates the processor that it runs on, and AWS-LC and libc choose their assembly by it. The baselines are
/// for x86-64 with AVX2; on another processor the instructions are counted and not compared.
fn limit(baseline: u64, percent: u64) -> LibraryBenchmarkConfig {
    let mut callgrind = Callgrind::with_args(["--cache-sim=no"]);
    #[cfg(target_arch = "x86_64")]
    if std::is_x86_feature_detected!("avx2") {
        callgrind.hard_limits([(EventKind::Ir, baseline + baseline * percent / 100)]);
    }
    let mut config = LibraryBenchmarkConfig::default();
    config.tool(callgrind);
    config
}

library_benchmark_group!(name = pure, benchmarks = repeat);

main!(library_benchmark_groups = pure);
