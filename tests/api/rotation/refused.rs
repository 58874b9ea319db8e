//! A source that refuses the old secret is what makes the gateway read the file again: here nothing else does.

use futures_util::future::join_all;
use scrm_gateway::sandbox::{Endpoint, Source};
use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::{NEVER, SecretFile, first_secret, with_file};
use crate::support::people::writable;
use crate::support::{Gateway, Reply, Vendor};

const NEW: &str = "CANARY-a-new-secret-55e1";

/// A gateway before the simulated sources, one of which is to get another secret.
struct Rotating {
    vendor: Vendor,
    gateway: Gateway,
    file: SecretFile,
}

impl Rotating {
    async fn before(vendor: Vendor) -> Self {
        let file = SecretFile::holding(&format!("{}\n", first_secret(vendor)));
        Self { vendor, gateway: Gateway::with(with_file(vendor, &file, NEVER)).await, file }
    }

    fn change_at_the_source(&self) {
        let source = match self.vendor {
            Vendor::Juzibot => Source::Juzibot,
            Vendor::Tanma => Source::Tanma,
        };
        self.gateway.sandbox.state().rotate_token(source, NEW.into());
    }

    fn change_in_the_file(&self) {
        self.file.change(&format!("{NEW}\n"));
    }

    async fn list(&self) -> Reply {
        let path = match self.vendor {
            Vendor::Juzibot => "/v1/customers?source=juzibot",
            Vendor::Tanma => "/v1/customers?source=tanma&staff_id=rocky",
        };
        self.gateway.get(path).await
    }

    fn lists(&self) -> u64 {
        self.gateway.calls_to(match self.vendor {
            Vendor::Juzibot => Endpoint::JuzibotList,
            Vendor::Tanma => Endpoint::TanmaList,
        })
    }
}

#[tokio::test]
async fn no_read_fails_of_all_that_are_under_way_when_the_secret_changes() {
    for vendor in [Vendor::Juzibot, Vendor::Tanma] {
        let rotating = Rotating::before(vendor).await;
        rotating.list().await.ok();
        rotating.change_at_the_source();
        rotating.change_in_the_file();
        for answer in join_all((0..40).map(|_| rotating.list())).await {
            answer.ok();
        }
        let lists = rotating.lists();
        rotating.list().await.ok();
        assert_eq!(rotating.lists(), lists + 1, "from then on with the new one at once");
        let id = rotating.gateway.sandbox.state().people().featured().external_user_id;
        rotating.gateway.get(&format!("/v1/customers/{id}?source={}", vendor.name())).await.ok();
        rotating.gateway.stop().await;
    }
}

#[tokio::test]
async fn a_read_of_a_detail_does_not_fail_either() {
    for vendor in [Vendor::Juzibot, Vendor::Tanma] {
        let rotating = Rotating::before(vendor).await;
        rotating.change_at_the_source();
        rotating.change_in_the_file();
        let id = rotating.gateway.sandbox.state().people().featured().external_user_id;
        let answer = rotating.gateway.get(&format!("/v1/customers/{id}?source={}", vendor.name())).await.ok();
        assert_eq!(answer["meta"]["sources"][0]["status"], "ok");
        rotating.gateway.stop().await;
    }
}

#[tokio::test]
async fn where_the_file_has_not_changed_the_read_is_refused_and_made_once() {
    for vendor in [Vendor::Juzibot, Vendor::Tanma] {
        let rotating = Rotating::before(vendor).await;
        rotating.change_at_the_source();
        rotating.list().await.problem(502, "source_credentials");
        assert_eq!(rotating.lists(), 1);
        // The file was read a moment ago, and is not read with every call.
        rotating.change_in_the_file();
        rotating.list().await.problem(502, "source_credentials");
        assert_eq!(rotating.lists(), 2);
        rotating.gateway.stop().await;
    }
}

#[tokio::test]
async fn a_write_is_refused_and_never_sent_again_and_the_next_one_succeeds() {
    let rotating = Rotating::before(Vendor::Juzibot).await;
    let state = rotating.gateway.sandbox.state();
    let (staff_id, union_id) = writable(state).next().unwrap();
    rotating.change_at_the_source();
    rotating.change_in_the_file();
    let remark = |text: &str| json!({"items": [{"staff_id": staff_id, "union_id": union_id, "remark": text}]});
    let problem = rotating.gateway.post("/v1/remarks", &remark("first")).await.problem(502, "source_credentials");
    assert_eq!(problem["retryable"], false);
    assert_eq!(rotating.gateway.calls_to(Endpoint::JuzibotSetRemark), 1);
    assert_eq!(state.applied_remarks(), []);

    let note = json!({"items": [{"staff_id": staff_id, "union_id": union_id, "content": "note"}]});
    for (path, body) in [("/v1/remarks", remark("second")), ("/v1/follow-ups", note)] {
        let body = rotating.gateway.post(path, &body).await.ok();
        assert_eq!(body["data"]["summary"]["succeeded"], 1, "{path}");
    }
    assert_eq!(state.applied_remarks().len(), 1);
    rotating.gateway.stop().await;
}

/// A source that refuses every secret and says in its own words which it knows.
async fn refusing(words: &str) -> MockServer {
    let source = MockServer::start().await;
    let answer = Vendor::Juzibot.envelope(40001, words, &json!({}));
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(answer)).mount(&source).await;
    source
}

fn tokens(calls: &[Request]) -> Vec<String> {
    let token = |call: &Request| call.url.query_pairs().find(|(name, _)| name == "token").map(|pair| pair.1.into());
    calls.iter().filter_map(token).collect()
}

#[tokio::test]
async fn a_secret_that_is_refused_too_ends_it_and_neither_is_seen_in_the_sources_words() {
    let old = first_secret(Vendor::Juzibot);
    let source = refusing(&format!("{old} is over, and what is {NEW}?")).await;
    let file = SecretFile::holding(old);
    let mut options = with_file(Vendor::Juzibot, &file, NEVER);
    options.juzibot_url = Some(source.uri());
    let gateway = Gateway::with(options).await;
    file.change(NEW);
    let problem = gateway.get(Vendor::Juzibot.list_path()).await.problem(502, "source_credentials");
    assert_eq!(problem["upstream"]["message"], "[redacted] is over, and what is [redacted]?");
    assert_eq!(tokens(&source.received_requests().await.unwrap()), [old, NEW]);

    let last_error: Value = gateway.get("/v1/sources").await.ok()["data"][0]["health"]["last_error"].clone();
    assert_eq!(last_error["code"], "source_credentials");
    gateway.stop().await;
}
