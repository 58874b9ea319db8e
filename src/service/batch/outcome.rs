//! What a source's answer to one chunk means for each item (the table of contract §3.5).

use std::collections::{HashMap, HashSet};

use crate::model::{ItemResult, ItemStatus, Problem, ProblemCode, ShortProblem};
use crate::service::audit::Written;
use crate::upstream::{CodeClass, FailedEntry, Failure, UpstreamError, WriteReply};

use super::chunk::{Chunk, Entry};

/// What the source matches its list of failures by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EntryKey {
    pub staff_id: String,
    pub union_id: String,
}

impl EntryKey {
    pub fn new(staff_id: &str, union_id: &str) -> Self {
        Self { staff_id: staff_id.to_owned(), union_id: union_id.to_owned() }
    }
}

/// The results of one chunk.
pub struct ChunkOutcome {
    pub results: Vec<ItemResult>,
    /// The problem of the chunk as a whole, where all of it was refused or nothing of it was sent.
    pub whole: Option<Problem>,
    /// What went wrong with the chunk, whatever that means for its items.
    pub fault: Option<Problem>,
    /// Why no further chunk is worth sending.
    pub stop: Option<Problem>,
}

impl ChunkOutcome {
    /// What became of each customer, in the order of the chunk.
    pub fn written<'a>(&self, chunk: &'a Chunk) -> Vec<Written<'a>> {
        let statuses: HashMap<usize, ItemStatus> =
            self.results.iter().map(|result| (result.index, result.status)).collect();
        let written = |entry: &'a Entry| {
            // All items of an entry share its fate.
            let status = entry.items.first().and_then(|index| statuses.get(index).copied());
            let EntryKey { staff_id, union_id } = &entry.key;
            status.map(|status| Written { staff_id, union_id, status, items: entry.items.len() })
        };
        chunk.entries.iter().filter_map(written).collect()
    }

    /// The customers that the chunk has changed or may have changed.
    pub fn touched<'a>(&'a self, chunk: &'a Chunk) -> impl Iterator<Item = &'a str> {
        let touched = |index: &usize| {
            self.results.iter().any(|result| {
                result.index == *index && matches!(result.status, ItemStatus::Succeeded | ItemStatus::Unconfirmed)
            })
        };
        chunk
            .entries
            .iter()
            .filter(move |entry| entry.items.iter().any(touched))
            .map(|entry| entry.key.union_id.as_str())
    }
}

/// Judges every item of a chunk by what the source answered.
pub fn judge(chunk: &Chunk, reply: Result<WriteReply, UpstreamError>) -> ChunkOutcome {
    match reply {
        Err(error) => judge_failure(chunk, &error),
        Ok(WriteReply { refusal: Some(error), failed }) if failed.is_empty() => judge_failure(chunk, &error),
        Ok(WriteReply { refusal, failed }) => judge_list(chunk, refusal.as_ref(), &failed),
    }
}

/// The outcome of a chunk whose task was lost.
pub fn unknown(chunk: &Chunk) -> ChunkOutcome {
    let problem = ShortProblem::new(ProblemCode::Internal, "its outcome was lost");
    ChunkOutcome { results: all(chunk, ItemStatus::Unconfirmed, Some(&problem)), whole: None, fault: None, stop: None }
}

/// The outcome of a chunk that was not sent, because of what stopped the batch.
pub fn not_sent(chunk: &Chunk, why: Option<&Problem>) -> ChunkOutcome {
    let results = all(chunk, ItemStatus::NotSent, why.map(Problem::short).as_ref());
    ChunkOutcome { results, whole: why.cloned(), fault: None, stop: None }
}

fn judge_failure(chunk: &Chunk, error: &UpstreamError) -> ChunkOutcome {
    let problem = Problem::from(error);
    let status = if error.nothing_sent() {
        ItemStatus::NotSent
    } else if is_refusal(&error.failure) {
        ItemStatus::Failed
    } else {
        ItemStatus::Unconfirmed
    };
    ChunkOutcome {
        results: all(chunk, status, Some(&problem.short())),
        stop: stops_the_batch(&problem),
        fault: Some(problem.clone()),
        whole: (status != ItemStatus::Unconfirmed).then_some(problem),
    }
}

/// Whether the source certainly applied nothing: a decoded refusal of the kinds that are one, or an HTTP 4xx.
///
/// Not 408: a proxy that timed out may have forwarded the request. Not a redirect: some are sent after the work was done (303).
fn is_refusal(failure: &Failure) -> bool {
    const REQUEST_TIMEOUT: u16 = 408;
    let Failure::Refused { class, status, .. } = failure else {
        return false;
    };
    ((400..500).contains(status) && *status != REQUEST_TIMEOUT)
        || ((200..300).contains(status)
            && matches!(class, CodeClass::Credentials | CodeClass::RateLimited | CodeClass::Invalid))
}

/// The source listed failures: success for the rest, unless its code or an entry that matches nothing leaves a doubt.
fn judge_list(chunk: &Chunk, refusal: Option<&UpstreamError>, failed: &[FailedEntry]) -> ChunkOutcome {
    let mut listed: HashMap<EntryKey, &FailedEntry> = HashMap::new();
    for entry in failed {
        if let (Some(staff_id), Some(union_id)) = (&entry.staff_id, &entry.union_id) {
            listed.entry(EntryKey::new(staff_id, union_id)).or_insert(entry);
        }
    }
    let sent: HashSet<&EntryKey> = chunk.entries.iter().map(|entry| &entry.key).collect();
    let stray = failed.iter().any(|entry| entry.staff_id.is_none() || entry.union_id.is_none())
        || !listed.keys().all(|key| sent.contains(key));
    let doubt = match refusal {
        Some(error) => Some(Problem::from(error).short()),
        None if stray => Some(ShortProblem::new(
            ProblemCode::SourceBadData,
            "the source lists a failure that matches nothing that was sent",
        )),
        None => None,
    };
    let mut results = Vec::new();
    for entry in &chunk.entries {
        let (status, problem) = match (listed.get(&entry.key), &doubt) {
            (Some(failure), _) => (ItemStatus::Failed, Some(refused(failure))),
            (None, Some(doubt)) => (ItemStatus::Unconfirmed, Some(doubt.clone())),
            (None, None) => (ItemStatus::Succeeded, None),
        };
        results.extend(entry.items.iter().map(|index| ItemResult::new(*index, status, problem.clone())));
    }
    let fault = refusal.map(Problem::from);
    let stop = fault.as_ref().and_then(stops_the_batch);
    ChunkOutcome { results, whole: None, fault, stop }
}

/// Refused credentials will be refused again.
fn stops_the_batch(problem: &Problem) -> Option<Problem> {
    (problem.code == ProblemCode::SourceCredentials).then(|| problem.clone())
}

fn refused(entry: &FailedEntry) -> ShortProblem {
    let problem = ShortProblem::new(ProblemCode::ValidationFailed, "the source refused the item");
    ShortProblem { upstream: entry.reply.clone(), ..problem }
}

fn all(chunk: &Chunk, status: ItemStatus, problem: Option<&ShortProblem>) -> Vec<ItemResult> {
    let indices = chunk.entries.iter().flat_map(|entry| &entry.items);
    indices.map(|index| ItemResult::new(*index, status, problem.cloned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_shortage_leaves_items_not_sent_and_retryable() {
        let entry = Entry { key: EntryKey::new("s", "u"), items: vec![0, 1] };
        let chunk = Chunk { entries: vec![entry] };
        let error = UpstreamError::new(&"a".parse().unwrap(), Failure::Overloaded("memory"));
        let outcome = judge(&chunk, Err(error));
        assert_eq!(outcome.results.len(), 2);
        for result in outcome.results {
            assert_eq!(result.status, ItemStatus::NotSent);
            let problem = result.problem.unwrap();
            assert_eq!((problem.code, problem.retryable), (ProblemCode::Overloaded, true));
        }
        assert!(outcome.stop.is_none(), "the next chunk may find room");
    }
}
