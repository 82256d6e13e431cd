//! What an operator sees and does about codes that nobody uses.

use super::{PATIENCE, fail, run};
use crate::harness::Program;

const HEAD: &str = "partner\tcountry\tsent\tused\tpercent\tstate";

#[test]
fn sending_is_shown_and_resumed() {
    let program = Program::new();
    program.serve().wait_for_log("listening", PATIENCE);
    assert_eq!(run(&program, &["sms", "status"]), (0, vec![HEAD.to_owned()]));
    let (code, output) = run(&program, &["sms", "resume", "--partner", "bank", "--country", "DE"]);
    let said = "codes that bank sent to DE before now count no more; it goes on within seconds";
    assert_eq!((code, output), (0, vec![said.to_owned()]));
    for (partner, country, message) in [
        ("Bank", "DE", "Bank is no partner's name"),
        ("bank", "Germany", "Germany is no country: --country takes an ISO 3166 code like DE"),
    ] {
        let (code, logs) = fail(&program, &["sms", "resume", "--partner", partner, "--country", country]);
        assert_eq!(code, 1);
        assert!(logs.contains(message), "{logs}");
    }
}
