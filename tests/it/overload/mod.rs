//! Load shedding: a request without a free place or without memory for its body gets 503 immediately, and other
//! requests are not affected.

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
const UNAVAILABLE: &str = "the service is not available right now, please try again";

/// 503 with `Retry-After: 1`.
#[track_caller]
fn assert_shed(answer: &Answer) {
    answer.assert_error(503, "service_unavailable", UNAVAILABLE);
    assert_eq!(answer.headers["retry-after"], "1");
}

/// The body that requests a device.
fn device_body(person: &str, phone: u32) -> Value {
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

    /// Fails with the error that is sent to the channel, like a body whose client disconnects.
    fn until_broken_off(begin: &str) -> (Body, mpsc::Sender<io::Error>) {
        let (end, errors) = mpsc::channel(1);
        let begin = Some(Bytes::copy_from_slice(begin.as_bytes()));
        (Body::new(Self { begin, announced: None, end: Some(errors) }), end)
    }

    /// Announces its length and never sends a byte.
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
