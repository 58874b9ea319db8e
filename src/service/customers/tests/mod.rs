//! Lookups over scripted sources, on a paused clock.

mod cache;
mod deadline;
mod identity;

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep};

use super::*;
use crate::config::Config;
use crate::memory::InFlight;
use crate::model::{Caller, CallerId, Customer, SourceStatus, SourcedCustomer, WarningCode};
use crate::service::QuotaHandle;
use crate::service::details::Windows;
use crate::store::quota::{QuotaConfig, Quotas};
use crate::upstream::{CodeClass, Deadline, Failure, Operations, UpstreamError};

type Got = Result<Option<SourcedCustomer>, UpstreamError>;
type Script = dyn Fn(usize, CustomerId) -> BoxFuture<'static, Got> + Send + Sync;

const SECOND: Duration = Duration::from_secs(1);
/// The deadline of a request, and the longest that a load may take.
const DEADLINE: Duration = Duration::from_secs(10);
const GRACE: Duration = Duration::from_millis(800);
const FRESH: Duration = Duration::from_mins(1);

/// A source's detail operation: the number of the call, from 1, and the id decide what is answered.
struct Scripted {
    calls: AtomicUsize,
    script: Box<Script>,
}

#[async_trait]
impl GetCustomer for Scripted {
    fn requires_staff_id(&self) -> bool {
        false
    }

    async fn get(&self, request: &GetRequest, _deadline: Deadline) -> Got {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        (self.script)(call, request.id.clone()).await
    }
}

/// One source of a test.
struct Actor {
    name: &'static str,
    get: Arc<Scripted>,
    /// Whether it is asked by union id, too.
    by_union_id: bool,
    /// Keys of its section.
    keys: &'static str,
}

/// A source that answers as the script says.
fn actor<F>(name: &'static str, script: impl Fn(usize, CustomerId) -> F + Send + Sync + 'static) -> Actor
where
    F: Future<Output = Got> + Send + 'static,
{
    let script: Box<Script> = Box::new(move |call, id| Box::pin(script(call, id)));
    Actor { name, get: Arc::new(Scripted { calls: AtomicUsize::new(0), script }), by_union_id: false, keys: "" }
}

/// A source that answers with a named customer after a while.
fn answers_after(name: &'static str, delay: Duration) -> Actor {
    actor(name, move |_, _| async move {
        sleep(delay).await;
        found(name, None)
    })
}

fn hangs(name: &'static str) -> Actor {
    actor(name, |_, _| std::future::pending())
}

/// The customer `wm1`, with this name and union id.
#[expect(clippy::unnecessary_wraps, reason = "it is one of the answers that a script may give")]
fn found(name: &str, union_id: Option<&str>) -> Got {
    let customer = Customer {
        external_user_id: Some("wm1".to_owned()),
        union_id: union_id.map(str::to_owned),
        name: Some(name.to_owned()),
        ..Customer::default()
    };
    Ok(Some(SourcedCustomer { customer, warnings: Vec::new() }))
}

fn failed(name: &str, failure: Failure) -> Got {
    Err(UpstreamError::new(&name.parse().unwrap(), failure))
}

/// A failure after which a read is tried again.
fn unavailable(name: &str) -> Got {
    failed(name, Failure::Refused { class: CodeClass::Retryable, status: 503, reply: None })
}

/// The lookups under test and the context that their requests have in common.
struct Stage {
    customers: Customers,
    caller: Arc<Caller>,
    quotas: Arc<Quotas>,
    actors: Vec<Arc<Scripted>>,
}

/// The answer to one request, and what it took.
struct Answer {
    result: Result<Detail, Problem>,
    took: Duration,
}

impl Stage {
    fn new(actors: Vec<Actor>) -> Self {
        let names: Vec<_> = actors.iter().map(|actor| actor.name.parse().unwrap()).collect();
        let sources = actors.iter().map(|actor| {
            let toml = format!(
                "[auth.issuers.test]\nissuer = \"i\"\naudience = [\"a\"]\nalgorithms = [\"HS256\"]\n\
                 secret = \"0123456789abcdef0123456789abcdef\"\n[sources.{}]\nkind = \"juzibot\"\n\
                 base_url = \"https://vendor.test\"\ntoken = \"not-a-secret\"\n{}",
                actor.name, actor.keys
            );
            let config = Config::from_toml(&toml).unwrap();
            let get = Some(actor.get.clone() as Arc<dyn GetCustomer>);
            let operations = Operations {
                get_by_union_id: get.clone().filter(|_| actor.by_union_id),
                get_by_external_user_id: get,
                ..Operations::default()
            };
            Arc::new(Source::with_operations(&config.sources[0], operations))
        });
        let windows =
            Windows { fresh: FRESH, stale: FRESH, stale_if_error: Duration::from_hours(24), not_found: 10 * SECOND };
        let number = |number| NonZeroU32::new(number).unwrap();
        let quota = QuotaConfig { requests: number(1_000_000), window: SECOND, burst: number(1_000_000) };
        let id = CallerId { issuer: "i".into(), subject: "s".into() };
        Self {
            customers: Customers {
                sources: Sources::new(sources.collect()),
                details: Details::new(1 << 20, windows, DEADLINE, InFlight::new(1 << 30)),
                merge_grace: GRACE,
            },
            caller: Arc::new(Caller { id, scopes: BTreeSet::new(), sources: names }),
            quotas: Arc::new(Quotas::new(quota, [])),
            actors: actors.into_iter().map(|actor| actor.get).collect(),
        }
    }

    /// How often each source was asked.
    fn calls(&self) -> Vec<usize> {
        self.actors.iter().map(|actor| actor.calls.load(Ordering::Relaxed)).collect()
    }

    async fn ask(&self, query: &DetailQuery) -> Answer {
        self.ask_within(DEADLINE, query).await
    }

    async fn ask_within(&self, wait: Duration, query: &DetailQuery) -> Answer {
        let begun = Instant::now();
        let context = RequestContext {
            caller: self.caller.clone(),
            deadline: Deadline(begun + wait),
            allowed: wait,
            quota: QuotaHandle::open(self.quotas.clone(), self.caller.clone()).unwrap(),
            request_id: "request".into(),
            timings: crate::service::Timings::default(),
            told: crate::service::Told::default(),
            queried: crate::service::QueriedSources::default(),
            memory: InFlight::new(1 << 30).open(None),
            permit: None,
        };
        let result = self.customers.detail(&context, query).await;
        Answer { result, took: begun.elapsed() }
    }
}

impl Answer {
    #[track_caller]
    fn ok(&self) -> &CustomerAnswer {
        &self.result.as_ref().expect("expected a customer").answer
    }

    #[track_caller]
    fn problem(&self) -> &Problem {
        self.result.as_ref().expect_err("expected a problem")
    }

    /// The status and problem code of each source.
    #[track_caller]
    fn reports(&self) -> Vec<(SourceStatus, Option<ProblemCode>)> {
        let reports = self.ok().meta.sources.iter();
        reports.map(|report| (report.status, report.problem.as_ref().map(|problem| problem.code))).collect()
    }

    /// What `Cache-Status` says of a source.
    #[track_caller]
    fn cache(&self, index: usize) -> CacheNote {
        self.result.as_ref().expect("expected a customer").cache[index].1
    }

    #[track_caller]
    fn name(&self) -> &str {
        self.ok().data.name.as_deref().unwrap()
    }
}

/// The customer `wm1`, over all sources.
fn query() -> DetailQuery {
    DetailQuery {
        id: CustomerId::ExternalUserId("wm1".to_owned()),
        source: None,
        staff_id: None,
        raw: false,
        on_partial: OnPartial::Allow,
        freshness: Freshness::Cached,
    }
}

fn all_or_nothing() -> DetailQuery {
    DetailQuery { on_partial: OnPartial::Fail, ..query() }
}

fn no_cache() -> DetailQuery {
    DetailQuery { freshness: Freshness::Revalidate, ..query() }
}

fn raw() -> DetailQuery {
    DetailQuery { raw: true, ..query() }
}
