//! The configuration as it is written: every key with its default, unknown keys refused. What is checked beyond the
//! form is in the module above.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use ipnet::IpNet;
use jsonwebtoken::Algorithm;
use secrecy::{ExposeSecret, SecretString};
use serde::de::{Deserializer, Error as _, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::edge::ClientAddressHeader;
use crate::memory::size;
use crate::outbound::has_credentials;
use crate::upstream::{HIDDEN, SourceConfig, hidden, is_plain, list, word};

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Raw {
    #[serde(deserialize_with = "list")]
    pub source_order: Vec<String>,
    pub server: Server,
    pub auth: Auth,
    pub callers: BTreeMap<String, Caller>,
    pub rate_limit: RateLimit,
    pub cursor: Cursor,
    pub idempotency: Idempotency,
    pub cache: Cache,
    pub outbound: Outbound,
    pub log: Log,
    pub telemetry: Telemetry,
    pub docs: Docs,
    pub cors: Cors,
    /// Their names: the sections hold secrets, and are read by the sources themselves.
    #[serde(skip_serializing)]
    #[expect(clippy::zero_sized_map_values, reason = "a map is the form that is read; of a set serde reads lists")]
    pub sources: BTreeMap<String, IgnoredAny>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    pub public_url: Option<String>,
    #[serde(with = "crate::clock::duration")]
    pub request_timeout: Duration,
    #[serde(with = "crate::clock::duration")]
    pub batch_timeout: Duration,
    #[serde(with = "crate::clock::duration")]
    pub drain_timeout: Duration,
    #[serde(with = "crate::clock::duration")]
    pub merge_grace: Duration,
    #[serde(serialize_with = "size::serialize")]
    pub body_limit: ByteSize,
    /// Default: the memory of the control group or the machine. The stores' sizes default to parts of it.
    #[serde(serialize_with = "size::serialize_optional")]
    pub memory_limit: Option<ByteSize>,
    /// Bytes a second.
    #[serde(serialize_with = "size::serialize")]
    pub min_rate: ByteSize,
    #[serde(with = "crate::clock::duration")]
    pub body_timeout: Duration,
    #[serde(with = "crate::clock::duration")]
    pub response_timeout: Duration,
    #[serde(deserialize_with = "networks")]
    pub trusted_proxies: Vec<IpNet>,
    #[serde(deserialize_with = "word")]
    pub client_address_header: ClientAddressHeader,
    pub max_in_flight: usize,
    pub max_connections: usize,
    pub max_connections_per_address: usize,
    pub max_streams: usize,
    pub max_streams_per_caller: usize,
    #[serde(with = "crate::clock::duration")]
    pub reread_files: Duration,
}

impl Default for Server {
    fn default() -> Self {
        let any = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        Self {
            listen: any(8080),
            admin_listen: any(9090),
            public_url: None,
            request_timeout: Duration::from_secs(10),
            batch_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(35),
            merge_grace: Duration::from_millis(800),
            body_limit: ByteSize::mib(8),
            memory_limit: None,
            min_rate: ByteSize::kib(8),
            body_timeout: Duration::from_mins(1),
            response_timeout: Duration::from_mins(2),
            trusted_proxies: Vec::new(),
            client_address_header: ClientAddressHeader::XForwardedFor,
            max_in_flight: 1024,
            max_connections: 10_000,
            max_connections_per_address: 1_000,
            max_streams: 32,
            max_streams_per_caller: 4,
            reread_files: Duration::from_secs(5),
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    #[serde(deserialize_with = "word")]
    pub default_sources: DefaultSources,
    /// How far clocks may be apart, at most 30 s.
    #[serde(with = "crate::clock::duration")]
    pub leeway: Duration,
    pub issuers: BTreeMap<String, Issuer>,
}

impl Default for Auth {
    fn default() -> Self {
        Self { default_sources: DefaultSources::All, leeway: Duration::from_secs(30), issuers: BTreeMap::new() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DefaultSources {
    All,
    None,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Issuer {
    pub issuer: String,
    #[serde(default, deserialize_with = "list")]
    pub audience: Vec<String>,
    #[serde(default, deserialize_with = "list")]
    pub algorithms: Vec<Algorithm>,
    #[serde(default, serialize_with = "hidden", skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_url: Option<String>,
    /// How often `jwks_url` is asked.
    #[serde(default, with = "crate::clock::optional_duration", skip_serializing_if = "Option::is_none")]
    pub jwks_refresh: Option<Duration>,
    /// What lies between two times that tokens with unknown keys make us ask it.
    #[serde(default, with = "crate::clock::optional_duration", skip_serializing_if = "Option::is_none")]
    pub jwks_cool_down: Option<Duration>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Caller {
    pub issuer: String,
    pub subject: String,
    #[serde(default, deserialize_with = "optional_list")]
    pub sources: Option<Vec<String>>,
    pub quota: Option<Quota>,
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    pub requests: u32,
    #[serde(with = "crate::clock::duration")]
    pub window: Duration,
    /// The most at once; absent: as many as the window allows.
    pub burst: Option<u32>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimit {
    pub default: Quota,
    pub per_address: Quota,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self {
            default: Quota { requests: 600, window: Duration::from_mins(1), burst: Some(100) },
            per_address: Quota { requests: 6000, window: Duration::from_mins(1), burst: None },
        }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cursor {
    pub key_file: Option<PathBuf>,
    #[serde(with = "crate::clock::duration")]
    pub lifetime: Duration,
}

impl Default for Cursor {
    fn default() -> Self {
        Self { key_file: None, lifetime: Duration::from_hours(1) }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Idempotency {
    #[serde(with = "crate::clock::duration")]
    pub retention: Duration,
    #[serde(serialize_with = "size::serialize_optional")]
    pub max_bytes: Option<ByteSize>,
    #[serde(serialize_with = "size::serialize_optional")]
    pub max_bytes_per_caller: Option<ByteSize>,
}

impl Default for Idempotency {
    fn default() -> Self {
        Self { retention: Duration::from_hours(24), max_bytes: None, max_bytes_per_caller: None }
    }
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    #[serde(serialize_with = "size::serialize_optional")]
    pub max_bytes: Option<ByteSize>,
    #[serde(with = "crate::clock::duration")]
    pub fresh: Duration,
    #[serde(with = "crate::clock::duration")]
    pub stale: Duration,
    #[serde(with = "crate::clock::duration")]
    pub stale_if_error: Duration,
    #[serde(with = "crate::clock::duration")]
    pub not_found: Duration,
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            max_bytes: None,
            fresh: Duration::from_mins(1),
            stale: Duration::from_mins(10),
            stale_if_error: Duration::from_hours(24),
            not_found: Duration::from_secs(10),
        }
    }
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outbound {
    /// May hold a password.
    #[serde(serialize_with = "without_credentials")]
    pub proxy: Option<SecretString>,
    pub ca_file: Option<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    pub level: String,
    #[serde(deserialize_with = "word")]
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Json }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    Json,
    Text,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Ids of our traces are nobody's business outside, unless asked for.
    pub propagate_to_sources: bool,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cors {
    #[serde(deserialize_with = "list")]
    pub origins: Vec<String>,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Docs {
    pub enabled: bool,
}

impl Default for Docs {
    fn default() -> Self {
        Self { enabled: true }
    }
}

impl Raw {
    /// What is in force, as TOML, secrets hidden.
    pub fn shown(&self, sources: &[SourceConfig]) -> String {
        let mut table = toml::Table::try_from(self).unwrap_or_default();
        let order: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        table.insert("source_order".to_owned(), order.into());
        let shown = |source: &SourceConfig| (source.name.as_str().to_owned(), toml::Value::Table(source.shown.clone()));
        let sources: toml::Table = sources.iter().map(shown).collect();
        table.insert("sources".to_owned(), sources.into());
        toml::to_string_pretty(&table).unwrap_or_default()
    }
}

fn optional_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<String>>, D::Error> {
    list(deserializer).map(Some)
}

/// A list of IP addresses and networks. An address is a network of itself alone.
fn networks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let network = |text: &str| text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    let parse = |(index, text): (usize, String)| {
        network(&text).ok_or_else(|| {
            // Anything that does not look like an address or a host name may be a misplaced secret.
            let is_numeric = text.bytes().all(|byte| byte.is_ascii_hexdigit() || b".:/".contains(&byte));
            let is_shown = is_plain(&text) || (is_numeric && text.len() <= 43 && text.contains(['.', ':']));
            let entry = if is_shown { format!("\"{text}\"") } else { format!("entry {}", index + 1) };
            D::Error::custom(format!("{entry} is not an IP address or network, such as \"10.0.0.7\" or \"10.0.0.0/8\""))
        })
    };
    list::<D, String>(deserializer)?.into_iter().enumerate().map(parse).collect()
}

/// A URL whose user and password are hidden.
#[expect(clippy::ref_option, reason = "serde hands the field over like this")]
fn without_credentials<S: serde::Serializer>(url: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    match url.as_ref().and_then(|url| url::Url::parse(url.expose_secret()).ok()) {
        Some(url) if has_credentials(&url) => {
            let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
            let host = url.host_str().unwrap_or_default();
            serializer.serialize_str(&format!("{}://{HIDDEN}@{host}{port}", url.scheme()))
        }
        Some(url) => serializer.serialize_str(url.as_str()),
        None => serializer.serialize_none(),
    }
}
