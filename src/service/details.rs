//! Details through the cache (contract §6): fresh and stale windows, single-flight, stand-ins for a failing source.
//!
//! Loads run in tasks of their own, under a bound of their own: a caller that leaves does not end the load that others
//! wait for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::model::SourcedCustomer;
use crate::store::details::{DetailKey, DetailStore, KeptDetail};
use crate::store::lock;
use crate::telemetry;
use crate::trace;
use crate::upstream::{Deadline, Failure, GetCustomer, GetRequest, Phase, Progress, Source, UpstreamError};

use super::failure::log;
use super::now;

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

/// A source's answer and how it was come by.
#[derive(Debug, Clone)]
pub struct Looked {
    pub outcome: Outcome,
    pub cache: CacheNote,
    /// When the source answered; `None` where it did not.
    pub fetched_at: Option<Timestamp>,
}

impl Looked {
    /// Whether the cached record was served without waiting for the source.
    pub fn is_from_cache(&self) -> bool {
        self.cache.hit && !matches!(self.outcome, Outcome::Stale(..))
    }
}

#[derive(Debug, Clone)]
pub enum Outcome {
    Found(Arc<SourcedCustomer>),
    /// Found, past its freshness, for want of an answer.
    Stale(Arc<SourcedCustomer>, Arc<UpstreamError>),
    NotFound,
    Failed(Arc<UpstreamError>),
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

type Loaded = Result<(Arc<KeptDetail>, bool), Arc<UpstreamError>>;

/// A load that any number of callers wait for.
#[derive(Clone)]
struct Flight {
    landed: Shared<BoxFuture<'static, Loaded>>,
    progress: Progress,
}

/// The cached way to details. Cheap to clone.
#[derive(Clone)]
pub struct Details(Arc<Inner>);

struct Inner {
    store: DetailStore,
    windows: Windows,
    /// The longest a load may take, whoever waits for it.
    load_timeout: Duration,
    flights: Mutex<HashMap<DetailKey, Flight>>,
}

impl Details {
    pub fn new(max_bytes: u64, windows: Windows, load_timeout: Duration) -> Self {
        let max_age = windows.stale_if_error.max(windows.stale).max(windows.fresh).max(windows.not_found);
        let store = DetailStore::new(max_bytes, max_age, load_timeout);
        Self(Arc::new(Inner { store, windows, load_timeout, flights: Mutex::default() }))
    }

    /// Looks one customer up in one source, in the cache first.
    pub async fn look_up(
        &self,
        source: &Source,
        get: &Arc<dyn GetCustomer>,
        request: GetRequest,
        freshness: Freshness,
        deadline: Deadline,
    ) -> Looked {
        let looked = self.find(source, get, request, freshness, deadline).await;
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
        if request.raw {
            return self.fetch_raw(get, &request, deadline).await;
        }
        let key = key(source, get, &request);
        let kept = self.0.store.get(&key);
        if freshness == Freshness::Cached
            && let Some(kept) = &kept
            && let Some(hit) = self.usable(kept)
        {
            if hit.cache.ttl.is_some_and(|ttl| ttl < 0) {
                // Nobody waits for it: it lands in the store.
                let _refresh = self.fly(key, get, request);
            }
            return hit;
        }
        let mut looked = self.load(&key, get, &request, deadline).await;
        looked.cache.bypass = freshness == Freshness::Revalidate;
        let Outcome::Failed(error) = &looked.outcome else { return looked };
        // Looked up anew: what was there before the load may have been dropped by a write since.
        let kept = if error.is_outage() { self.0.store.get(&key) } else { None };
        kept.and_then(|kept| self.stand_in(&kept, error.clone())).unwrap_or(looked)
    }

    /// For a source that was not waited for any longer: a kept record, where there is one, or its failure.
    pub fn stand_in_for(&self, source: &Source, get: &Arc<dyn GetCustomer>, request: &GetRequest) -> Looked {
        let key = key(source, get, request);
        let flight = lock(&self.0.flights).get(&key).filter(|_| !request.raw).cloned();
        let phase = flight.map_or(Phase::Answer, |flight| flight.progress.phase());
        let error = Arc::new(UpstreamError::new(&source.name, Failure::TimedOut { sent: true, phase }));
        let kept = if request.raw { None } else { self.0.store.get(&key) };
        kept.and_then(|kept| self.stand_in(&kept, error.clone())).unwrap_or_else(|| Looked {
            outcome: Outcome::Failed(error),
            cache: CacheNote::default(),
            fetched_at: None,
        })
    }

    /// Drops what is kept of customers that were written to.
    pub fn drop_written<'a>(&self, union_ids: impl IntoIterator<Item = &'a str>) {
        self.0.store.drop_written(union_ids);
    }

    /// A kept answer that may be served without asking.
    fn usable(&self, kept: &KeptDetail) -> Option<Looked> {
        let age = kept.age();
        let (fresh, until) = match kept.record {
            Some(_) => (self.0.windows.fresh, self.0.windows.stale.max(self.0.windows.fresh)),
            None => (self.0.windows.not_found, self.0.windows.not_found),
        };
        (age < until).then(|| {
            let cache = CacheNote { hit: true, ttl: Some(seconds_left(fresh, age)), ..CacheNote::default() };
            looked(kept, cache)
        })
    }

    fn stand_in(&self, kept: &KeptDetail, error: Arc<UpstreamError>) -> Option<Looked> {
        let age = kept.age();
        let record = kept.record.clone().filter(|_| age <= self.0.windows.stale_if_error)?;
        let ttl = seconds_left(self.0.windows.fresh, age).min(-1);
        Some(Looked {
            outcome: Outcome::Stale(record, error),
            cache: CacheNote { hit: true, ttl: Some(ttl), ..CacheNote::default() },
            fetched_at: Some(kept.fetched_at),
        })
    }

    /// Waits for a load of the key, whoever began it.
    async fn load(
        &self,
        key: &DetailKey,
        get: &Arc<dyn GetCustomer>,
        request: &GetRequest,
        deadline: Deadline,
    ) -> Looked {
        let mut tries = 0;
        loop {
            tries += 1;
            let (flight, joined) = self.fly(key.clone(), get, request.clone());
            let note = CacheNote { collapsed: joined, ..CacheNote::default() };
            let Ok(loaded) = tokio::time::timeout_at(deadline.0, flight.landed).await else {
                let late = |phase| Failure::DeadlinePassed { sent: true, phase };
                let error = UpstreamError::new(&key.source, flight.progress.overdue(late));
                return failed(Arc::new(error), note);
            };
            let (kept, stored) = match loaded {
                Ok(loaded) => loaded,
                Err(error) => return failed(error, note),
            };
            // A joined load may be of before a write that this caller has already seen end.
            if joined && tries == 1 && self.0.store.written_since(kept.union_id(key), kept.begun) {
                continue;
            }
            return looked(&kept, CacheNote { stored, ..note });
        }
    }

    /// Joins the load of the key that is under way, or begins one. Tells whether it joined.
    fn fly(&self, key: DetailKey, get: &Arc<dyn GetCustomer>, request: GetRequest) -> (Flight, bool) {
        let mut flights = lock(&self.0.flights);
        if let Some(flight) = flights.get(&key) {
            return (flight.clone(), true);
        }
        let landing = Landing { inner: self.0.clone(), key: key.clone() };
        let get = get.clone();
        let progress = Progress::default();
        let noted = progress.clone();
        // The task takes the lock to land, so it cannot land before it is listed.
        let task = tokio::spawn(trace::carried(async move { noted.of(landing.load(&get, &request)).await }));
        let name = key.source.clone();
        let landed = async move {
            task.await.unwrap_or_else(|_panic| {
                let failure = Failure::BadPayload("it could not be processed".to_owned());
                Err(Arc::new(UpstreamError::new(&name, failure)))
            })
        };
        let flight = Flight { landed: landed.boxed().shared(), progress };
        flights.insert(key, flight.clone());
        (flight, false)
    }

    async fn fetch_raw(&self, get: &Arc<dyn GetCustomer>, request: &GetRequest, deadline: Deadline) -> Looked {
        let cache = CacheNote { bypass: true, ..CacheNote::default() };
        match get.get(request, deadline).await {
            Ok(record) => Looked {
                outcome: record.map_or(Outcome::NotFound, |record| Outcome::Found(Arc::new(record))),
                cache,
                fetched_at: Some(now()),
            },
            Err(error) => {
                log(&error);
                failed(Arc::new(error), cache)
            }
        }
    }
}

/// A load under way; takes itself off the list when it ends, however it ends.
struct Landing {
    inner: Arc<Inner>,
    key: DetailKey,
}

impl Landing {
    async fn load(&self, get: &Arc<dyn GetCustomer>, request: &GetRequest) -> Loaded {
        let begun = Instant::now();
        let record = get.get(request, Deadline(begun + self.inner.load_timeout)).await.map_err(|error| {
            log(&error);
            Arc::new(error)
        })?;
        let kept =
            Arc::new(KeptDetail { record: record.map(Arc::new), begun, fetched: Instant::now(), fetched_at: now() });
        let stored = self.inner.store.put(self.key.clone(), kept.clone());
        Ok((kept, stored))
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        lock(&self.inner.flights).remove(&self.key);
    }
}

fn key(source: &Source, get: &Arc<dyn GetCustomer>, request: &GetRequest) -> DetailKey {
    let staff_id = request.staff_id.clone().filter(|_| get.requires_staff_id());
    DetailKey { source: source.name.clone(), id: request.id.clone(), staff_id }
}

fn looked(kept: &KeptDetail, cache: CacheNote) -> Looked {
    let outcome = kept.record.clone().map_or(Outcome::NotFound, Outcome::Found);
    Looked { outcome, cache, fetched_at: Some(kept.fetched_at) }
}

fn failed(error: Arc<UpstreamError>, cache: CacheNote) -> Looked {
    Looked { outcome: Outcome::Failed(error), cache, fetched_at: None }
}

fn seconds_left(fresh: Duration, age: Duration) -> i64 {
    let (fresh, age) = (fresh.as_millis(), age.as_millis());
    let left = i64::try_from(fresh.abs_diff(age) / 1000).unwrap_or(i64::MAX);
    // A second past its freshness is -1, so that what is stale never reads as 0.
    if age < fresh { left } else { -left - 1 }
}
