//! From raw values to valid ones; a bad one is told with its key, where it came from and the expected form.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderValue;
use secrecy::ExposeSecret;
use url::Url;

use crate::edge::{CallerConfig, Issuer};
use crate::live::Live;
use crate::outbound::{self, ClientConfig};
use crate::service::cursor::CursorKeys;
use crate::service::walk::StreamLimits;
use crate::store::quota::QuotaConfig;
use crate::upstream::{self, SourceConfig, origin, shown_origin};

use super::{ConfigError, Server, raw};

/// Turns raw values into valid ones, and says where a bad one came from.
pub(super) struct Checker<'a> {
    pub(super) loaded: &'a config::Config,
}

impl Checker<'_> {
    pub(super) fn fault(&self, key: impl Into<String>, expected: &str) -> ConfigError {
        let key = key.into();
        ConfigError::Value {
            origin: shown_origin(origin(self.loaded, &key).as_deref()),
            key,
            expected: expected.to_owned(),
        }
    }

    pub(super) fn source_fault(&self, error: upstream::ConfigError) -> ConfigError {
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

    pub(super) fn in_order(
        &self,
        sources: Vec<SourceConfig>,
        order: &[String],
    ) -> Result<Vec<SourceConfig>, ConfigError> {
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

    pub(super) fn server(&self, raw: &raw::Server) -> Result<Server, ConfigError> {
        for (key, duration) in [
            ("server.request_timeout", raw.request_timeout),
            ("server.batch_timeout", raw.batch_timeout),
            ("server.reread_files", raw.reread_files),
        ] {
            if duration.is_zero() {
                return Err(self.fault(key, "expected a duration longer than 0, such as \"10s\""));
            }
        }
        let body_limit = usize::try_from(raw.body_limit.as_u64()).unwrap_or(usize::MAX);
        for (key, number) in
            [("server.max_in_flight", raw.max_in_flight), ("server.max_connections", raw.max_connections)]
        {
            if number == 0 {
                return Err(self.fault(key, "expected a number of at least 1"));
            }
        }
        let public_url = raw.public_url.as_deref().map(|text| {
            let sound = |url: &Url| matches!(url.scheme(), "http" | "https") && !outbound::has_credentials(url);
            Url::parse(text).ok().filter(sound).ok_or_else(|| {
                let expected = "expected an absolute URL without user, such as \"https://gateway.example/scrm\"";
                self.fault("server.public_url", expected)
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
            client_address_header: raw.client_address_header,
            max_in_flight: raw.max_in_flight,
            max_connections: raw.max_connections,
            streams: StreamLimits { total: raw.max_streams, per_caller: raw.max_streams_per_caller },
            reread_files: raw.reread_files,
        })
    }

    pub(super) fn caller(
        &self,
        name: &str,
        raw: &raw::Caller,
        all: &BTreeMap<String, raw::Caller>,
        issuers: &[Issuer],
        sources: &[SourceConfig],
    ) -> Result<CallerConfig, ConfigError> {
        let issuer_of = |wanted: &str| issuers.iter().find(|issuer| issuer.name == wanted);
        let issuer = issuer_of(&raw.issuer).ok_or_else(|| {
            self.fault(format!("callers.{name}.issuer"), "expected the name of an issuer under auth.issuers")
        })?;
        // Two issuers of the configuration may be one to tokens.
        let is_same = |other: &raw::Caller| {
            other.subject == raw.subject && issuer_of(&other.issuer).is_some_and(|other| other.issuer == issuer.issuer)
        };
        if let Some((twin, _)) = all.iter().find(|(other, caller)| other.as_str() != name && is_same(caller)) {
            let expected = format!("is the same caller as callers.{twin}, by issuer and subject");
            return Err(self.fault(format!("callers.{name}.subject"), &expected));
        }
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

    pub(super) fn quota(&self, key: &str, raw: raw::Quota) -> Result<QuotaConfig, ConfigError> {
        let requests = NonZeroU32::new(raw.requests);
        let burst = raw.burst.map_or(requests, NonZeroU32::new);
        match (requests, burst) {
            (Some(requests), Some(burst)) if !raw.window.is_zero() => {
                Ok(QuotaConfig { requests, window: raw.window, burst })
            }
            _ => Err(self.fault(key, "expected requests, window and burst above 0")),
        }
    }

    pub(super) fn at_most(&self, key: &str, value: Duration, most: Duration) -> Result<Duration, ConfigError> {
        if value <= most { Ok(value) } else { Err(self.fault(key, &format!("expected at most {}s", most.as_secs()))) }
    }

    pub(super) fn cursor_keys(&self, path: Option<&Path>) -> Result<Option<Arc<Live<CursorKeys>>>, ConfigError> {
        const KEY: &str = "cursor.key_file";
        let Some(path) = path else { return Ok(None) };
        let parse = |lines: &[u8]| CursorKeys::of_lines(lines).map_err(|short| short.to_string());
        let keys = Live::of_file(KEY, path, parse).map_err(|why| self.fault(KEY, &why))?;
        Ok(Some(Arc::new(keys)))
    }

    /// Exact origins: scheme, host and port as browsers send them.
    pub(super) fn origins(&self, raw: &[String]) -> Result<Vec<HeaderValue>, ConfigError> {
        let origin = |text: &String| {
            let url = Url::parse(text).ok().filter(|url| url.origin().ascii_serialization() == *text);
            url.and_then(|_| HeaderValue::from_str(text).ok())
        };
        let parsed = raw.iter().map(origin).collect::<Option<Vec<_>>>();
        parsed.ok_or_else(|| self.fault("cors.origins", "expected origins, such as \"https://app.example\""))
    }

    pub(super) fn client(&self, raw: &raw::Outbound, telemetry: &raw::Telemetry) -> Result<ClientConfig, ConfigError> {
        let proxy = raw.proxy.as_ref().filter(|proxy| !proxy.expose_secret().is_empty());
        if proxy.is_some_and(|proxy| Url::parse(proxy.expose_secret()).is_err()) {
            return Err(self.fault("outbound.proxy", "expected a URL, such as \"http://proxy:3128\""));
        }
        Ok(ClientConfig {
            proxy: proxy.cloned(),
            ca_file: raw.ca_file.as_ref().filter(|path| !path.is_empty()).map(PathBuf::from),
            propagate_trace: telemetry.propagate_to_sources,
        })
    }
}
