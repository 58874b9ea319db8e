//! Ordinary dirt in what sources send (contract §3, reading the sources): odd characters, loose types, damaged rows.

mod codes;
mod identity;
mod neutral;
mod paging;
mod rows;
mod text;
mod values;

use std::path::Path;

use serde_json::Value;
use wiremock::matchers::{any, path_regex};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{Gateway, Reply, Vendor};

const JUZIBOT: Vendor = Vendor::Juzibot;
const TANMA: Vendor = Vendor::Tanma;
const NDJSON: [(&str, &str); 1] = [("accept", "application/x-ndjson")];

/// A gateway before one source that answers with given bytes.
struct Damaged {
    vendor: Vendor,
    gateway: Gateway,
    source: MockServer,
}

impl Damaged {
    async fn answering(vendor: Vendor, body: impl Into<Vec<u8>>) -> Self {
        Self::with(vendor, "", body).await
    }

    /// With these keys in the source's section.
    async fn with(vendor: Vendor, keys: &str, body: impl Into<Vec<u8>>) -> Self {
        let source = MockServer::start().await;
        let stage = Self { vendor, gateway: vendor.gateway(&source.uri(), keys, "").await, source };
        stage.now_answer(body).await;
        stage
    }

    /// From now on the source answers this, and its calls are counted anew.
    async fn now_answer(&self, body: impl Into<Vec<u8>>) {
        self.source.reset().await;
        let answer = ResponseTemplate::new(200).set_body_raw(body, "application/json");
        Mock::given(any()).respond_with(answer).mount(&self.source).await;
    }

    /// Answers of its own for paths that match.
    async fn and_at(&self, path: &str, body: impl Into<Vec<u8>>) {
        let answer = ResponseTemplate::new(200).set_body_raw(body, "application/json");
        Mock::given(path_regex(path)).respond_with(answer).with_priority(1).mount(&self.source).await;
    }

    async fn list(&self) -> Reply {
        self.gateway.get(self.vendor.list_path()).await
    }

    /// The list as a stream, parsed line by line.
    async fn stream(&self) -> Vec<Value> {
        lines(&self.gateway.get_with(self.vendor.list_path(), &NDJSON).await)
    }

    async fn detail(&self, id: &str) -> Reply {
        self.gateway.get(&format!("/v1/customers/{id}?source={}", self.vendor.name())).await
    }

    async fn calls(&self) -> usize {
        self.source.received_requests().await.unwrap().len()
    }
}

fn lines(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.body.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The bytes of a file of `tests/fixtures/damaged`.
fn case(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/damaged").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Code and pointer of each warning.
fn warnings(answer: &Value) -> Vec<(String, Option<String>)> {
    let warnings = answer["meta"]["warnings"].as_array().unwrap();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    warnings.iter().map(|warning| (text(&warning["code"]).unwrap(), text(&warning["pointer"]))).collect()
}

/// The warnings that are expected: codes and pointers.
fn expected(warnings: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
    let own = |(code, pointer): &(&str, &str)| {
        ((*code).to_owned(), Some((*pointer).to_owned()).filter(|pointer| !pointer.is_empty()))
    };
    warnings.iter().map(own).collect()
}
