//! Batches of writes (contract §3.5): cut into chunks, sent several at once, answered item by item.
//!
//! A chunk in flight is a task of its own: a caller that leaves does not cut it, but no new one begins, and none that still waits
//! for its turn is sent.

pub mod body;
mod chunk;
mod outcome;
mod under_way;

use std::pin::pin;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::memory::{BATCH_CALLS, WRITE_ANSWER};
use crate::model::{
    BatchAnswer, BatchResults, BatchSummary, FollowUp, ItemResult, ItemStatus, Meta, Operation, Problem, ProblemCode,
    Remark, ShortProblem, SourceReport, SourceStatus,
};
use crate::trace;
use crate::upstream::{AddFollowUps, Deadline, FollowUpEntry, Progress, SetRemarks, Source, UpstreamError, WriteReply};

use super::details::Details;
use super::failure::{foremost, log};
use super::{RequestContext, Sources, Trail, now};
use chunk::{Chunk, Pending, cut, group, single};
use outcome::ChunkOutcome;
use under_way::{UnderWay, Waiting, cut_off};

/// Sends batches.
#[derive(Clone)]
pub struct Batches {
    pub sources: Sources,
    pub details: Details,
    /// Writes under way, whether or not their callers still wait: a stopping process waits for them.
    pub writes: TaskTracker,
    /// Cancelled when it waits no longer: what is under way is cut, and told to the audit trail.
    pub cut: CancellationToken,
}

/// Whose batch goes where.
#[derive(Clone)]
pub struct Target {
    pub context: RequestContext,
    pub source: Arc<Source>,
    operation: Operation,
}

impl Target {
    pub fn trail(&self) -> Trail {
        self.context.trail(self.operation, &self.source.name)
    }

    fn not_offered(&self) -> Problem {
        Problem::new(ProblemCode::NotOffered, format!("source {} does not offer this", self.source.name))
    }
}

impl Batches {
    /// Where a batch goes: to the source that it names, or to the only visible one that offers the write. Its deadline
    /// begins here, for its body has arrived.
    ///
    /// # Errors
    /// `invalid_request` or `not_offered`, as [`Sources::one_for`].
    pub fn target(
        &self,
        mut context: RequestContext,
        source: Option<&str>,
        operation: Operation,
    ) -> Result<Target, Problem> {
        let source = self.sources.one_for(&context.caller, source, operation)?;
        context.restart_deadline();
        Ok(Target { context, source, operation })
    }

    /// Sets remarks and descriptions. The items have been validated.
    ///
    /// # Errors
    /// `not_offered`, `rate_limited`, or the source's failure where every chunk was refused whole or not sent.
    pub async fn set_remarks(&self, target: &Target, items: Vec<Remark>) -> Result<BatchAnswer, Problem> {
        let Some(write) = target.source.operations.set_remarks.clone() else {
            return Err(target.not_offered());
        };
        let count = items.len();
        let entries = single(items, |item| write.remark_bytes(item));
        let chunks = cut(entries, write.max_batch());
        self.send(target, count, chunks, |chunk| send_remarks(write.clone(), chunk, target.context.deadline)).await
    }

    /// Adds follow-up notes. The items have been validated.
    ///
    /// # Errors
    /// As [`Self::set_remarks`].
    pub async fn add_follow_ups(&self, target: &Target, items: Vec<FollowUp>) -> Result<BatchAnswer, Problem> {
        let Some(write) = target.source.operations.add_follow_ups.clone() else {
            return Err(target.not_offered());
        };
        let count = items.len();
        let entries = group(items, |item| write.entry_bytes(item), |item| write.note_bytes(item));
        let chunks = cut(entries, write.max_batch());
        self.send(target, count, chunks, |chunk| send_follow_ups(write.clone(), chunk, target.context.deadline)).await
    }

    async fn send<T, F>(
        &self,
        target: &Target,
        count: usize,
        chunks: Vec<Pending<T>>,
        write: impl Fn(Pending<T>) -> F,
    ) -> Result<BatchAnswer, Problem>
    where
        F: Future<Output = Result<WriteReply, UpstreamError>> + Send + 'static,
    {
        let Target { context, source, .. } = target;
        // Before anything is sent, so that no source's answer about a write fails to be read for want of memory.
        context.reserve_for_batch(chunks.len().min(BATCH_CALLS) * WRITE_ANSWER).await?;
        context.quota.charge_in_all(chunks.len())?;
        let begun = Instant::now();
        context.queried.add(&source.name);
        let left = CancellationToken::new();
        let _until_then = left.clone().drop_guard();
        let mut waiting = Waiting::new(chunks, target.trail());
        let mut under_way = FuturesUnordered::new();
        let mut results: Vec<Option<ItemResult>> = vec![None; count];
        let mut whole = Vec::new();
        let mut faults = Vec::new();
        let mut note = |outcome: ChunkOutcome| {
            whole.push(outcome.whole);
            faults.extend(outcome.fault);
            for result in outcome.results {
                let index = result.index;
                results[index] = Some(result);
            }
        };
        loop {
            while under_way.len() < BATCH_CALLS {
                if context.deadline.0 <= Instant::now() {
                    let detail = format!("source {}: the batch's time was over before this was sent", source.name);
                    let problem = Problem::new(ProblemCode::SourceTimeout, detail);
                    waiting.stop(Problem { source: Some(source.name.clone()), ..problem });
                }
                if self.cut.is_cancelled() {
                    waiting.stop(Problem::new(ProblemCode::Overloaded, "the gateway has stopped before this was sent"));
                }
                let Some(chunk) = waiting.next() else { break };
                under_way.push(self.start(target, left.clone(), chunk.chunk.clone(), write(chunk)));
            }
            let Some(mut outcome) = under_way.next().await else { break };
            if let Some(why) = outcome.stop.take() {
                waiting.stop(why);
            }
            note(outcome);
        }
        while let Some(outcome) = waiting.give_up() {
            note(outcome);
        }
        context.timings.note(&source.name, begun.elapsed());
        conclude(source, results, whole, faults)
    }

    /// Sends one chunk in a task that, once it has begun, ends whether or not anybody waits for it.
    fn start<F>(
        &self,
        target: &Target,
        left: CancellationToken,
        chunk: Arc<Chunk>,
        write: F,
    ) -> impl Future<Output = ChunkOutcome> + use<F>
    where
        F: Future<Output = Result<WriteReply, UpstreamError>> + Send + 'static,
    {
        let progress = Progress::default();
        let under_way = UnderWay::new(chunk.clone(), self.details.clone(), target.trail(), progress.clone());
        let memory = target.context.memory.clone();
        let sending = progress.clone();
        let writing = async move {
            // The items stay reserved until the chunk has ended, whoever still waits for it. What its answer needs beyond
            // `WRITE_ANSWER` is given back then.
            let answer = memory.sibling();
            let mut write = pin!(answer.charged(false, sending.of(write)));
            let reply = tokio::select! {
                biased;
                reply = &mut write => reply,
                () = left.cancelled() => {
                    if sending.phase().only_waits() {
                        return under_way.abandon();
                    }
                    sending.give_up();
                    write.await
                }
            };
            if let Err(error) | Ok(WriteReply { refusal: Some(error), .. }) = &reply {
                log(error);
            }
            under_way.settle(reply)
        };
        let writing = self.cut.clone().run_until_cancelled_owned(writing);
        let task: JoinHandle<Option<ChunkOutcome>> = self.writes.spawn(trace::carried(writing));
        async move { task.await.ok().flatten().unwrap_or_else(|| cut_off(&chunk, &progress)) }
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
        // The vendor's own words are final; a proxy's 404 passes, and a request that nobody received may be sent again.
        let refused = results.iter().flatten().any(|result| result.status == ItemStatus::Failed);
        problem.is_final = refused && problem.upstream.is_some();
        return Err(problem);
    }
    let lost = ShortProblem::new(ProblemCode::Internal, "its outcome was lost");
    let unanswered = |index| ItemResult::unconfirmed(index, lost.clone());
    let results: Vec<ItemResult> =
        results.into_iter().enumerate().map(|(index, result)| result.unwrap_or_else(|| unanswered(index))).collect();
    let summary = BatchSummary::of(&results);
    // A source that answered no chunk, or with nothing but doubts, is not well.
    let mut fault = foremost(faults).filter(|_| summary.succeeded == 0).map(|fault| fault.short());
    // What may have been applied is not to be sent again, here as in the items.
    if let Some(fault) = &mut fault {
        fault.retryable &= summary.unconfirmed == 0;
    }
    let status = if fault.is_some() { SourceStatus::Failed } else { SourceStatus::Ok };
    let fetched_at = fault.is_none().then(now);
    let report = SourceReport { source: source.name.clone(), status, fetched_at, problem: fault };
    let meta = Meta { sources: vec![report], warnings: Vec::new() };
    Ok(BatchAnswer { data: BatchResults { results, summary }, meta })
}

async fn send_remarks(
    write: Arc<dyn SetRemarks>,
    sent: Pending<Remark>,
    deadline: Deadline,
) -> Result<WriteReply, UpstreamError> {
    let items: Vec<&Remark> = sent.items.iter().collect();
    write.set_remarks(&items, deadline).await
}

async fn send_follow_ups(
    write: Arc<dyn AddFollowUps>,
    sent: Pending<FollowUp>,
    deadline: Deadline,
) -> Result<WriteReply, UpstreamError> {
    let mut notes = sent.items.iter();
    let mut entries = Vec::with_capacity(sent.chunk.entries.len());
    for entry in &sent.chunk.entries {
        let notes = notes.by_ref().take(entry.items.len()).collect();
        entries.push(FollowUpEntry { staff_id: &entry.key.staff_id, union_id: &entry.key.union_id, notes });
    }
    write.add_follow_ups(&entries, deadline).await
}
