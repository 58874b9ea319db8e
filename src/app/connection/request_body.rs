//! Whether a request's body was read to its end.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use axum::http::Request;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};

/// hyper skips an unread body of this size, if it has arrived, and keeps the connection.
const SKIPPED_BYTES: u64 = 8 * 1024;

const READ: u8 = 0;
const SMALL: u8 = 1;
const UNREAD: u8 = 2;

/// What is left of a body.
pub(super) struct Unread(Arc<AtomicU8>);

impl Unread {
    pub(super) fn is_left(&self) -> bool {
        self.0.load(Ordering::Acquire) != READ
    }

    /// Whether the answer ends the connection, because the rest of the body would be taken for another request.
    pub(super) fn must_close(&self) -> bool {
        self.0.load(Ordering::Acquire) == UNREAD
    }
}

/// A request's body that notes how far it was read.
pub(super) struct RequestBody {
    body: Incoming,
    left: Arc<AtomicU8>,
}

impl RequestBody {
    pub(super) fn track(request: Request<Incoming>) -> (Request<Body>, Unread) {
        let body = request.body();
        let left = match body.size_hint().upper() {
            Some(0) => READ,
            Some(1..=SKIPPED_BYTES) => SMALL,
            Some(_) | None => UNREAD,
        };
        if left == READ {
            return (request.map(Body::new), Unread(Arc::default()));
        }
        let left = Arc::new(AtomicU8::new(left));
        let unread = Unread(left.clone());
        (request.map(|body| Body::new(Self { body, left })), unread)
    }
}

impl hyper::body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let is_read = matches!(polled, Poll::Ready(None)) || self.body.is_end_stream();
        self.left.store(if is_read { READ } else { UNREAD }, Ordering::Release);
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
