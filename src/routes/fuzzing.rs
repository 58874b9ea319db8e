//! For the fuzzer: queries and bodies as anybody may send them.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::model::{Fault, Problem, ProblemCode};
use crate::service::batch;
use crate::service::lists::{ListQuery, MAX_LIMIT};

use super::customers::DetailParams;
use super::extract::{NoQuery, params};

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
    let Some(items) = parsed(data, batch::body::remarks(data)) else { return };
    for item in items {
        let chars = |text: &Option<String>| text.as_ref().map_or(0, |text| text.chars().count());
        assert!(chars(&item.remark) <= 20 && chars(&item.description) <= 150);
        assert!(chars(&item.remark) + chars(&item.description) > 0);
    }
}

/// The body of `/v1/follow-ups`.
pub fn follow_ups(data: &[u8]) {
    let Some(items) = parsed(data, batch::body::follow_ups(data)) else { return };
    assert!(items.iter().all(|item| (1..=10_000).contains(&item.content.chars().count())));
}

/// Returns the items, after a check that the body is JSON and that no item is lost or changed.
fn parsed<T: Serialize>(data: &[u8], result: Result<Vec<T>, Problem>) -> Option<Vec<T>> {
    match result {
        Ok(items) => {
            let body: Value = serde_json::from_slice(data).expect("an accepted body is JSON");
            let mut accepted = serde_json::json!({ "items": items });
            // A time may be spelled in several ways.
            let times = |body: &Value| {
                let items = body["items"].as_array().into_iter().flatten();
                let time = |item: &Value| item["occurred_at"].as_str().map(|time| time.parse::<Timestamp>().ok());
                items.map(time).collect::<Vec<_>>()
            };
            assert_eq!(times(&accepted), times(&body), "a time is changed");
            for (item, sent) in accepted["items"].as_array_mut().into_iter().flatten().zip(0..) {
                if let Some(time) = item.get_mut("occurred_at") {
                    *time = body["items"][sent]["occurred_at"].clone();
                }
            }
            assert_eq!(accepted, body, "an item is changed");
            Some(items)
        }
        Err(problem) => {
            match problem.code {
                ProblemCode::InvalidRequest | ProblemCode::PayloadTooLarge => {}
                _ => check(&problem, ProblemCode::ValidationFailed),
            }
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
