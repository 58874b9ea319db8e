//! The configuration: a file, environment variables over it, and validated types out of it, before a port is bound
//! (contract §8).
//!
//! [`raw`] is the form it is written in; what this module hands out needs no further check.

mod check;
mod environment;
mod error;
mod issuers;
mod keys;
mod limits;
mod memory;
mod misnamed;
mod names;
mod raw;
mod warnings;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use ipnet::IpNet;
use url::Url;

use crate::edge::{Auth, CallerConfig, ClientAddressHeader};
use crate::live::Live;
use crate::memory::Shares;
use crate::outbound::ClientConfig;
use crate::pace::Pace;
use crate::service::cursor::CursorKeys;
use crate::service::details::Windows;
use crate::service::walk::StreamLimits;
use crate::store::idempotency::Bounds;
use crate::store::quota::QuotaConfig;
use crate::upstream::{PREFIX, SourceConfig, Unreadable};

use check::Checker;
use environment::Environment;
use error::Error;

pub(crate) use environment::CONFIG_FILE;
pub use error::ConfigError;

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
    /// The memory limit and its parts.
    pub memory: Shares,
    pub cache_windows: Windows,
    pub client: ClientConfig,
    pub log: Log,
    pub docs_enabled: bool,
    /// Origins whose pages may call; none: no page of another origin.
    pub cors_origins: Vec<HeaderValue>,
    /// The configuration with defaults filled in and secrets hidden, as TOML.
    pub shown: String,
    /// Settings that are valid and probably not meant, in a sentence each.
    pub warnings: Vec<String>,
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
    /// The slowest request body.
    pub body_pace: Pace,
    /// The slowest response.
    pub response_pace: Pace,
    pub trusted_proxies: Vec<IpNet>,
    pub client_address_header: ClientAddressHeader,
    pub max_in_flight: usize,
    /// More wait in the system's queue.
    pub max_connections: usize,
    /// Connections of one address, or one /64 of IPv6. Those of trusted proxies are not counted.
    pub max_connections_per_address: usize,
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

impl Config {
    /// Loads the file, if any, and the environment over it.
    ///
    /// # Errors
    /// Every error in the configuration; each names the key, where it came from and the expected form.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Environment { mut values, mut errors, warnings } = Environment::of(std::env::vars_os());
        let mut builder = config::Config::builder();
        if let Some(path) = path {
            match std::fs::read_to_string(path) {
                Ok(text) => errors.extend(syntax_errors(path, &text)),
                Err(error) => errors.push(Error::File { path: path.to_owned(), error }),
            }
            builder = builder.add_source(config::File::from(path).format(config::FileFormat::Toml));
        }
        // What a broken file leaves of the configuration would only have errors that follow from that.
        if errors.iter().any(|error| matches!(error, Error::File { .. } | Error::Syntax { .. })) {
            return Err(ConfigError::new(errors));
        }
        if let Ok(file) = builder.clone().build() {
            errors.extend(misnamed::take(&mut values, &file));
        }
        let variables = config::Environment::with_prefix(PREFIX).prefix_separator("__").separator("__");
        let loaded = builder.add_source(variables.source(Some(values.into_iter().collect()))).build();
        let mut config = Self::from_loaded(loaded, errors, path.is_some())?;
        config.warnings.extend(warnings);
        Ok(config)
    }

    /// Reads a configuration given as text, without the environment.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let errors = syntax_errors(Path::new("(text)"), text);
        if !errors.is_empty() {
            return Err(ConfigError::new(errors));
        }
        let source = config::File::from_str(text, config::FileFormat::Toml);
        Self::from_loaded(config::Config::builder().add_source(source).build(), Vec::new(), true)
    }

    fn from_loaded(
        loaded: Result<config::Config, config::ConfigError>,
        errors: Vec<Error>,
        has_file: bool,
    ) -> Result<Self, ConfigError> {
        match loaded {
            Ok(loaded) => Checker::new(&loaded, errors).config(has_file),
            Err(error) => {
                let unreadable = Unreadable::new(&config::Config::default(), "configuration", error);
                Err(ConfigError::new(errors.into_iter().chain([unreadable.into()]).collect()))
            }
        }
    }
}

/// The errors of a text that is not TOML, one for each line at fault. The reader's own text would quote the line, which may hold a
/// secret.
fn syntax_errors(path: &Path, text: &str) -> Vec<Error> {
    let (_, errors) = toml::de::DeTable::parse_recoverable(text);
    let located = errors.into_iter().map(|error| {
        let before = error.span().map_or(0, |span| span.start.min(text.len()));
        let line = String::from_utf8_lossy(&text.as_bytes()[..before]).split('\n').count();
        (line, error.message().to_owned())
    });
    let mut located: Vec<_> = located.collect();
    located.sort_by_key(|(line, _)| *line);
    located.dedup_by_key(|(line, _)| *line);
    let error = |(line, message)| Error::Syntax { path: path.to_owned(), line, message };
    located.into_iter().map(error).collect()
}
