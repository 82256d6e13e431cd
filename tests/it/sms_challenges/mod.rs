//! SMS challenges: requesting, reading and answering one (docs/api-design.md#sms-challenges).

mod answering;
mod limits;
mod requesting;

use crate::harness::{Answer, SMS_CHALLENGES};

fn path(id: &str) -> String {
    format!("{SMS_CHALLENGES}/{id}")
}

#[track_caller]
fn assert_not_open(answer: &Answer, id: &str) {
    answer.assert_error(404, "not_found", &format!("sms challenge \"{id}\" not found"));
}

#[track_caller]
fn assert_wrong(answer: &Answer) {
    answer.assert_wrong("the code is wrong or expired");
}
