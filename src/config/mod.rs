//! The configuration: a file, environment variables over it, and validated types out of it, before a port is bound
//! (contract §8).
//!
//! [`raw`] is the form it is written in; what this module hands out needs no further check.

mod check;
mod issuers;
mod raw;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use ipnet::IpNet;
use url::Url;

use crate::edge::{Auth, CallerConfig, ClientAddressHeader};
use crate::live::Live;
use crate::model::SourceName;
use crate::outbound::ClientConfig;
use crate::service::cursor::CursorKeys;
use crate::service::details::Windows;
use crate::service::walk::StreamLimits;
use crate::store::idempotency::Bounds;
use crate::store::quota::QuotaConfig;
use crate::upstream::{SourceConfig, Unreadable};

use check::Checker;
use raw::Raw;

/// The environment's variables are `SCRM_GATEWAY__SECTION__KEY`.
const PREFIX: &str = "SCRM_GATEWAY";

#[derive(Debug, Clone)]
pub struct Config {
    /// In the order of merges.
    pub sources: Vec<SourceConfig>,
    pub server: Server,
    pub auth: Auth,
    pub callers: Vec<CallerConfig>,
    pub rate_limit: RateLimit,
    /// `None`: a random key for this process.
    pub cursor_keys: Option<Arc<Live<CursorKeys>>>,
    pub cursor_lifetime: Duration,
    pub idempotency_retention: Duration,
    /// Of the answers kept under idempotency keys.
    pub idempotency_bounds: Bounds,
    pub cache_max_bytes: u64,
    pub cache_windows: Windows,
    pub client: ClientConfig,
    pub log: Log,
    pub docs_enabled: bool,
    /// Origins whose pages may call; none: no page of another origin.
    pub cors_origins: Vec<HeaderValue>,
    /// The configuration with defaults filled in and secrets hidden, for people.
    pub shown: String,
}

#[derive(Debug, Clone)]
pub struct Server {
    pub listen: SocketAddr,
    pub admin_listen: SocketAddr,
    /// Under which address callers reach the service; `None`: the address they use.
    pub public_url: Option<Url>,
    pub request_timeout: Duration,
    pub batch_timeout: Duration,
    pub drain_timeout: Duration,
    pub merge_grace: Duration,
    /// In bytes.
    pub body_limit: usize,
    pub trusted_proxies: Vec<IpNet>,
    pub client_address_header: ClientAddressHeader,
    pub max_in_flight: usize,
    /// More wait in the system's queue.
    pub max_connections: usize,
    pub streams: StreamLimits,
    /// How often the files of secrets and keys are looked at.
    pub reread_files: Duration,
}

#[derive(Debug, Clone, Copy)]
pub struct RateLimit {
    pub default: QuotaConfig,
    pub per_address: QuotaConfig,
}

#[derive(Debug, Clone)]
pub struct Log {
    /// Directives of `tracing-subscriber`'s filter.
    pub level: String,
    pub json: bool,
}

/// A configuration that cannot be used. Never shows the value of a secret.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("{}, line {line}: {message}", path.display())]
    Syntax { path: PathBuf, line: usize, message: String },
    #[error(transparent)]
    Read(#[from] Unreadable),
    #[error("{key}{origin}: {expected}")]
    Value { key: String, origin: String, expected: String },
}

impl Config {
    /// Loads the file, if any, and the environment over it.
    ///
    /// # Errors
    /// Whatever makes the configuration unusable; it names the key, where it came from and the expected form.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let mut builder = config::Config::builder();
        if let Some(path) = path {
            let text =
                std::fs::read_to_string(path).map_err(|error| ConfigError::File { path: path.to_owned(), error })?;
            check_syntax(path, &text)?;
            builder = builder.add_source(config::File::from(path).format(config::FileFormat::Toml));
        }
        let environment = config::Environment::with_prefix(PREFIX).prefix_separator("__").separator("__");
        Self::from_loaded(&builder.add_source(environment).build().map_err(unread)?)
    }

    /// Reads a configuration given as text, without the environment.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        check_syntax(Path::new("(text)"), text)?;
        let source = config::File::from_str(text, config::FileFormat::Toml);
        Self::from_loaded(&config::Config::builder().add_source(source).build().map_err(unread)?)
    }

    fn from_loaded(loaded: &config::Config) -> Result<Self, ConfigError> {
        let read = |error| Unreadable::new(loaded, "", error);
        let raw: Raw = loaded.clone().try_deserialize().map_err(read)?;
        let checker = Checker { loaded };
        let sources = raw
            .sources
            .keys()
            .map(|name| {
                let name: SourceName = name.parse().map_err(|error: crate::model::InvalidSourceName| {
                    checker.fault(format!("sources.{name}"), &error.to_string())
                })?;
                SourceConfig::read(&name, loaded).map_err(|error| checker.source_fault(error))
            })
            .collect::<Result<Vec<_>, ConfigError>>()?;
        let sources = checker.in_order(sources, &raw.source_order)?;
        let issuers = raw
            .auth
            .issuers
            .iter()
            .map(|(name, issuer)| checker.issuer(name, issuer))
            .collect::<Result<Vec<_>, _>>()?;
        let callers = raw
            .callers
            .iter()
            .map(|(name, caller)| checker.caller(name, caller, &raw.callers, &issuers, &sources))
            .collect::<Result<Vec<_>, _>>()?;
        let shown = raw.shown(&sources);
        Ok(Self {
            sources,
            server: checker.server(&raw.server)?,
            auth: Auth {
                issuers,
                default_sources_all: raw.auth.default_sources == raw::DefaultSources::All,
                leeway: checker.at_most("auth.leeway", raw.auth.leeway, Duration::from_secs(30))?,
            },
            callers,
            rate_limit: RateLimit {
                default: checker.quota("rate_limit.default", raw.rate_limit.default)?,
                per_address: checker.quota("rate_limit.per_address", raw.rate_limit.per_address)?,
            },
            cursor_keys: checker.cursor_keys(raw.cursor.key_file.as_deref())?,
            cursor_lifetime: raw.cursor.lifetime,
            idempotency_retention: raw.idempotency.retention,
            idempotency_bounds: Bounds {
                total: usize::try_from(raw.idempotency.max_bytes.as_u64()).unwrap_or(usize::MAX),
                per_caller: usize::try_from(raw.idempotency.max_bytes_per_caller.as_u64()).unwrap_or(usize::MAX),
            },
            cache_max_bytes: raw.cache.max_bytes.as_u64(),
            cache_windows: Windows {
                fresh: raw.cache.fresh,
                stale: raw.cache.stale,
                stale_if_error: raw.cache.stale_if_error,
                not_found: raw.cache.not_found,
            },
            client: checker.client(&raw.outbound, &raw.telemetry)?,
            log: Log { level: raw.log.level, json: raw.log.format == raw::LogFormat::Json },
            docs_enabled: raw.docs.enabled,
            cors_origins: checker.origins(&raw.cors.origins)?,
            shown,
        })
    }
}

/// The TOML reader's own words would quote the line, which may hold a secret.
fn check_syntax(path: &Path, text: &str) -> Result<(), ConfigError> {
    let Err(error) = text.parse::<toml::Table>() else {
        return Ok(());
    };
    let line = error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
    Err(ConfigError::Syntax { path: path.to_owned(), line, message: error.message().to_owned() })
}

/// What could not be put together at all, before there is anything to look a key up in.
fn unread(error: config::ConfigError) -> Unreadable {
    Unreadable::new(&config::Config::default(), "configuration", error)
}
