//! The configuration: a file, environment variables over it, and validated types out of it, before a port is bound
//! (contract §8).
//!
//! [`raw`] is the form it is written in; what this module hands out needs no further check.

mod raw;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::http::HeaderValue;
use ipnet::IpNet;
use jsonwebtoken::Algorithm;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use crate::model::SourceName;
use crate::service::details::Windows;
use crate::service::walk::StreamLimits;
use crate::store::quota::QuotaConfig;
use crate::upstream::{self, ClientConfig, SourceConfig, Unreadable, origin, shown_origin};

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
    /// Empty: a random key for this process.
    pub cursor_secrets: Vec<SecretString>,
    pub cursor_lifetime: Duration,
    pub idempotency_retention: Duration,
    /// Of the answers kept under idempotency keys.
    pub idempotency_max_bytes: usize,
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
    pub max_in_flight: usize,
    pub streams: StreamLimits,
}

#[derive(Debug, Clone)]
pub struct Auth {
    pub issuers: Vec<Issuer>,
    /// Whether a caller that no claim and no entry gives sources sees all of them.
    pub default_sources_all: bool,
    pub leeway: Duration,
}

/// One issuer of tokens.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its name in the configuration.
    pub name: String,
    /// What `iss` must be.
    pub issuer: String,
    /// One of these `aud` must hold.
    pub audience: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    pub keys: IssuerKeys,
}

#[derive(Debug, Clone)]
pub enum IssuerKeys {
    /// The first signs, all verify.
    Secrets(Vec<SecretString>),
    /// A public key in PEM.
    PublicKey(Vec<u8>),
}

/// What stands over the defaults for one caller.
#[derive(Debug, Clone)]
pub struct CallerConfig {
    /// What the caller's `iss` is.
    pub issuer: String,
    pub subject: String,
    pub sources: Option<Vec<SourceName>>,
    pub quota: Option<QuotaConfig>,
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
            .map(|(name, caller)| checker.caller(name, caller, &issuers, &sources))
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
            cursor_secrets: checker.cursor_secrets(raw.cursor.key_file.as_deref())?,
            cursor_lifetime: raw.cursor.lifetime,
            idempotency_retention: raw.idempotency.retention,
            idempotency_max_bytes: usize::try_from(raw.idempotency.max_bytes.as_u64()).unwrap_or(usize::MAX),
            cache_max_bytes: raw.cache.max_bytes.as_u64(),
            cache_windows: Windows {
                fresh: raw.cache.fresh,
                stale: raw.cache.stale,
                stale_if_error: raw.cache.stale_if_error,
                not_found: raw.cache.not_found,
            },
            client: checker.client(&raw.outbound)?,
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

/// Turns raw values into valid ones, and says where a bad one came from.
struct Checker<'a> {
    loaded: &'a config::Config,
}

impl Checker<'_> {
    fn fault(&self, key: impl Into<String>, expected: &str) -> ConfigError {
        let key = key.into();
        ConfigError::Value {
            origin: shown_origin(origin(self.loaded, &key).as_deref()),
            key,
            expected: expected.to_owned(),
        }
    }

    fn source_fault(&self, error: upstream::ConfigError) -> ConfigError {
        match error {
            upstream::ConfigError::Read(unreadable) => unreadable.into(),
            upstream::ConfigError::Setting { source_name, key, expected } => {
                self.fault(format!("sources.{source_name}.{key}"), &expected)
            }
            upstream::ConfigError::Unknown { source_name, key } => {
                self.fault(format!("sources.{source_name}.{key}"), "unknown key")
            }
        }
    }

    fn in_order(&self, sources: Vec<SourceConfig>, order: &[String]) -> Result<Vec<SourceConfig>, ConfigError> {
        if order.is_empty() {
            return Ok(sources);
        }
        let mut by_name: BTreeMap<String, SourceConfig> =
            sources.into_iter().map(|source| (source.name.as_str().to_owned(), source)).collect();
        let mut sorted = Vec::with_capacity(by_name.len());
        for name in order {
            let source = by_name.remove(name);
            sorted.push(source.ok_or_else(|| self.fault("source_order", "expected each configured source once"))?);
        }
        if !by_name.is_empty() {
            return Err(self.fault("source_order", "expected each configured source once"));
        }
        Ok(sorted)
    }

    fn server(&self, raw: &raw::Server) -> Result<Server, ConfigError> {
        for (key, duration) in
            [("server.request_timeout", raw.request_timeout), ("server.batch_timeout", raw.batch_timeout)]
        {
            if duration.is_zero() {
                return Err(self.fault(key, "expected a duration longer than 0, such as \"10s\""));
            }
        }
        let body_limit = usize::try_from(raw.body_limit.as_u64()).unwrap_or(usize::MAX);
        if raw.max_in_flight == 0 {
            return Err(self.fault("server.max_in_flight", "expected a number of at least 1"));
        }
        let public_url = raw.public_url.as_deref().map(|text| {
            Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(|| {
                self.fault("server.public_url", "expected an absolute URL, such as \"https://gateway.example/scrm\"")
            })
        });
        Ok(Server {
            listen: raw.listen,
            admin_listen: raw.admin_listen,
            public_url: public_url.transpose()?,
            request_timeout: raw.request_timeout,
            batch_timeout: raw.batch_timeout,
            drain_timeout: raw.drain_timeout,
            merge_grace: raw.merge_grace,
            body_limit,
            trusted_proxies: raw.trusted_proxies.clone(),
            max_in_flight: raw.max_in_flight,
            streams: StreamLimits { total: raw.max_streams, per_caller: raw.max_streams_per_caller },
        })
    }

    fn issuer(&self, name: &str, raw: &raw::Issuer) -> Result<Issuer, ConfigError> {
        let key = |key: &str| format!("auth.issuers.{name}.{key}");
        if raw.audience.is_empty() {
            return Err(self.fault(key("audience"), "expected at least one audience"));
        }
        let symmetric =
            |algorithm: &Algorithm| matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
        let all = |wanted: bool| raw.algorithms.iter().all(|algorithm| symmetric(algorithm) == wanted);
        let keys = match (&raw.secret, &raw.secret_file, &raw.public_key_file) {
            (Some(secret), None, None) => IssuerKeys::Secrets(vec![secret.clone()]),
            (None, Some(file), None) => IssuerKeys::Secrets(self.secrets(&key("secret_file"), file)?),
            (None, None, Some(file)) => IssuerKeys::PublicKey(
                std::fs::read(file)
                    .map_err(|error| self.fault(key("public_key_file"), &format!("cannot be read: {error}")))?,
            ),
            _ => {
                let expected = "expected exactly one of secret, secret_file and public_key_file";
                return Err(self.fault(format!("auth.issuers.{name}"), expected));
            }
        };
        let fits = match &keys {
            IssuerKeys::Secrets(secrets) => {
                if secrets.iter().any(|secret| secret.expose_secret().len() < raw::MIN_JWT_SECRET_BYTES) {
                    let expected = "expected a secret of 32 bytes or more (RFC 7518 §3.2)";
                    return Err(self.fault(key("secret"), expected));
                }
                all(true)
            }
            IssuerKeys::PublicKey(_) => all(false),
        };
        if raw.algorithms.is_empty() || !fits {
            let expected = "expected HS256, HS384 or HS512 with a secret, and RS, PS, ES or EdDSA with a public key";
            return Err(self.fault(key("algorithms"), expected));
        }
        Ok(Issuer {
            name: name.to_owned(),
            issuer: raw.issuer.clone(),
            audience: raw.audience.clone(),
            algorithms: raw.algorithms.clone(),
            keys,
        })
    }

    fn caller(
        &self,
        name: &str,
        raw: &raw::Caller,
        issuers: &[Issuer],
        sources: &[SourceConfig],
    ) -> Result<CallerConfig, ConfigError> {
        let issuer = issuers.iter().find(|issuer| issuer.name == raw.issuer).ok_or_else(|| {
            self.fault(format!("callers.{name}.issuer"), "expected the name of an issuer under auth.issuers")
        })?;
        let visible = raw.sources.as_ref().map(|names| {
            let known = |name: &String| sources.iter().find(|source| source.name.as_str() == name);
            names.iter().map(|name| known(name).map(|source| source.name.clone())).collect::<Option<Vec<_>>>()
        });
        let visible = match visible {
            Some(None) => return Err(self.fault(format!("callers.{name}.sources"), "names a source that is not there")),
            Some(Some(names)) => Some(names),
            None => None,
        };
        let quota = raw.quota.map(|quota| self.quota(&format!("callers.{name}.quota"), quota)).transpose()?;
        Ok(CallerConfig { issuer: issuer.issuer.clone(), subject: raw.subject.clone(), sources: visible, quota })
    }

    fn quota(&self, key: &str, raw: raw::Quota) -> Result<QuotaConfig, ConfigError> {
        let requests = NonZeroU32::new(raw.requests);
        let burst = raw.burst.map_or(requests, NonZeroU32::new);
        match (requests, burst) {
            (Some(requests), Some(burst)) if !raw.window.is_zero() => {
                Ok(QuotaConfig { requests, window: raw.window, burst })
            }
            _ => Err(self.fault(key, "expected requests, window and burst above 0")),
        }
    }

    fn at_most(&self, key: &str, value: Duration, most: Duration) -> Result<Duration, ConfigError> {
        if value <= most { Ok(value) } else { Err(self.fault(key, &format!("expected at most {}s", most.as_secs()))) }
    }

    /// A file of secrets, one a line.
    fn secrets(&self, key: &str, path: &Path) -> Result<Vec<SecretString>, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| self.fault(key, &format!("{} cannot be read: {error}", path.display())))?;
        let secrets: Vec<SecretString> =
            text.lines().filter(|line| !line.is_empty()).map(|line| line.to_owned().into()).collect();
        if secrets.is_empty() {
            return Err(self.fault(key, &format!("{} holds no secret", path.display())));
        }
        Ok(secrets)
    }

    fn cursor_secrets(&self, path: Option<&Path>) -> Result<Vec<SecretString>, ConfigError> {
        let Some(path) = path else { return Ok(Vec::new()) };
        let secrets = self.secrets("cursor.key_file", path)?;
        let shortest = crate::service::cursor::MIN_SECRET_BYTES;
        if secrets.iter().any(|secret| secret.expose_secret().len() < shortest) {
            return Err(self.fault("cursor.key_file", &format!("expected {shortest} bytes or more on each line")));
        }
        Ok(secrets)
    }

    /// Exact origins: scheme, host and port as browsers send them.
    fn origins(&self, raw: &[String]) -> Result<Vec<HeaderValue>, ConfigError> {
        let origin = |text: &String| {
            let url = Url::parse(text).ok().filter(|url| url.origin().ascii_serialization() == *text);
            url.and_then(|_| HeaderValue::from_str(text).ok())
        };
        let parsed = raw.iter().map(origin).collect::<Option<Vec<_>>>();
        parsed.ok_or_else(|| self.fault("cors.origins", "expected origins, such as \"https://app.example\""))
    }

    fn client(&self, raw: &raw::Outbound) -> Result<ClientConfig, ConfigError> {
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let proxy = text(&raw.proxy).map(|proxy| {
            Url::parse(&proxy)
                .map_err(|_| self.fault("outbound.proxy", "expected a URL, such as \"http://proxy:3128\""))
        });
        Ok(ClientConfig { proxy: proxy.transpose()?, ca_file: text(&raw.ca_file).map(PathBuf::from) })
    }
}
