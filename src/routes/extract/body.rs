//! JSON bodies: what is no JSON is refused here; what is JSON is handed on whole, with the places of repeated keys, so
//! that all of its faults can be told at once.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http_body_util::BodyExt;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use tokio_util::sync::CancellationToken;

use crate::model::{Problem, ProblemCode};
use crate::routes::idempotency::fingerprint;
use crate::service::RequestContext;
use crate::store::idempotency::Fingerprint;

use super::body_memory::BodyMemory;
use super::pace::{BodyPace, PacedBody, TooSlow};

/// The most bytes of a body; none where nobody said.
#[derive(Debug, Clone, Copy, Default)]
pub struct BodyLimit(pub usize);

/// Cancelled when the process takes no more requests: a body that is still on its way then is waited for a moment.
#[derive(Debug, Clone)]
pub struct Stopping(pub CancellationToken);

/// That moment: what has not arrived is not begun, so nothing is lost, and the drain is not held up by who sends half.
const LAST_BODY: Duration = Duration::from_secs(2);

async fn stopped(stopping: Option<Stopping>) {
    match stopping {
        Some(Stopping(stopping)) => stopping.cancelled().await,
        None => std::future::pending().await,
    }
    tokio::time::sleep(LAST_BODY).await;
}

/// A body that is JSON.
pub struct JsonBody {
    pub value: Value,
    /// JSON pointers of keys that their object holds more than once.
    pub duplicates: Vec<String>,
    /// Of the path, the query and the body.
    pub fingerprint: Fingerprint,
}

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::new(ProblemCode::UnsupportedMediaType, "expected Content-Type: application/json"));
        }
        if !is_plain(request.headers()) {
            return Err(Problem::new(ProblemCode::UnsupportedMediaType, "expected a body without Content-Encoding"));
        }
        let uri = request.uri().clone();
        let pace = request.extensions().get::<BodyPace>().copied();
        let stopping = request.extensions().get::<Stopping>().cloned();
        let BodyLimit(most) = request.extensions().get().copied().unwrap_or_default();
        let memory = request.extensions().get::<RequestContext>().map(|context| context.memory.clone());
        let body = PacedBody::wrap(request.into_body(), pace);
        let reading = read(body, most, BodyMemory::new(memory.as_deref()));
        let bytes = tokio::select! {
            read = reading => read?,
            () = stopped(stopping) => {
                let detail = "the gateway is stopping, and the body had not arrived; nothing was sent";
                return Err(Problem::new(ProblemCode::Overloaded, detail).with_retry_after(Duration::from_secs(1)));
            }
        };
        let (value, duplicates) = parse(&bytes)?;
        Ok(Self { value, duplicates, fingerprint: fingerprint(uri.path(), uri.query().unwrap_or_default(), &bytes) })
    }
}

/// The body in one piece: as it comes, in chunks of a byte for example, it would take many times its size.
async fn read(mut body: Body, most: usize, mut memory: BodyMemory<'_>) -> Result<Vec<u8>, Problem> {
    let too_large = || Problem::new(ProblemCode::PayloadTooLarge, "the body is larger than the server takes");
    // What its head announces. A caller that waits for a word before it sends its body is told this one.
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > most {
        return Err(too_large());
    }
    memory.reserve(announced, most).await?;
    let mut bytes = Vec::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| TooSlow::problem(&error))?;
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else { continue };
        if data.len() > most - bytes.len() {
            return Err(too_large());
        }
        memory.reserve(bytes.len() + data.len(), most).await?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

fn is_json(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    media_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json")
}

fn is_plain(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// The value, and the places of repeated keys.
pub fn parse(bytes: &[u8]) -> Result<(Value, Vec<String>), Problem> {
    let mut seen = Seen::default();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let node = Node { pointer: String::new(), seen: &mut seen };
    let value = node.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    match value {
        Ok(value) => Ok((value, seen.duplicates)),
        Err(_) if seen.values > MAX_VALUES => {
            let detail = format!("the body holds more than {MAX_VALUES} values");
            Err(Problem::new(ProblemCode::PayloadTooLarge, detail))
        }
        Err(error) => {
            let what = beyond_bounds(&error).unwrap_or("is no JSON");
            let detail = format!("the body {what}, at line {}, column {}", error.line(), error.column());
            Err(Problem::new(ProblemCode::InvalidRequest, detail))
        }
    }
}

/// What is JSON and nevertheless not read (RFC 8259 §9 lets a reader set limits). The reader tells these in words alone; a
/// test holds it to them.
fn beyond_bounds(error: &serde_json::Error) -> Option<&'static str> {
    let said = error.to_string();
    let told = [
        ("recursion limit exceeded", "has more than 127 levels of lists and objects"),
        ("number out of range", "holds a number that is too large"),
    ];
    told.into_iter().find_map(|(words, what)| said.starts_with(words).then_some(what))
}

/// Cuts a key that is longer than any of ours, and tells whether it did: it stays the unknown one that it is.
fn cut(key: &mut String) -> bool {
    let Some((end, _)) = key.char_indices().nth(MAX_KEY_CHARS) else { return false };
    key.truncate(end);
    key.push('…');
    true
}

/// What was met in a body so far.
#[derive(Default)]
struct Seen {
    values: usize,
    duplicates: Vec<String>,
}

/// Reads one value at a place.
struct Node<'a> {
    pointer: String,
    seen: &'a mut Seen,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.seen.values += 1;
        if self.seen.values > MAX_VALUES {
            return Err(D::Error::custom("too many values"));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        loop {
            let pointer = format!("{}/{}", self.pointer, values.len());
            match list.next_element_seed(Node { pointer, seen: self.seen })? {
                Some(value) => values.push(value),
                None => return Ok(Value::Array(values)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(mut key) = object.next_key::<String>()? {
            let is_whole = !cut(&mut key);
            let mut pointer = format!("{}/{}", self.pointer, key.replace('~', "~0").replace('/', "~1"));
            if pointer.len() > MAX_POINTER_BYTES {
                // Deeper than any field of ours: the place is that of what holds it.
                pointer.clone_from(&self.pointer);
            }
            if is_whole && values.contains_key(&key) && self.seen.duplicates.len() < MAX_DUPLICATES {
                self.seen.duplicates.push(pointer.clone());
            }
            let value = object.next_value_seed(Node { pointer, seen: self.seen })?;
            values.insert(key, value);
        }
        Ok(Value::Object(values))
    }
}

/// Values that are read at most, four times those of the largest batch. In memory a small one takes up to a hundred times
/// its bytes, so the limit of bytes alone would not bound what a body costs.
const MAX_VALUES: usize = 20_000;
/// Repeated keys that are told at most; there is room for millions of them in a body.
const MAX_DUPLICATES: usize = 1_000;
/// The most characters of a key that are told; the longest of ours has 11.
const MAX_KEY_CHARS: usize = 50;
/// Bounds what a fault can echo, however deep its place is. Within an item there is room for any key.
const MAX_POINTER_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_keys_are_told_by_their_place() {
        let (_, duplicates) = parse(br#"{"items":[{"a":1,"a":2},{"b/c":1,"b/c":2}]}"#).unwrap();
        assert_eq!(duplicates, ["/items/0/a", "/items/1/b~1c"]);
    }

    #[test]
    fn what_is_no_json_is_refused_with_its_place() {
        for text in ["", "{", "[1,]", "{\"a\":1} x", "nul", "\"\u{1}\""] {
            let problem = parse(text.as_bytes()).err().unwrap();
            assert_eq!(problem.code, ProblemCode::InvalidRequest, "{text}");
        }
        assert!(parse(b"\"\xff\"").is_err());
    }

    fn told(text: &str) -> String {
        let problem = parse(text.as_bytes()).err().unwrap();
        assert_eq!(problem.code, ProblemCode::InvalidRequest, "{problem:?}");
        problem.detail
    }

    #[test]
    fn what_is_json_and_too_much_is_not_called_anything_else() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(parse(deep(127).as_bytes()).is_ok());
        for levels in [128, 100_000] {
            assert!(told(&deep(levels)).starts_with("the body has more than 127 levels"), "{levels}");
        }
        for number in ["1e400", "-1e999999", &"9".repeat(400)] {
            assert!(told(&format!("{{\"a\": {number}}}")).starts_with("the body holds a number that is too large"));
        }
        assert!(told("[1,]").starts_with("the body is no JSON, at line 1, column"));
    }

    #[test]
    fn a_long_key_is_kept_as_the_unknown_one_that_it_is() {
        let (just, long) = ("k".repeat(50), "k".repeat(1_000_000));
        let (value, duplicates) =
            parse(format!("{{\"{just}\": 1, \"{long}\": 2, \"{long}k\": 3}}").as_bytes()).unwrap();
        assert_eq!(value, serde_json::json!({&just: 1, format!("{just}…"): 3}));
        assert_eq!(duplicates, [""; 0], "two that begin alike are not one");
    }

    #[test]
    fn a_place_is_told_in_so_many_bytes_however_deep_it_is() {
        let deep = format!("{}{{\"x\":1,\"x\":2}}{}", "{\"keys of a body\":".repeat(120), "}".repeat(120));
        let (_, duplicates) = parse(deep.as_bytes()).unwrap();
        assert_eq!(duplicates.len(), 1);
        assert!(duplicates[0].starts_with("/keys of a body/keys") && duplicates[0].len() <= MAX_POINTER_BYTES);
    }
}
