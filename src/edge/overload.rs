//! Sheds load: more requests at once than the server is set to hold are refused at the door.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
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
    let Ok(_slot) = slots.0.try_acquire() else {
        return Problem::new(ProblemCode::Overloaded, "more requests are in flight than the gateway holds")
            .with_retry_after(Duration::from_secs(1))
            .into_response();
    };
    next.run(request).await
}
