//! Answers that are not read, by the metrics of a process of its own.

use std::fmt::Write;
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::cli::{Running, addresses, command, folder_for, sandbox};
use crate::support::{Behaviour, RawSource, Vendor, WireRequest};

use super::bearer;
use super::metrics::samples;

/// The length of the name, which the page has twice: of the customer and of the record. It makes up nearly all of the page.
const NAME_BYTES: usize = 500_000;

/// A source whose list does not become much smaller by compression.
async fn source() -> RawSource {
    let mut name = String::new();
    for number in 0_u32.. {
        for byte in Sha256::digest(number.to_be_bytes()) {
            write!(name, "{byte:02x}").unwrap();
        }
        if name.len() >= NAME_BYTES {
            break;
        }
    }
    let list = Vendor::Juzibot.ok(json!([{"externalUserId": "wm-one", "unionId": "o-one", "name": name}])).to_string();
    RawSource::deciding(move |_request| Behaviour::http("200 OK\nContent-Type: application/json", &list)).await
}

async fn in_flight(admin: &str) -> f64 {
    samples(admin).await["memory_in_flight_bytes"]
}

#[tokio::test]
async fn unread_answers_are_counted_until_the_caller_disconnects() {
    let (sandbox, source) = (sandbox().await, source().await);
    let (folder, config) = folder_for(&sandbox);
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace(&sandbox.juzibot_url(), &source.url)).unwrap();
    let mut gateway = Running::start(command(folder.path(), &["serve", "--config", "gateway.toml"]));
    let (url, admin) = addresses(&mut gateway).await;
    let keys: Vec<_> = (0..10_000).map(|key| format!("\"{}{key:04}\":0", "k".repeat(46))).collect();
    let page = WireRequest::get("/v1/customers?source=juzibot");
    let refusal = WireRequest::post("/v1/remarks?source=juzibot", format!("{{{}}}", keys.join(",")));
    // A page that is compressed is held uncompressed, and its encoder is counted too.
    for (mut request, expected) in [
        (page.clone(), 950_000.0..1_050_000.0),
        (page.with("accept-encoding", "gzip"), 1_330_000.0..1_450_000.0),
        (refusal, 1_200_000.0..1_300_000.0),
    ] {
        request.authorization = Some(bearer("slow"));
        let unread = request.send_unread(&url).await;
        let held = in_flight(&admin).await;
        assert!(expected.contains(&held), "{}: {held} of {expected:?}", request.method);
        drop(unread);
        let freed = async { while in_flight(&admin).await > 0.0 {} };
        tokio::time::timeout(Duration::from_secs(20), freed).await.expect("freed when the reader leaves");
    }
    gateway.terminate().await;
    assert_eq!(gateway.ended().await.0, Some(0));
    sandbox.stop().await;
}
