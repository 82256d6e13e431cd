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
// which AWS-LC does, is most of the work.
count! {
    crypto_public_key = "crypto/public_key": 185_877 + 10 %;
    crypto_signature = "crypto/signature": 171_313 + 10 %;
    crypto_signature_check = "crypto/signature_check": 14_637_108 + 2 %;
    crypto_signature_check_wrong = "crypto/signature_check_wrong": 14_696_288 + 2 %;
    limit_aws_lc_verify = "limit/aws_lc_verify": 14_472_300 + 2 %;
    limit_aws_lc_verify_kept_key = "limit/aws_lc_verify_kept_key": 14_180_080 + 2 %;
    crypto_one_time_code = "crypto/one_time_code": 279_922 + 10 %;
    crypto_request_digest = "crypto/request_digest": 4_203_064 + 10 %;
    approval_compose_text = "approval/compose_text": 409_564 + 10 %;
    approval_parse = "approval/parse": 494_348 + 10 %;
    auth_bearer_token = "auth/bearer_token": 433_435 + 10 %;
    request_alive = "request/alive": 885_540 + 10 %;
    request_bind_device = "request/bind_device": 3_915_835 + 10 %;
    request_bind_device_once = "request/bind_device_once": 8_486_459 + 10 %;
    request_bind_device_all_wrong = "request/bind_device_all_wrong": 3_176_723 + 10 %;
    request_challenge = "request/challenge": 1_687_830 + 10 %;
    request_verify_signature = "request/verify_signature": 17_441_043 + 2 %;
    request_verify_signature_wrong = "request/verify_signature_wrong": 17_480_106 + 2 %;
    request_device = "request/device": 1_651_921 + 10 %;
    request_device_unknown = "request/device_unknown": 1_781_391 + 10 %;
    request_device_list_of_ten = "request/device_list_of_ten": 2_705_913 + 10 %;
    request_delete_device = "request/delete_device": 1_862_105 + 10 %;
    request_add_key = "request/add_key": 17_619_186 + 2 %;
    request_key_list = "request/key_list": 1_737_849 + 10 %;
    request_key = "request/key": 1_710_559 + 10 %;
    request_create_number = "request/create_number": 2_643_537 + 10 %;
    request_number = "request/number": 1_648_885 + 10 %;
    request_authorize_number = "request/authorize_number": 3_178_494 + 10 %;
    request_confirm_number = "request/confirm_number": 2_949_795 + 10 %;
    request_delete_number = "request/delete_number": 2_554_355 + 10 %;
    request_open_device_challenge = "request/open_device_challenge": 2_401_986 + 10 %;
    request_open_device_challenge_once = "request/open_device_challenge_once": 3_289_391 + 10 %;
    request_open_approval = "request/open_approval": 4_039_694 + 10 %;
    request_device_challenge = "request/device_challenge": 1_780_455 + 10 %;
    request_approve = "request/approve": 17_901_333 + 2 %;
    request_decline = "request/decline": 18_389_692 + 2 %;
    request_approve_wrong = "request/approve_wrong": 17_478_396 + 2 %;
    request_open_sms_challenge = "request/open_sms_challenge": 2_646_089 + 10 %;
    request_answer_sms_challenge = "request/answer_sms_challenge": 2_338_990 + 10 %;
    request_create_activation_code = "request/create_activation_code": 2_552_240 + 10 %;
    request_token = "request/token": 2_131_137 + 10 %;
    request_token_refused = "request/token_refused": 1_382_292 + 10 %;
    traces_off = "traces/off": 5_894 + 10 %;
    traces_unsampled = "traces/unsampled": 113_285 + 10 %;
    traces_sampled = "traces/sampled": 448_094 + 10 %;
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
