//! A file that changes into what cannot be used leaves the secret as it was.

use serde_json::json;
use wiremock::matchers::{any, header};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{NEVER, SecretFile, first_secret, with_file};
use crate::support::{Gateway, Vendor};

/// A source that takes one key, which it sees in the header. Nobody is refused by the first call, which makes the gateway
/// look at its file.
async fn source(key: &str) -> MockServer {
    let source = MockServer::start().await;
    let taken = Vendor::Tanma.ok(json!({"list": []}));
    let refused = Vendor::Tanma.envelope(1002, "", &json!({}));
    let answer = |body| ResponseTemplate::new(200).set_body_json(body);
    Mock::given(any()).respond_with(answer(refused)).up_to_n_times(1).mount(&source).await;
    Mock::given(header("appkey", key)).respond_with(answer(taken)).mount(&source).await;
    source
}

#[tokio::test]
async fn an_unusable_file_leaves_the_secret_as_it_was() {
    let old = first_secret(Vendor::Tanma);
    for unusable in ["", "\n", "CANARY-one\nCANARY-two\n", "CANARY-钥匙", "CANARY-\u{7f}"] {
        let source = source(old).await;
        let file = SecretFile::holding(old);
        let mut options = with_file(Vendor::Tanma, &file, NEVER);
        options.tanma_url = Some(source.uri());
        options.tanma = "send_app_key_header = true".to_owned();
        let gateway = Gateway::with(options).await;
        file.change(unusable);
        let problem = gateway.get(Vendor::Tanma.list_path()).await.problem(502, "source_credentials");
        assert!(!problem.to_string().contains("CANARY"), "{problem}");
        gateway.get(Vendor::Tanma.list_path()).await.ok();
        assert_eq!(source.received_requests().await.unwrap().len(), 2, "{unusable:?}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_file_that_is_gone_leaves_the_secret_as_it_was() {
    let old = first_secret(Vendor::Tanma);
    let source = source(old).await;
    let file = SecretFile::holding(old);
    let mut options = with_file(Vendor::Tanma, &file, NEVER);
    options.tanma_url = Some(source.uri());
    options.tanma = "send_app_key_header = true".to_owned();
    let gateway = Gateway::with(options).await;
    std::fs::remove_file(file.path()).unwrap();
    gateway.get(Vendor::Tanma.list_path()).await.problem(502, "source_credentials");
    gateway.get(Vendor::Tanma.list_path()).await.ok();
    gateway.stop().await;
}
