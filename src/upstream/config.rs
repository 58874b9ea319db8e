//! The part of the configuration that every source has; each kind adds its own (`juzibot::config`, `tanma::config`).

use std::collections::BTreeSet;
use std::time::Duration;

use bytesize::ByteSize;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};
use url::Url;

use crate::model::{Operation, SourceName};
use crate::outbound::{self, Way};

use super::codes::CodeAdditions;
use super::guard::{self, Resilience};
use super::reading::{Unreadable, list, word};
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
    #[error("sources.{source_name}.{key}: unknown key")]
    Unknown { source_name: SourceName, key: String },
}

#[derive(Debug, Deserialize, Serialize)]
struct KindOnly {
    #[serde(deserialize_with = "word")]
    kind: Kind,
}

#[derive(Debug, Deserialize, Serialize)]
struct Raw {
    base_url: String,
    #[serde(default, deserialize_with = "list")]
    operations: Vec<Operation>,
    #[serde(default = "default_timeout", with = "crate::clock::duration")]
    timeout: Duration,
    #[serde(default = "default_write_timeout", with = "crate::clock::duration")]
    write_timeout: Duration,
    #[serde(default = "default_connect_timeout", with = "crate::clock::duration")]
    connect_timeout: Duration,
    #[serde(default, with = "humantime_serde", skip_serializing_if = "Option::is_none")]
    read_timeout: Option<Duration>,
    #[serde(default = "default_max_in_flight")]
    max_in_flight: usize,
    #[serde(default = "default_max_response")]
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
    pub fn read(name: &SourceName, loaded: &config::Config) -> Result<Self, ConfigError> {
        let reader = Reader { name, loaded };
        let (kind_only, _) = reader.section::<KindOnly>()?;
        let (raw, unknown) = reader.section::<Raw>()?;
        let (resilience, unknown_to_guard) = reader.section::<guard::Raw>()?;
        let mut shown = table(&kind_only);
        shown.extend(table(&raw));
        shown.extend(table(&resilience));
        let (kind, unknown_to_kind) = match kind_only.kind {
            Kind::Juzibot => {
                let (raw, unknown) = reader.section()?;
                shown.extend(table(&raw));
                (KindSettings::Juzibot(juzibot::Config::validate(name, raw)?), unknown)
            }
            Kind::Tanma => {
                let (raw, unknown) = reader.section()?;
                shown.extend(table(&raw));
                (KindSettings::Tanma(tanma::Config::validate(name, raw)?), unknown)
            }
        };
        let known = |key: &&String| *key != "kind" && unknown_to_guard.contains(*key);
        if let Some(key) = unknown.intersection(&unknown_to_kind).find(known) {
            return Err(ConfigError::Unknown { source_name: name.clone(), key: key.clone() });
        }
        Ok(Self { name: name.clone(), settings: Settings::validate(name, raw, &resilience)?, kind, shown })
    }
}

fn table<T: Serialize>(section: &T) -> toml::Table {
    toml::Table::try_from(section).unwrap_or_default()
}

/// Reads one section several times: the common part, and the kind's. A key is unknown when both pass over it.
struct Reader<'a> {
    name: &'a SourceName,
    loaded: &'a config::Config,
}

impl Reader<'_> {
    fn section<T: DeserializeOwned>(&self) -> Result<(T, BTreeSet<String>), ConfigError> {
        let mut ignored = BTreeSet::new();
        let key = format!("sources.{}", self.name);
        let read = |error| Unreadable::new(self.loaded, &key, error);
        let value: config::Value = self.loaded.get(&key).map_err(|error| Unreadable::new(self.loaded, "", error))?;
        let parsed = serde_ignored::deserialize(value, |path| {
            ignored.insert(path.to_string());
        });
        Ok((parsed.map_err(read)?, ignored))
    }
}

impl Settings {
    fn validate(name: &SourceName, raw: Raw, resilience: &guard::Raw) -> Result<Self, ConfigError> {
        let fault = |key, expected: &str| ConfigError::Setting {
            source_name: name.clone(),
            key,
            expected: expected.to_owned(),
        };
        let base_url = outbound::absolute(&raw.base_url)
            .filter(|url| url.query().is_none())
            .ok_or_else(|| fault("base_url", "expected an absolute https URL without user, query and fragment"))?;
        match Way::to(&base_url) {
            Way::Tls | Way::Loopback => {}
            Way::Plain if raw.allow_http => {}
            Way::Plain => {
                return Err(fault(
                    "base_url",
                    "plain http is taken to a loopback address only, or with allow_http = true",
                ));
            }
            Way::Other => return Err(fault("base_url", "expected https")),
        }
        let times = [
            ("timeout", Some(raw.timeout)),
            ("write_timeout", Some(raw.write_timeout)),
            ("connect_timeout", Some(raw.connect_timeout)),
            ("read_timeout", raw.read_timeout),
        ];
        for (key, duration) in times {
            if duration.is_some_and(|duration| duration.is_zero()) {
                return Err(fault(key, "expected a duration longer than 0, such as \"3s\""));
            }
        }
        if raw.max_in_flight == 0 || raw.max_in_flight > tokio::sync::Semaphore::MAX_PERMITS {
            return Err(fault("max_in_flight", "expected a number of at least 1"));
        }
        let max_response = usize::try_from(raw.max_response.as_u64()).unwrap_or(usize::MAX);
        if max_response == 0 {
            return Err(fault("max_response", "expected a size larger than 0, such as \"16MiB\""));
        }
        let resilience = resilience.validate().map_err(|(key, expected)| fault(key, expected))?;
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

/// Shows that a secret is there, and nothing of it.
pub fn hidden<S: Serializer>(_secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str("[hidden]")
}
