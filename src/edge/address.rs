//! A limit by client address before authentication: it guards the signature check.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request};
use axum::response::IntoResponse;
use governor::middleware::NoOpMiddleware;
use ipnet::IpNet;
use tower_governor::governor::{GovernorConfig, GovernorConfigBuilder};
use tower_governor::key_extractor::KeyExtractor;
use tower_governor::{GovernorError, GovernorLayer};

use crate::model::{Problem, ProblemCode};
use crate::store::quota::QuotaConfig;

/// The limiter's configuration.
#[derive(Debug, Clone)]
pub struct AddressLimitConfig {
    pub quota: QuotaConfig,
    /// Proxies whose word on the client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
}

/// One limiter, shared by all connections.
#[derive(Clone)]
pub struct AddressLimit(Arc<GovernorConfig<ClientAddress, NoOpMiddleware>>);

impl AddressLimit {
    pub fn new(config: AddressLimitConfig) -> Self {
        let mut builder =
            GovernorConfigBuilder::default().key_extractor(ClientAddress { trusted: config.trusted_proxies.into() });
        builder.period(config.quota.period()).burst_size(config.quota.burst.get());
        Self(Arc::new(builder.finish().expect("period and burst are above 0")))
    }

    pub(super) fn layer(&self) -> GovernorLayer<ClientAddress, NoOpMiddleware, axum::body::Body> {
        GovernorLayer::new(self.0.clone()).error_handler(|error| match error {
            GovernorError::TooManyRequests { wait_time, .. } => {
                // The crate rounds down; a second more is never too early.
                Problem::new(ProblemCode::RateLimited, "too many requests from this address")
                    .with_retry_after(Duration::from_secs(wait_time + 1))
                    .into_response()
            }
            GovernorError::UnableToExtractKey | GovernorError::Other { .. } => {
                Problem::new(ProblemCode::Internal, "the client's address is not known").into_response()
            }
        })
    }

    pub(super) fn sweep(&self) {
        self.0.limiter().retain_recent();
        self.0.limiter().shrink_to_fit();
    }
}

/// Who is counted: the rightmost address that no trusted proxy has, an IPv6 one by its /64.
#[derive(Debug, Clone)]
pub(super) struct ClientAddress {
    trusted: Arc<[IpNet]>,
}

impl KeyExtractor for ClientAddress {
    type Key = IpAddr;

    fn extract<T>(&self, request: &Request<T>) -> Result<IpAddr, GovernorError> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().ok_or(GovernorError::UnableToExtractKey)?;
        Ok(network(self.client(peer.0.ip().to_canonical(), request.headers())))
    }
}

impl ClientAddress {
    /// Walks from the peer leftwards through what proxies appended, as long as the one who says it is trusted.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        let told: Vec<&str> =
            headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok()).collect();
        for hop in told.iter().flat_map(|value| value.split(',')).rev() {
            if !self.trusts(client) {
                break;
            }
            // A proxy of ours that writes no address is believed no further.
            let Some(address) = parse_hop(hop) else { break };
            client = address;
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }
}

/// An address, with or without a port.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let address = hop.parse::<IpAddr>().or_else(|_| hop.parse::<SocketAddr>().map(|address| address.ip()));
    address.ok().map(|address| address.to_canonical())
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(peer: &str, forwarded: &[&str]) -> String {
        let extractor = ClientAddress { trusted: ["10.0.0.0/8".parse().unwrap()].into() };
        let mut request = Request::new(());
        request.extensions_mut().insert(ConnectInfo::<SocketAddr>(SocketAddr::new(peer.parse().unwrap(), 1)));
        for value in forwarded {
            request.headers_mut().append("x-forwarded-for", value.parse().unwrap());
        }
        extractor.extract(&request).unwrap().to_string()
    }

    #[test]
    fn a_stranger_is_itself_whatever_it_forwards() {
        assert_eq!(key("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
    }

    #[test]
    fn behind_trusted_proxies_the_rightmost_untrusted_address_counts() {
        assert_eq!(key("10.1.1.1", &["1.2.3.4, 198.51.100.7, 10.2.2.2"]), "198.51.100.7");
        assert_eq!(key("10.1.1.1", &["1.2.3.4", "198.51.100.7:443"]), "198.51.100.7");
        assert_eq!(key("10.1.1.1", &["unknown"]), "10.1.1.1");
        assert_eq!(key("10.1.1.1", &[]), "10.1.1.1");
    }

    #[test]
    fn ipv6_counts_by_its_network_and_mapped_ipv4_as_ipv4() {
        assert_eq!(key("2001:db8:1:2:aaaa::1", &[]), "2001:db8:1:2::");
        assert_eq!(key("::ffff:203.0.113.9", &[]), "203.0.113.9");
    }
}
