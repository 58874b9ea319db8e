//! Batches of writes (contract §3.5): cut into chunks, sent several at once, answered item by item.
//!
//! A chunk in flight is a task of its own: a caller that leaves does not cut it, but no new one begins.

mod outcome;
pub mod validate;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::model::{
    BatchAnswer, BatchResults, BatchSummary, FollowUp, ItemResult, ItemStatus, Meta, Operation, Problem, ProblemCode,
    Remark, ShortProblem, SourceReport, SourceStatus,
};
use crate::trace;
use crate::upstream::{AddFollowUps, Deadline, FollowUpEntry, SetRemarks, Source, UpstreamError, WriteReply};

use super::details::Details;
use super::failure::{foremost, log};
use super::{RequestContext, Sources, now};
use outcome::{ChunkOutcome, EntryKey};

/// Chunks of one batch that are under way at once.
const CHUNKS_AT_ONCE: usize = 4;

/// Sends batches.
#[derive(Clone)]
pub struct Batches {
    pub sources: Sources,
    pub details: Details,
    /// Writes under way, whether or not their callers still wait: a stopping process waits for them.
    pub writes: TaskTracker,
}

/// Items that go out together. `entries` are what the source sees; each stands for one or more items.
struct Chunk {
    entries: Vec<Entry>,
}

struct Entry {
    key: EntryKey,
    /// Indices of the items that it stands for.
    items: Vec<usize>,
}

impl Batches {
    /// Sets remarks and descriptions. The items have been validated.
    ///
    /// # Errors
    /// `invalid_request`, `not_offered`, `rate_limited`, or the source's failure where every chunk was refused whole or
    /// not sent.
    pub async fn set_remarks(
        &self,
        context: &RequestContext,
        source: Option<&str>,
        items: Vec<Remark>,
    ) -> Result<BatchAnswer, Problem> {
        let source = self.sources.one_for(&context.caller, source, Operation::SetRemarks)?;
        let Some(write) = source.operations.set_remarks.clone() else {
            return Err(not_offered(&source));
        };
        let entries = items
            .iter()
            .enumerate()
            .map(|(index, item)| Entry { key: EntryKey::new(&item.staff_id, &item.union_id), items: vec![index] });
        let chunks = cut(entries.collect(), write.max_batch());
        let items: Arc<[Remark]> = items.into();
        let count = items.len();
        self.send(context, &source, count, chunks, |chunk| {
            send_remarks(write.clone(), items.clone(), chunk, context.deadline)
        })
        .await
    }

    /// Adds follow-up notes. The items have been validated.
    ///
    /// # Errors
    /// As [`Self::set_remarks`].
    pub async fn add_follow_ups(
        &self,
        context: &RequestContext,
        source: Option<&str>,
        items: Vec<FollowUp>,
    ) -> Result<BatchAnswer, Problem> {
        let source = self.sources.one_for(&context.caller, source, Operation::AddFollowUps)?;
        let Some(write) = source.operations.add_follow_ups.clone() else {
            return Err(not_offered(&source));
        };
        let chunks = cut(group(&items), write.max_batch());
        let items: Arc<[FollowUp]> = items.into();
        let count = items.len();
        self.send(context, &source, count, chunks, |chunk| {
            send_follow_ups(write.clone(), items.clone(), chunk, context.deadline)
        })
        .await
    }

    async fn send<F>(
        &self,
        context: &RequestContext,
        source: &Source,
        count: usize,
        chunks: Vec<Chunk>,
        write: impl Fn(Arc<Chunk>) -> F,
    ) -> Result<BatchAnswer, Problem>
    where
        F: Future<Output = Result<WriteReply, UpstreamError>> + Send + 'static,
    {
        context.quota.charge_in_all(chunks.len())?;
        let mut waiting = chunks.into_iter().map(Arc::new);
        let mut under_way = FuturesUnordered::new();
        let mut results: Vec<Option<ItemResult>> = vec![None; count];
        let mut whole = Vec::new();
        let mut faults = Vec::new();
        let mut stopped: Option<Problem> = None;
        loop {
            while under_way.len() < CHUNKS_AT_ONCE && stopped.is_none() {
                if context.deadline.0 <= Instant::now() {
                    let detail = format!("source {}: the batch's time was over before this was sent", source.name);
                    stopped = Some(Problem::new(ProblemCode::SourceTimeout, detail));
                    break;
                }
                let Some(chunk) = waiting.next() else { break };
                under_way.push(self.start(source, chunk.clone(), write(chunk)));
            }
            let Some(outcome) = under_way.next().await else { break };
            stopped = stopped.or(outcome.stop);
            whole.push(outcome.whole);
            faults.extend(outcome.fault);
            for result in outcome.results {
                let index = result.index;
                results[index] = Some(result);
            }
        }
        for chunk in waiting {
            whole.push(stopped.clone());
            for index in chunk.entries.iter().flat_map(|entry| entry.items.iter().copied()) {
                let problem = stopped.as_ref().map(Problem::short);
                results[index] = Some(ItemResult { index, status: ItemStatus::NotSent, problem });
            }
        }
        conclude(source, results, whole, faults)
    }

    /// Sends one chunk in a task that ends whether or not anybody waits for it.
    fn start<F>(&self, source: &Source, chunk: Arc<Chunk>, write: F) -> impl Future<Output = ChunkOutcome> + use<F>
    where
        F: Future<Output = Result<WriteReply, UpstreamError>> + Send + 'static,
    {
        let details = self.details.clone();
        let lost = self.details.clone();
        let sent = chunk.clone();
        let name = source.name.clone();
        let writing = async move {
            let reply = write.await;
            if let Err(error) | Ok(WriteReply { refusal: Some(error), .. }) = &reply {
                log(error);
            }
            let outcome = outcome::judge(&sent, reply);
            details.drop_written(outcome.touched(&sent));
            outcome.log(&name);
            outcome
        };
        let task: JoinHandle<ChunkOutcome> = self.writes.spawn(trace::carried(writing.in_current_span()));
        async move {
            task.await.unwrap_or_else(|_panic| {
                let outcome = outcome::unknown(&chunk);
                lost.drop_written(outcome.touched(&chunk));
                outcome
            })
        }
    }
}

fn conclude(
    source: &Source,
    results: Vec<Option<ItemResult>>,
    whole: Vec<Option<Problem>>,
    faults: Vec<Problem>,
) -> Result<BatchAnswer, Problem> {
    if whole.iter().all(Option::is_some)
        && let Some(mut problem) = foremost(whole.into_iter().flatten())
    {
        problem.reached_source = results.iter().flatten().any(|result| result.status == ItemStatus::Failed);
        return Err(problem);
    }
    let unanswered = |index| ItemResult {
        index,
        status: ItemStatus::Unconfirmed,
        problem: Some(ShortProblem::new(ProblemCode::Internal, "its outcome was lost")),
    };
    let results: Vec<ItemResult> =
        results.into_iter().enumerate().map(|(index, result)| result.unwrap_or_else(|| unanswered(index))).collect();
    let summary = BatchSummary::of(&results);
    // A source that answered no chunk, or with nothing but doubts, is not well.
    let fault = foremost(faults).filter(|_| summary.succeeded == 0).map(|fault| fault.short());
    let status = if fault.is_some() { SourceStatus::Failed } else { SourceStatus::Ok };
    let fetched_at = fault.is_none().then(now);
    let report = SourceReport { source: source.name.clone(), status, fetched_at, problem: fault };
    let meta = Meta { sources: vec![report], warnings: Vec::new() };
    Ok(BatchAnswer { data: BatchResults { results, summary }, meta })
}

fn not_offered(source: &Source) -> Problem {
    Problem::new(ProblemCode::NotOffered, format!("source {} does not offer this", source.name))
}

fn cut(entries: Vec<Entry>, max_batch: usize) -> Vec<Chunk> {
    let mut chunks = Vec::with_capacity(entries.len().div_ceil(max_batch));
    let mut entries = entries.into_iter().peekable();
    while entries.peek().is_some() {
        chunks.push(Chunk { entries: entries.by_ref().take(max_batch).collect() });
    }
    chunks
}

/// The notes of one staff member about one customer go into one entry, in the order of the items.
fn group(items: &[FollowUp]) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut places = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        let place = *places.entry((&item.staff_id, &item.union_id)).or_insert_with(|| {
            entries.push(Entry { key: EntryKey::new(&item.staff_id, &item.union_id), items: Vec::new() });
            entries.len() - 1
        });
        entries[place].items.push(index);
    }
    entries
}

async fn send_remarks(
    write: Arc<dyn SetRemarks>,
    items: Arc<[Remark]>,
    chunk: Arc<Chunk>,
    deadline: Deadline,
) -> Result<WriteReply, UpstreamError> {
    let items: Vec<&Remark> = chunk.entries.iter().flat_map(|entry| &entry.items).map(|index| &items[*index]).collect();
    write.set_remarks(&items, deadline).await
}

async fn send_follow_ups(
    write: Arc<dyn AddFollowUps>,
    items: Arc<[FollowUp]>,
    chunk: Arc<Chunk>,
    deadline: Deadline,
) -> Result<WriteReply, UpstreamError> {
    let entries: Vec<FollowUpEntry<'_>> = chunk
        .entries
        .iter()
        .map(|entry| FollowUpEntry {
            staff_id: &entry.key.staff_id,
            union_id: &entry.key.union_id,
            notes: entry.items.iter().map(|index| &items[*index]).collect(),
        })
        .collect();
    write.add_follow_ups(&entries, deadline).await
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn follow_up(staff: u8, customer: u8, n: usize) -> FollowUp {
        FollowUp {
            staff_id: format!("s{staff}"),
            union_id: format!("o{customer}"),
            content: format!("note {n}"),
            occurred_at: None,
        }
    }

    proptest! {
        #[test]
        fn every_item_is_in_exactly_one_chunk_and_no_chunk_is_too_large(
            pairs in proptest::collection::vec((0_u8..20, 0_u8..40), 1..1000),
            max_batch in 1_usize..600,
        ) {
            let items: Vec<_> = pairs.iter().enumerate().map(|(n, (s, c))| follow_up(*s, *c, n)).collect();
            let chunks = cut(group(&items), max_batch);
            let mut seen = HashSet::new();
            let mut keys = HashSet::new();
            for chunk in &chunks {
                prop_assert!(!chunk.entries.is_empty() && chunk.entries.len() <= max_batch);
                for entry in &chunk.entries {
                    prop_assert!(keys.insert((entry.key.staff_id.clone(), entry.key.union_id.clone())));
                    prop_assert!(entry.items.is_sorted());
                    for index in &entry.items {
                        prop_assert!(seen.insert(*index));
                        prop_assert_eq!(&items[*index].staff_id, &entry.key.staff_id);
                        prop_assert_eq!(&items[*index].union_id, &entry.key.union_id);
                    }
                }
            }
            prop_assert_eq!(seen.len(), items.len());
            prop_assert_eq!(chunks.len(), keys.len().div_ceil(max_batch));
        }
    }
}
