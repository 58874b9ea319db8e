//! Bodies that arrive too slowly, or in too small pieces.

use std::error::Error as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use tokio::time::Sleep;

use crate::model::{Problem, ProblemCode};
use crate::pace::{Pace, Transfer};

/// The slowest body that is accepted.
#[derive(Debug, Clone, Copy)]
pub struct BodyPace(pub Pace);

/// Chunks that a body may have however small they are. Each costs some microseconds, and six bytes or more on the wire.
const FREE_CHUNKS: usize = 16_384;
/// The least average size of further chunks, in bytes.
const LEAST_CHUNK_BYTES: usize = 256;

/// Why a body is not read to its end.
#[derive(Debug, Clone, Copy, thiserror::Error)]
pub enum BadTransfer {
    #[error("the body did not arrive in time")]
    TooSlow,
    #[error("the body has too many small chunks")]
    TooFine,
}

impl BadTransfer {
    /// The problem of a body that could not be read.
    pub fn problem(error: &axum::Error) -> Problem {
        // Each layer around the body wraps its errors once more.
        let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
        let late = causes.find_map(|cause| cause.downcast_ref::<Self>());
        let detail = late.map_or_else(|| "the body broke off".to_owned(), Self::to_string);
        Problem::new(ProblemCode::InvalidRequest, detail)
    }
}

/// A body that ends with [`BadTransfer`] as soon as it is slower than the pace, or comes in too many pieces. Its time begins when it is first polled, which is
/// when a caller that expects `100 Continue` may send it.
pub(super) struct PacedBody {
    body: Body,
    pace: Pace,
    transfer: Option<Transfer>,
    chunks: usize,
    bytes: usize,
    timer: Pin<Box<Sleep>>,
}

impl PacedBody {
    /// Returns the body with its pace watched, or as it is without one.
    pub fn wrap(body: Body, pace: Option<BodyPace>) -> Body {
        let Some(BodyPace(pace)) = pace else { return body };
        Body::new(Self {
            body,
            pace,
            transfer: None,
            chunks: 0,
            bytes: 0,
            timer: Box::pin(tokio::time::sleep(pace.timeout)),
        })
    }

    fn transfer(&mut self) -> &mut Transfer {
        self.transfer.get_or_insert_with(|| Transfer::begin(&self.pace))
    }

    /// Ready when the body is late.
    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let deadline = self.transfer().deadline();
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
            Poll::Pending => self.poll_late(cx).map(|()| Some(Err(axum::Error::new(BadTransfer::TooSlow)))),
            polled @ Poll::Ready(_) => {
                if let Poll::Ready(Some(Ok(frame))) = &polled {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    self.transfer().add(bytes);
                    self.bytes = self.bytes.saturating_add(bytes);
                    self.chunks += 1;
                    if self.chunks > FREE_CHUNKS + self.bytes / LEAST_CHUNK_BYTES {
                        return Poll::Ready(Some(Err(axum::Error::new(BadTransfer::TooFine))));
                    }
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::num::NonZeroU64;
    use std::time::Duration;

    use futures_util::{StreamExt, stream};
    use http_body_util::BodyExt;

    use tokio::time::Instant;

    use super::*;

    /// Reads a body of `chunks` times `bytes`, one every `pause`, at the default pace; returns the detail of its problem and
    /// the time that it took.
    async fn read(chunks: usize, bytes: usize, pause: Duration) -> (Option<String>, Duration) {
        let pace = Pace { min_rate: NonZeroU64::new(8 * 1024).unwrap(), timeout: Duration::from_mins(1) };
        let chunks = stream::iter(0..chunks).then(move |_| async move {
            tokio::time::sleep(pause).await;
            Ok::<_, Infallible>(vec![b'x'; bytes])
        });
        let body = PacedBody::wrap(Body::from_stream(chunks), Some(BodyPace(pace)));
        let since = Instant::now();
        let problem = body.collect().await.err().map(|error| BadTransfer::problem(&error).detail);
        (problem, since.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn body_below_min_rate_ends_when_its_grace_is_used_up() {
        let late = Some("the body did not arrive in time".to_owned());
        let ms = Duration::from_millis;
        // Nothing, a byte a second, and half of the rate.
        assert_eq!(read(1, 1, ms(100_000)).await, (late.clone(), ms(10_000)));
        let (problem, took) = read(100, 1, ms(1_000)).await;
        assert_eq!((problem, took.as_secs()), (late.clone(), 10));
        let (problem, took) = read(100, 4 * 1024, ms(1_000)).await;
        assert_eq!(problem, late);
        assert!((ms(18_000)..ms(22_000)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn body_in_tiny_chunks_is_refused_and_in_small_ones_read() {
        let (problem, _) = read(20_000, 1, Duration::ZERO).await;
        assert_eq!(problem.as_deref(), Some("the body has too many small chunks"));
        assert_eq!(read(16_000, 1, Duration::ZERO).await.0, None);
        assert_eq!(read(40_000, 256, Duration::ZERO).await.0, None);
    }

    #[tokio::test(start_paused = true)]
    async fn body_that_stalls_near_its_end_is_late() {
        let chunks = stream::iter([vec![b'x'; 8 << 20]]).map(Ok::<_, Infallible>).chain(stream::pending());
        let pace = Pace { min_rate: NonZeroU64::new(8 * 1024).unwrap(), timeout: Duration::from_mins(1) };
        let body = PacedBody::wrap(Body::from_stream(chunks), Some(BodyPace(pace)));
        let since = Instant::now();
        assert!(body.collect().await.is_err());
        assert_eq!(since.elapsed(), Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn body_with_pauses_arrives_and_body_timeout_ends_it() {
        let ms = Duration::from_millis;
        // 16 KiB/s, with pauses of 9 s.
        assert_eq!(read(6, 144 * 1024, ms(9_000)).await, (None, ms(54_000)));
        let (problem, took) = read(1_000, 16 * 1024, ms(1_000)).await;
        assert!(problem.is_some());
        assert_eq!(took, Duration::from_mins(1));
    }
}
