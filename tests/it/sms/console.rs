//! The console provider, which logs the message for a tester to read.

use device_management::sms::SmsSender;
use device_management::sms::console::Console;

use super::{CODE, NUMBER, REFERENCE, sms};
use crate::harness::log::Log;

/// The code as a shell script would find it: the first six digits in a row after `SMS to`.
fn code_in(line: &str) -> &str {
    let (_, message) = line.split_once("SMS to ").unwrap();
    let is_code = |start: &usize| message[*start..].bytes().take(6).filter(u8::is_ascii_digit).count() == 6;
    let start = (0..message.len()).filter(|i| message.is_char_boundary(*i)).find(is_code).unwrap();
    &message[start..start + 6]
}

#[tokio::test]
async fn the_whole_message_is_one_line_with_the_code_first_and_the_number_masked() {
    for log in [Log::text, Log::json] {
        let log = log();
        let accepted = Console.send(&sms()).await.unwrap();
        assert_eq!(accepted.provider, "console");
        let written = log.contents();
        let [line] = written.lines().collect::<Vec<_>>()[..] else { panic!("one line, not {written:?}") };
        assert_eq!(code_in(line), CODE);
        assert!(line.contains("sms.console") && line.contains("INFO") && line.contains(REFERENCE), "{line}");
        assert!(line.contains("+49*******01") && !line.contains(NUMBER), "{line}");
        assert!(line.contains("e2e-e2e-e2e"), "{line}");
    }
}
