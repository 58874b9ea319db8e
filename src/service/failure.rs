//! From what went wrong with a source to what the caller is told: the one place.

use std::time::Duration;

use crate::model::{Problem, ProblemCode};
use crate::upstream::{ClockRefused, CodeClass, Failure, UpstreamError};

/// What a 503 asks a caller to wait where the source named no time.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

impl From<&UpstreamError> for Problem {
    fn from(error: &UpstreamError) -> Self {
        let detail = match &error.failure {
            Failure::Refused { class, status, reply } => match error.clock {
                Some(refused) => clock(refused),
                None => refused(*class, *status, reply.is_some()),
            },
            Failure::BadPayload(what) | Failure::TooLarge(what) => format!("its answer is unreadable: {what}"),
            Failure::BadData(why) => format!("its answer cannot be used: {why}"),
            Failure::Unreachable => "it cannot be reached".to_owned(),
            Failure::ConnectionLost => "the connection broke".to_owned(),
            Failure::TimedOut { phase, .. } => {
                format!("it did not answer in time: its time went by {}", phase.as_str())
            }
            Failure::DeadlinePassed { phase, .. } => format!("the deadline passed while {}", phase.as_str()),
            Failure::QuotaSpent => "its quota leaves no room before the deadline".to_owned(),
            Failure::CircuitOpen => "it has failed lately and is not asked for now".to_owned(),
            Failure::Busy => "it takes no more calls at once".to_owned(),
            Failure::Overloaded(resource) => format!("the gateway has no {resource} left to call it with"),
        };
        let mut problem = Self::new(error.code(), format!("source {}: {detail}", error.name));
        problem.source = Some(error.name.clone());
        if let Failure::Refused { reply, .. } = &error.failure {
            problem.upstream.clone_from(reply);
        }
        if problem.status == 503 {
            problem.retry_after = Some(error.retry_after.unwrap_or(DEFAULT_RETRY_AFTER));
        }
        problem
    }
}

fn clock(refused: ClockRefused) -> String {
    let Some(ahead) = refused.ahead else {
        return "it refused the gateway's clock, and told none of its own".to_owned();
    };
    let side = if ahead.is_negative() { "behind" } else { "ahead of" };
    format!("it refused the gateway's clock, which is {} s {side} the source's", ahead.as_secs().unsigned_abs())
}

fn refused(class: CodeClass, status: u16, spoke: bool) -> String {
    let what = match class {
        CodeClass::NotFound => "it does not know the customer",
        CodeClass::Credentials => "it refused the gateway's credentials",
        CodeClass::RateLimited => "its own limit is reached",
        CodeClass::Retryable => "it says that it cannot serve now",
        CodeClass::Invalid => "it refused the values",
        CodeClass::Rejected if spoke => "it answered with a code that no table knows",
        CodeClass::Rejected => "it answered with an unexpected status",
    };
    if (200..300).contains(&status) { what.to_owned() } else { format!("{what} (HTTP {status})") }
}

/// Of several failures, the one that is told: the one that says most about what to do (contract §3.3).
pub(crate) fn foremost(problems: impl IntoIterator<Item = Problem>) -> Option<Problem> {
    use ProblemCode as C;
    const ORDER: [ProblemCode; 9] = [
        C::ValidationFailed,
        C::SourceCredentials,
        C::SourceRejected,
        C::SourceBadData,
        C::SourceBadPayload,
        C::SourceUnavailable,
        C::SourceRateLimited,
        C::Overloaded,
        C::SourceTimeout,
    ];
    let rank = |problem: &Problem| ORDER.iter().position(|code| *code == problem.code).unwrap_or(ORDER.len());
    problems.into_iter().min_by_key(rank)
}

/// Writes a source's failure to the log, with its causes; they hold no URL and no credential.
pub fn log(error: &UpstreamError) {
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let causes: Vec<String> = causes.map(ToString::to_string).collect();
    let (class, status, reply) = match &error.failure {
        Failure::Refused { class, status, reply } => (Some(class.as_str()), Some(*status), reply.as_ref()),
        _ => (None, None, None),
    };
    let (phase, detail) = match &error.failure {
        Failure::TimedOut { phase, .. } | Failure::DeadlinePassed { phase, .. } => (Some(phase.as_str()), None),
        Failure::BadPayload(detail) | Failure::TooLarge(detail) | Failure::BadData(detail) => {
            (None, Some(detail.as_str()))
        }
        Failure::Overloaded(resource) => (None, Some(*resource)),
        _ => (None, None),
    };
    tracing::warn!(
        source = error.name.as_str(),
        code = error.code().as_str(),
        failure = kind(&error.failure),
        class,
        status,
        source_code = reply.map(|reply| reply.code.as_str()),
        phase,
        detail,
        clock_ahead_seconds = error.clock.and_then(|clock| clock.ahead).map(|ahead| ahead.as_secs()),
        causes = (!causes.is_empty()).then(|| causes.join(": ")),
        "a source failed"
    );
}

/// A failure's kind as a stable value for the log.
fn kind(failure: &Failure) -> &'static str {
    match failure {
        Failure::Refused { .. } => "refused",
        Failure::BadPayload(_) => "unreadable_answer",
        Failure::TooLarge(_) => "answer_too_large",
        Failure::BadData(_) => "unusable_data",
        Failure::Unreachable => "unreachable",
        Failure::ConnectionLost => "connection_lost",
        Failure::TimedOut { .. } => "timed_out",
        Failure::DeadlinePassed { .. } => "deadline_passed",
        Failure::Busy => "busy",
        Failure::QuotaSpent => "quota_spent",
        Failure::CircuitOpen => "breaker_open",
        Failure::Overloaded(_) => "overloaded",
    }
}
