//! `Idempotency-Key` on writes (contract §3.5): the same request under the same key is run once.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use futures_util::FutureExt;
use sha2::{Digest, Sha256};
use tokio_util::task::TaskTracker;

use crate::memory::ITEM_RESULT;
use crate::model::{BatchAnswer, Problem, ProblemCode};
use crate::service::batch::Target;
use crate::store::idempotency::{
    Begun, Claim, Fingerprint, FirstAnswer, IdempotencyKey, IdempotencyStore, StoredAnswer,
};
use crate::trace;

use super::{Services, cache_policy};

const KEY: &str = "idempotency-key";
const REPLAYED: &str = "idempotent-replayed";

/// The header, for the document.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "describes the header to the document")]
pub struct IdempotencyHeader {
    /// Key of the request, chosen by the caller. A repeated request with the same key, path, query and body returns the
    /// first response, with `Idempotent-Replayed: true`. Keys are retained for 24 hours unless configured otherwise.
    #[param(
        rename = "Idempotency-Key",
        required = false,
        nullable = false,
        min_length = 8,
        max_length = 255,
        pattern = "^[!-~]{8,255}$"
    )]
    idempotency_key: Option<String>,
}

/// A write to be run once.
pub struct Once<'a> {
    store: &'a IdempotencyStore,
    /// What a stopping process waits for.
    writes: &'a TaskTracker,
    target: &'a Target,
    headers: &'a HeaderMap,
    fingerprint: Fingerprint,
    /// How many results the answer will hold.
    items: usize,
}

impl<'a> Once<'a> {
    /// `fingerprint` is of the request alone; `items` is how many results the answer will hold.
    pub fn new(
        services: &'a Services,
        target: &'a Target,
        headers: &'a HeaderMap,
        fingerprint: Fingerprint,
        items: usize,
    ) -> Self {
        // The same request may be meant for another source, where it does not name one and the caller sees others now.
        let fingerprint = hash(&[&fingerprint, target.source.name.as_str().as_bytes()]);
        Self { store: &services.idempotency, writes: &services.batches.writes, target, headers, fingerprint, items }
    }

    /// Runs the write, unless its key says that it ran before. A write with a key runs on when its caller leaves.
    ///
    /// # Errors
    /// The write's own, and those of a key that is bad, taken or in use.
    pub async fn run(
        self,
        write: impl Future<Output = Result<BatchAnswer, Problem>> + Send + 'static,
    ) -> Result<Response, Problem> {
        // Before anything is sent: the answer must not fail for want of memory.
        self.target.context.reserve_for_batch(self.items * ITEM_RESULT).await?;
        let Some(key) = key(self.headers)? else {
            return write.await.map(|answer| cache_policy::uncached(&answer));
        };
        let key = IdempotencyKey { caller: self.target.context.caller.id.clone(), key };
        match self.store.begin(&key, self.fingerprint, self.items * ITEM_RESULT) {
            Begun::Run(claim) => {
                let run = async move {
                    // What was lost midway may have changed something, and is not to be run again.
                    let lost = |_panic| Err(lost());
                    settle(claim, AssertUnwindSafe(write).catch_unwind().await.unwrap_or_else(lost))
                };
                let run = self.writes.spawn(trace::carried(run));
                run.await.unwrap_or_else(|_cut| Err(lost()))
            }
            Begun::Replay(answer) => {
                self.target.trail().replayed();
                Ok(replay(answer))
            }
            Begun::InProgress => {
                let detail = "the first request with this idempotency key is still running";
                Err(Problem::new(ProblemCode::IdempotencyInProgress, detail).with_retry_after(Duration::from_secs(1)))
            }
            Begun::Reused => {
                let detail = "the idempotency key was used with another path, query, body or source";
                Err(Problem::new(ProblemCode::IdempotencyKeyReused, detail))
            }
            Begun::Full(wait) => {
                let detail = "the store of idempotency keys is full";
                Err(Problem::new(ProblemCode::Overloaded, detail).with_retry_after(wait))
            }
            Begun::ShareFull(wait) => {
                let detail = "the caller's share of the store of idempotency keys is full";
                Err(Problem::new(ProblemCode::RateLimited, detail).with_retry_after(wait))
            }
        }
    }
}

fn lost() -> Problem {
    Problem { is_final: true, ..Problem::new(ProblemCode::Internal, "the write was lost") }
}

/// Stores what may have changed something or is final; anything else releases the key, so that the request may be sent again.
fn settle(claim: Claim, result: Result<BatchAnswer, Problem>) -> Result<Response, Problem> {
    match result {
        Ok(answer) => {
            claim.finish(FirstAnswer::Success(StoredAnswer::new(&answer)));
            Ok(cache_policy::uncached(&answer))
        }
        Err(problem) => {
            if problem.is_final && !problem.retryable {
                claim.finish(FirstAnswer::Refusal(Box::new(problem.clone())));
            }
            Err(problem)
        }
    }
}

fn replay(answer: FirstAnswer) -> Response {
    use axum::response::IntoResponse;
    let mut response = match answer {
        FirstAnswer::Success(answer) => cache_policy::uncached(&answer.restore()),
        FirstAnswer::Refusal(problem) => problem.into_response(),
    };
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(KEY).iter();
    let (value, more) = (values.next(), values.next());
    let Some(value) = value else { return Ok(None) };
    if more.is_some() {
        return Err(Problem::parameter("Idempotency-Key", "duplicate", "is there more than once"));
    }
    match value.to_str() {
        Ok(key) if (8..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(Some(key.to_owned()))
        }
        _ => Err(Problem::parameter("Idempotency-Key", "malformed", "expected 8 to 255 visible ASCII characters")),
    }
}

/// What makes two requests the same: path, query and body.
pub fn fingerprint(path: &str, query: &str, body: &[u8]) -> Fingerprint {
    hash(&[path.as_bytes(), query.as_bytes(), body])
}

fn hash(parts: &[&[u8]]) -> Fingerprint {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
