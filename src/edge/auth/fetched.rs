//! A JWK set at a URL: fetched again and again, and once more where a token names a key that it does not hold. What was
//! fetched is kept for as long as the host is down or talks nonsense.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::{Bytes, BytesMut};
use jsonwebtoken::Algorithm;
use reqwest::StatusCode;
use reqwest::header::ACCEPT;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;
use tracing::Instrument;

use crate::outbound::{self, ClientConfig, ClientError};
use crate::telemetry::metrics;

use super::refetch_budget::{AFTER_FAILURE, RefetchBudget};
use super::{Issuer, JwksUrl, KeySet};

/// How long one fetch may take, from the first byte sent to the last one received.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How many tokens may wait for a fetch. A token counts until its turn has come, also when its caller disconnects.
pub(super) const MOST_WAITING: usize = 32;
/// The largest set, in bytes.
const MAX_BYTES: usize = 256 << 10;

/// The keys of one issuer that publishes them.
pub(super) struct FetchedKeys {
    /// The issuer's name in the configuration.
    issuer: String,
    algorithms: Vec<Algorithm>,
    at: JwksUrl,
    http: reqwest::Client,
    /// `None`: they were never there.
    current: ArcSwapOption<KeySet>,
    /// How many fetches have begun.
    begun: AtomicU64,
    /// Held while fetching: one at a time.
    fetching: Mutex<Fetching>,
    waiting: Arc<Semaphore>,
}

struct Fetching {
    /// The number of the last fetch that succeeded.
    succeeded: u64,
    budget: RefetchBudget,
}

/// The moment a token arrived: how many fetches had begun by then.
#[derive(Clone, Copy, Default)]
pub(super) struct Arrival(u64);

/// Keys to verify a token with that the current keys could not verify.
pub(super) struct NewerKeys {
    pub(super) keys: Arc<KeySet>,
    /// Whether they were fetched after the token arrived: a key that they lack does not exist.
    pub(super) is_final: bool,
}

/// Why a fetch brought nothing. Holds no URL.
enum Fault {
    Status(StatusCode),
    TooLarge,
    Unusable(String),
    Http(reqwest::Error),
    /// The gateway lacks this resource: the host is not at fault.
    Shortage(&'static str),
}

impl FetchedKeys {
    pub(super) fn new(issuer: &Issuer, at: &JwksUrl, shared: &ClientConfig) -> Result<Self, ClientError> {
        let http = outbound::client(shared, &at.url, CONNECT_TIMEOUT)?.timeout(FETCH_TIMEOUT);
        Ok(Self {
            issuer: issuer.name.clone(),
            algorithms: issuer.algorithms.clone(),
            at: at.clone(),
            http: http.build().map_err(ClientError::build)?,
            current: ArcSwapOption::empty(),
            begun: AtomicU64::new(0),
            fetching: Mutex::new(Fetching { succeeded: 0, budget: RefetchBudget::new(at.cool_down) }),
            waiting: Arc::new(Semaphore::new(MOST_WAITING)),
        })
    }

    /// The keys of now, if any were ever there.
    pub(super) fn get(&self) -> Option<Arc<KeySet>> {
        self.current.load_full()
    }

    /// Notes that a token arrives now.
    pub(super) fn arrival(&self) -> Arrival {
        Arrival(self.begun.load(Ordering::Acquire))
    }

    /// Returns other keys than `known`, or those of a fetch that began after the token arrived. A token that arrives during
    /// a fetch waits for its end and, if that does not help, for the next one. A caller that disconnects does not end the
    /// fetch for the others.
    ///
    /// # Errors
    /// The time until the next fetch may begin: the budget is spent, the last fetch failed, or too many tokens wait.
    pub(super) async fn newer_than(
        self: &Arc<Self>,
        known: Option<&Arc<KeySet>>,
        arrival: Arrival,
    ) -> Result<NewerKeys, Duration> {
        let Ok(permit) = self.waiting.clone().try_acquire_owned() else { return Err(AFTER_FAILURE) };
        let (this, known) = (self.clone(), known.cloned());
        let refresh = async move {
            // Held by the task, which goes on when its caller disconnects: the limit is one of tasks.
            let _permit = permit;
            this.refresh(known, arrival).await
        };
        let refresh = tokio::spawn(refresh.in_current_span());
        match tokio::time::timeout(FETCH_TIMEOUT, refresh).await {
            Ok(Ok(Ok(is_final))) => self.get().map(|keys| NewerKeys { keys, is_final }).ok_or(AFTER_FAILURE),
            Ok(Ok(Err(wait))) => Err(wait),
            // A panic that has been logged, or late.
            Ok(Err(_)) | Err(_) => Err(AFTER_FAILURE),
        }
    }

    /// Fetches the set if it is needed and the budget allows it; returns whether the current one was fetched after the
    /// token arrived.
    async fn refresh(&self, known: Option<Arc<KeySet>>, arrival: Arrival) -> Result<bool, Duration> {
        let mut fetching = self.fetching.lock().await;
        if fetching.succeeded > arrival.0 {
            return Ok(true);
        }
        let is_known = match (self.get(), &known) {
            (Some(now), Some(known)) => Arc::ptr_eq(&now, known),
            (now, known) => now.is_none() && known.is_none(),
        };
        if !is_known {
            return Ok(false);
        }
        let wait = fetching.budget.wait();
        if !wait.is_zero() {
            return Err(wait);
        }
        let began = Instant::now();
        let fetched = self.fetch(&mut fetching).await;
        fetching.budget.record(began, fetched);
        if fetched { Ok(true) } else { Err(fetching.budget.wait()) }
    }

    /// Fetches for ever: sooner where the last time brought nothing.
    pub(super) async fn follow(self: Arc<Self>) {
        loop {
            let fetched = {
                let mut fetching = self.fetching.lock().await;
                self.fetch(&mut fetching).await
            };
            let pause = if fetched { self.at.refresh } else { self.at.refresh.min(self.at.cool_down) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Returns whether there was a set that can be used.
    async fn fetch(&self, fetching: &mut Fetching) -> bool {
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        let issuer = self.issuer.as_str();
        let fetched =
            self.read().await.and_then(|json| KeySet::of_jwks(&json, &self.algorithms).map_err(Fault::Unusable));
        match fetched {
            Ok(keys) => {
                let changed = self.get().is_none_or(|known| !known.is_same_as(&keys));
                if changed {
                    tracing::info!(issuer, keys = keys.len(), "the keys of an issuer have changed");
                    self.current.store(Some(Arc::new(keys)));
                }
                metrics::jwks_fetch(issuer, if changed { "changed" } else { "same" });
                fetching.succeeded = number;
                true
            }
            Err(fault) => {
                let kept = self.get().map_or(0, |keys| keys.len());
                tracing::error!(issuer, %fault, kept, "the keys of an issuer could not be fetched");
                metrics::jwks_fetch(issuer, "failed");
                false
            }
        }
    }

    async fn read(&self) -> Result<Bytes, Fault> {
        let request = self.http.get(self.at.url.clone()).header(ACCEPT, "application/jwk-set+json, application/json");
        let mut response = request.send().await.map_err(Fault::http)?;
        if response.status() != StatusCode::OK {
            return Err(Fault::Status(response.status()));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(Fault::http)? {
            if body.len() + chunk.len() > MAX_BYTES {
                return Err(Fault::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }
}

impl Fault {
    fn http(error: reqwest::Error) -> Self {
        outbound::shortage(&error).map_or_else(|| Self::Http(error.without_url()), Self::Shortage)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "it answered with HTTP {}", status.as_u16()),
            Self::TooLarge => write!(f, "it is larger than {} KiB", MAX_BYTES >> 10),
            Self::Unusable(why) => f.write_str(why),
            Self::Shortage(resource) => write!(f, "the gateway has no {resource} left to fetch them with"),
            Self::Http(error) => {
                let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
                write!(f, "{error}")?;
                causes.into_iter().try_for_each(|cause| write!(f, ": {cause}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::super::IssuerKeys;
    use super::*;

    #[tokio::test]
    async fn waiting_limit_counts_tokens_of_disconnected_callers() {
        // Nothing is ever fetched: the tasks are spawned, and this test never lets them run.
        let url = "http://127.0.0.1:9/jwks.json".parse().unwrap();
        let at = JwksUrl { url, refresh: Duration::from_hours(1), cool_down: Duration::from_secs(10) };
        let issuer = Issuer {
            name: "hanging".to_owned(),
            issuer: "https://hanging.test".to_owned(),
            audience: vec!["scrm-gateway".to_owned()],
            algorithms: vec![Algorithm::ES256],
            keys: IssuerKeys::Fetched(at.clone()),
        };
        let keys = Arc::new(FetchedKeys::new(&issuer, &at, &ClientConfig::default()).unwrap());
        for number in 0..MOST_WAITING {
            let waiting = keys.newer_than(None, keys.arrival()).now_or_never();
            assert!(waiting.is_none(), "{number} waits until its caller disconnects");
        }
        let refused = keys.newer_than(None, keys.arrival()).now_or_never();
        assert_eq!(refused.map(Result::err), Some(Some(AFTER_FAILURE)), "one more is refused at once");
    }
}
