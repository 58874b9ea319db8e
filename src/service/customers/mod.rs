//! One customer over the sources that know it (contract §3.3): who is asked, how long the rest is waited for, and what
//! is said of those that did not answer.

mod answer;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use tokio::time::{Instant, timeout_at};

use crate::model::{CustomerAnswer, CustomerId, Operation, Problem, ProblemCode, ShortProblem, SourceName};
use crate::upstream::{GetCustomer, GetRequest, Source};

use super::audit::{ABANDONED, FOUND, NOT_FOUND};
use super::details::{CacheNote, Details, Freshness, Looked, Outcome};
use super::{RequestContext, Sources};
use answer::{conclude, reject_other_people};

/// What is asked of a customer.
#[derive(Debug, Clone)]
pub struct DetailQuery {
    pub id: CustomerId,
    pub source: Option<String>,
    pub staff_id: Option<String>,
    pub raw: bool,
    pub on_partial: OnPartial,
    pub freshness: Freshness,
}

/// What becomes of an answer that lacks a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnPartial {
    #[default]
    Allow,
    Fail,
}

/// An answer and what its headers are made of.
#[derive(Debug)]
pub struct Detail {
    pub answer: CustomerAnswer,
    /// The cache's part, one member a source that was asked.
    pub cache: Vec<(SourceName, CacheNote)>,
}

/// Looks customers up.
#[derive(Clone)]
pub struct Customers {
    pub sources: Sources,
    pub details: Details,
    /// How long the rest is waited for after the first answer.
    pub merge_grace: Duration,
}

/// One source's part of a lookup.
struct Part {
    source: Arc<Source>,
    state: PartState,
    /// The id by which it was asked.
    id: CustomerId,
}

/// The parts of a lookup under way. Of raw JSON the audit trail is told when it is dropped, which is also where its caller has left.
struct Parts<'a> {
    all: Vec<Part>,
    context: &'a RequestContext,
    raw: bool,
}

impl Parts<'_> {
    /// Bytes that the answer needs beyond what is reserved.
    fn bytes(&self) -> usize {
        let bytes = |part: &Part| match &part.state {
            PartState::Answered(looked) => looked.bytes,
            PartState::NeedsExternalUserId(_) | PartState::Asked(..) | PartState::Skipped(_) => 0,
        };
        self.all.iter().map(bytes).sum()
    }
}

impl Drop for Parts<'_> {
    fn drop(&mut self) {
        if self.raw {
            self.all.iter().for_each(|part| part.audit(self.context));
        }
    }
}

impl Part {
    /// Tells the audit trail what came of asking for raw JSON.
    fn audit(&self, context: &RequestContext) {
        let operation = match &self.id {
            CustomerId::ExternalUserId(_) => Operation::GetByExternalUserId,
            CustomerId::UnionId(_) => Operation::GetByUnionId,
        };
        let outcome = match &self.state {
            PartState::Answered(Looked { outcome, .. }) => match outcome {
                Outcome::Found(_) | Outcome::Stale(..) => FOUND,
                Outcome::NotFound => NOT_FOUND,
                Outcome::Failed(error) => error.code().as_str(),
            },
            PartState::Asked(..) => ABANDONED,
            PartState::NeedsExternalUserId(_) | PartState::Skipped(_) => return,
        };
        context.trail(operation, &self.source.name).read_customer(self.id.as_str(), outcome);
    }
}

enum PartState {
    /// Waits for an id that another source may tell.
    NeedsExternalUserId(Arc<dyn GetCustomer>),
    Asked(GetRequest, Arc<dyn GetCustomer>),
    Answered(Looked),
    Skipped(ShortProblem),
}

type Lookup<'a> = BoxFuture<'a, (usize, Looked)>;

impl Customers {
    /// # Errors
    /// Those of the decision table of contract §3.3, and `invalid_request` for a source that is not visible.
    pub async fn detail(&self, context: &RequestContext, query: &DetailQuery) -> Result<Detail, Problem> {
        let sources = self.sources.named(&context.caller, query.source.as_deref())?;
        let all = sources.into_iter().map(|source| first_part(source, query)).collect();
        let mut parts = Parts { all, context, raw: query.raw };
        self.ask(context, query, &mut parts.all).await;
        context.reserve(parts.bytes()).await?;
        let warnings = reject_other_people(&mut parts.all, query);
        conclude(&parts.all, query, warnings)
    }

    /// Asks until every part is answered, the grace after the first answer is over, or the deadline has passed.
    async fn ask(&self, context: &RequestContext, query: &DetailQuery, parts: &mut [Part]) {
        let begun = Instant::now();
        let mut lookups: FuturesUnordered<Lookup<'_>> = FuturesUnordered::new();
        for index in 0..parts.len() {
            lookups.extend(self.lookup(context, query, parts, index));
        }
        let mut until = context.deadline.0;
        loop {
            let next = match timeout_at(until, lookups.next()).await {
                Ok(next) => next,
                // Of several that end at this moment, all count.
                Err(_late) => lookups.next().now_or_never().flatten(),
            };
            let Some((index, looked)) = next else { break };
            let found = looked.outcome.record().cloned();
            parts[index].state = PartState::Answered(looked);
            let Some(found) = found else { continue };
            // Who wants all sources or none waits for all of them.
            if query.on_partial == OnPartial::Allow {
                until = until.min(Instant::now() + self.merge_grace);
            }
            let Some(id) = found.customer.external_user_id.clone() else {
                continue;
            };
            for index in 0..parts.len() {
                if let PartState::NeedsExternalUserId(get) = &parts[index].state {
                    let request = get_request(query, CustomerId::ExternalUserId(id.clone()));
                    parts[index].id = request.id.clone();
                    parts[index].state = PartState::Asked(request, get.clone());
                    lookups.extend(self.lookup(context, query, parts, index));
                }
            }
        }
        drop(lookups);
        for part in parts {
            match &part.state {
                PartState::Asked(request, get) => {
                    context.timings.note(&part.source.name, begun.elapsed());
                    let looked = self.details.cached_or_timeout(&part.source, get, request, context.deadline);
                    part.state = PartState::Answered(looked);
                }
                PartState::NeedsExternalUserId(_) => {
                    part.state = skipped("it is asked by external_user_id alone, and no source told that");
                }
                PartState::Answered(_) | PartState::Skipped(_) => {}
            }
        }
    }

    fn lookup<'a>(
        &'a self,
        context: &'a RequestContext,
        query: &'a DetailQuery,
        parts: &[Part],
        index: usize,
    ) -> Option<Lookup<'a>> {
        let PartState::Asked(request, get) = &parts[index].state else {
            return None;
        };
        let (request, get, source) = (request.clone(), get.clone(), parts[index].source.clone());
        let begun = Instant::now();
        Some(Box::pin(async move {
            context.queried.add(&source.name);
            let looked =
                self.details.look_up(&source, &get, request, query.freshness, context.deadline, &context.memory).await;
            if looked.is_from_cache() {
                context.queried.remove(&source.name);
            }
            context.timings.note(&source.name, begun.elapsed());
            (index, looked)
        }))
    }
}

fn get_request(query: &DetailQuery, id: CustomerId) -> GetRequest {
    GetRequest { id, staff_id: query.staff_id.clone(), raw: query.raw }
}

fn skipped(why: &str) -> PartState {
    PartState::Skipped(ShortProblem::new(ProblemCode::NotOffered, why))
}

fn first_part(source: Arc<Source>, query: &DetailQuery) -> Part {
    let state = match (source.get_by(&query.id), &query.id) {
        (Some(get), _) if get.requires_staff_id() && query.staff_id.is_none() => {
            skipped("it is asked with staff_id only")
        }
        (Some(get), id) => PartState::Asked(get_request(query, id.clone()), get.clone()),
        (None, CustomerId::UnionId(_)) => match &source.operations.get_by_external_user_id {
            Some(get) if get.requires_staff_id() && query.staff_id.is_none() => {
                skipped("it is asked with staff_id only")
            }
            Some(get) => PartState::NeedsExternalUserId(get.clone()),
            None => skipped("it offers no details"),
        },
        (None, CustomerId::ExternalUserId(_)) => skipped("it is not asked by external_user_id"),
    };
    Part { source, state, id: query.id.clone() }
}

#[cfg(test)]
mod tests;
