//! The part of the configuration that every source has; each kind adds its own (`juzibot::config`, `tanma::config`).

use std::time::Duration;

use bytesize::ByteSize;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use crate::memory::size;
use crate::model::{Operation, SourceName};
use crate::outbound::{self, Way};

use super::codes::CodeAdditions;
use super::guard::{self, Resilience};
use super::reading::{Unreadable, list, word};
use super::section::{self, field_names};
use super::{juzibot, tanma};

/// A kind of source, as `kind` spells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Juzibot,
    Tanma,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Juzibot => "juzibot",
            Self::Tanma => "tanma",
        }
    }
}

/// One `[sources.NAME]`, validated.
#[derive(Debug, Clone)]
pub struct SourceConfig {
    pub name: SourceName,
    pub settings: Settings,
    pub kind: KindSettings,
    /// The section with defaults filled in and secrets hidden, for people.
    pub shown: toml::Table,
}

/// What a kind adds.
#[derive(Debug, Clone)]
pub enum KindSettings {
    Juzibot(juzibot::Config),
    Tanma(tanma::Config),
}

impl KindSettings {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Juzibot(_) => Kind::Juzibot,
            Self::Tanma(_) => Kind::Tanma,
        }
    }
}

/// What every source has.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Scheme, host and path prefix; no query.
    pub base_url: Url,
    /// The operations that may be used; empty: all that the kind offers.
    pub operations: Vec<Operation>,
    /// One read, from the free slot to the last byte.
    pub timeout: Duration,
    /// One write, likewise.
    pub write_timeout: Duration,
    pub connect_timeout: Duration,
    /// The longest silence while an answer is waited for and read; `None`: as long as the whole call.
    pub read_timeout: Option<Duration>,
    /// Calls at once.
    pub max_in_flight: usize,
    /// The largest answer, in bytes, after decompression.
    pub max_response: usize,
    pub codes: CodeAdditions,
    /// Whether an answer with another id than the asked one is believed: the vendor is known to translate ids.
    pub accept_translated_ids: bool,
    pub(super) resilience: Resilience,
}

/// A setting of a source that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error(transparent)]
    Read(#[from] Unreadable),
    #[error("sources.{source_name}.{key}: {expected}")]
    Setting { source_name: SourceName, key: &'static str, expected: String },
    /// Neither of the two keys that can hold the secret is there.
    #[error("sources.{source_name}.{inline}: missing; expected {inline} or {file}")]
    MissingSecret { source_name: SourceName, inline: &'static str, file: &'static str },
}

/// The message about a setting without which a source cannot be used.
pub(super) const REQUIRED: &str = "is required";

impl ConfigError {
    /// Whether this error only follows from one of the section's others: the key is misspelt, or its value could not be read.
    fn is_explained_by(&self, unreadable: &[Unreadable]) -> bool {
        let (source_name, keys, is_missing) = match self {
            Self::Read(_) => return false,
            Self::Setting { source_name, key, expected } => (source_name, vec![*key], expected == REQUIRED),
            Self::MissingSecret { source_name, inline, file } => (source_name, vec![*inline, *file], true),
        };
        keys.into_iter()
            .map(|key| format!("sources.{source_name}.{key}"))
            .any(|path| unreadable.iter().any(|error| error.key == path || (is_missing && error.suggests(&path))))
    }
}

#[derive(Debug, Deserialize, Serialize)]
struct KindOnly {
    #[serde(deserialize_with = "word")]
    kind: Kind,
}

#[derive(Debug, Deserialize, Serialize)]
struct Raw {
    #[serde(default)]
    base_url: String,
    #[serde(default, deserialize_with = "list")]
    operations: Vec<Operation>,
    #[serde(default = "default_timeout", with = "crate::clock::duration")]
    timeout: Duration,
    #[serde(default = "default_write_timeout", with = "crate::clock::duration")]
    write_timeout: Duration,
    #[serde(default = "default_connect_timeout", with = "crate::clock::duration")]
    connect_timeout: Duration,
    #[serde(default, with = "crate::clock::optional_duration", skip_serializing_if = "Option::is_none")]
    read_timeout: Option<Duration>,
    #[serde(default = "default_max_in_flight")]
    max_in_flight: usize,
    #[serde(default = "default_max_response", serialize_with = "size::serialize")]
    max_response: ByteSize,
    #[serde(default)]
    allow_http: bool,
    #[serde(default)]
    codes: CodeAdditions,
    #[serde(default)]
    accept_translated_ids: bool,
}

fn default_timeout() -> Duration {
    Duration::from_secs(3)
}
fn default_write_timeout() -> Duration {
    Duration::from_secs(10)
}
fn default_connect_timeout() -> Duration {
    Duration::from_secs(2)
}
fn default_max_in_flight() -> usize {
    64
}
fn default_max_response() -> ByteSize {
    ByteSize::mib(16)
}

impl SourceConfig {
    /// Reads `[sources.NAME]` out of the loaded configuration.
    ///
    /// # Errors
    /// Every error in the section.
    pub fn read(name: &SourceName, loaded: &config::Config) -> Result<Self, Vec<ConfigError>> {
        let mut reader = Reader::new(name, loaded)?;
        let kind = reader.part::<KindOnly>();
        let (raw, resilience) = (reader.part::<Raw>(), reader.part::<guard::Raw>());
        let (kind_settings, of_kind) = match kind.as_ref().map(|kind| kind.kind) {
            Some(Kind::Juzibot) => reader.kind(|raw| juzibot::Config::validate(name, raw).map(KindSettings::Juzibot)),
            Some(Kind::Tanma) => reader.kind(|raw| tanma::Config::validate(name, raw).map(KindSettings::Tanma)),
            None => (None, [field_names::<juzibot::Raw>(), field_names::<tanma::Raw>()].concat()),
        };
        reader.unknown_keys(&of_kind);
        let settings = raw.zip(resilience).and_then(|(raw, resilience)| {
            Settings::validate(name, raw, &resilience).map_err(|errors| reader.errors.extend(errors)).ok()
        });
        let shown = reader.shown();
        match (settings, kind_settings, reader.finish()) {
            (Some(settings), Some(kind), errors) if errors.is_empty() => {
                Ok(Self { name: name.clone(), settings, kind, shown })
            }
            (_, _, errors) => Err(errors),
        }
    }
}

/// The paths of all keys that a source may have, below its section.
pub fn source_keys() -> Vec<String> {
    let all = [common_keys(), field_names::<juzibot::Raw>().to_vec(), field_names::<tanma::Raw>().to_vec()];
    let nested = [guard::nested_keys(), vec![("codes", field_names::<CodeAdditions>())]];
    let nested = nested.concat().into_iter().flat_map(|(section, keys)| keys.iter().map(move |key| (section, *key)));
    let nested = nested.map(|(section, key)| format!("{section}.{key}"));
    all.concat().into_iter().map(str::to_owned).chain(nested).collect()
}

fn common_keys() -> Vec<&'static str> {
    [field_names::<KindOnly>(), field_names::<Raw>(), field_names::<guard::Raw>()].concat()
}

/// Reads one section in several parts: the common ones, and the kind's. A key is unknown where no part has it.
struct Reader<'a> {
    loaded: &'a config::Config,
    within: String,
    table: section::Table,
    unreadable: Vec<Unreadable>,
    errors: Vec<ConfigError>,
    shown: toml::Table,
}

impl<'a> Reader<'a> {
    fn new(name: &SourceName, loaded: &'a config::Config) -> Result<Self, Vec<ConfigError>> {
        let within = format!("sources.{name}");
        let table = loaded.get_table(&within).map_err(|error| vec![Unreadable::new(loaded, "", error).into()])?;
        let (unreadable, errors, shown) = (Vec::new(), Vec::new(), toml::Table::new());
        Ok(Self { loaded, within, table, unreadable, errors, shown })
    }

    fn part<T: DeserializeOwned + Serialize>(&mut self) -> Option<T> {
        let part = section::read(self.loaded, &self.within, &mut self.table, &mut self.unreadable)?;
        self.shown.extend(toml::Table::try_from(&part).unwrap_or_default());
        Some(part)
    }

    /// Reads the part of a kind. Returns it with the names of its keys.
    fn kind<T: DeserializeOwned + Serialize>(
        &mut self,
        validate: impl Fn(T) -> Result<KindSettings, Vec<ConfigError>>,
    ) -> (Option<KindSettings>, Vec<&'static str>) {
        let validated = self.part::<T>().map(validate).transpose();
        (
            validated.unwrap_or_else(|errors| {
                self.errors.extend(errors);
                None
            }),
            field_names::<T>().to_vec(),
        )
    }

    fn unknown_keys(&mut self, of_kind: &[&'static str]) {
        let known = [&common_keys()[..], of_kind].concat();
        let mut unknown: Vec<&String> = self.table.keys().filter(|key| !known.contains(&key.as_str())).collect();
        unknown.sort();
        for key in unknown {
            let known = known.iter().map(|key| (*key).to_owned()).collect();
            self.unreadable.push(Unreadable::unknown(self.loaded, &self.within, key, known));
        }
    }

    /// The section for people: without empty lists and sections, which stand for what is built in.
    fn shown(&mut self) -> toml::Table {
        let mut shown = std::mem::take(&mut self.shown);
        if let Some(toml::Value::Table(codes)) = shown.get_mut("codes") {
            codes.retain(|_, value| !is_empty(value));
        }
        shown.retain(|_, value| !is_empty(value));
        shown
    }

    fn finish(self) -> Vec<ConfigError> {
        let Self { unreadable, mut errors, .. } = self;
        errors.retain(|error| !error.is_explained_by(&unreadable));
        let is_misspelt = |error: &Unreadable| unreadable.iter().any(|other| other.suggests(&error.key));
        let misspelt: Vec<bool> = unreadable.iter().map(is_misspelt).collect();
        let unreadable = unreadable.into_iter().zip(misspelt).filter(|(_, misspelt)| !misspelt);
        unreadable.map(|(error, _)| error.into()).chain(errors).collect()
    }
}

fn is_empty(value: &toml::Value) -> bool {
    match value {
        toml::Value::Array(list) => list.is_empty(),
        toml::Value::Table(table) => table.is_empty(),
        _ => false,
    }
}

impl Settings {
    fn validate(name: &SourceName, raw: Raw, resilience: &guard::Raw) -> Result<Self, Vec<ConfigError>> {
        let mut errors: Vec<(&'static str, &str)> = Vec::new();
        let base_url = outbound::absolute(&raw.base_url).filter(|url| url.query().is_none());
        match base_url.as_ref().map(Way::to) {
            Some(Way::Tls | Way::Loopback) => {}
            Some(Way::Plain) if raw.allow_http => {}
            Some(Way::Plain) => {
                errors.push(("base_url", "plain http is taken to a loopback address only, or with allow_http = true"));
            }
            Some(Way::Other) => errors.push(("base_url", "expected https")),
            None if raw.base_url.is_empty() => errors.push(("base_url", REQUIRED)),
            None => errors.push(("base_url", "expected an absolute https URL without user, query and fragment")),
        }
        let times = [
            ("timeout", Some(raw.timeout)),
            ("write_timeout", Some(raw.write_timeout)),
            ("connect_timeout", Some(raw.connect_timeout)),
            ("read_timeout", raw.read_timeout),
        ];
        let zero = times.into_iter().filter(|(_, duration)| duration.is_some_and(|duration| duration.is_zero()));
        errors.extend(zero.map(|(key, _)| (key, "expected a duration longer than 0, such as \"3s\"")));
        if raw.max_in_flight == 0 || raw.max_in_flight > tokio::sync::Semaphore::MAX_PERMITS {
            errors.push(("max_in_flight", "expected a number of at least 1"));
        }
        let max_response = usize::try_from(raw.max_response.as_u64()).unwrap_or(usize::MAX);
        if max_response == 0 {
            errors.push(("max_response", "expected a size larger than 0, such as \"16MiB\""));
        }
        let resilience = resilience.validate().map_err(|more| errors.extend(more)).ok();
        let (Some(base_url), Some(resilience), true) = (base_url, resilience, errors.is_empty()) else {
            let setting = |(key, expected): (_, &str)| ConfigError::Setting {
                source_name: name.clone(),
                key,
                expected: expected.to_owned(),
            };
            return Err(errors.into_iter().map(setting).collect());
        };
        Ok(Self {
            base_url,
            operations: raw.operations,
            timeout: raw.timeout,
            write_timeout: raw.write_timeout,
            connect_timeout: raw.connect_timeout,
            read_timeout: raw.read_timeout,
            max_in_flight: raw.max_in_flight,
            max_response,
            codes: raw.codes,
            accept_translated_ids: raw.accept_translated_ids,
            resilience,
        })
    }

    /// The URL of a path below the base.
    pub fn url(&self, path: &str) -> Url {
        let mut url = self.base_url.clone();
        let prefix = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{prefix}{path}"));
        url
    }
}

/// The text that `check` prints in place of a secret.
pub const HIDDEN: &str = "[hidden]";

/// The message about [`HIDDEN`] given as a secret.
pub const HIDDEN_GIVEN: &str =
    "is \"[hidden]\", which check prints in place of a secret: the output of check has no secrets";

/// Shows that a secret is there, and nothing of it.
pub fn hidden<S: Serializer>(_secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(HIDDEN)
}
