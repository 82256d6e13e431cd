//! More than the service takes on: whoever finds no place or no room is told at once, and others notice nothing.

mod bodies;
mod places;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::harness::{Answer, Phone};

const DEVICES: &str = "/v1/mfa/devices";
const COME_AGAIN: &str = "the service is not available right now, please try again";

/// Refused for now, with the time after which to come again.
#[track_caller]
fn assert_shed(answer: &Answer) {
    answer.assert_error(503, "service_unavailable", COME_AGAIN);
    assert_eq!(answer.headers["retry-after"], "1");
}

/// What must be said to ask for a device.
fn wish(person: &str, phone: u32) -> Value {
    json!({"person_id": person, "key_type": "ecdsa-p256", "key": Phone::new(phone).key()})
}

/// A body that begins and never ends.
struct Unfinished {
    begin: Option<Bytes>,
    announced: Option<u64>,
    end: Option<mpsc::Receiver<io::Error>>,
}

impl Unfinished {
    fn body(begin: &str) -> Body {
        Body::new(Self { begin: Some(Bytes::copy_from_slice(begin.as_bytes())), announced: None, end: None })
    }

    /// Breaks off as the body of a connection does whose client hangs up, when it is told to.
    fn until_told(begin: &str) -> (Body, mpsc::Sender<io::Error>) {
        let (end, told) = mpsc::channel(1);
        let begin = Some(Bytes::copy_from_slice(begin.as_bytes()));
        (Body::new(Self { begin, announced: None, end: Some(told) }), end)
    }

    /// Says how long it will be; not even a first byte comes.
    fn announcing(length: u64) -> Body {
        Body::new(Self { begin: None, announced: Some(length), end: None })
    }
}

impl HttpBody for Unfinished {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match (self.begin.take(), &mut self.end) {
            (Some(bytes), _) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            (None, Some(end)) => end.poll_recv(context).map(|fault| fault.map(Err)),
            (None, None) => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.announced.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
