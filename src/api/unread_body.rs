//! Drains request bodies that were not read to the end, because the request was refused before: no token, too large.
//!
//! If a server answers and closes the connection while the client still sends, the client's TCP stack may discard the
//! answer (RFC 9112 section 9.6). So the rest is read and discarded, up to a limit, while the answer is sent. The body
//! of a client with `Expect: 100-continue` is not drained: reading would tell it to send the body.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::Version;
use axum::http::header::EXPECT;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How many bytes are discarded at most; a longer body closes the connection.
const REST_MAX: usize = 8 * 1024 * 1024;
/// The timeout for draining.
const REST_DEADLINE: Duration = Duration::from_secs(5);

/// A body whose rest is drained when it is dropped.
pub(super) struct UnreadBody {
    rest: Option<Body>,
    /// Whether the client sends the body: it did not ask first, or it was told to continue.
    is_sent: bool,
}

impl UnreadBody {
    pub(super) fn wrap(request: Request) -> Request {
        let asks_first = request.version() == Version::HTTP_11 && request.headers().contains_key(EXPECT);
        request.map(|body| {
            if body.is_end_stream() { body } else { Body::new(Self { rest: Some(body), is_sent: !asks_first }) }
        })
    }
}

impl HttpBody for UnreadBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_sent = true;
        let Some(body) = &mut self.rest else { return Poll::Ready(None) };
        let polled = Pin::new(body).poll_frame(context);
        if matches!(polled, Poll::Ready(None | Some(Err(_)))) {
            self.rest = None;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.rest.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for UnreadBody {
    fn drop(&mut self) {
        if let Some(rest) = self.rest.take()
            && self.is_sent
            && !rest.is_end_stream()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(timeout(REST_DEADLINE, discard(rest)));
        }
    }
}

async fn discard(mut rest: Body) {
    let mut left = REST_MAX;
    while let Some(Ok(frame)) = rest.frame().await {
        match left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) {
            Some(still) => left = still,
            None => return,
        }
    }
}
