//! Cached lookups of details (contract §6): fresh and stale windows, single-flight, cached records in place of failing sources.
//!
//! Loads run in tasks of their own, under a bound of their own: a caller that disconnects does not end the load that others
//! wait for.

mod single_flight;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use crate::memory::{InFlight, Reservation};
use crate::model::{Customer, SourceName, SourcedCustomer};
use crate::store::details::{DetailKey, DetailStore, KeptDetail};
use crate::telemetry;
use crate::upstream::{Deadline, Failure, GetCustomer, GetRequest, Phase, Progress, Source, UpstreamError};

use super::failure::log;
use super::now;
use single_flight::{Join, Load, SingleFlight};

/// How long an answer counts for what.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    /// Served as it is.
    pub fresh: Duration,
    /// Served as it is, and refreshed behind.
    pub stale: Duration,
    /// Served, marked, where the source fails.
    pub stale_if_error: Duration,
    /// How long "not found" is kept.
    pub not_found: Duration,
}

/// The result of a lookup and where it came from.
#[derive(Debug, Clone)]
pub struct Looked {
    pub outcome: Outcome,
    pub cache: CacheNote,
    /// When the source answered; `None` where it did not.
    pub fetched_at: Option<Timestamp>,
    /// Whether it is a cached record in place of a source that failed or was late.
    pub is_fallback: bool,
    /// Bytes that an answer made of it needs, unless they are reserved already.
    pub bytes: usize,
}

impl Looked {
    /// Whether a cached record was served without a request to the source.
    pub fn is_from_cache(&self) -> bool {
        self.cache.hit && !self.is_fallback
    }
}

#[derive(Debug, Clone)]
pub enum Outcome {
    Found(Arc<SourcedCustomer>),
    /// A cached record past its freshness, because the source failed or was late.
    Stale(Arc<SourcedCustomer>, Arc<UpstreamError>),
    NotFound,
    Failed(Arc<UpstreamError>),
}

impl Outcome {
    /// The record that was found, fresh or stale.
    pub fn record(&self) -> Option<&Arc<SourcedCustomer>> {
        match self {
            Self::Found(record) | Self::Stale(record, _) => Some(record),
            Self::NotFound | Self::Failed(_) => None,
        }
    }
}

/// What a `Cache-Status` member is made of (RFC 9211).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheNote {
    pub hit: bool,
    /// Seconds of freshness left; negative for a stale answer.
    pub ttl: Option<i64>,
    pub stored: bool,
    pub collapsed: bool,
    /// The caller, or `include=raw`, asked to pass the cache by.
    pub bypass: bool,
}

impl CacheNote {
    fn as_str(self) -> &'static str {
        match self {
            Self { hit: true, ttl, .. } if ttl.is_some_and(|ttl| ttl < 0) => "stale",
            Self { hit: true, .. } => "hit",
            Self { bypass: true, .. } => "bypass",
            Self { collapsed: true, .. } => "collapsed",
            Self { .. } => "miss",
        }
    }
}

/// Whether a kept answer will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    Cached,
    /// The caller asks for an answer of now.
    Revalidate,
}

/// Divisor of what a load reserves: the quotient is what an answer made of its record needs.
const ANSWERS_PART: usize = 2;

/// The loads that a caller joins one after the other, while they turn out to be from before a write.
const MAX_JOINS: u32 = 3;

type Loaded = Result<(Arc<KeptDetail>, bool), Arc<UpstreamError>>;

/// The cached way to details. Cheap to clone.
#[derive(Clone)]
pub struct Details(Arc<Inner>);

struct Inner {
    store: DetailStore,
    windows: Windows,
    /// The longest a load may take, whoever waits for it.
    load_timeout: Duration,
    memory: InFlight,
    flights: Arc<SingleFlight<DetailKey, Loaded>>,
}

impl Details {
    pub fn new(max_bytes: u64, windows: Windows, load_timeout: Duration, memory: InFlight) -> Self {
        let max_age = windows.stale_if_error.max(windows.stale).max(windows.fresh).max(windows.not_found);
        let store = DetailStore::new(max_bytes, max_age, load_timeout);
        Self(Arc::new(Inner { store, windows, load_timeout, memory, flights: Arc::default() }))
    }

    /// Looks one customer up in one source, in the cache first. A raw answer is charged to `memory`.
    pub async fn look_up(
        &self,
        source: &Source,
        get: &Arc<dyn GetCustomer>,
        request: GetRequest,
        freshness: Freshness,
        deadline: Deadline,
        memory: &Reservation,
    ) -> Looked {
        let looked = if request.raw {
            self.fetch_raw(&source.name, get, &request, deadline, memory).await
        } else {
            self.find(source, get, request, freshness, deadline).await
        };
        telemetry::metrics::lookup(source.name.as_str(), looked.cache.as_str());
        looked
    }

    async fn find(
        &self,
        source: &Source,
        get: &Arc<dyn GetCustomer>,
        request: GetRequest,
        freshness: Freshness,
        deadline: Deadline,
    ) -> Looked {
        let key = key(source, get, &request);
        let kept = self.0.store.get(&key);
        if freshness == Freshness::Cached
            && let Some(kept) = &kept
            && let Some(hit) = self.usable(kept)
        {
            if hit.cache.ttl.is_some_and(|ttl| ttl < 0) {
                // Nobody waits for it: the result goes into the store.
                let _refresh = self.join_or_start(&key, Join::Any, get, &request);
            }
            return hit;
        }
        let join = match freshness {
            Freshness::Cached => Join::Any,
            Freshness::Revalidate => Join::NotSent,
        };
        let mut looked = self.load(&key, join, get, &request, deadline).await;
        looked.cache.bypass = freshness == Freshness::Revalidate;
        let Outcome::Failed(error) = &looked.outcome else { return looked };
        // Looked up again: a write may have dropped the entry since.
        let kept = if error.is_outage() { self.0.store.get(&key) } else { None };
        kept.and_then(|kept| self.cached_instead(&kept, error.clone())).unwrap_or(looked)
    }

    /// The cached record of a source that was not waited for any longer, or the source's failure.
    pub fn cached_or_timeout(
        &self,
        source: &Source,
        get: &Arc<dyn GetCustomer>,
        request: &GetRequest,
        deadline: Deadline,
    ) -> Looked {
        let key = key(source, get, request);
        let progress = if request.raw { None } else { self.0.flights.progress(&key) };
        let failure = if deadline.0 <= Instant::now() {
            past_deadline(&progress.unwrap_or_default())
        } else {
            Failure::TimedOut { sent: true, phase: progress.map_or(Phase::Answer, |progress| progress.phase()) }
        };
        let error = Arc::new(UpstreamError::new(&source.name, failure));
        let kept = if request.raw { None } else { self.0.store.get(&key) };
        kept.and_then(|kept| self.cached_instead(&kept, error.clone()))
            .unwrap_or_else(|| failed(error, CacheNote::default()))
    }

    /// Drops what is kept of customers that were written to.
    pub fn drop_written<'a>(&self, union_ids: impl IntoIterator<Item = &'a str>) {
        self.0.store.drop_written(union_ids);
    }

    /// Notes the ids that belong together according to records read elsewhere, for [`Self::drop_written`].
    pub fn learn<'a>(&self, customers: impl IntoIterator<Item = &'a Customer>) {
        self.0.store.learn(customers);
    }

    /// A kept answer that may be served without asking.
    fn usable(&self, kept: &KeptDetail) -> Option<Looked> {
        let age = kept.age();
        let (fresh, until) = match kept.record {
            Some(_) => (self.0.windows.fresh, self.0.windows.stale.max(self.0.windows.fresh)),
            None => (self.0.windows.not_found, self.0.windows.not_found),
        };
        (age < until).then(|| looked(kept, hit(fresh, age)))
    }

    /// The cached record in place of a failed or late source: found while it is fresh, stale after that.
    fn cached_instead(&self, kept: &KeptDetail, error: Arc<UpstreamError>) -> Option<Looked> {
        let age = kept.age();
        let record = kept.record.clone().filter(|_| age <= self.0.windows.stale_if_error)?;
        let cache = hit(self.0.windows.fresh, age);
        let is_fresh = age < self.0.windows.fresh;
        let outcome = if is_fresh { Outcome::Found(record) } else { Outcome::Stale(record, error) };
        Some(Looked { outcome, cache, fetched_at: Some(kept.fetched_at), is_fallback: true, bytes: kept.bytes })
    }

    /// Waits for a load of the key, which another caller may have started.
    async fn load(
        &self,
        key: &DetailKey,
        join: Join,
        get: &Arc<dyn GetCustomer>,
        request: &GetRequest,
        deadline: Deadline,
    ) -> Looked {
        let mut tries = 0;
        loop {
            tries += 1;
            let (load, joined) = self.join_or_start(key, join, get, request);
            let note = CacheNote { collapsed: joined, ..CacheNote::default() };
            let Ok(loaded) = timeout_at(deadline.0, load.result).await else {
                return failed(Arc::new(UpstreamError::new(&key.source, past_deadline(&load.progress))), note);
            };
            let lost = || {
                let failure = Failure::BadPayload("it could not be processed".to_owned());
                Err(Arc::new(UpstreamError::new(&key.source, failure)))
            };
            let (kept, stored) = match loaded.unwrap_or_else(lost) {
                Ok(loaded) => loaded,
                Err(error) => return failed(error, note),
            };
            // A joined load may be of before a write that this caller has already seen end.
            if joined && tries < MAX_JOINS && self.0.store.written_since_load(key, &kept) {
                continue;
            }
            return looked(&kept, CacheNote { stored, ..note });
        }
    }

    fn join_or_start(
        &self,
        key: &DetailKey,
        join: Join,
        get: &Arc<dyn GetCustomer>,
        request: &GetRequest,
    ) -> (Load<Loaded>, bool) {
        let (inner, loaded_key) = (self.0.clone(), key.clone());
        let (get, request) = (get.clone(), request.clone());
        let load = |number| async move { inner.load(loaded_key, number, &get, &request).await };
        self.0.flights.join_or_start(key.clone(), join, load)
    }

    async fn fetch_raw(
        &self,
        name: &SourceName,
        get: &Arc<dyn GetCustomer>,
        request: &GetRequest,
        deadline: Deadline,
        memory: &Reservation,
    ) -> Looked {
        let cache = CacheNote { bypass: true, ..CacheNote::default() };
        let progress = Progress::default();
        let call = memory.sibling();
        let got = timeout_at(deadline.0, call.charged(true, progress.of(get.get(request, deadline)))).await;
        let got = got.unwrap_or_else(|_late| Err(UpstreamError::new(name, past_deadline(&progress))));
        match got {
            Ok(record) => {
                memory.absorb(&call);
                self.learn(record.as_ref().map(|record| &record.customer));
                let outcome = record.map_or(Outcome::NotFound, |record| Outcome::Found(Arc::new(record)));
                Looked { outcome, cache, fetched_at: Some(now()), is_fallback: false, bytes: 0 }
            }
            Err(error) => {
                log(&error);
                failed(Arc::new(error), cache)
            }
        }
    }
}

impl Inner {
    async fn load(&self, key: DetailKey, number: u64, get: &Arc<dyn GetCustomer>, request: &GetRequest) -> Loaded {
        let begun = Instant::now();
        // Of no caller: others may join the load. Such loads have half of the bytes in flight together.
        let memory = self.memory.open(None);
        let mut record =
            memory.charged(false, get.get(request, Deadline(begun + self.load_timeout))).await.map_err(|error| {
                log(&error);
                Arc::new(error)
            })?;
        if let Some(record) = &mut record {
            record.customer.shrink_to_fit();
        }
        let (record, fetched) = (record.map(Arc::new), Instant::now());
        let bytes = memory.bytes() / ANSWERS_PART;
        let kept = Arc::new(KeptDetail { record, begun, load: number, fetched, fetched_at: now(), bytes });
        let stored = self.store.put(key, kept.clone());
        Ok((kept, stored))
    }
}

fn key(source: &Source, get: &Arc<dyn GetCustomer>, request: &GetRequest) -> DetailKey {
    let staff_id = request.staff_id.clone().filter(|_| get.requires_staff_id());
    DetailKey { source: source.name.clone(), id: request.id.clone(), staff_id }
}

fn looked(kept: &KeptDetail, cache: CacheNote) -> Looked {
    let outcome = kept.record.clone().map_or(Outcome::NotFound, Outcome::Found);
    Looked { outcome, cache, fetched_at: Some(kept.fetched_at), is_fallback: false, bytes: kept.bytes }
}

fn failed(error: Arc<UpstreamError>, cache: CacheNote) -> Looked {
    Looked { outcome: Outcome::Failed(error), cache, fetched_at: None, is_fallback: false, bytes: 0 }
}

/// What befell a caller whose deadline passed before the call ended.
fn past_deadline(progress: &Progress) -> Failure {
    progress.overdue(|phase| Failure::DeadlinePassed { sent: true, phase })
}

fn hit(fresh: Duration, age: Duration) -> CacheNote {
    CacheNote { hit: true, ttl: Some(seconds_left(fresh, age)), ..CacheNote::default() }
}

fn seconds_left(fresh: Duration, age: Duration) -> i64 {
    let (fresh, age) = (fresh.as_millis(), age.as_millis());
    let left = i64::try_from(fresh.abs_diff(age) / 1000).unwrap_or(i64::MAX);
    // A second past its freshness is -1, so that what is stale never reads as 0.
    if age < fresh { left } else { -left - 1 }
}
