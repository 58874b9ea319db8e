//! The answers that clients got, counted by status and problem code.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use crate::client::Reply;

/// A connection that was closed without an answer, or in the middle of one.
pub const CLOSED: &str = "closed";
/// No answer within the client's own limit of time.
pub const SILENCE: &str = "no answer";

/// A tally that tasks share.
#[derive(Debug, Clone, Default)]
pub struct Answers(Arc<Mutex<BTreeMap<String, u64>>>);

impl Answers {
    pub fn add(&self, outcome: &str) {
        *self.0.lock().unwrap().entry(outcome.to_owned()).or_default() += 1;
    }

    pub fn add_reply(&self, reply: &Reply) {
        match reply.code() {
            Some(code) if reply.status >= 400 => self.add(&format!("{} {code}", reply.status)),
            _ => self.add(&reply.status.to_string()),
        }
    }

    pub fn count(&self, outcome: &str) -> u64 {
        self.0.lock().unwrap().get(outcome).copied().unwrap_or_default()
    }

    /// The outcomes that `expected` refuses, with their counts.
    pub fn except(&self, expected: impl Fn(&str) -> bool) -> Vec<String> {
        let tally = self.0.lock().unwrap();
        tally
            .iter()
            .filter(|(outcome, _)| !expected(outcome))
            .map(|(outcome, count)| format!("{outcome}: {count}"))
            .collect()
    }
}

impl fmt::Display for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.except(|_| false);
        f.write_str(if all.is_empty() { "none".to_owned() } else { all.join(", ") }.as_str())
    }
}
