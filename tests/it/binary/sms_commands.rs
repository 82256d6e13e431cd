//! What an operator sees and does about codes that nobody uses.

use serde_json::json;

use super::{PATIENCE, exit_code, fail, run};
use crate::harness::{NUMBER, Program};

const HEAD: &str = "partner\tcountry\tsent\tused\tpercent\tstate";

#[test]
fn sending_is_shown_and_resumed() {
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
async fn what_was_counted_last_is_in_the_database_when_the_process_has_stopped() {
    let program = Program::new().with("SMS_LIMITS", "enforce");
    let service = program.serve();
    let client = service.sandbox_client().await;
    client.post("/v1/persons/ada/mobile_number", json!({"number": NUMBER})).await.assert_status(201);
    client.post("/v1/persons/ada/mobile_number/authorize", json!({"number": NUMBER})).await.assert_status(201);
    service.terminate();
    assert_eq!(exit_code(&service), 0);
    // Known, and too young to be judged.
    let line = "sandbox\tDE\t0\t0\t\tsending";
    assert_eq!(run(&program, &["sms", "status"]).1, [HEAD, line]);
}
