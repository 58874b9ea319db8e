//! Strict reading of requests: what is unknown, doubled or of the wrong type is a fault, never ignored.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// A JSON object with exactly the fields of `T`; the message of a refusal names the fault, never its value.
pub(super) fn json<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => format!("bad field at column {}: {error}", error.column()),
        _ => "the body is no JSON object".to_owned(),
    })
}

/// For an optional field: it may be left out, but where it is present it must not be null.
pub(super) fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}
