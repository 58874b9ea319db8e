//! Answers kept under callers' idempotency keys (contract §3.5): bounded by bytes, and never evicted early.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::model::{CallerId, Problem};

/// What a key is looked up by: two callers never share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    pub caller: CallerId,
    pub key: String,
}

/// A hash over path, query and body.
pub type Fingerprint = [u8; 32];

/// The first answer.
#[derive(Debug, Clone)]
pub enum FirstAnswer {
    /// The JSON of a success.
    Success(Bytes),
    Refusal(Box<Problem>),
}

/// What a key leads to.
pub enum Begun {
    /// The key is new: run, then finish or drop the claim.
    Run(Claim),
    Replay(FirstAnswer),
    /// The first request is still running.
    InProgress,
    /// The key was used with another request.
    Reused,
    /// No room for another answer.
    Full,
}

/// Bytes that an entry costs beside its answer.
const ENTRY_OVERHEAD: usize = 512;

/// The kept answers. Cheap to clone.
#[derive(Clone)]
pub struct IdempotencyStore(Arc<Inner>);

struct Inner {
    max_bytes: usize,
    retention: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    bytes: usize,
    entries: HashMap<IdempotencyKey, Entry>,
}

struct Entry {
    fingerprint: Fingerprint,
    bytes: usize,
    state: State,
}

enum State {
    Running,
    Done { answer: FirstAnswer, until: Instant },
}

impl IdempotencyStore {
    pub fn new(max_bytes: usize, retention: Duration) -> Self {
        Self(Arc::new(Inner { max_bytes, retention, kept: Mutex::default() }))
    }

    /// Claims a key, or tells what became of it. `answer_bytes` is the room that the answer may need.
    pub fn begin(&self, key: IdempotencyKey, fingerprint: Fingerprint, answer_bytes: usize) -> Begun {
        let mut kept = self.0.lock();
        let now = Instant::now();
        match kept.entries.get(&key) {
            Some(entry) if entry.has_expired(now) => kept.remove(&key),
            Some(entry) if entry.fingerprint != fingerprint => return Begun::Reused,
            Some(Entry { state: State::Running, .. }) => return Begun::InProgress,
            Some(Entry { state: State::Done { answer, .. }, .. }) => return Begun::Replay(answer.clone()),
            None => {}
        }
        let bytes = answer_bytes + key.key.len() + ENTRY_OVERHEAD;
        if kept.bytes + bytes > self.0.max_bytes {
            kept.remove_expired(now);
        }
        if kept.bytes + bytes > self.0.max_bytes {
            return Begun::Full;
        }
        kept.bytes += bytes;
        kept.entries.insert(key.clone(), Entry { fingerprint, bytes, state: State::Running });
        Begun::Run(Claim { store: self.clone(), key: Some(key) })
    }

    /// Forgets answers past their retention; to be called from time to time.
    pub fn sweep(&self) {
        self.0.lock().remove_expired(Instant::now());
    }
}

impl Inner {
    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn has_expired(&self, now: Instant) -> bool {
        matches!(self.state, State::Done { until, .. } if until <= now)
    }
}

impl Kept {
    fn remove(&mut self, key: &IdempotencyKey) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
        }
    }

    fn remove_expired(&mut self, now: Instant) {
        let mut freed = 0;
        self.entries.retain(|_, entry| {
            let expired = entry.has_expired(now);
            freed += if expired { entry.bytes } else { 0 };
            !expired
        });
        self.bytes -= freed;
    }
}

/// A key that is being used for the first time. Dropped unfinished, it is free again.
pub struct Claim {
    store: IdempotencyStore,
    key: Option<IdempotencyKey>,
}

impl Claim {
    /// Keeps the answer for the retention.
    pub fn finish(mut self, answer: FirstAnswer) {
        let Some(key) = self.key.take() else { return };
        let until = Instant::now() + self.store.0.retention;
        let mut kept = self.store.0.lock();
        let Some(entry) = kept.entries.get_mut(&key) else {
            return;
        };
        let bytes = answer.bytes() + key.key.len() + ENTRY_OVERHEAD;
        let reserved = std::mem::replace(&mut entry.bytes, bytes);
        entry.state = State::Done { answer, until };
        kept.bytes = kept.bytes - reserved + bytes;
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(key) = self.key.take() {
            self.store.0.lock().remove(&key);
        }
    }
}

impl FirstAnswer {
    fn bytes(&self) -> usize {
        match self {
            Self::Success(json) => json.len(),
            Self::Refusal(problem) => problem.detail.len() + ENTRY_OVERHEAD,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(caller: &str, key: &str) -> IdempotencyKey {
        IdempotencyKey { caller: CallerId { issuer: "i".into(), subject: caller.into() }, key: key.to_owned() }
    }

    fn store() -> IdempotencyStore {
        IdempotencyStore::new(10_000, Duration::from_hours(24))
    }

    fn run(begun: Begun) -> Claim {
        match begun {
            Begun::Run(claim) => claim,
            _ => panic!("expected to run"),
        }
    }

    fn success(text: &'static str) -> FirstAnswer {
        FirstAnswer::Success(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_is_replayed_to_its_caller_until_the_retention_ends() {
        let store = store();
        run(store.begin(key("a", "key-0001"), [1; 32], 100)).finish(success("first"));
        assert!(
            matches!(store.begin(key("a", "key-0001"), [1; 32], 100), Begun::Replay(FirstAnswer::Success(json)) if json == "first")
        );
        assert!(matches!(store.begin(key("a", "key-0001"), [2; 32], 100), Begun::Reused));
        drop(run(store.begin(key("b", "key-0001"), [2; 32], 100)));
        tokio::time::advance(Duration::from_hours(24)).await;
        drop(run(store.begin(key("a", "key-0001"), [2; 32], 100)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_is_taken_while_its_request_runs_and_free_when_that_is_given_up() {
        let store = store();
        let claim = run(store.begin(key("a", "key-0001"), [1; 32], 100));
        assert!(matches!(store.begin(key("a", "key-0001"), [1; 32], 100), Begun::InProgress));
        drop(claim);
        drop(run(store.begin(key("a", "key-0001"), [1; 32], 100)));
        assert_eq!(store.0.lock().bytes, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_store_refuses_and_never_forgets_early() {
        let store = store();
        for n in 0..5 {
            run(store.begin(key("a", &format!("key-000{n}")), [1; 32], 1000)).finish(success("kept"));
        }
        let mut claims = Vec::new();
        while let Begun::Run(claim) = store.begin(key("a", &format!("key-100{}", claims.len())), [1; 32], 1000) {
            claims.push(claim);
        }
        assert!(!claims.is_empty());
        assert!(matches!(store.begin(key("a", "key-9999"), [1; 32], 1000), Begun::Full));
        for n in 0..5 {
            assert!(matches!(store.begin(key("a", &format!("key-000{n}")), [1; 32], 1000), Begun::Replay(_)));
        }
        tokio::time::advance(Duration::from_hours(25)).await;
        drop(run(store.begin(key("a", "key-9999"), [1; 32], 1000)));
    }
}
