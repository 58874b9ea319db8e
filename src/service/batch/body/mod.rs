//! Reads a batch's body from its bytes into items, and reports every error of it at once (contract §3.5).
//!
//! No tree of the JSON is built: an item is checked as it is read, and what is not an item is counted and skipped.

mod fields;
mod item;
mod list;
mod syntax;
mod time;
mod value;

use serde::de::DeserializeSeed;

use crate::model::{Fault, FollowUp, MAX_BATCH_ITEMS, Problem, ProblemCode, Remark};
use crate::suggest;

use item::{FollowUpDraft, ItemDraft, RemarkDraft};
use list::{Document, ItemList};
use value::{Place, Seen, Value};

/// The longest id, in characters.
const MAX_ID_CHARS: usize = 128;
/// The most errors that are reported: more than a batch of the largest size has if each of its fields is wrong. Only unknown or
/// repeated keys could be more.
const MAX_FAULTS: usize = 10 * MAX_BATCH_ITEMS;
/// The most bytes of JSON of these errors. A batch of the largest size has fewer if each of its fields is wrong in every way, and so
/// have 10,000 short unknown keys.
const MAX_FAULT_BYTES: usize = 1280 * 1024;

/// Parses the body of `/v1/remarks`.
///
/// # Errors
/// `invalid_request` or `payload_too_large` if the body is not JSON or exceeds the limits for JSON, else `validation_failed` with all
/// errors.
pub fn remarks(body: &[u8]) -> Result<Vec<Remark>, Problem> {
    parse::<RemarkDraft>(body)
}

/// Parses the body of `/v1/follow-ups`.
///
/// # Errors
/// As [`remarks`].
pub fn follow_ups(body: &[u8]) -> Result<Vec<FollowUp>, Problem> {
    parse::<FollowUpDraft>(body)
}

fn parse<D: ItemDraft>(body: &[u8]) -> Result<Vec<D::Item>, Problem> {
    let mut seen = Seen::default();
    let mut list = ItemList::<D>::default();
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read =
        Value(Document(&mut list), Place { pointer: String::new(), seen: &mut seen }).deserialize(&mut deserializer);
    let keys =
        read.and_then(|keys| deserializer.end().map(|()| keys)).map_err(|error| syntax::problem(&error, &seen))?;
    let mut faults = Faults::default();
    for pointer in seen.duplicates {
        faults.add(pointer, "duplicate", "is there more than once");
    }
    match keys {
        Some(keys) => {
            faults.unknown_keys("", keys.iter(), &["items"]);
            list.finish(faults)
        }
        None => {
            faults.add(String::new(), "wrong_type", "expected an object with items");
            faults.result(Vec::new())
        }
    }
}

/// The validation errors found so far.
#[derive(Default)]
struct Faults {
    list: Vec<Fault>,
    /// Bytes of the list as JSON.
    bytes: usize,
}

impl Faults {
    fn add(&mut self, pointer: String, code: &'static str, detail: impl Into<String>) {
        self.push(Fault::at(pointer, code, detail));
    }

    fn push(&mut self, fault: Fault) {
        let bytes = self.bytes + fault.json_bytes();
        if self.list.len() < MAX_FAULTS && bytes <= MAX_FAULT_BYTES {
            self.bytes = bytes;
            self.list.push(fault);
        } else {
            // Later ones are left out even if they are smaller.
            self.bytes = MAX_FAULT_BYTES;
        }
    }

    fn is_full(&self) -> bool {
        self.list.len() >= MAX_FAULTS || self.bytes >= MAX_FAULT_BYTES
    }

    /// Reports the keys of an object that are not among `known`.
    fn unknown_keys<'k>(&mut self, pointer: &str, keys: impl Iterator<Item = &'k String>, known: &[&str]) {
        for key in keys.filter(|key| !known.contains(&key.as_str())) {
            // A suggestion costs more than the key, and a body may have very many keys.
            if self.is_full() {
                return;
            }
            let shown: String = key.chars().filter(|c| !c.is_control()).take(MAX_ID_CHARS).collect();
            let place = format!("{pointer}/{}", shown.replace('~', "~0").replace('/', "~1"));
            self.add(place, "unknown", suggest::unknown("field", &shown, known));
        }
    }

    fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    fn append(&mut self, more: Self) {
        more.list.into_iter().for_each(|fault| self.push(fault));
    }

    fn result<T>(self, value: T) -> Result<T, Problem> {
        if self.is_empty() { Ok(value) } else { Err(Problem::faults(ProblemCode::ValidationFailed, self.list)) }
    }
}

#[cfg(test)]
mod tests;
