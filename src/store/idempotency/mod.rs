//! First answers under callers' idempotency keys (contract §3.5): bounded by bytes, and never evicted early.
//!
//! Answers expire in the order in which they were stored, for all are retained equally long. Each call drops those that have expired,
//! so that no call has to scan the store.

mod answer;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::time::Instant;

use crate::model::CallerId;

use super::lock;
use super::weigh::Weigh;

pub use answer::{FirstAnswer, StoredAnswer};

/// What a key is looked up by: two callers never share one.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    pub caller: CallerId,
    pub key: String,
}

/// A hash over what makes two requests the same.
pub type Fingerprint = [u8; 32];

/// What a key leads to.
pub enum Begun {
    /// The key is new: run, then finish or drop the claim.
    Run(Claim),
    Replay(FirstAnswer),
    /// The first request is still running.
    InProgress,
    /// The key was used with another request.
    Reused,
    /// The store has no room for another answer for this long.
    Full(Duration),
    /// The caller's own share has no room for this long; others are not concerned.
    ShareFull(Duration),
}

/// The most bytes that are retained, of all callers and of one.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub total: usize,
    pub per_caller: usize,
}

/// Bytes of an entry whose answer takes none beside it: its slots in the table and in the two queues, with the room that tables keep
/// free. Measured with a million entries.
const ENTRY_BYTES: usize = 256;
/// Bytes of a caller without entries, beside its name.
const SHARE_BYTES: usize = 256;
/// The wait where running requests hold the room that is missing.
const WHILE_OTHERS_RUN: Duration = Duration::from_secs(1);

/// The retained answers. Cheap to clone.
#[derive(Clone)]
pub struct IdempotencyStore(Arc<Inner>);

struct Inner {
    bounds: Bounds,
    retention: Duration,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    used: Usage,
    shares: HashMap<Arc<CallerId>, Share>,
    /// The callers of finished entries, the oldest entry first.
    order: VecDeque<Arc<CallerId>>,
}

/// One caller's entries.
#[derive(Default)]
struct Share {
    used: Usage,
    /// Boxed: a table keeps up to half of its slots free.
    entries: HashMap<KeyHash, Box<Entry>>,
    /// The finished entries, the oldest first.
    order: VecDeque<KeyHash>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Usage {
    bytes: usize,
    /// Of these, those that are set aside for requests that are running.
    reserved: usize,
}

/// A part of the SHA-256 of a key. Of its own keys a caller could at most make two collide.
type KeyHash = u128;

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

    /// Claims a key, or returns its state. `answer_bytes` is the room that the answer may need.
    pub fn begin(&self, key: &IdempotencyKey, fingerprint: Fingerprint, answer_bytes: usize) -> Begun {
        let Inner { bounds, .. } = *self.0;
        let (hash, now) = (hash(&key.key), Instant::now());
        let mut kept = self.0.lock();
        kept.drop_expired(now);
        match kept.get(&key.caller, hash) {
            Some(entry) if entry.fingerprint != fingerprint => return Begun::Reused,
            Some(entry) => match &entry.state {
                State::Running => return Begun::InProgress,
                State::Done { answer, .. } => return Begun::Replay(answer.clone()),
            },
            None => {}
        }
        let share = kept.shares.get(&key.caller);
        let bytes = ENTRY_BYTES + answer_bytes;
        let new_share = if share.is_some() { 0 } else { share_bytes(&key.caller) };
        let used = share.map_or(Usage { bytes: new_share, reserved: 0 }, |share| share.used);
        if used.bytes + bytes > bounds.per_caller {
            let expires = share.and_then(Share::oldest_expires);
            return Begun::ShareFull(used.wait(bytes, bounds.per_caller, expires, now));
        }
        if kept.used.bytes + new_share + bytes > bounds.total {
            let oldest = kept.order.front().and_then(|caller| kept.shares.get(caller));
            let expires = oldest.and_then(Share::oldest_expires);
            return Begun::Full(kept.used.wait(new_share + bytes, bounds.total, expires, now));
        }
        let caller = kept.reserve(&key.caller, hash, Entry { fingerprint, bytes, state: State::Running });
        Begun::Run(Claim { store: self.clone(), caller, hash, finished: false })
    }

    /// Drops answers past their retention; to be called from time to time.
    pub fn sweep(&self) {
        self.0.lock().drop_expired(Instant::now());
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        lock(&self.kept)
    }
}

impl Usage {
    /// Time until there is room for this many bytes, if it is known.
    fn wait(self, bytes: usize, bound: usize, oldest_expires: Option<Instant>, now: Instant) -> Duration {
        if self.reserved > 0 && self.bytes - self.reserved + bytes <= bound {
            return WHILE_OTHERS_RUN;
        }
        oldest_expires.map_or(WHILE_OTHERS_RUN, |at| at.duration_since(now))
    }
}

impl Share {
    fn oldest_expires(&self) -> Option<Instant> {
        self.entries.get(self.order.front()?)?.until()
    }
}

impl Entry {
    fn until(&self) -> Option<Instant> {
        match self.state {
            State::Running => None,
            State::Done { until, .. } => Some(until),
        }
    }
}

impl Kept {
    fn get(&self, caller: &CallerId, hash: KeyHash) -> Option<&Entry> {
        self.shares.get(caller)?.entries.get(&hash).map(|entry| &**entry)
    }

    /// Adds a running entry. Returns the caller as the store holds it.
    fn reserve(&mut self, caller: &CallerId, hash: KeyHash, entry: Entry) -> Arc<CallerId> {
        let known = self.shares.get_key_value(caller).map(|(caller, _)| caller.clone());
        let caller = known.unwrap_or_else(|| {
            let caller = Arc::new(caller.clone());
            let bytes = share_bytes(&caller);
            self.used.bytes += bytes;
            let used = Usage { bytes, reserved: 0 };
            self.shares.insert(caller.clone(), Share { used, ..Share::default() });
            caller
        });
        if let Some(share) = self.shares.get_mut(&caller) {
            for used in [&mut self.used, &mut share.used] {
                used.bytes += entry.bytes;
                used.reserved += entry.bytes;
            }
            share.entries.insert(hash, Box::new(entry));
        }
        caller
    }

    /// Ends a running entry: with its answer, or without one, which frees the key.
    fn end(&mut self, caller: &Arc<CallerId>, hash: KeyHash, done: Option<(FirstAnswer, Instant)>) {
        let Some(share) = self.shares.get_mut(caller) else { return };
        let Some(entry) = share.entries.get_mut(&hash) else { return };
        let before = entry.bytes;
        let after = done.as_ref().map_or(0, |(answer, _)| ENTRY_BYTES + answer.heap_bytes());
        for used in [&mut self.used, &mut share.used] {
            used.bytes = used.bytes - before + after;
            used.reserved -= before;
        }
        if let Some((answer, until)) = done {
            entry.bytes = after;
            entry.state = State::Done { answer, until };
            share.order.push_back(hash);
            self.order.push_back(caller.clone());
        } else {
            share.entries.remove(&hash);
            self.drop_empty(caller);
        }
    }

    fn drop_expired(&mut self, now: Instant) {
        while let Some(caller) = self.order.front() {
            let Some(share) = self.shares.get_mut(caller) else { return };
            if share.oldest_expires().is_none_or(|at| at > now) {
                return;
            }
            let expired = share.order.pop_front().and_then(|hash| share.entries.remove(&hash));
            let bytes = expired.map_or(0, |entry| entry.bytes);
            share.used.bytes -= bytes;
            self.used.bytes -= bytes;
            if let Some(caller) = self.order.pop_front() {
                self.drop_empty(&caller);
            }
        }
    }

    fn drop_empty(&mut self, caller: &CallerId) {
        if self.shares.get(caller).is_some_and(|share| share.entries.is_empty())
            && let Some(share) = self.shares.remove(caller)
        {
            self.used.bytes -= share.used.bytes;
        }
    }
}

fn share_bytes(caller: &CallerId) -> usize {
    SHARE_BYTES + caller.issuer.len() + caller.subject.len()
}

fn hash(key: &str) -> KeyHash {
    let mut bytes = [0; size_of::<KeyHash>()];
    bytes.copy_from_slice(&Sha256::digest(key)[..size_of::<KeyHash>()]);
    KeyHash::from_be_bytes(bytes)
}

/// A key that is being used for the first time. Dropped unfinished, it is free again.
pub struct Claim {
    store: IdempotencyStore,
    caller: Arc<CallerId>,
    hash: KeyHash,
    finished: bool,
}

impl Claim {
    /// Stores the answer for the retention.
    pub fn finish(mut self, answer: FirstAnswer) {
        self.finished = true;
        let until = Instant::now() + self.store.0.retention;
        self.store.0.lock().end(&self.caller, self.hash, Some((answer, until)));
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.finished {
            self.store.0.lock().end(&self.caller, self.hash, None);
        }
    }
}

#[cfg(test)]
mod tests;
