//! From raw values to valid ones. Every error is collected with its key, where it came from and the expected form.

use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use config::Source;
use secrecy::ExposeSecret;
use url::Url;

use crate::edge::Auth;
use crate::live::Live;
use crate::open_files;
use crate::outbound::{self, ClientConfig, ClientError};
use crate::pace::Pace;
use crate::service::cursor::CursorKeys;
use crate::service::details::Windows;
use crate::service::walk::StreamLimits;
use crate::store::idempotency::Bounds;
use crate::store::quota::QuotaConfig;
use crate::telemetry;
use crate::upstream::{self, HIDDEN, HIDDEN_GIVEN, PREFIX, Reason, SourceConfig, Unreadable, origin, read_section};

use super::error::Error;
use super::{Config, ConfigError, Log, RateLimit, Server, keys, raw, warnings};

/// Lowers `server.max_connections` to what the limit of open files allows; returns the warning about it.
fn fit_to_open_files(server: &mut raw::Server, sources: &[SourceConfig], limit: Option<usize>) -> Option<String> {
    let limit = limit?;
    let calls = sources.iter().map(|source| source.settings.max_in_flight).fold(0, usize::saturating_add);
    let (configured, possible) = (server.max_connections, open_files::connections_within(limit, calls));
    (configured > possible).then(|| {
        server.max_connections = possible;
        format!(
            "server.max_connections is lowered from {configured} to {possible}: the hard limit of open files is {limit}, \
             and {} of them are reserved for calls to sources, the admin port and files; raise the limit (ulimit -Hn)",
            limit - possible,
        )
    })
}

/// Turns raw values into valid ones and collects the errors.
pub(super) struct Checker<'a> {
    loaded: &'a config::Config,
    errors: Vec<Error>,
}

impl<'a> Checker<'a> {
    /// `errors` are those found so far.
    pub(super) fn new(loaded: &'a config::Config, errors: Vec<Error>) -> Self {
        Self { loaded, errors }
    }

    /// The whole configuration. `has_file`: whether a file was given.
    pub(super) fn config(mut self, has_file: bool) -> Result<Config, ConfigError> {
        let Some(mut raw) = self.raw() else { return Err(ConfigError::new(self.errors)) };
        let memory = self.memory(&raw);
        let sources = self.sources(&raw);
        let issuers = self.issuers(&raw.auth.issuers);
        let callers = self.callers(&raw.callers, &issuers);
        let lowered = fit_to_open_files(&mut raw.server, &sources, open_files::limit());
        let server = self.server(&raw.server);
        let rate_limit = RateLimit {
            default: self.quota("rate_limit.default", raw.rate_limit.default),
            per_address: self.quota("rate_limit.per_address", raw.rate_limit.per_address),
        };
        if raw.auth.leeway > Duration::from_secs(30) {
            self.reject("auth.leeway", "expected at most 30s");
        }
        if let Err(invalid) = telemetry::check_level(&raw.log.level) {
            self.reject("log.level", invalid.to_string());
        }
        let client = self.client(&raw.outbound, &raw.telemetry);
        let (cursor_keys, cors_origins) = (self.cursor_keys(raw.cursor.key_file.as_deref()), self.origins(&raw.cors));
        self.require_sections(has_file);
        if !self.errors.is_empty() {
            return Err(ConfigError::new(self.errors));
        }
        let (shown, bytes) = (raw.shown(&sources), |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX));
        let mut config = Config {
            sources,
            server,
            auth: Auth {
                issuers,
                default_sources_all: raw.auth.default_sources == raw::DefaultSources::All,
                leeway: raw.auth.leeway,
            },
            callers,
            rate_limit,
            cursor_keys,
            cursor_lifetime: raw.cursor.lifetime,
            idempotency_retention: raw.idempotency.retention,
            idempotency_bounds: Bounds {
                total: bytes(memory.idempotency),
                per_caller: bytes(memory.idempotency_per_caller),
            },
            memory,
            cache_windows: Windows {
                fresh: raw.cache.fresh,
                stale: raw.cache.stale,
                stale_if_error: raw.cache.stale_if_error,
                not_found: raw.cache.not_found,
            },
            client,
            log: Log { level: raw.log.level, json: raw.log.format == raw::LogFormat::Json },
            docs_enabled: raw.docs.enabled,
            cors_origins,
            shown,
            warnings: Vec::new(),
        };
        config.warnings = warnings::of(&config);
        config.warnings.extend(lowered);
        Ok(config)
    }

    fn raw(&mut self) -> Option<raw::Raw> {
        let mut unreadable = Vec::new();
        let table = self.loaded.collect().map_err(|error| unreadable.push(Unreadable::new(self.loaded, "", error)));
        let raw = table.ok().and_then(|mut table| read_section(self.loaded, "", &mut table, &mut unreadable));
        for error in unreadable {
            self.unreadable(error);
        }
        raw
    }

    /// Collects the error. An unknown key is first looked for in all sections, then among similar ones of its own.
    pub(super) fn unreadable(&mut self, mut error: Unreadable) {
        let name = error.key.rsplit('.').next().unwrap_or(&error.key);
        let variable = error.variable().and_then(|name| name.strip_prefix(PREFIX));
        let anywhere = variable.and_then(keys::intended).or_else(|| keys::elsewhere(name));
        if let Reason::Unknown { suggestion, .. } = &mut error.reason {
            *suggestion = anywhere.or(suggestion.take()).or_else(|| keys::intended(&error.key));
        }
        self.errors.push(error.into());
    }

    /// Collects the error of a value that was read and cannot be used, unless it could not even be read.
    pub(super) fn reject(&mut self, key: impl Into<String>, expected: impl Into<String>) {
        let key = key.into();
        if self.errors.iter().any(|error| matches!(error, Error::Read(unreadable) if unreadable.key == key)) {
            return;
        }
        self.errors.push(Error::Value { origin: origin(self.loaded, &key), key, expected: expected.into() });
    }

    pub(super) fn reject_source(&mut self, error: upstream::ConfigError) {
        match error {
            upstream::ConfigError::Read(unreadable) => self.unreadable(unreadable),
            upstream::ConfigError::Setting { source_name, key, expected } => {
                self.reject(format!("sources.{source_name}.{key}"), expected);
            }
            upstream::ConfigError::MissingSecret { source_name, inline, file } => {
                self.reject(format!("sources.{source_name}.{inline}"), format!("missing; expected {inline} or {file}"));
            }
        }
    }

    pub(super) fn read_source(
        &self,
        name: &crate::model::SourceName,
    ) -> Result<SourceConfig, Vec<upstream::ConfigError>> {
        SourceConfig::read(name, self.loaded)
    }

    /// The names of the sections below `section`, those with errors too.
    pub(super) fn declared(&self, section: &str) -> Vec<String> {
        let table = self.loaded.get_table(section).unwrap_or_default();
        let mut names: Vec<String> = table.into_keys().collect();
        names.sort();
        names
    }

    /// Whether an error below this path was collected, or a key that was probably meant to be there.
    pub(super) fn is_at_fault(&self, path: &str) -> bool {
        self.errors.iter().any(|error| match error {
            Error::Read(unreadable) => unreadable.key.starts_with(path) || unreadable.suggests(path),
            Error::Value { key, .. } => key.starts_with(path),
            _ => false,
        })
    }

    fn require_sections(&mut self, has_file: bool) {
        let mut is_empty = false;
        for (section, name) in [("sources", "source"), ("auth.issuers", "issuer")] {
            let is_explained = self.is_at_fault(section) || (name == "issuer" && self.is_at_fault("auth"));
            if self.declared(section).is_empty() && !is_explained {
                self.reject(section, format!("no {name} is configured; add a section [{section}.NAME]"));
                is_empty = true;
            }
        }
        if is_empty && !has_file {
            self.errors.push(Error::NoFile);
        }
    }

    fn server(&mut self, raw: &raw::Server) -> Server {
        for (key, duration) in [
            ("server.request_timeout", raw.request_timeout),
            ("server.batch_timeout", raw.batch_timeout),
            ("server.body_timeout", raw.body_timeout),
            ("server.response_timeout", raw.response_timeout),
            ("server.reread_files", raw.reread_files),
        ] {
            if duration.is_zero() {
                self.reject(key, "expected a duration longer than 0, such as \"10s\"");
            }
        }
        for (key, number) in [
            ("server.max_in_flight", raw.max_in_flight),
            ("server.max_connections", raw.max_connections),
            ("server.max_connections_per_address", raw.max_connections_per_address),
        ] {
            if number == 0 {
                self.reject(key, "expected a number of at least 1");
            }
        }
        let min_rate = NonZeroU64::new(raw.min_rate.as_u64()).unwrap_or_else(|| {
            self.reject("server.min_rate", "expected a size of at least 1B, the bytes a second");
            NonZeroU64::MIN
        });
        let pace = |timeout| Pace { min_rate, timeout };
        let sound = |url: &Url| matches!(url.scheme(), "http" | "https") && url.query().is_none();
        let public_url = raw.public_url.as_deref().map(|text| outbound::absolute(text).filter(sound));
        if public_url == Some(None) {
            let expected =
                "expected an absolute URL without user, query and fragment, such as \"https://gateway.example/scrm\"";
            self.reject("server.public_url", expected);
        }
        Server {
            listen: raw.listen,
            admin_listen: raw.admin_listen,
            public_url: public_url.flatten(),
            request_timeout: raw.request_timeout,
            batch_timeout: raw.batch_timeout,
            drain_timeout: raw.drain_timeout,
            merge_grace: raw.merge_grace,
            body_limit: usize::try_from(raw.body_limit.as_u64()).unwrap_or(usize::MAX),
            body_pace: pace(raw.body_timeout),
            response_pace: pace(raw.response_timeout),
            trusted_proxies: raw.trusted_proxies.clone(),
            client_address_header: raw.client_address_header,
            max_in_flight: raw.max_in_flight,
            max_connections: raw.max_connections,
            max_connections_per_address: raw.max_connections_per_address,
            streams: StreamLimits { total: raw.max_streams, per_caller: raw.max_streams_per_caller },
            reread_files: raw.reread_files,
        }
    }

    pub(super) fn quota(&mut self, key: &str, raw: raw::Quota) -> QuotaConfig {
        let mut above_zero = |name: &str, number: u32| {
            NonZeroU32::new(number).unwrap_or_else(|| {
                self.reject(format!("{key}.{name}"), "expected a number of at least 1");
                NonZeroU32::MIN
            })
        };
        let requests = above_zero("requests", raw.requests);
        let burst = raw.burst.map_or(requests, |burst| above_zero("burst", burst));
        if raw.window.is_zero() {
            self.reject(format!("{key}.window"), "expected a duration longer than 0, such as \"1m\"");
        }
        QuotaConfig { requests, window: raw.window, burst }
    }

    fn cursor_keys(&mut self, path: Option<&Path>) -> Option<Arc<Live<CursorKeys>>> {
        const KEY: &str = "cursor.key_file";
        let parse = |lines: &[u8]| CursorKeys::of_lines(lines).map_err(|short| short.to_string());
        let keys = Live::of_file(KEY, path?, parse).map_err(|error| self.reject(KEY, error.to_string()));
        keys.ok().map(Arc::new)
    }

    /// Exact origins: scheme, host and port as browsers send them.
    fn origins(&mut self, raw: &raw::Cors) -> Vec<HeaderValue> {
        let origin = |text: &String| {
            let url = Url::parse(text).ok().filter(|url| url.origin().ascii_serialization() == *text);
            url.and_then(|_| HeaderValue::from_str(text).ok())
        };
        let parsed = raw.origins.iter().map(origin).collect::<Option<Vec<_>>>();
        parsed.unwrap_or_else(|| {
            self.reject("cors.origins", "expected origins, such as \"https://app.example\"");
            Vec::new()
        })
    }

    fn client(&mut self, raw: &raw::Outbound, telemetry: &raw::Telemetry) -> ClientConfig {
        let proxy = raw.proxy.as_ref().filter(|proxy| !proxy.expose_secret().is_empty());
        let client = ClientConfig {
            proxy: proxy.cloned(),
            ca_file: raw.ca_file.as_ref().filter(|path| !path.is_empty()).map(PathBuf::from),
            propagate_trace: telemetry.propagate_to_sources,
        };
        if proxy.is_some_and(|proxy| proxy.expose_secret().contains(HIDDEN)) {
            self.reject("outbound.proxy", HIDDEN_GIVEN.replacen("is", "contains", 1));
        } else if proxy.is_some_and(|proxy| Url::parse(proxy.expose_secret()).is_err()) {
            self.reject("outbound.proxy", "expected a URL, such as \"http://proxy:3128\"");
        } else if let Err(error) = outbound::check(&client) {
            let key = if matches!(error, ClientError::Build(_)) { "outbound" } else { "outbound.ca_file" };
            let message = error.to_string();
            self.reject(key, message.strip_prefix(&format!("{key}: ")).unwrap_or(&message));
        }
        client
    }
}
