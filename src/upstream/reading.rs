//! How values of the configuration are read, and what is said of one that cannot be: shared by the sources' parts of the
//! configuration and the whole.

use config::Source;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};

/// A value that cannot be read: its key, where it came from and what was expected. Never the value: a secret may have
/// been put in its place.
#[derive(Debug, thiserror::Error)]
#[error("{key}{}: {expected}", shown_origin(origin.as_deref()))]
pub struct Unreadable {
    pub key: String,
    pub origin: Option<String>,
    pub expected: String,
}

impl Unreadable {
    /// From the reader's own error about a value below `within`.
    pub fn new(loaded: &config::Config, within: &str, error: config::ConfigError) -> Self {
        use config::ConfigError as E;
        let (key, told, expected) = match error {
            E::NotFound(key) => (Some(key), None, "is required".to_owned()),
            E::Type { key, origin, expected, .. } => (key, origin, format!("expected {expected}")),
            E::At { error, key, origin } => (key, origin, error.to_string()),
            other => (None, None, other.to_string()),
        };
        let mut key: Vec<String> = [Some(within.to_owned()), key].into_iter().flatten().collect();
        let expected = match expected.rsplit_once(", expected ") {
            Some((found, expected)) => match found.strip_prefix("unknown field `") {
                Some(field) => {
                    key.push(field.trim_end_matches('`').to_owned());
                    format!("unknown key, expected {expected}")
                }
                None => format!("expected {}", in_our_words(expected)),
            },
            None => match expected.strip_prefix("expected ") {
                Some(expected) => format!("expected {}", in_our_words(expected)),
                None => in_our_words(&expected).to_owned(),
            },
        };
        key.retain(|part| !part.is_empty());
        let key = key.join(".");
        Self { origin: told.or_else(|| origin(loaded, &key)), key, expected }
    }
}

/// What libraries call the forms that they expect, as a person would write them.
fn in_our_words(form: &str) -> &str {
    match form {
        "a duration" => "a duration, such as \"2s\"",
        "parsable string" => "a size, such as \"64MiB\"",
        "a sequence" => "a list",
        "invalid socket address syntax" => "expected an address and a port, such as \"127.0.0.1:8080\"",
        "invalid IP address syntax" => "expected addresses or networks, such as \"10.0.0.0/8\"",
        form if form.starts_with("struct ") => "a section",
        form => form,
    }
}

/// Where the value of a key came from: a file, or the environment.
pub fn origin(loaded: &config::Config, key: &str) -> Option<String> {
    // Read as a value of its own it would have lost its origin.
    let mut table = loaded.collect().ok()?;
    let mut found = None;
    for part in key.split('.') {
        let value = table.remove(part)?;
        found = value.origin().map(str::to_owned);
        table = value.into_table().unwrap_or_default();
    }
    found
}

/// The origin as it stands in a message.
pub fn shown_origin(origin: Option<&str>) -> String {
    origin.map(|origin| format!(" (from {origin})")).unwrap_or_default()
}

/// A word of a fixed set. Read as a string first: the configuration's own reader of enumerations does not say what is
/// expected.
pub fn word<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    T::deserialize(serde::de::value::StringDeserializer::new(text))
}

/// A list, or in the environment its elements with commas between.
pub fn list<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Form {
        List(Vec<String>),
        Text(String),
    }
    let parts = match Form::deserialize(deserializer).map_err(|_| D::Error::custom("expected a list of strings"))? {
        Form::List(parts) => parts,
        Form::Text(text) => text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect(),
    };
    let parse = |part: String| T::deserialize(serde::de::value::StringDeserializer::<D::Error>::new(part));
    parts.into_iter().map(parse).collect()
}
