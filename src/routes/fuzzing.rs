//! For the fuzzer: queries and bodies as anybody may send them.

use serde_json::Value;

use crate::model::{Fault, Problem, ProblemCode};
use crate::service::batch::validate;
use crate::service::lists::{ListQuery, MAX_LIMIT};

use super::customers::DetailParams;
use super::extract::{NoQuery, body, params};

/// The queries of all routes.
pub fn query(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let is_id = |id: &String| (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    match params::parse::<ListQuery>(&text) {
        Ok(list) => {
            assert!(list.limit.is_none_or(|limit| (1..=MAX_LIMIT).contains(&limit)));
            assert!(list.staff_id.as_ref().is_none_or(is_id));
        }
        Err(problem) => check(&problem, ProblemCode::InvalidRequest),
    }
    if let Err(problem) = params::parse::<DetailParams>(&text) {
        check(&problem, ProblemCode::InvalidRequest);
    }
    if params::parse::<NoQuery>(&text).is_ok() {
        assert!(text.split('&').all(str::is_empty), "a route without parameters takes one");
    }
}

/// The body of `/v1/remarks`.
pub fn remarks(data: &[u8]) {
    let Some((value, duplicates)) = parsed(data) else { return };
    match validate::remarks(&value, duplicates) {
        Ok(items) => {
            assert_eq!(Some(items.len()), value["items"].as_array().map(Vec::len), "nothing is lost");
            for item in items {
                let chars = |text: &Option<String>| text.as_ref().map_or(0, |text| text.chars().count());
                assert!(chars(&item.remark) <= 20 && chars(&item.description) <= 150);
                assert!(chars(&item.remark) + chars(&item.description) > 0);
            }
        }
        Err(problem) => check(&problem, ProblemCode::ValidationFailed),
    }
}

/// The body of `/v1/follow-ups`.
pub fn follow_ups(data: &[u8]) {
    let Some((value, duplicates)) = parsed(data) else { return };
    match validate::follow_ups(&value, duplicates) {
        Ok(items) => {
            assert_eq!(Some(items.len()), value["items"].as_array().map(Vec::len), "nothing is lost");
            assert!(items.iter().all(|item| !item.content.is_empty()));
        }
        Err(problem) => check(&problem, ProblemCode::ValidationFailed),
    }
}

fn parsed(data: &[u8]) -> Option<(Value, Vec<String>)> {
    match body::parse(data) {
        Ok(parsed) => Some(parsed),
        Err(problem) => {
            assert!(matches!(problem.code, ProblemCode::InvalidRequest | ProblemCode::PayloadTooLarge));
            None
        }
    }
}

/// A refusal names what is wrong, within bounds, and can be written.
fn check(problem: &Problem, code: ProblemCode) {
    assert_eq!(problem.code, code);
    assert!((1..=10_000).contains(&problem.errors.len()));
    let echoed = |fault: &Fault| fault.pointer.as_ref().or(fault.parameter.as_ref()).map_or(0, String::len);
    assert!(problem.errors.iter().all(|fault| echoed(fault) <= 1_024), "a fault echoes too much");
    assert!(serde_json::to_vec(problem).is_ok());
}
