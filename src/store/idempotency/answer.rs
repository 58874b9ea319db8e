//! The first answer under a key, in the least memory from which it can be given again.

use jiff::Timestamp;

use crate::model::{
    BatchAnswer, BatchResults, BatchSummary, ItemResult, ItemStatus, Meta, Problem, ShortProblem, SourceName,
    SourceReport, SourceStatus,
};
use crate::store::weigh::{Weigh, block};

/// The first answer.
#[derive(Debug, Clone)]
pub enum FirstAnswer {
    Success(StoredAnswer),
    Refusal(Box<Problem>),
}

/// The answer to a batch, without its repetitions.
#[derive(Debug, Clone)]
pub struct StoredAnswer(Form);

#[derive(Debug, Clone)]
enum Form {
    /// Every item succeeded, and there is nothing else to report.
    Succeeded {
        items: usize,
        source: SourceName,
        fetched_at: Timestamp,
    },
    Mixed(Box<Mixed>),
}

#[derive(Debug, Clone)]
struct Mixed {
    runs: Box<[Run]>,
    /// Each problem once.
    problems: Box<[ShortProblem]>,
    meta: Meta,
}

/// Items in a row with the same status and problem.
#[derive(Debug, Clone, Copy)]
struct Run {
    status: ItemStatus,
    /// An index into the problems.
    problem: Option<u32>,
    items: u32,
}

impl StoredAnswer {
    pub fn new(answer: &BatchAnswer) -> Self {
        let BatchAnswer { data: BatchResults { results, summary }, meta } = answer;
        if let [report] = meta.sources.as_slice()
            && let SourceReport { source, status: SourceStatus::Ok, fetched_at: Some(fetched_at), problem: None } =
                report
            && meta.warnings.is_empty()
            && summary.succeeded == results.len()
            && results.iter().all(|result| result.problem.is_none())
        {
            let (source, fetched_at) = (source.clone(), *fetched_at);
            return Self(Form::Succeeded { items: results.len(), source, fetched_at });
        }
        let mut runs: Vec<Run> = Vec::new();
        let mut problems: Vec<ShortProblem> = Vec::new();
        for ItemResult { status, problem, .. } in results {
            let problem = problem.as_ref().map(|problem| {
                // Items that follow each other mostly share their problem, so the last one is looked at first.
                let known = problems.iter().rposition(|known| known == problem).unwrap_or_else(|| {
                    problems.push(problem.clone());
                    problems.len() - 1
                });
                u32::try_from(known).unwrap_or(u32::MAX)
            });
            match runs.last_mut() {
                Some(run) if run.status == *status && run.problem == problem => run.items += 1,
                _ => runs.push(Run { status: *status, problem, items: 1 }),
            }
        }
        Self(Form::Mixed(Box::new(Mixed { runs: runs.into(), problems: problems.into(), meta: meta.clone() })))
    }

    /// The answer as it was given.
    pub fn restore(&self) -> BatchAnswer {
        let (results, meta) = match &self.0 {
            Form::Succeeded { items, source, fetched_at } => {
                let succeeded = |index| ItemResult { index, status: ItemStatus::Succeeded, problem: None };
                let (source, fetched_at) = (source.clone(), Some(*fetched_at));
                let report = SourceReport { source, status: SourceStatus::Ok, fetched_at, problem: None };
                let meta = Meta { sources: vec![report], warnings: Vec::new() };
                ((0..*items).map(succeeded).collect(), meta)
            }
            Form::Mixed(mixed) => (mixed.results(), mixed.meta.clone()),
        };
        let results: Vec<ItemResult> = results;
        let summary = BatchSummary::of(&results);
        BatchAnswer { data: BatchResults { results, summary }, meta }
    }
}

impl Mixed {
    fn results(&self) -> Vec<ItemResult> {
        let mut results = Vec::new();
        for run in &self.runs {
            let problem = run.problem.and_then(|index| self.problems.get(index as usize));
            for _ in 0..run.items {
                results.push(ItemResult { index: results.len(), status: run.status, problem: problem.cloned() });
            }
        }
        results
    }
}

impl Weigh for FirstAnswer {
    fn heap_bytes(&self) -> usize {
        match self {
            Self::Success(answer) => answer.heap_bytes(),
            Self::Refusal(problem) => problem.heap_bytes(),
        }
    }
}

impl Weigh for StoredAnswer {
    fn heap_bytes(&self) -> usize {
        match &self.0 {
            Form::Succeeded { .. } => 0,
            Form::Mixed(mixed) => mixed.heap_bytes(),
        }
    }
}

impl Weigh for Mixed {
    fn heap_bytes(&self) -> usize {
        let Self { runs, problems, meta } = self;
        block(size_of_val::<[Run]>(runs)) + problems.heap_bytes() + meta.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::model::{ProblemCode, UpstreamReply};

    use super::*;

    fn result() -> impl Strategy<Value = (ItemStatus, Option<ShortProblem>)> {
        use ItemStatus::{Failed, NotSent, Succeeded, Unconfirmed};
        let status = prop::sample::select(vec![Succeeded, Failed, NotSent, Unconfirmed]);
        let problem = prop::option::of(("[ab]", prop::option::of("[xy]")).prop_map(|(detail, code)| {
            let upstream = code.map(|code| UpstreamReply { code, message: "系统说不".to_owned() });
            ShortProblem { upstream, ..ShortProblem::new(ProblemCode::ValidationFailed, detail) }
        }));
        (status, problem)
    }

    fn answer(results: Vec<(ItemStatus, Option<ShortProblem>)>, failed: bool) -> BatchAnswer {
        let result = |(index, (status, problem))| ItemResult { index, status, problem };
        let results: Vec<_> = results.into_iter().enumerate().map(result).collect();
        let summary = BatchSummary::of(&results);
        let report = SourceReport {
            source: "juzibot".parse().unwrap(),
            status: if failed { SourceStatus::Failed } else { SourceStatus::Ok },
            fetched_at: (!failed).then_some(Timestamp::UNIX_EPOCH),
            problem: failed.then(|| ShortProblem::new(ProblemCode::SourceTimeout, "late")),
        };
        let meta = Meta { sources: vec![report], warnings: Vec::new() };
        BatchAnswer { data: BatchResults { results, summary }, meta }
    }

    proptest! {
        #[test]
        fn restored_answer_is_the_first_one_byte_for_byte(
            results in prop::collection::vec(result(), 1..60),
            all_succeeded in any::<bool>(),
            failed in any::<bool>(),
        ) {
            let succeeded = |(status, problem)| if all_succeeded { (ItemStatus::Succeeded, None) } else { (status, problem) };
            let answer = answer(results.into_iter().map(succeeded).collect(), failed);
            let restored = StoredAnswer::new(&answer).restore();
            prop_assert_eq!(serde_json::to_string(&restored).unwrap(), serde_json::to_string(&answer).unwrap());
        }
    }

    #[test]
    fn bytes_grow_with_what_differs() {
        let problem = |detail: &str| Some(ShortProblem::new(ProblemCode::ValidationFailed, detail));
        let bytes = |results| StoredAnswer::new(&answer(results, false)).heap_bytes();
        assert_eq!(bytes(vec![(ItemStatus::Succeeded, None); 1_000]), 0);
        let alike = bytes(vec![(ItemStatus::Failed, problem("no")); 1_000]);
        assert!((100..500).contains(&alike), "{alike}");
        let different = bytes((0..1_000).map(|n| (ItemStatus::Failed, problem(&format!("no {n}")))).collect());
        assert!((100_000..200_000).contains(&different), "{different}");
    }
}
