//! Cached answers of the sources about single customers, bounded by bytes.
//!
//! The entries live in moka, which evicts. An index beside it groups the ids of each customer, so that a write, which names
//! the union id alone, drops all of the customer's entries.

mod identities;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::model::{Customer, CustomerId, SourceName, SourcedCustomer};

use super::lock;
use super::weigh::Weigh;
use identities::{IdHash, IdHasher, Identities};

/// What an entry is found by. Never holds a token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DetailKey {
    pub source: SourceName,
    pub id: CustomerId,
    /// Only for a source that cannot be asked without it.
    pub staff_id: Option<String>,
}

/// A source's answer about one customer.
#[derive(Debug, Clone)]
pub struct KeptDetail {
    /// `None`: the source does not know the customer.
    pub record: Option<Arc<SourcedCustomer>>,
    /// When the load began: what a write is compared with.
    pub begun: Instant,
    /// The number of the load; a later one of the same key has a higher number.
    pub load: u64,
    /// When the answer came, on the clock that ages follow.
    pub fetched: Instant,
    /// The same, for people.
    pub fetched_at: Timestamp,
    /// Bytes that an answer made of it needs.
    pub bytes: usize,
}

impl KeptDetail {
    pub fn age(&self) -> Duration {
        self.fetched.elapsed()
    }
}

/// Bytes that an entry costs beside what its key and its record have on the heap: those of the cache and of the index, which lists the
/// customer's ids. Measured with entries without a record.
const ENTRY_BYTES: usize = 768;
/// Divisor of the cache's bytes: the quotient is the limit for ids of customers without a cache entry.
const IDS_SHARE: u64 = 8;

#[derive(Clone)]
struct Entry {
    detail: Arc<KeptDetail>,
    /// Distinguishes an entry from a later one under the same key.
    serial: u64,
    weight: u32,
}

type Evicted = Arc<Mutex<Vec<(DetailKey, u64)>>>;

pub struct DetailStore {
    entries: moka::sync::Cache<DetailKey, Entry>,
    hasher: IdHasher,
    index: Mutex<Index>,
    /// Filled by the cache's listener, emptied into the index: the listener runs inside calls to the cache and must not
    /// take the index's lock.
    evicted: Evicted,
}

struct Index {
    next_serial: u64,
    identities: Identities,
}

impl DetailStore {
    /// `max_age` bounds what is kept at all; `longest_load` is how long a load may take.
    pub fn new(max_bytes: u64, max_age: Duration, longest_load: Duration) -> Self {
        let evicted = Evicted::default();
        let listener = Arc::clone(&evicted);
        let ids_bytes = max_bytes / IDS_SHARE;
        let entries = moka::sync::Cache::builder()
            .max_capacity(max_bytes - ids_bytes)
            .weigher(|_key: &DetailKey, entry: &Entry| entry.weight)
            .time_to_live(max_age)
            .eviction_listener(move |key: Arc<DetailKey>, entry: Entry, _cause| {
                lock(&listener).push(((*key).clone(), entry.serial));
            })
            .build();
        // A little longer, so that a load that ends at its bound is still compared with the write.
        let longest_load = longest_load + Duration::from_secs(5);
        let identities = Identities::new(usize::try_from(ids_bytes).unwrap_or(usize::MAX), longest_load);
        let index = Mutex::new(Index { next_serial: 0, identities });
        Self { entries, hasher: IdHasher::default(), index, evicted }
    }

    pub fn get(&self, key: &DetailKey) -> Option<Arc<KeptDetail>> {
        self.entries.get(key).map(|entry| entry.detail)
    }

    /// Stores an answer, unless a write to the customer ended after its load began, or a later load has stored one. Returns whether
    /// it was stored.
    pub fn put(&self, key: DetailKey, detail: Arc<KeptDetail>) -> bool {
        let weight = weight(&key, &detail);
        let ids = self.ids(&key, &detail);
        let mut index = lock(&self.index);
        let Index { identities, next_serial } = &mut *index;
        self.unlist_evicted(identities);
        self.invalidate(identities.link(ids.iter().copied()));
        let id = self.hasher.id(&key.id);
        if identities.written_since(&ids, detail.begun) || identities.has_newer(id, &key, detail.load) {
            return false;
        }
        let serial = *next_serial;
        *next_serial += 1;
        identities.list(id, key.clone(), serial, detail.begun, detail.load);
        // Under the index's lock, so that a write between check and insert cannot be missed.
        self.entries.insert(key, Entry { detail, serial, weight });
        true
    }

    /// Notes which ids belong together according to records that are not stored here.
    pub fn learn<'a>(&self, customers: impl IntoIterator<Item = &'a Customer>) {
        let linked = |customer: &&Customer| customer.external_user_id.is_some() && customer.union_id.is_some();
        let shown =
            customers.into_iter().filter(linked).map(|customer| self.hasher.shown(customer).collect::<Vec<_>>());
        let shown: Vec<_> = shown.collect();
        if shown.is_empty() {
            return;
        }
        let mut index = lock(&self.index);
        self.unlist_evicted(&mut index.identities);
        for ids in shown {
            self.invalidate(index.identities.link(ids));
        }
    }

    /// Whether a write to the customer of this answer ended after its load began.
    pub fn written_since_load(&self, key: &DetailKey, detail: &KeptDetail) -> bool {
        let ids = self.ids(key, detail);
        lock(&self.index).identities.written_since(&ids, detail.begun)
    }

    /// Drops the records of customers that were written to, now that the write has ended; loads under way will not be
    /// stored.
    pub fn drop_written<'a>(&self, union_ids: impl IntoIterator<Item = &'a str>) {
        let ids: Vec<_> = union_ids.into_iter().map(|id| self.hasher.union_id(id)).collect();
        let mut index = lock(&self.index);
        self.unlist_evicted(&mut index.identities);
        for id in ids {
            self.invalidate(index.identities.written(id));
        }
    }

    /// The ids of an answer: the one that was queried, and those that the record shows.
    fn ids(&self, key: &DetailKey, detail: &KeptDetail) -> Vec<IdHash> {
        let shown = detail.record.iter().flat_map(|record| self.hasher.shown(&record.customer));
        std::iter::once(self.hasher.id(&key.id)).chain(shown).collect()
    }

    fn invalidate(&self, keys: Vec<DetailKey>) {
        for key in keys {
            self.entries.invalidate(&key);
        }
    }

    fn unlist_evicted(&self, identities: &mut Identities) {
        for (key, serial) in std::mem::take(&mut *lock(&self.evicted)) {
            identities.unlist(self.hasher.id(&key.id), &key, serial);
        }
    }
}

#[cfg(test)]
impl DetailStore {
    /// Runs the cache's pending evictions, and removes what they evicted from the index.
    pub(super) fn settle_for_tests(&self) {
        self.entries.run_pending_tasks();
        self.drop_written([]);
    }

    /// Bytes that the cache counts.
    pub(super) fn weighed_for_tests(&self) -> u64 {
        self.entries.weighted_size()
    }
}

impl Weigh for KeptDetail {
    fn heap_bytes(&self) -> usize {
        self.record.heap_bytes()
    }
}

impl Weigh for DetailKey {
    fn heap_bytes(&self) -> usize {
        let Self { source: _, id, staff_id } = self;
        let (CustomerId::ExternalUserId(id) | CustomerId::UnionId(id)) = id;
        id.heap_bytes() + staff_id.heap_bytes()
    }
}

/// Bytes that an entry costs: the cache and the index have a copy of the key each.
fn weight(key: &DetailKey, detail: &Arc<KeptDetail>) -> u32 {
    u32::try_from(ENTRY_BYTES + 2 * key.heap_bytes() + detail.heap_bytes()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
