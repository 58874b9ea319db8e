//! Sheds load: more requests at once than the server is set to hold are refused at the door.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Semaphore;

use crate::model::{Problem, ProblemCode};

#[derive(Clone)]
pub(super) struct Slots(Arc<Semaphore>);

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        Self(Arc::new(Semaphore::new(count.min(Semaphore::MAX_PERMITS))))
    }
}

pub(super) async fn shed(State(slots): State<Slots>, request: Request, next: Next) -> Response {
    let Ok(slot) = slots.0.try_acquire_owned() else {
        return Problem::new(ProblemCode::Overloaded, "more requests are in flight than the gateway holds")
            .with_retry_after(Duration::from_secs(1))
            .into_response();
    };
    let response = next.run(request).await;
    // An answer takes its memory until it is written, however slowly it is read.
    response.map(|body| Body::new(Held { body, _holds: slot }))
}

/// A body that holds something until it is written, or given up.
pub(crate) struct Held<T> {
    pub(crate) body: Body,
    pub(crate) _holds: T,
}

impl<T: Unpin> hyper::body::Body for Held<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
