//! The answer to a caller: its problem is rendered here, so that its memory and its permit are held until it is written.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::response::Response;
use futures_util::FutureExt;

use crate::error;
use crate::memory::Reservation;

use super::compression;
use super::held::Held;

/// Bytes of a problem besides its errors and its detail: the names of its fields, ids, a source's message.
const PROBLEM_BYTES: usize = 4 * 1024;

/// Renders the problem of an answer, if it has one. Keeps the permit, and a reservation of the bytes of the answer, until it is
/// written, however slowly it is read. `public_url`: as [`error::render`].
pub(super) fn hold<P: Send + Unpin + 'static>(
    mut response: Response,
    (request_id, public_url): (&str, &str),
    permit: P,
    memory: Arc<Reservation>,
) -> Response {
    if let Some(problem) = error::problem_mut(&mut response)
        && !reserve(&memory, PROBLEM_BYTES + problem.json_bytes())
    {
        problem.truncate_errors();
    }
    let response = error::render(response, request_id, public_url);
    // Of what is reserved already, in all but small answers. Streams reserve what they hold themselves.
    let _is_reserved = reserve(&memory, compression::held_bytes(&response).unwrap_or_else(|| length(&response)));
    let memory = memory.is_counted().then_some(memory);
    response.map(|body| Body::new(Held::new(body, (permit, memory))))
}

/// The bytes of a body; 0 of a stream.
pub(super) fn length(response: &Response) -> usize {
    usize::try_from(response.body().size_hint().exact().unwrap_or(0)).unwrap_or(usize::MAX)
}

/// Changes the reservation to `bytes` without waiting, and returns whether that succeeded. A wait would leave the finished answer
/// uncounted meanwhile.
pub(super) fn reserve(memory: &Reservation, bytes: usize) -> bool {
    memory.shrink_to(bytes);
    let missing = bytes.saturating_sub(memory.bytes());
    missing == 0 || matches!(memory.grow(missing).now_or_never(), Some(Ok(())))
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use http_body_util::BodyExt;
    use serde_json::Value;

    use super::*;
    use crate::memory::InFlight;
    use crate::model::{CallerId, Fault, Problem, ProblemCode};

    const MIB: usize = 1 << 20;

    fn held(response: Response, memory: &Arc<Reservation>) -> Response {
        hold(response, ("req-1", ""), (), memory.clone())
    }

    /// The reservation of a request, and an answer of a mebibyte.
    async fn answer() -> (Arc<Reservation>, Response) {
        let memory = InFlight::new(64 << 20).open(None);
        memory.grow(4 * MIB).await.unwrap();
        let answer = held(Response::new(Body::from(vec![b'x'; MIB])), &memory);
        (memory, answer)
    }

    /// A problem whose errors are about a mebibyte.
    fn large_problem() -> Response {
        let errors = (0..5_000).map(|n| Fault::at(format!("/items/{n}"), "unknown", "\"é\n".repeat(10))).collect();
        Problem::faults(ProblemCode::ValidationFailed, errors).into_response()
    }

    async fn body(response: Response) -> (usize, Value) {
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (body.len(), serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn answer_is_reserved_until_it_is_written() {
        let (memory, answer) = answer().await;
        assert_eq!(memory.bytes(), MIB, "what it was made of is free");
        let mut body = answer.into_body();
        assert!(body.frame().await.is_some());
        assert_eq!(Arc::strong_count(&memory), 2);
        assert!(body.frame().await.is_none());
        drop(body);
        assert_eq!(Arc::strong_count(&memory), 1);
    }

    #[tokio::test]
    async fn unwritten_answer_is_freed_when_the_caller_disconnects() {
        let (memory, answer) = answer().await;
        drop(answer);
        assert_eq!(Arc::strong_count(&memory), 1);
    }

    #[tokio::test]
    async fn small_answer_holds_no_memory() {
        let memory = InFlight::new(64 << 20).open(None);
        memory.grow(4 * MIB).await.unwrap();
        let _answer = held(Response::new(Body::from("small")), &memory);
        assert_eq!(Arc::strong_count(&memory), 1);
        assert!(!memory.is_counted());
    }

    #[tokio::test]
    async fn large_problem_is_reserved_though_its_request_was_small() {
        let memory = InFlight::new(64 << 20).open(None);
        let answer = held(large_problem(), &memory);
        let reserved = memory.bytes();
        let (length, problem) = body(answer).await;
        assert!((length..length + 1024).contains(&reserved), "{reserved} of {length}");
        assert_eq!(problem["errors"].as_array().unwrap().len(), 5_000);
    }

    #[tokio::test]
    async fn errors_that_do_not_fit_are_left_out() {
        let in_flight = InFlight::new(4 << 20);
        let caller = CallerId { issuer: "i".into(), subject: "s".into() };
        let other = in_flight.open(Some(caller.clone()));
        other.grow(MIB).await.unwrap();
        let memory = in_flight.open(Some(caller));
        let (length, problem) = body(held(large_problem(), &memory)).await;
        assert!(length < 4 * 1024 && !memory.is_counted());
        assert_eq!(problem["errors"].as_array().unwrap().len(), 10);
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("(and 4999 more); only the first errors are listed"), "{detail}");
    }
}
