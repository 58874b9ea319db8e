//! Contract §4, §8, from the other side: what a source, or who stands in its place, may do to the gateway.

mod base_urls;
mod elsewhere;
mod heads;
mod payloads;
mod sizes;
mod targets;
mod tls;

use std::sync::atomic::{AtomicU64, Ordering};

use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{Gateway, GatewayOptions, Reply, Vendor};

const VENDORS: [Vendor; 2] = [Vendor::Juzibot, Vendor::Tanma];

/// Every answer is asked for once and looked at by itself: no second try, no breaker.
const ALONE: &str = "retry = { attempts = 1 }\nbreaker = { min_calls = 1000000 }";

/// A gateway before one source that answers with bytes which the test chooses.
struct Bytes {
    vendor: Vendor,
    gateway: Gateway,
    source: MockServer,
    details: AtomicU64,
}

impl Bytes {
    async fn of(vendor: Vendor, keys: &str) -> Self {
        Self::with_memory(vendor, keys, "1GiB").await
    }

    /// As [`Self::of`], with this `server.memory_limit`.
    async fn with_memory(vendor: Vendor, keys: &str, limit: &str) -> Self {
        let source = MockServer::start().await;
        let options = GatewayOptions { server: format!("memory_limit = \"{limit}\""), ..GatewayOptions::default() };
        let gateway = vendor.gateway_with(options, &source.uri(), &format!("{ALONE}\n{keys}"), "").await;
        Self { vendor, gateway, source, details: AtomicU64::default() }
    }

    /// From now on the source answers this, and its calls are counted anew.
    async fn are(&self, body: impl Into<Vec<u8>>) {
        self.answer(ResponseTemplate::new(200).set_body_raw(body, "application/json")).await;
    }

    async fn answer(&self, answer: ResponseTemplate) {
        self.source.reset().await;
        Mock::given(any()).respond_with(answer).mount(&self.source).await;
    }

    async fn list(&self) -> Reply {
        self.gateway.get(self.vendor.list_path()).await
    }

    async fn raw_list(&self) -> Reply {
        self.gateway.get(&format!("{}&include=raw", self.vendor.list_path())).await
    }

    /// Of somebody who was not asked for before, so that nothing comes out of the cache.
    async fn detail(&self) -> Reply {
        let n = self.details.fetch_add(1, Ordering::SeqCst);
        self.gateway.get(&format!("/v1/customers/wm-{n}?source={}", self.vendor.name())).await
    }
}
