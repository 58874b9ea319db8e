//! What all calls of the gateway share: where they may go, and how their client is made. A leaf: imports nothing of the
//! road.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

/// What all calls share of the way out.
#[derive(Debug, Clone, Default)]
pub struct ClientConfig {
    /// The URL of a proxy for all calls, which may hold a password; the environment is never asked for one.
    pub proxy: Option<SecretString>,
    /// Certificate authorities in PEM, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether sources are told the trace that a call belongs to.
    pub propagate_trace: bool,
}

/// A client that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("outbound.ca_file: {0}")]
    CaFile(std::io::Error),
    #[error("outbound: {0}")]
    Build(reqwest::Error),
}

impl ClientError {
    pub fn build(error: reqwest::Error) -> Self {
        Self::Build(error.without_url())
    }
}

/// A client to be: it follows no redirect, tries nothing again and asks the environment for nothing.
///
/// # Errors
/// A proxy or certificate authorities that cannot be used.
pub fn client(shared: &ClientConfig, connect_timeout: Duration) -> Result<reqwest::ClientBuilder, ClientError> {
    let mut builder = reqwest::Client::builder()
        // A redirect would carry credentials to a host nobody configured, or bring keys from one.
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .connect_timeout(connect_timeout)
        // Below the usual keep-alive of servers, so that a connection is not taken up as they close it.
        .pool_idle_timeout(Duration::from_secs(20))
        .tcp_nodelay(true)
        .user_agent(concat!("scrm-gateway/", env!("CARGO_PKG_VERSION")));
    if let Some(proxy) = &shared.proxy {
        builder = builder.proxy(reqwest::Proxy::all(proxy.expose_secret()).map_err(ClientError::build)?);
    }
    if let Some(path) = &shared.ca_file {
        let pem = std::fs::read(path).map_err(ClientError::CaFile)?;
        let authorities = reqwest::Certificate::from_pem_bundle(&pem).map_err(ClientError::build)?;
        builder = builder.tls_certs_only(authorities);
    }
    Ok(builder)
}

/// An absolute URL with a host, without user, password and fragment.
pub fn absolute(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    (url.has_host() && !has_credentials(&url) && url.fragment().is_none()).then_some(url)
}

/// Whether a URL holds a user or a password.
pub fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// How a URL is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Tls,
    /// Plain HTTP that does not leave this machine.
    Loopback,
    /// Plain HTTP that anybody on the way may read and change.
    Plain,
    /// No HTTP.
    Other,
}

impl Way {
    pub fn to(url: &Url) -> Self {
        let loopback = match url.host() {
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            Some(Host::Domain(domain)) => domain == "localhost",
            None => false,
        };
        match url.scheme() {
            "https" => Self::Tls,
            "http" if loopback => Self::Loopback,
            "http" => Self::Plain,
            _ => Self::Other,
        }
    }
}
