//! The commands of the operator for the conversion of codes: `sms status` and `sms resume`.

use serde_json::json;

use super::{PATIENCE, exit_code, fail, run};
use crate::harness::{NUMBER, Program};

const HEAD: &str = "partner\tcountry\tsent\tused\tpercent\tstate";

#[test]
fn sms_status_and_sms_resume_print_the_state() {
    let program = Program::new();
    program.serve().wait_for_log("listening", PATIENCE);
    assert_eq!(run(&program, &["sms", "status"]), (0, vec![HEAD.to_owned()]));
    let (code, output) = run(&program, &["sms", "resume", "--partner", "bank", "--country", "DE"]);
    let said = "conversion of bank in DE is reset; sending resumes within seconds";
    assert_eq!((code, output), (0, vec![said.to_owned()]));
    for (partner, country, message) in [
        ("Bank", "DE", "Bank is not a valid partner name"),
        ("bank", "Germany", "Germany is not a country code: --country takes an ISO 3166 code like DE"),
    ] {
        let (code, logs) = fail(&program, &["sms", "resume", "--partner", partner, "--country", country]);
        assert_eq!(code, 1);
        assert!(logs.contains(message), "{logs}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_in_memory_are_written_before_the_exit() {
    let program = Program::new().with("SMS_LIMITS", "enforce");
    let service = program.serve();
    let client = service.sandbox_client().await;
    client.post("/v1/persons/ada/mobile_number", json!({"number": NUMBER})).await.assert_status(201);
    client.post("/v1/persons/ada/mobile_number/authorize", json!({"number": NUMBER})).await.assert_status(201);
    service.terminate();
    assert_eq!(exit_code(&service), 0);
    // Counted, and too recent for the conversion rate.
    let line = "sandbox\tDE\t0\t0\t\tsending";
    assert_eq!(run(&program, &["sms", "status"]).1, [HEAD, line]);
}
