//! Query and path parameters: unknown, repeated, undecodable and bad ones are refused, all at once.

use std::collections::BTreeMap;

use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use percent_encoding::percent_decode;

use crate::model::{Fault, Problem, ProblemCode};
use crate::suggest;

/// The longest id, in characters.
const MAX_ID_CHARS: usize = 128;
/// Faults that are listed at most; a query may hold any number.
const MAX_FAULTS: usize = 100;

/// The query's parameters of one route.
pub trait QueryParams: Sized {
    /// Every parameter that there is.
    const NAMES: &'static [&'static str];

    fn read(reader: &mut ParamReader) -> Self;
}

/// The query of a route that has none.
pub struct NoQuery;

impl QueryParams for NoQuery {
    const NAMES: &'static [&'static str] = &[];

    fn read(_reader: &mut ParamReader) -> Self {
        Self
    }
}

/// Extracts a route's query parameters.
pub struct Query<T>(pub T);

impl<S: Sync, T: QueryParams> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parse(parts.uri.query().unwrap_or_default()).map(Self)
    }
}

/// Reads a query; what is wrong with it is told all at once.
pub fn parse<T: QueryParams>(query: &str) -> Result<T, Problem> {
    let mut reader = ParamReader::new(query, T::NAMES);
    let params = T::read(&mut reader);
    if reader.faults.is_empty() {
        return Ok(params);
    }
    reader.faults.truncate(MAX_FAULTS);
    Err(Problem::faults(ProblemCode::InvalidRequest, reader.faults))
}

/// Reads parameters one by one and collects what is wrong with them.
pub struct ParamReader {
    values: BTreeMap<String, String>,
    faults: Vec<Fault>,
}

impl ParamReader {
    fn new(query: &str, known: &[&str]) -> Self {
        let mut reader = Self { values: BTreeMap::new(), faults: Vec::new() };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            if reader.faults.len() >= MAX_FAULTS {
                break;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let Some(name) = decoded(name).filter(|name| known.contains(&name.as_str())) else {
                let shown: String = printable(name);
                reader.fault(&shown, "unknown", suggest::unknown("parameter", &shown, known));
                continue;
            };
            match decoded(value) {
                None => reader.fault(&name, "malformed", "is not percent-encoded UTF-8"),
                Some(_) if reader.values.contains_key(&name) => {
                    reader.fault(&name, "duplicate", "is there more than once");
                }
                Some(value) => {
                    reader.values.insert(name, value);
                }
            }
        }
        reader
    }

    pub fn fault(&mut self, name: &str, code: &'static str, detail: impl Into<String>) {
        self.faults.push(Fault::parameter(name, code, detail));
    }

    /// The value as it is.
    pub fn text(&mut self, name: &str) -> Option<String> {
        self.values.remove(name)
    }

    /// An id: 1 to 128 visible ASCII characters.
    pub fn id(&mut self, name: &str) -> Option<String> {
        let text = self.text(name)?;
        match fault_of_id(&text) {
            None => Some(text),
            Some((code, detail)) => {
                self.fault(name, code, detail);
                None
            }
        }
    }

    /// A number within bounds.
    pub fn number(&mut self, name: &str, least: u32, most: u32) -> Option<u32> {
        let text = self.text(name)?;
        let detail = || format!("expected a whole number from {least} to {most}");
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            self.fault(name, "wrong_type", detail());
            return None;
        }
        match text.parse() {
            Ok(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                self.fault(name, "out_of_range", detail());
                None
            }
        }
    }

    /// One of some words.
    pub fn word<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(name)?;
        let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.fault(name, "malformed", format!("expected {}", known.join(" or ")));
        }
        found
    }
}

/// The id in the path.
pub struct PathId(pub String);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::parameter("id", "malformed", "is not percent-encoded UTF-8"))?;
        let id = params.iter().find(|(name, _)| *name == "id").map(|(_, value)| value.to_owned()).unwrap_or_default();
        match fault_of_id(&id) {
            None => Ok(Self(id)),
            Some((code, detail)) => Err(Problem::parameter("id", code, detail)),
        }
    }
}

fn fault_of_id(id: &str) -> Option<(&'static str, String)> {
    if id.is_empty() {
        Some(("empty", "is empty".to_owned()))
    } else if !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        Some(("malformed", "expected visible ASCII characters".to_owned()))
    } else if id.len() > MAX_ID_CHARS {
        Some(("too_long", format!("at most {MAX_ID_CHARS} characters are taken")))
    } else {
        None
    }
}

fn decoded(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode(spaced.as_bytes()).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// A name that was not understood, fit to be shown.
fn printable(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(64).collect()
}
