//! Answers kept under callers' idempotency keys (contract §3.5): bounded by bytes, and never evicted early.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::model::{CallerId, Problem};

/// What a key is looked up by: two callers never share one.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    pub caller: CallerId,
    pub key: String,
}

/// A hash over what makes two requests the same.
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
    /// The caller's own share is taken up; others are not concerned.
    ShareFull,
}

/// The most bytes that are kept, of all callers and of one.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub total: usize,
    pub per_caller: usize,
}

/// Bytes that an entry costs beside its answer.
const ENTRY_OVERHEAD: usize = 512;

/// The kept answers. Cheap to clone.
#[derive(Clone)]
pub struct IdempotencyStore(Arc<Inner>);

struct Inner {
    bounds: Bounds,
    retention: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    bytes: usize,
    shares: HashMap<CallerId, Share>,
}

/// What is kept for one caller.
#[derive(Default)]
struct Share {
    bytes: usize,
    entries: HashMap<String, Entry>,
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
    pub fn new(bounds: Bounds, retention: Duration) -> Self {
        Self(Arc::new(Inner { bounds, retention, kept: Mutex::default() }))
    }

    /// Claims a key, or tells what became of it. `answer_bytes` is the room that the answer may need.
    pub fn begin(&self, key: IdempotencyKey, fingerprint: Fingerprint, answer_bytes: usize) -> Begun {
        let mut kept = self.0.lock();
        let now = Instant::now();
        match kept.get(&key) {
            Some(entry) if entry.has_expired(now) => kept.remove(&key),
            Some(entry) if entry.fingerprint != fingerprint => return Begun::Reused,
            Some(Entry { state: State::Running, .. }) => return Begun::InProgress,
            Some(Entry { state: State::Done { answer, .. }, .. }) => return Begun::Replay(answer.clone()),
            None => {}
        }
        let bytes = answer_bytes + key.key.len() + ENTRY_OVERHEAD;
        if kept.bytes_of(&key.caller) + bytes > self.0.bounds.per_caller {
            return Begun::ShareFull;
        }
        if kept.bytes + bytes > self.0.bounds.total {
            kept.remove_expired(now);
        }
        if kept.bytes + bytes > self.0.bounds.total {
            return Begun::Full;
        }
        kept.insert(&key, Entry { fingerprint, bytes, state: State::Running });
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
    fn get(&self, key: &IdempotencyKey) -> Option<&Entry> {
        self.shares.get(&key.caller)?.entries.get(&key.key)
    }

    fn bytes_of(&self, caller: &CallerId) -> usize {
        self.shares.get(caller).map_or(0, |share| share.bytes)
    }

    fn insert(&mut self, key: &IdempotencyKey, entry: Entry) {
        let share = self.shares.entry(key.caller.clone()).or_default();
        self.bytes += entry.bytes;
        share.bytes += entry.bytes;
        share.entries.insert(key.key.clone(), entry);
    }

    fn remove(&mut self, key: &IdempotencyKey) {
        let Some(share) = self.shares.get_mut(&key.caller) else { return };
        if let Some(entry) = share.entries.remove(&key.key) {
            self.bytes -= entry.bytes;
            share.bytes -= entry.bytes;
        }
        if share.entries.is_empty() {
            self.shares.remove(&key.caller);
        }
    }

    fn remove_expired(&mut self, now: Instant) {
        self.shares.retain(|_, share| {
            share.entries.retain(|_, entry| !entry.has_expired(now));
            share.bytes = share.entries.values().map(|entry| entry.bytes).sum();
            !share.entries.is_empty()
        });
        self.bytes = self.shares.values().map(|share| share.bytes).sum();
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
        let bytes = answer.bytes() + key.key.len() + ENTRY_OVERHEAD;
        let mut kept = self.store.0.lock();
        let Some(Entry { fingerprint, .. }) = kept.get(&key) else { return };
        let entry = Entry { fingerprint: *fingerprint, bytes, state: State::Done { answer, until } };
        kept.remove(&key);
        kept.insert(&key, entry);
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
        IdempotencyStore::new(Bounds { total: 10_000, per_caller: usize::MAX }, Duration::from_hours(24))
    }

    fn run(begun: Begun) -> Claim {
        match begun {
            Begun::Run(claim) => claim,
            _ => panic!("expected to run"),
        }
    }

    /// The bytes of all entries, and how many callers have any.
    fn counted(store: &IdempotencyStore) -> (usize, usize) {
        let kept = store.0.lock();
        let entries = kept.shares.values().flat_map(|share| share.entries.values());
        let bytes = entries.map(|entry| entry.bytes).sum();
        assert_eq!(kept.bytes, bytes);
        (bytes, kept.shares.len())
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

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_has_filled_its_share_locks_nobody_else_out() {
        let store = IdempotencyStore::new(Bounds { total: 20_000, per_caller: 5_000 }, Duration::from_hours(24));
        let mut kept = 0;
        while let Begun::Run(claim) = store.begin(key("a", &format!("key-{kept:05}")), [1; 32], 1000) {
            claim.finish(success("kept"));
            kept += 1;
        }
        assert!(kept > 1);
        assert!(matches!(store.begin(key("a", "key-99999"), [1; 32], 1000), Begun::ShareFull));
        assert!(matches!(store.begin(key("a", "key-00000"), [1; 32], 1000), Begun::Replay(_)));
        run(store.begin(key("b", "key-99999"), [1; 32], 1000)).finish(success("of another"));
        assert_eq!(counted(&store).1, 2);
        tokio::time::advance(Duration::from_hours(25)).await;
        store.sweep();
        assert_eq!(counted(&store), (0, 0));
        drop(run(store.begin(key("a", "key-99999"), [1; 32], 1000)));
        assert_eq!(counted(&store), (0, 0));
    }
}
