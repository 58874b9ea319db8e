//! How values of the configuration are read, and the errors of those that cannot be read: shared by the sources' parts of the
//! configuration and the whole.

use std::fmt;

use config::{Source, Value, ValueKind};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, Error as _};

use crate::suggest::closest;

/// The prefix of environment variables: `SCRM_GATEWAY__SECTION__KEY`.
pub const PREFIX: &str = "SCRM_GATEWAY";
/// The origin that the configuration's reader gives to values of environment variables.
const ENVIRONMENT: &str = "the environment";

/// Stands before a variable's name in an origin.
const VARIABLE: &str = "environment variable ";

/// A value that cannot be read: its key, where it came from and what was expected. Never the value: it may be a misplaced secret.
#[derive(Debug)]
pub struct Unreadable {
    pub key: String,
    pub origin: Option<String>,
    pub reason: Reason,
}

/// Why a value cannot be read.
#[derive(Debug)]
pub enum Reason {
    /// A required key is absent.
    Missing,
    /// The section has no such key.
    Unknown {
        /// The path of the key that was probably meant.
        suggestion: Option<String>,
        /// The keys that the section has.
        known: Vec<String>,
    },
    /// The expected form.
    Form(String),
}

impl std::error::Error for Unreadable {}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}: ", self.key, shown_origin(self.origin.as_deref()))?;
        match &self.reason {
            Reason::Missing => f.write_str("is required"),
            Reason::Unknown { suggestion: Some(path), .. } => {
                write!(f, "unknown key; did you mean \"{}\"?", self.as_written(path))
            }
            Reason::Unknown { suggestion: None, known } => write!(f, "unknown key; known keys: {}", known.join(", ")),
            Reason::Form(expected) => f.write_str(expected),
        }
    }
}

impl Unreadable {
    /// Converts the reader's own error about a value below `within`.
    pub fn new(loaded: &config::Config, within: &str, error: config::ConfigError) -> Self {
        use config::ConfigError as E;
        let (key, text) = match error {
            E::NotFound(key) => return Self::at(loaded, joined(within, &key), Reason::Missing),
            E::Type { key, expected, .. } => (key, format!("expected {expected}")),
            E::At { error, key, .. } => (key, error.to_string()),
            other => (None, other.to_string()),
        };
        let key = joined(within, &key.unwrap_or_default());
        if let Some((field, known)) = unknown_field(&text) {
            return Self::unknown(loaded, &key, field, known);
        }
        if let Some(form) = unknown_value(&text) {
            return Self::at(loaded, key, Reason::Form(form));
        }
        // What was found is dropped: it may be a secret.
        let expected = text.rsplit_once(", expected ").map(|(_found, expected)| expected);
        let expected = expected.or_else(|| text.strip_prefix("expected "));
        let form = match (plain(expected.unwrap_or(&text)), expected) {
            (Some(form), _) | (None, Some(form)) => format!("expected {form}"),
            (None, None) => text,
        };
        Self::at(loaded, key, Reason::Form(form))
    }

    /// A key that the section `within` does not have.
    pub fn unknown(loaded: &config::Config, within: &str, key: &str, known: Vec<String>) -> Self {
        let suggestion = closest(key, known.iter().map(String::as_str)).map(|key| joined(within, key));
        Self::at(loaded, joined(within, key), Reason::Unknown { suggestion, known })
    }

    fn at(loaded: &config::Config, key: String, reason: Reason) -> Self {
        Self { origin: origin(loaded, &key), key, reason }
    }

    /// Whether the unknown key was probably meant to be the key of this path, or one below it.
    pub fn suggests(&self, path: &str) -> bool {
        let Reason::Unknown { suggestion: Some(suggestion), .. } = &self.reason else { return false };
        suggestion.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    /// The environment variable that the value came from.
    pub fn variable(&self) -> Option<&str> {
        self.origin.as_deref()?.strip_prefix(VARIABLE)
    }

    /// The key of this path as it would stand in place of this one: the variable's name where this one is a variable, else without the
    /// section that both are in.
    fn as_written(&self, path: &str) -> String {
        if self.variable().is_some() {
            return variable(path);
        }
        let section = self.key.rfind('.').map_or("", |dot| &self.key[..=dot]);
        path.strip_prefix(section).filter(|key| !key.contains('.')).unwrap_or(path).to_owned()
    }
}

fn joined(within: &str, key: &str) -> String {
    let dot = if within.is_empty() || key.is_empty() || key.starts_with('[') { "" } else { "." };
    format!("{within}{dot}{key}")
}

/// The environment variable of a key.
pub fn variable(key: &str) -> String {
    format!("{PREFIX}__{}", key.replace('.', "__").to_uppercase())
}

/// Takes apart serde's message about a field that a section does not have: its name, and those that the section has.
fn unknown_field(message: &str) -> Option<(&str, Vec<String>)> {
    let (field, known) = message.strip_prefix("unknown field `")?.split_once("`, ")?;
    Some((field, known.split('`').skip(1).step_by(2).map(str::to_owned).collect()))
}

/// Converts serde's message about a value that an enumeration does not have. Repeats the value only where it looks like one.
fn unknown_value(message: &str) -> Option<String> {
    let (found, expected) = message.strip_prefix("unknown variant `")?.rsplit_once("`, expected ")?;
    let similar = closest(found, expected.split('`').skip(1).step_by(2));
    let is_shown = similar.is_some() || is_plain(found);
    let found = if is_shown { format!("unknown value \"{found}\"; ") } else { String::new() };
    let hint = similar.map(|similar| format!("; did you mean \"{similar}\"?")).unwrap_or_default();
    Some(format!("{found}expected {expected}{hint}"))
}

/// The forms that libraries expect, as a person would write them.
fn plain(form: &str) -> Option<&str> {
    Some(match form {
        "a duration" => "a duration, such as \"2s\"",
        "parsable string" => "a size, such as \"64MiB\"",
        "a sequence" => "a list",
        "invalid socket address syntax" => {
            "an IP address and a port, such as \"127.0.0.1:8080\" (host names are not resolved)"
        }
        "invalid IP address syntax" => "addresses or networks, such as \"10.0.0.0/8\"",
        "an integer" | "integer" => "a whole number",
        "an unsigned 32 bit integer" => "a whole number from 0 to 4294967295",
        form if form.contains("unsigned") && form.contains("integer") => "a whole number of at least 0",
        form if form.contains("signed") && form.contains("integer") => "a whole number",
        form if form.starts_with("struct ") || form == "a map" => "a section",
        _ => return None,
    })
}

/// Where the value of a key came from: a file, or an environment variable. That of a section is that of the first value in it, and that
/// of an absent key is the file with its section.
pub fn origin(loaded: &config::Config, key: &str) -> Option<String> {
    origin_of_value(loaded, key).or_else(|| {
        let (section, _) = key.rsplit_once('.')?;
        origin_of_value(loaded, section).filter(|origin| !origin.starts_with(VARIABLE))
    })
}

fn origin_of_value(loaded: &config::Config, key: &str) -> Option<String> {
    // Read as a value of its own it would have lost its origin.
    let mut value = Value::new(None, ValueKind::Table(loaded.collect().ok()?));
    let mut key = key.to_owned();
    for part in key.clone().split('.') {
        let name = part.split('[').next().unwrap_or(part);
        value = value.into_table().ok()?.remove(name)?;
    }
    while let ValueKind::Table(table) = value.kind {
        let (name, first) = table.into_iter().min_by(|(a, _), (b, _)| a.cmp(b))?;
        key = joined(&key, &name);
        value = first;
    }
    let origin = value.origin()?;
    Some(if origin == ENVIRONMENT { format!("{VARIABLE}{}", variable(&key)) } else { origin.to_owned() })
}

/// Whether a text looks like a name, of a host too. Anything else may be a misplaced secret, which messages must not repeat.
pub fn is_plain(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let is_of_name = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.');
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.bytes().all(is_of_name)
        && digits <= 4
        && text.len() <= 24
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

/// Returns the elements of a list that is written with commas between them.
pub fn elements(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
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
        Form::Text(text) => elements(&text),
    };
    let parse = |part: String| T::deserialize(serde::de::value::StringDeserializer::<D::Error>::new(part));
    parts.into_iter().map(parse).collect()
}
