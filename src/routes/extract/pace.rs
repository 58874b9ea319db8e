//! Bodies that arrive too slowly.

use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::model::{Problem, ProblemCode};
use crate::pace::Pace;

/// The slowest body that is accepted.
#[derive(Debug, Clone, Copy)]
pub struct BodyPace(pub Pace);

/// The error of a body that arrives too slowly.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the body did not arrive in time")]
pub struct TooSlow;

impl TooSlow {
    /// The problem of a body that could not be read.
    pub fn problem(error: &axum::Error) -> Problem {
        let late = std::error::Error::source(error).and_then(|source| source.downcast_ref::<Self>());
        let detail = late.map_or_else(|| "the body broke off".to_owned(), Self::to_string);
        Problem::new(ProblemCode::InvalidRequest, detail)
    }
}

/// A body that ends with [`TooSlow`] as soon as it is slower than the pace. Its time begins when it is first polled, which is
/// when a caller that expects `100 Continue` may send it.
pub(super) struct PacedBody {
    body: Body,
    pace: Pace,
    since: Option<Instant>,
    received: u64,
    timer: Pin<Box<Sleep>>,
}

impl PacedBody {
    /// Returns the body with its pace watched, or as it is without one.
    pub fn wrap(body: Body, pace: Option<BodyPace>) -> Body {
        let Some(BodyPace(pace)) = pace else { return body };
        Body::new(Self { body, pace, since: None, received: 0, timer: Box::pin(tokio::time::sleep(pace.timeout)) })
    }

    /// Ready when the body is late.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let deadline = since + self.pace.allowed(self.received);
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        self.timer.as_mut().poll(cx)
    }
}

impl hyper::body::Body for PacedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Pending => self.poll_late(cx).map(|()| Some(Err(axum::Error::new(TooSlow)))),
            polled => {
                if let Poll::Ready(Some(Ok(frame))) = &polled {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    self.received = self.received.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
                }
                polled
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
