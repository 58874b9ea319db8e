//! What all calls of the gateway share: where they may go, and how their client is made. A leaf: imports nothing of the
//! road.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use crate::live::shown;
use crate::shortage;

/// What all calls share of the way out.
#[derive(Debug, Clone, Default)]
pub struct ClientConfig {
    /// The URL of a proxy for all calls that leave this machine; it may hold a password. The environment is never asked for one.
    pub proxy: Option<SecretString>,
    /// Certificate authorities in PEM, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether sources are told the trace that a call belongs to.
    pub propagate_trace: bool,
}

/// A client that cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("outbound.ca_file: {} cannot be read: {error}", shown(path))]
    CaFile { path: PathBuf, error: std::io::Error },
    #[error("outbound.ca_file: expected at least one certificate in PEM")]
    NoAuthority,
    #[error("outbound: {0}")]
    Build(reqwest::Error),
}

impl ClientError {
    pub fn build(error: reqwest::Error) -> Self {
        Self::Build(error.without_url())
    }
}

/// A client to be, for calls to the host of `to`: it follows no redirect, tries nothing again and asks the environment for nothing.
///
/// # Errors
/// A proxy or certificate authorities that cannot be used.
pub fn client(
    shared: &ClientConfig,
    to: &Url,
    connect_timeout: Duration,
) -> Result<reqwest::ClientBuilder, ClientError> {
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
    // What may go in clear because it stays on this machine is not carried to a proxy on another.
    if let Some(proxy) = shared.proxy.as_ref().filter(|_| !is_loopback(to)) {
        builder = builder.proxy(reqwest::Proxy::all(proxy.expose_secret()).map_err(ClientError::build)?);
    }
    if let Some(path) = &shared.ca_file {
        let pem = std::fs::read(path).map_err(|error| ClientError::CaFile { path: path.clone(), error })?;
        let authorities = reqwest::Certificate::from_pem_bundle(&pem).map_err(ClientError::build)?;
        if authorities.is_empty() {
            // With none, nobody could be trusted; that shows now rather than with the first call.
            return Err(ClientError::NoAuthority);
        }
        builder = builder.tls_certs_only(authorities);
    }
    Ok(builder)
}

/// The resource of this machine that a call lacked, if that is why it failed.
pub fn shortage(error: &reqwest::Error) -> Option<&'static str> {
    if error.is_connect() { shortage::of_connecting(error) } else { shortage::of(error) }
}

/// Checks that a client can be built.
///
/// # Errors
/// As [`client`].
pub fn check(shared: &ClientConfig) -> Result<(), ClientError> {
    let anywhere = Url::parse("https://host.invalid").expect("a URL");
    client(shared, &anywhere, Duration::from_secs(1))?.build().map(drop).map_err(ClientError::build)
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
        match url.scheme() {
            "https" => Self::Tls,
            "http" if is_loopback(url) => Self::Loopback,
            "http" => Self::Plain,
            _ => Self::Other,
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(domain)) => domain == "localhost",
        None => false,
    }
}
