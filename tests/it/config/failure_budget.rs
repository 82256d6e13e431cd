//! Settings of the failure budget: those that would allow more failures than its limit are refused.

use super::production::{PRODUCTION, production_but};
use super::{load, problems};

#[test]
fn a_pause_shorter_than_the_window_is_refused() {
    let expected = "COOL_DOWN_SECONDS must be at least FAILURE_WINDOW_SECONDS: otherwise a window of that length can \
                    contain more failures than LIMIT_FAILURES_PER_PERSON";
    assert_eq!(problems(&[("COOL_DOWN_SECONDS", "1799")], ""), [expected]);
    assert_eq!(problems(&[("FAILURE_WINDOW_SECONDS", "1801")], ""), [expected]);
    assert!(load(&[("FAILURE_WINDOW_SECONDS", "1"), ("COOL_DOWN_SECONDS", "1")]).is_ok());
}

#[test]
fn production_has_a_window_of_at_least_a_minute() {
    assert!(load(&PRODUCTION).is_ok());
    assert!(load(&production_but(&[("FAILURE_WINDOW_SECONDS", "60")])).is_ok());
    let problems = problems(&production_but(&[("FAILURE_WINDOW_SECONDS", "59")]), "");
    assert_eq!(problems, ["FAILURE_WINDOW_SECONDS must be a whole number from 60 to 86400"]);
}
