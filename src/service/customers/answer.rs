//! From what the sources answered to what the caller gets (contract §3.3).

use std::sync::Arc;

use crate::model::{
    CustomerAnswer, Meta, Problem, ProblemCode, SourceReport, SourceStatus, SourcedCustomer, Warning, WarningCode,
};
use crate::service::details::Outcome;
use crate::service::failure::foremost;
use crate::service::identity::Identity;
use crate::service::merge;
use crate::upstream::{Failure, UpstreamError};

use super::{Detail, DetailQuery, OnPartial, Part, PartState};

/// Turns records whose union id contradicts that of an earlier source into failures, with a warning each.
pub(super) fn reject_other_people(parts: &mut [Part], query: &DetailQuery) -> Vec<Warning> {
    let mut identity = Identity::of_query(&query.id);
    let mut rejected = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let PartState::Answered(looked) = &part.state else { continue };
        let Some(record) = looked.outcome.record() else { continue };
        let accepted = identity.accept(&part.source.name, &part.id, record.customer.union_id.as_deref());
        rejected.extend(accepted.err().map(|why| (index, why)));
    }
    let warning = |(index, why): (usize, String)| {
        let Part { source, state, .. } = &mut parts[index];
        let detail = format!("the record of source {} was left out: {why}", source.name);
        if let PartState::Answered(looked) = state {
            looked.outcome = Outcome::Failed(Arc::new(UpstreamError::new(&source.name, Failure::BadData(why))));
        }
        let pointer = Some(format!("/meta/sources/{index}"));
        Warning { code: WarningCode::IdentityMismatch, source: source.name.clone(), pointer, detail }
    };
    rejected.into_iter().map(warning).collect()
}

/// The decision table of contract §3.3. `mismatches` are warnings about sources; their pointers are from the answer's root.
pub(super) fn conclude(parts: &[Part], query: &DetailQuery, mismatches: Vec<Warning>) -> Result<Detail, Problem> {
    let mut reports = Vec::with_capacity(parts.len());
    let mut failures = Vec::new();
    let mut found = Vec::new();
    let mut cache = Vec::new();
    for part in parts {
        let name = part.source.name.clone();
        let (status, fetched_at, problem) = match &part.state {
            PartState::Answered(looked) => {
                cache.push((name.clone(), looked.cache));
                match &looked.outcome {
                    Outcome::Found(record) => {
                        found.push(record.clone());
                        (SourceStatus::Ok, looked.fetched_at, None)
                    }
                    Outcome::Stale(record, error) => {
                        found.push(record.clone());
                        (SourceStatus::Stale, looked.fetched_at, Some(Problem::from(error.as_ref()).short()))
                    }
                    Outcome::NotFound => (SourceStatus::NotFound, looked.fetched_at, None),
                    Outcome::Failed(error) => {
                        let problem = Problem::from(error.as_ref());
                        let short = problem.short();
                        failures.push(problem);
                        (SourceStatus::Failed, None, Some(short))
                    }
                }
            }
            PartState::Skipped(why) => (SourceStatus::Skipped, None, Some(why.clone())),
            PartState::Asked(..) | PartState::NeedsExternalUserId(_) => (SourceStatus::Skipped, None, None),
        };
        reports.push(SourceReport { source: name, status, fetched_at, problem });
    }
    let asked_any = reports.iter().any(|report| report.status != SourceStatus::Skipped);
    let must_fail = found.is_empty() || query.on_partial == OnPartial::Fail;
    if must_fail && let Some(problem) = foremost(failures) {
        return Err(problem);
    }
    let records = found.into_iter().map(|record| SourcedCustomer::clone(&record));
    let Some(mut merged) = merge::merge(records) else {
        return Err(if asked_any {
            Problem::new(ProblemCode::NotFound, "no asked source knows this customer")
        } else {
            not_offered(&reports)
        });
    };
    if let Some(staff_id) = &query.staff_id {
        merge::narrow_to_staff(&mut merged, staff_id);
    }
    let SourcedCustomer { customer, mut warnings } = merged;
    for warning in &mut warnings {
        warning.pointer = warning.pointer.take().map(|pointer| format!("/data{pointer}"));
    }
    warnings.extend(mismatches);
    let answer = CustomerAnswer { data: customer, meta: Meta { sources: reports, warnings } };
    Ok(Detail { answer, cache })
}

fn not_offered(reports: &[SourceReport]) -> Problem {
    let reasons: Vec<String> = reports
        .iter()
        .filter_map(|report| Some(format!("{}: {}", report.source, report.problem.as_ref()?.detail)))
        .collect();
    let detail = if reasons.is_empty() { "no source is visible".to_owned() } else { reasons.join("; ") };
    Problem::new(ProblemCode::NotOffered, detail)
}
