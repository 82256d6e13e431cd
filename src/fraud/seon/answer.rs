//! Parses SEON's response.
//!
//! Unknown fields are ignored. An unknown state is an error, because it might mean that the device should be declined.
//! Error messages are dropped, since they may quote the request; the error code is kept.

use serde::Deserialize;
use serde_json::Value;

use crate::fraud::{Assessment, FraudError, FraudState};

/// The longest accepted id; SEON's have 12 to 36 characters.
const PROVIDER_ID_MAX: usize = 64;

/// The longest accepted error code; SEON's have four digits.
const CODE_MAX: usize = 16;

#[derive(Deserialize)]
pub(super) struct Answer {
    success: bool,
    error: Option<Failure>,
    /// Parsed only on success: on failure it is empty or absent.
    data: Option<Value>,
}

#[derive(Deserialize)]
struct Failure {
    code: Option<Text>,
}

#[derive(Deserialize)]
struct Data {
    id: Option<String>,
    state: State,
    fraud_score: Option<Text>,
}

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum State {
    Approve,
    Review,
    Decline,
}

/// A value that SEON sends as a number or as a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Number(serde_json::Number),
    String(String),
}

impl Text {
    fn into_string(self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::String(string) => string,
        }
    }
}

impl Answer {
    pub(super) fn read(body: &[u8]) -> Result<Self, FraudError> {
        // The parser's error is dropped: it may quote the response.
        serde_json::from_slice(body).map_err(|_| FraudError::Unreadable)
    }

    pub(super) fn assessment(self) -> Result<Assessment, FraudError> {
        if !self.success {
            return Err(FraudError::Unsuccessful { code: self.error.and_then(Failure::into_code) });
        }
        let data = self.data.ok_or(FraudError::Unreadable)?;
        let Data { id, state, fraud_score } = serde_json::from_value(data).map_err(|_| FraudError::Unreadable)?;
        let state = match state {
            State::Approve => FraudState::Approve,
            State::Review => FraudState::Review,
            State::Decline => FraudState::Decline,
        };
        let provider_id = id.filter(|id| !id.is_empty());
        if provider_id.as_ref().is_some_and(|id| id.len() > PROVIDER_ID_MAX) {
            return Err(FraudError::Unreadable);
        }
        Ok(Assessment { state, score: fraud_score.map(score).transpose()?, provider_id })
    }
}

impl Failure {
    /// The code, if it looks like one.
    fn into_code(self) -> Option<String> {
        let code = self.code?.into_string();
        let is_code = code.len() <= CODE_MAX && !code.is_empty() && code.bytes().all(|b| b.is_ascii_alphanumeric());
        is_code.then_some(code)
    }
}

fn score(text: Text) -> Result<f64, FraudError> {
    let score: f64 = text.into_string().trim().parse().map_err(|_| FraudError::Unreadable)?;
    if score.is_finite() { Ok(score) } else { Err(FraudError::Unreadable) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Assessment, FraudError> {
        Answer::read(json.as_bytes())?.assessment()
    }

    fn score_of(json: &str) -> Option<f64> {
        read(&format!(r#"{{"success":true,"data":{{"state":"APPROVE","fraud_score":{json}}}}}"#)).unwrap().score
    }

    #[test]
    fn a_score_may_be_a_number_or_a_numeric_string() {
        for (json, expected) in [("12", 12.0), ("12.5", 12.5), ("\"12.5\"", 12.5), ("0", 0.0), ("-1", -1.0)] {
            assert_eq!(score_of(json), Some(expected), "{json}");
        }
        assert_eq!(score_of("null"), None);
    }

    #[test]
    fn a_response_with_a_score_that_is_not_a_number_is_an_error() {
        for json in ["\"high\"", "\"NaN\"", "\"inf\"", "\"\"", "true", "{}"] {
            let answer = format!(r#"{{"success":true,"data":{{"state":"APPROVE","fraud_score":{json}}}}}"#);
            assert!(matches!(read(&answer), Err(FraudError::Unreadable)), "{json}");
        }
    }

    #[test]
    fn a_response_with_an_unknown_state_is_an_error() {
        for state in ["\"approve\"", "\"BLOCK\"", "\"\"", "null", "1"] {
            let answer = format!(r#"{{"success":true,"data":{{"state":{state}}}}}"#);
            assert!(matches!(read(&answer), Err(FraudError::Unreadable)), "{state}");
        }
    }

    #[test]
    fn a_failure_keeps_the_error_code_and_drops_the_message() {
        let code = |json: &str| match read(&format!(r#"{{"success":false,"error":{json}}}"#)) {
            Err(FraudError::Unsuccessful { code }) => code,
            other => panic!("{other:?}"),
        };
        assert_eq!(code(r#"{"code":"2002","message":"secret words"}"#).as_deref(), Some("2002"));
        assert_eq!(code(r#"{"code":2002}"#).as_deref(), Some("2002"));
        for json in ["null", "{}", r#"{"code":""}"#, r#"{"code":"secret words"}"#, r#"{"code":"12345678901234567"}"#] {
            assert_eq!(code(json), None, "{json}");
        }
    }

    #[test]
    fn a_failure_is_reported_whatever_its_data_is() {
        for data in ["{}", "[]", "null", r#"{"state":"WHATEVER"}"#] {
            let answer = format!(r#"{{"success":false,"error":{{"code":"2002"}},"data":{data}}}"#);
            let error = read(&answer).unwrap_err();
            assert!(matches!(error, FraudError::Unsuccessful { code: Some(ref code) } if code == "2002"), "{data}");
        }
    }

    #[test]
    fn a_success_without_data_is_an_error() {
        for answer in
            [r#"{"success":true}"#, r#"{"success":true,"data":null}"#, r#"{"success":true,"data":{}}"#, "{}", "[]"]
        {
            assert!(matches!(read(answer), Err(FraudError::Unreadable)), "{answer}");
        }
    }

    #[test]
    fn an_id_over_the_length_limit_is_an_error() {
        let answer = |id: &str| format!(r#"{{"success":true,"data":{{"state":"REVIEW","id":"{id}"}}}}"#);
        assert_eq!(read(&answer(&"a".repeat(64))).unwrap().provider_id, Some("a".repeat(64)));
        assert!(matches!(read(&answer(&"a".repeat(65))), Err(FraudError::Unreadable)));
    }
}
