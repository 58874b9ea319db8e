//! Problems of bodies that are not JSON, or that exceed the limits for JSON.

use crate::model::{Problem, ProblemCode};

use super::value::{MAX_VALUES, Seen};

/// Returns the problem of a body that the JSON parser refused.
pub(super) fn problem(error: &serde_json::Error, seen: &Seen) -> Problem {
    if seen.values > MAX_VALUES {
        let detail = format!("the body holds more than {MAX_VALUES} values");
        return Problem::new(ProblemCode::PayloadTooLarge, detail);
    }
    let what = beyond_limits(error).unwrap_or("is no JSON");
    let detail = format!("the body {what}, at line {}, column {}", error.line(), error.column());
    Problem::new(ProblemCode::InvalidRequest, detail)
}

/// Recognises JSON that is valid but exceeds a limit of the parser (RFC 8259 §9 allows limits). The parser reports these by its
/// message alone; a test depends on the messages.
fn beyond_limits(error: &serde_json::Error) -> Option<&'static str> {
    let message = error.to_string();
    let known = [
        ("recursion limit exceeded", "has more than 127 levels of lists and objects"),
        ("number out of range", "holds a number that is too large"),
    ];
    known.into_iter().find_map(|(start, what)| message.starts_with(start).then_some(what))
}
