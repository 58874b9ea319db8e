//! A limit by client address before everything else: preflights and malformed messages count as well.
//!
//! It counts by bucket rather than by address, so that its memory is bounded whoever comes (docs/adr/0014).

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, State};
use axum::http::header::CONNECTION;
use axum::http::{HeaderMap, HeaderValue, Method, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use ipnet::IpNet;
use tower::{Layer, ServiceExt, service_fn};
use tower_governor::GovernorError;
use tower_governor::governor::{GovernorConfig, GovernorConfigBuilder};
use tower_governor::key_extractor::KeyExtractor;
use tower_http::cors::CorsLayer;

use crate::model::{Problem, ProblemCode};
use crate::store::quota::QuotaConfig;

use super::access_log::AccessNotes;
use super::forwarded::{self, ClientAddressHeader};
use super::message;
use super::refusal_log::RefusalLog;

/// How many buckets there are. All of them in use take some 10 MB.
const BUCKETS: u64 = 1 << 18;

/// The limiter's configuration.
#[derive(Debug, Clone)]
pub struct AddressLimitConfig {
    pub quota: QuotaConfig,
    /// Proxies whose word on the client's address is taken.
    pub trusted_proxies: Vec<IpNet>,
    /// The header that they write it in. Any other is the client's own invention that they pass on.
    pub header: ClientAddressHeader,
}

/// One limiter, shared by all connections.
#[derive(Clone)]
pub struct AddressLimit {
    governor: Arc<GovernorConfig<ClientAddress, NoOpMiddleware>>,
    client: ClientAddress,
    refusals: Arc<RefusalLog>,
}

/// Configuration of [`limit`].
#[derive(Clone)]
pub(super) struct Limit {
    pub(super) by: AddressLimit,
    /// The layer that adds the CORS headers to a refusal.
    pub(super) cors: Option<CorsLayer>,
}

/// Counts every request and refuses it if its address has sent too many.
pub(super) async fn limit(State(limit): State<Limit>, request: axum::extract::Request, next: Next) -> Response {
    let problem = match limit.by.check(&request) {
        Ok(()) => return next.run(request).await,
        Err(problem) => problem,
    };
    if let Some(notes) = request.extensions().get::<AccessNotes>() {
        notes.set_refused(&limit.by.refusals);
    }
    // A refusal costs the client its connection, unless the connection belongs to a proxy, which sends requests of other clients
    // over it. What follows an ambiguous message may be part of it.
    let closes = limit.by.client.is_peer(&request) || message::fault(&request).is_some();
    let mut response = match limit.cors {
        // A page may read why it was refused. CorsLayer would answer a preflight itself.
        Some(cors) if request.method() != Method::OPTIONS => with_cors(&cors, problem, request).await,
        _ => problem.into_response(),
    };
    if closes {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn with_cors(cors: &CorsLayer, problem: Problem, request: axum::extract::Request) -> Response {
    let refuse = service_fn(move |_request| std::future::ready(Ok::<_, Infallible>(problem.clone().into_response())));
    cors.layer(refuse).oneshot(request).await.unwrap_or_else(|never| match never {})
}

impl AddressLimit {
    pub fn new(config: AddressLimitConfig) -> Self {
        let client =
            ClientAddress { trusted: config.trusted_proxies.into(), header: config.header, seed: RandomState::new() };
        let mut builder = GovernorConfigBuilder::default().key_extractor(client.clone());
        builder.period(config.quota.period()).burst_size(config.quota.burst.get());
        let governor = Arc::new(builder.finish().expect("period and burst are above 0"));
        Self { governor, client, refusals: Arc::default() }
    }

    /// How a request's client is found.
    pub(super) fn client(&self) -> ClientAddress {
        self.client.clone()
    }

    /// Counts a request.
    fn check<T>(&self, request: &Request<T>) -> Result<(), Problem> {
        let unknown = |_| Problem::new(ProblemCode::Internal, "the client's address is not known");
        let bucket = self.client.extract(request).map_err(unknown)?;
        self.governor.limiter().check_key(&bucket).map_err(|until| {
            let wait = until.wait_time_from(DefaultClock::default().now());
            Problem::new(ProblemCode::RateLimited, "too many requests from this address").with_retry_after(wait)
        })
    }

    /// Logs how many access lines of refused requests were omitted.
    pub(super) fn log_omitted(&self) {
        self.refusals.flush();
    }

    pub(super) fn sweep(&self) {
        self.governor.limiter().retain_recent();
        self.governor.limiter().shrink_to_fit();
    }
}

/// Who is counted: the rightmost address that no trusted proxy has, an IPv6 one by its /64.
#[derive(Debug, Clone)]
pub(super) struct ClientAddress {
    trusted: Arc<[IpNet]>,
    header: ClientAddressHeader,
    /// Another one in each process, so that nobody can tell who shares a bucket with whom.
    seed: RandomState,
}

/// What is counted together: as a rule one client's requests and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Bucket(u64);

impl KeyExtractor for ClientAddress {
    type Key = Bucket;

    fn extract<T>(&self, request: &Request<T>) -> Result<Bucket, GovernorError> {
        let client = self.of(request).ok_or(GovernorError::UnableToExtractKey)?;
        Ok(Bucket(self.seed.hash_one(network(client)) % BUCKETS))
    }
}

impl ClientAddress {
    /// The address of a request's client; `None` where the request came over no connection.
    pub(super) fn of<T>(&self, request: &Request<T>) -> Option<IpAddr> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>()?;
        Some(self.client(peer.0.ip().to_canonical(), request.headers()))
    }

    /// Whether the client is the peer itself, so that the connection is its own.
    fn is_peer<T>(&self, request: &Request<T>) -> bool {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
        peer.is_some_and(|peer| self.of(request) == Some(peer.0.ip().to_canonical()))
    }

    /// Walks from the peer leftwards through what proxies wrote, as long as the one who says it is trusted. A proxy of ours
    /// that names no address is believed no further: then it is counted itself.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer;
        let mut hops = forwarded::hops(self.header, headers);
        while self.trusts(client)
            && let Some(Some(address)) = hops.next()
        {
            client = address;
        }
        client
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }
}

/// Returns what is counted as one client: an address of IPv4, a /64 of IPv6.
pub(crate) fn network(address: IpAddr) -> IpAddr {
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
    use std::num::NonZeroU32;
    use std::time::Duration;

    use super::*;

    fn from(peer: &str, forwarded: &[&str]) -> Request<()> {
        let mut request = Request::new(());
        request.extensions_mut().insert(ConnectInfo::<SocketAddr>(SocketAddr::new(peer.parse().unwrap(), 1)));
        for value in forwarded {
            request.headers_mut().append("x-forwarded-for", value.parse().unwrap());
        }
        request
    }

    fn extractor() -> ClientAddress {
        ClientAddress {
            trusted: ["10.0.0.0/8".parse().unwrap()].into(),
            header: ClientAddressHeader::XForwardedFor,
            seed: RandomState::new(),
        }
    }

    fn key(peer: &str, forwarded: &[&str]) -> String {
        let extractor = extractor();
        let request = from(peer, forwarded);
        let client = network(extractor.client(peer.parse::<IpAddr>().unwrap().to_canonical(), request.headers()));
        let same = extractor.extract(&from(&client.to_string(), &[]));
        assert_eq!(extractor.extract(&request).unwrap(), same.unwrap(), "the bucket is the network's");
        client.to_string()
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
        assert_eq!(key("10.1.1.1", &["1.2.3.4, unknown, 10.2.2.2"]), "10.2.2.2");
        assert_eq!(key("10.1.1.1", &["10.3.3.3, 10.2.2.2"]), "10.3.3.3");
        assert_eq!(key("10.1.1.1", &[]), "10.1.1.1");
    }

    #[test]
    fn ipv6_counts_by_its_network_and_mapped_ipv4_as_ipv4() {
        assert_eq!(key("2001:db8:1:2:aaaa::1", &[]), "2001:db8:1:2::");
        assert_eq!(key("::ffff:203.0.113.9", &[]), "203.0.113.9");
        assert_eq!(key("::ffff:10.1.1.1", &["::ffff:203.0.113.9"]), "203.0.113.9");
    }

    #[test]
    fn a_million_addresses_take_no_more_buckets_than_there_are() {
        let one = NonZeroU32::MIN;
        let limit = AddressLimit::new(AddressLimitConfig {
            quota: QuotaConfig { requests: one, window: Duration::from_hours(1), burst: one },
            trusted_proxies: Vec::new(),
            header: ClientAddressHeader::XForwardedFor,
        });
        let (limiter, extractor) = (limit.governor.limiter(), extractor());
        let mut refused = 0;
        for n in 0..1_000_000_u32 {
            let [a, b] = [n >> 16, n & 0xffff].map(|half| u16::try_from(half).unwrap());
            let address = match n % 2 {
                0 => IpAddr::from(n.to_be_bytes()),
                // A network of its own.
                _ => IpAddr::from([0x2001, 0xdb8, a, b, 0, 0, 0, 1]),
            };
            let bucket = extractor.extract(&from(&address.to_string(), &[])).unwrap();
            refused += u32::from(limiter.check_key(&bucket).is_err());
        }
        assert!(limiter.len() as u64 <= BUCKETS, "{}", limiter.len());
        assert!(refused >= 1_000_000 - 262_144, "who shares a bucket shares what is in it: {refused}");
    }
}
