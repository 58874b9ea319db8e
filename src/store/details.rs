//! What the sources said of customers, kept for a while and bounded by bytes.
//!
//! The entries live in moka, which evicts. Beside it stands an index from union ids to entries, so that a write, which
//! knows the union id alone, drops the customer's records by whichever id they were asked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::model::{CustomerId, SourceName, SourcedCustomer};

use super::lock;

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
    /// When the answer came, on the clock that ages follow.
    pub fetched: Instant,
    /// The same, for people.
    pub fetched_at: Timestamp,
}

impl KeptDetail {
    pub fn age(&self) -> Duration {
        self.fetched.elapsed()
    }

    /// The customer's union id: what it was asked by, or what the source told.
    pub fn union_id<'a>(&'a self, key: &'a DetailKey) -> Option<&'a str> {
        match &key.id {
            CustomerId::UnionId(id) => Some(id),
            CustomerId::ExternalUserId(_) => self.record.as_ref()?.customer.union_id.as_deref(),
        }
    }
}

/// Bytes that an entry costs beside its JSON: key, index, and the cache's own.
const ENTRY_OVERHEAD: usize = 512;

#[derive(Clone)]
struct Entry {
    detail: Arc<KeptDetail>,
    /// Tells an entry from one that took its key later.
    serial: u64,
}

type Evicted = Arc<Mutex<Vec<(DetailKey, Entry)>>>;

pub struct DetailStore {
    entries: moka::sync::Cache<DetailKey, Entry>,
    index: Mutex<Index>,
    /// Filled by the cache's listener, emptied into the index: the listener runs inside calls to the cache and must not
    /// take the index's lock.
    evicted: Evicted,
    /// How long a mark of a write is of use: no load takes longer.
    marks_kept: Duration,
}

#[derive(Default)]
struct Index {
    next_serial: u64,
    by_union_id: HashMap<String, HashMap<DetailKey, u64>>,
    /// When the last write to a customer ended.
    written: HashMap<String, Instant>,
}

impl DetailStore {
    /// `max_age` bounds what is kept at all; `longest_load` is how long a load may take.
    pub fn new(max_bytes: u64, max_age: Duration, longest_load: Duration) -> Self {
        let evicted = Evicted::default();
        let listener = Arc::clone(&evicted);
        let entries = moka::sync::Cache::builder()
            .max_capacity(max_bytes)
            .weigher(|key: &DetailKey, entry: &Entry| weight(key, &entry.detail))
            .time_to_live(max_age)
            .eviction_listener(move |key, entry: Entry, _cause| {
                if entry.detail.union_id(&key).is_some() {
                    lock(&listener).push(((*key).clone(), entry));
                }
            })
            .build();
        // A little longer, so that a load that ends at its bound still meets the mark.
        let marks_kept = longest_load + Duration::from_secs(5);
        Self { entries, index: Mutex::default(), evicted, marks_kept }
    }

    pub fn get(&self, key: &DetailKey) -> Option<Arc<KeptDetail>> {
        self.entries.get(key).map(|entry| entry.detail)
    }

    /// Keeps an answer, unless a write to the customer ended after its load began. Tells whether it was kept.
    pub fn put(&self, key: DetailKey, detail: Arc<KeptDetail>) -> bool {
        let mut index = lock(&self.index);
        self.forget_evicted(&mut index);
        if index.written_since(detail.union_id(&key), detail.begun) {
            return false;
        }
        let serial = index.next_serial;
        index.next_serial += 1;
        if let Some(union_id) = detail.union_id(&key) {
            index.by_union_id.entry(union_id.to_owned()).or_default().insert(key.clone(), serial);
        }
        // Under the index's lock, so that a write between check and insert cannot be missed.
        self.entries.insert(key, Entry { detail, serial });
        true
    }

    /// Whether a write to this customer ended after `moment`.
    pub fn written_since(&self, union_id: Option<&str>, moment: Instant) -> bool {
        lock(&self.index).written_since(union_id, moment)
    }

    /// Drops the records of customers that were written to, now that the write has ended; loads under way will not be
    /// kept.
    pub fn drop_written<'a>(&self, union_ids: impl IntoIterator<Item = &'a str>) {
        let mut index = lock(&self.index);
        self.forget_evicted(&mut index);
        let now = Instant::now();
        let marks_kept = self.marks_kept;
        index.written.retain(|_, at| now.duration_since(*at) <= marks_kept);
        for union_id in union_ids {
            index.written.insert(union_id.to_owned(), now);
            for key in index.by_union_id.remove(union_id).unwrap_or_default().into_keys() {
                self.entries.invalidate(&key);
            }
        }
    }

    fn forget_evicted(&self, index: &mut Index) {
        for (key, entry) in std::mem::take(&mut *lock(&self.evicted)) {
            let Some(union_id) = entry.detail.union_id(&key) else {
                continue;
            };
            let Some(keys) = index.by_union_id.get_mut(union_id) else {
                continue;
            };
            if keys.get(&key) == Some(&entry.serial) {
                keys.remove(&key);
            }
            if keys.is_empty() {
                index.by_union_id.remove(union_id);
            }
        }
    }
}

impl Index {
    fn written_since(&self, union_id: Option<&str>, moment: Instant) -> bool {
        union_id.and_then(|union_id| self.written.get(union_id)).is_some_and(|at| *at >= moment)
    }
}

fn weight(key: &DetailKey, detail: &KeptDetail) -> u32 {
    let mut counter = Counter(0);
    if let Some(record) = &detail.record {
        // Counting cannot fail; what could not be counted would weigh the overhead alone.
        let _counted = serde_json::to_writer(&mut counter, &record.customer);
        counter.0 += record.warnings.len() * ENTRY_OVERHEAD;
    }
    let bytes = counter.0 + key.id.as_str().len() * 2 + ENTRY_OVERHEAD;
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Customer;

    fn key(id: CustomerId) -> DetailKey {
        DetailKey { source: "juzibot".parse().unwrap(), id, staff_id: None }
    }

    fn detail(union_id: &str, begun: Instant, name: &str) -> Arc<KeptDetail> {
        let customer =
            Customer { union_id: Some(union_id.to_owned()), name: Some(name.to_owned()), ..Customer::default() };
        let record = Some(Arc::new(SourcedCustomer { customer, warnings: Vec::new() }));
        Arc::new(KeptDetail { record, begun, fetched: Instant::now(), fetched_at: Timestamp::UNIX_EPOCH })
    }

    fn store(max_bytes: u64) -> DetailStore {
        DetailStore::new(max_bytes, Duration::from_hours(1), Duration::from_secs(10))
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_drops_the_customer_whichever_id_it_was_asked_by() {
        let store = store(1 << 20);
        let by_external = key(CustomerId::ExternalUserId("wm1".into()));
        let by_union = key(CustomerId::UnionId("o1".into()));
        let other = key(CustomerId::ExternalUserId("wm2".into()));
        assert!(store.put(by_external.clone(), detail("o1", Instant::now(), "a")));
        assert!(store.put(by_union.clone(), detail("o1", Instant::now(), "a")));
        assert!(store.put(other.clone(), detail("o2", Instant::now(), "b")));
        tokio::time::advance(Duration::from_millis(1)).await;
        store.drop_written(["o1"]);
        assert!(store.get(&by_external).is_none());
        assert!(store.get(&by_union).is_none());
        assert!(store.get(&other).is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_load_that_began_before_a_write_ended_is_not_kept() {
        let store = store(1 << 20);
        let begun = Instant::now();
        tokio::time::advance(Duration::from_millis(5)).await;
        store.drop_written(["o1"]);
        tokio::time::advance(Duration::from_millis(5)).await;
        let id = key(CustomerId::ExternalUserId("wm1".into()));
        assert!(!store.put(id.clone(), detail("o1", begun, "old")));
        assert!(store.get(&id).is_none());
        assert!(store.put(id.clone(), detail("o1", Instant::now(), "new")));
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_bound_the_entries_and_the_index_with_them() {
        let store = store(64 * 1024);
        for n in 0..2_000 {
            let id = key(CustomerId::ExternalUserId(format!("wm{n}")));
            store.put(id, detail(&format!("o{n}"), Instant::now(), &"x".repeat(200)));
        }
        store.entries.run_pending_tasks();
        store.drop_written([]);
        assert!(store.entries.weighted_size() <= 64 * 1024);
        let indexed = lock(&store.index).by_union_id.len();
        assert_eq!(indexed as u64, store.entries.entry_count());
        assert!(indexed < 200, "{indexed}");
    }
}
