//! Holds what a batch was told against what the simulated source did.

use std::collections::HashMap;
use std::sync::Arc;

use scrm_gateway::sandbox::State;
use serde_json::Value;

/// How often each text took effect. The texts of a test's items are all different.
pub struct Applied(HashMap<String, usize>);

impl Applied {
    pub fn of(state: &Arc<State>) -> Self {
        let remarks = state.applied_remarks().into_iter().filter_map(|remark| remark.remark);
        let follow_ups = state.applied_follow_ups().into_iter().map(|note| note.content);
        let mut counts = HashMap::new();
        for text in remarks.chain(follow_ups) {
            *counts.entry(text).or_default() += 1;
        }
        Self(counts)
    }

    pub fn times(&self, text: &str) -> usize {
        self.0.get(text).copied().unwrap_or_default()
    }
}

/// What each item of a batch was said to be. Every item has exactly one result, in its place, and the summary counts them.
///
/// A problem for the whole says of every item that it did not take effect: `None`.
pub fn statuses(status: u16, body: &Value, items: usize) -> Result<Option<Vec<String>>, String> {
    if status != 200 {
        return if body["code"] == "internal" { Err(format!("a fault of ours: {body}")) } else { Ok(None) };
    }
    let results = body["data"]["results"].as_array().ok_or("no results")?;
    if results.len() != items {
        return Err(format!("{} results of {items} items", results.len()));
    }
    let mut counts: HashMap<&str, u64> =
        ["succeeded", "failed", "not_sent", "unconfirmed"].map(|word| (word, 0)).into();
    let mut words = Vec::with_capacity(items);
    for (index, result) in results.iter().enumerate() {
        let word = result["status"].as_str().unwrap_or_default();
        let count = counts.get_mut(word).ok_or_else(|| format!("no such status: {result}"))?;
        *count += 1;
        let why = &result["problem"];
        if result["index"] != index || why.is_null() != (word == "succeeded") || why["code"] == "internal" {
            return Err(format!("item {index}: {result}"));
        }
        words.push(word.to_owned());
    }
    match counts.iter().find(|(word, count)| body["data"]["summary"][**word] != **count) {
        Some((word, count)) => Err(format!("{count} {word}, but {}", body["data"]["summary"])),
        None => Ok(Some(words)),
    }
}

/// Whether an item was told the truth: what took effect is `succeeded` or `unconfirmed` and did so once; what did not is
/// never `succeeded`. `None` stands for a problem for the whole batch.
pub fn is_true(told: Option<&str>, times: usize) -> bool {
    match told {
        Some("succeeded") => times == 1,
        Some("unconfirmed") => times <= 1,
        _ => times == 0,
    }
}
