//! Every parameter and every field of a body, each as bad as it can be: a 4xx that names it, never a 5xx.
//!
//! What there is to be bad is read from the committed document; `parameters` and `fields` say how. A parameter or a
//! field that the document has and no row tells of fails the test, and so does a row of what it no longer has.

mod fields;
mod parameters;
pub mod wild;

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{Gateway, WireReply};

/// The ways to be bad that every row answers for. `Duplicate` and `Unknown` need no row: the test makes them itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Missing,
    WrongType,
    Empty,
    TooLong,
    OutOfRange,
    ControlCharacters,
    InvalidUtf8,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Missing,
        Self::WrongType,
        Self::Empty,
        Self::TooLong,
        Self::OutOfRange,
        Self::ControlCharacters,
        Self::InvalidUtf8,
    ];
}

/// What is put in the place of a good value.
#[derive(Debug, Clone, Copy)]
enum Bad {
    /// These bytes, and the word of the fault that they are.
    Is(&'static [u8], &'static str),
    /// A text so often, and the word.
    Times(&'static str, usize, &'static str),
    /// Nothing can be bad in this way, because …
    Never(&'static str),
    /// It is passed over, bad or not: the answer is a success.
    Ignored(&'static [u8]),
}

impl Bad {
    /// The bytes, and the word where it is refused.
    fn value(self) -> Option<(Vec<u8>, Option<&'static str>)> {
        match self {
            Self::Is(bytes, code) => Some((bytes.to_vec(), Some(code))),
            Self::Times(text, times, code) => Some((text.repeat(times).into_bytes(), Some(code))),
            Self::Ignored(bytes) => Some((bytes.to_vec(), None)),
            Self::Never(why) => {
                assert!(!why.is_empty());
                None
            }
        }
    }
}

/// What a row says of each kind, in the order of [`Kind::ALL`].
type Ways = [Bad; Kind::ALL.len()];

/// The document as it is committed.
fn document() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The operations of the document: `get /v1/me` and what is said of it.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let items = document["paths"].as_object().unwrap().iter();
    let operations = items.flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| (method.as_str(), path.as_str(), operation))
    });
    operations.collect()
}

/// What a refusal names: parameters and places, with the word of the fault.
fn named(problem: &Value) -> BTreeSet<(String, String)> {
    let errors = problem["errors"].as_array().unwrap().iter();
    let named = errors.map(|error| {
        let place = error["parameter"].as_str().or(error["pointer"].as_str()).unwrap();
        (place.to_owned(), error["code"].as_str().unwrap().to_owned())
    });
    named.collect()
}

/// The answer is a problem of the caller's, and names this place alone, with this word.
#[track_caller]
fn refused(what: &str, reply: Option<&WireReply>, place: &str, code: &str) {
    let reply = reply.unwrap_or_else(|| panic!("{what}: the connection was closed"));
    assert!((400..500).contains(&reply.status), "{what}: {} {}", reply.status, reply.body);
    let named = named(&reply.problem());
    assert_eq!(named, BTreeSet::from([(place.to_owned(), code.to_owned())]), "{what}: {}", reply.body);
}

/// None of it was sent on to a source.
#[track_caller]
fn nothing_was_written(gateway: &Gateway) {
    let state = gateway.sandbox.state();
    assert!(state.applied_remarks().is_empty() && state.applied_follow_ups().is_empty());
}
