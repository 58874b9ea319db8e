//! Answers of sources that do not fit, and those that fit because others have been given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;
use tokio::sync::Notify;

use crate::support::{Behaviour, Gateway, GatewayOptions, RawSource, Reply, Vendor};

use super::{MOST_OF_A_SHARE, bearer, exhausted, options, stalled};

/// One failure of the source would open its breaker, and would be tried again.
const STRICT: &str = "breaker = { min_calls = 1 }";

/// Both sources. JuziBot's answers have a name of so many bytes; Tanma's details are small.
async fn source(bytes: usize) -> RawSource {
    let customer = json!({"externalUserId": "wm-one", "unionId": "o-one", "name": "n".repeat(bytes)});
    let detail = Vendor::Juzibot.ok(customer.clone()).to_string();
    let list = Vendor::Juzibot.ok(json!([customer])).to_string();
    let row = json!({"externalUserId": "wm-one", "unionId": "o-one", "qwUserId": "dowen", "wechatNickname": "n"});
    let tanma = Vendor::Tanma.ok(json!([row])).to_string();
    RawSource::deciding(move |request| {
        let body = match request.lines().next().unwrap() {
            line if line.contains("/qw-details") => &tanma,
            line if line.contains("/customer/list") => &list,
            _ => &detail,
        };
        Behaviour::http("200 OK\nContent-Type: application/json", body)
    })
    .await
}

async fn before(source: &RawSource, cache: &str) -> Gateway {
    let options = GatewayOptions {
        juzibot_url: Some(source.url.clone()),
        tanma_url: Some(source.url.clone()),
        juzibot: STRICT.to_owned(),
        cache: cache.to_owned(),
        ..options()
    };
    Gateway::with(options).await
}

async fn get(gateway: &Gateway, subject: &str, path: &str) -> Reply {
    gateway.get_with(path, &[("authorization", &bearer(subject))]).await
}

/// What `/v1/sources` reports of the source's health.
async fn health(gateway: &Gateway) -> Value {
    let sources = gateway.get("/v1/sources").await.ok();
    let sources = sources["data"].as_array().unwrap().clone();
    sources.into_iter().find(|source| source["name"] == "juzibot").unwrap()["health"].clone()
}

#[tokio::test]
async fn list_without_memory_is_overloaded_and_not_held_against_the_source() {
    let source = source(900_000).await;
    let gateway = before(&source, "").await;
    let held = stalled(&gateway.url, "greedy", MOST_OF_A_SHARE).await;
    let list = "/v1/customers?source=juzibot";
    let refused = get(&gateway, "greedy", list).await;
    let problem = refused.problem(503, "overloaded");
    assert_eq!((&problem["source"], refused.header("retry-after")), (&"juzibot".into(), "1"));
    assert!(problem["detail"].as_str().unwrap().contains("memory"), "{problem}");
    assert_eq!(health(&gateway).await["breaker"], "closed");
    assert_eq!(health(&gateway).await["last_error"], Value::Null);
    get(&gateway, "other", list).await.ok();
    drop(held);
    get(&gateway, "greedy", list).await.ok();
    gateway.stop().await;
}

#[tokio::test]
async fn source_timeout_during_a_wait_for_memory_is_overloaded() {
    let source = source(900_000).await;
    let gateway = Gateway::with(GatewayOptions {
        juzibot_url: Some(source.url.clone()),
        // Shorter than the wait for memory.
        juzibot: format!("{STRICT}\ntimeout = \"300ms\""),
        ..options()
    })
    .await;
    let held = stalled(&gateway.url, "greedy", MOST_OF_A_SHARE).await;
    get(&gateway, "greedy", "/v1/customers?source=juzibot").await.problem(503, "overloaded");
    let health = health(&gateway).await;
    assert_eq!((&health["breaker"], &health["last_error"]), (&"closed".into(), &Value::Null));
    drop(held);
    gateway.stop().await;
}

#[tokio::test]
async fn stream_that_does_not_fit_is_refused_and_one_that_does_is_complete() {
    let source = source(900_000).await;
    let gateway = before(&source, "").await;
    let held = stalled(&gateway.url, "greedy", MOST_OF_A_SHARE).await;
    let (path, ndjson) = ("/v1/customers?source=juzibot", ("accept", "application/x-ndjson"));
    let refused = gateway.get_with(path, &[("authorization", &bearer("greedy")), ndjson]).await;
    refused.problem(503, "overloaded");
    drop(held);
    let stream = gateway.get_with(path, &[("authorization", &bearer("greedy")), ndjson]).await;
    assert_eq!(stream.status, 200);
    let last: Value = serde_json::from_str(stream.body.lines().last().unwrap()).unwrap();
    assert_eq!(last["end"]["count"], 1, "{last}");
    gateway.stop().await;
}

#[tokio::test]
async fn list_that_can_never_fit_is_a_bad_payload() {
    let source = source(4_100_000).await;
    let gateway = before(&source, "").await;
    let problem = gateway.get("/v1/customers?source=juzibot").await.problem(502, "source_bad_payload");
    assert!(problem["detail"].as_str().unwrap().contains("more memory than one request may use"), "{problem}");
    assert_eq!(health(&gateway).await["breaker"], "closed");
    gateway.stop().await;
}

#[tokio::test]
async fn detail_without_memory_is_reported_in_the_merge_and_replaced_by_a_stale_record() {
    let source = source(250_000).await;
    let gateway = before(&source, "fresh = \"0s\"\nstale = \"0s\"").await;
    let held = exhausted(&gateway.url).await;
    let (merged, alone) = ("/v1/customers/wm-one", "/v1/customers/wm-one?source=juzibot");
    let answer = get(&gateway, "reader", merged).await.ok();
    let reports = answer["meta"]["sources"].as_array().unwrap();
    assert_eq!((&reports[0]["status"], &reports[1]["status"]), (&"failed".into(), &"ok".into()), "{reports:?}");
    assert_eq!(reports[0]["problem"]["code"], "overloaded");
    get(&gateway, "reader", alone).await.problem(503, "overloaded");
    drop(held);
    get(&gateway, "reader", alone).await.ok();
    let held = exhausted(&gateway.url).await;
    let stale = get(&gateway, "reader", alone).await.ok();
    assert_eq!(stale["meta"]["sources"][0]["status"], "stale");
    assert_eq!(stale["meta"]["sources"][0]["problem"]["code"], "overloaded");
    drop(held);
    let health = health(&gateway).await;
    assert_eq!(
        (&health["breaker"], &health["state"], &health["last_error"]),
        (&"closed".into(), &"ok".into(), &Value::Null)
    );
    gateway.stop().await;
}

#[tokio::test]
async fn merged_detail_that_can_never_fit_is_a_bad_payload() {
    let name = "n".repeat(5_000_000);
    let customer = json!({"externalUserId": "wm-one", "unionId": "o-one", "name": name});
    let juzibot = Vendor::Juzibot.ok(customer).to_string();
    let row = json!({"externalUserId": "wm-one", "unionId": "o-one", "qwUserId": "dowen", "wechatNickname": name});
    let tanma = Vendor::Tanma.ok(json!([row])).to_string();
    let source = RawSource::deciding(move |request| {
        let is_tanma = request.lines().next().unwrap().contains("/qw-details");
        Behaviour::http("200 OK\nContent-Type: application/json", if is_tanma { &tanma } else { &juzibot })
    })
    .await;
    let gateway = before(&source, "").await;
    for source in ["juzibot", "tanma"] {
        gateway.get(&format!("/v1/customers/wm-one?source={source}")).await.ok();
    }
    let problem = gateway.get("/v1/customers/wm-one").await.problem(502, "source_bad_payload");
    assert!(problem["detail"].as_str().unwrap().contains("more memory than one request may use"), "{problem}");
    gateway.stop().await;
}

#[tokio::test]
async fn chunk_gives_its_answers_memory_back_when_it_ends() {
    // Each answer takes 3 MB: four fit into the caller's share, and ten do not.
    let answer = format!("{{\"errcode\": 0, \"errmsg\": \"ok\", \"fail_list\": []}}{}", " ".repeat(600_000));
    let source = RawSource::that(Behaviour::http("200 OK\nContent-Type: application/json", &answer)).await;
    let gateway = before(&source, "").await;
    let item = |n: usize| json!({"staff_id": "rocky", "union_id": format!("o-{n}"), "remark": "r"});
    let batch = json!({"items": (0..500).map(item).collect::<Vec<_>>()});
    let answer = gateway.post("/v1/remarks?source=juzibot", &batch).await.ok();
    assert_eq!(answer["data"]["summary"]["succeeded"], 500, "{}", answer["data"]["summary"]);
    gateway.stop().await;
}

/// So many pages of Tanma's list, each of one customer whose name has so many bytes. Notifies when the second one is requested.
async fn pages(pages: usize, bytes: usize) -> (RawSource, Arc<Notify>) {
    let (calls, second) = (AtomicUsize::default(), Arc::new(Notify::new()));
    let notify = second.clone();
    let name = "n".repeat(bytes);
    let source = RawSource::deciding(move |_request| {
        let page = calls.fetch_add(1, Ordering::SeqCst) + 1;
        if page == 2 {
            notify.notify_one();
        }
        let row = json!({"customerId": page, "qwUserId": "dowen", "wechatNickname": name});
        let mut data = json!({"list": [row]});
        if page < pages {
            data["nextCursor"] = format!("page-{}", page + 1).into();
        }
        Behaviour::http("200 OK\nContent-Type: application/json", &Vendor::Tanma.ok(data).to_string())
    })
    .await;
    (source, second)
}

#[tokio::test]
async fn stream_of_large_pages_does_not_read_ahead_and_is_complete() {
    // A page takes 14 of 19 MiB while it is decoded.
    let (source, _) = pages(3, 2_800_000).await;
    let gateway = before(&source, "").await;
    let stream = ("accept", "application/x-ndjson");
    let stream = gateway
        .get_with("/v1/customers?source=tanma&staff_id=dowen", &[("authorization", &bearer("reader")), stream])
        .await;
    assert_eq!(stream.status, 200);
    let last: Value = serde_json::from_str(stream.body.lines().last().unwrap()).unwrap();
    assert_eq!(last["end"]["count"], 3, "{last}");
    gateway.stop().await;
}

#[tokio::test]
async fn page_read_ahead_holds_half_of_its_decoding() {
    // Decoding a page takes 7 MB: two pages hold 7 MB once they are decoded.
    let (source, second) = pages(12, 1_400_000).await;
    let gateway = Gateway::with(GatewayOptions { tanma_url: Some(source.url.clone()), ..options() }).await;
    let address = gateway.url.trim_start_matches("http://");
    let reader = TcpSocket::new_v4().unwrap();
    reader.set_recv_buffer_size(4 * 1024).unwrap();
    let mut reader = reader.connect(address.parse().unwrap()).await.unwrap();
    let authorization = bearer("reader");
    let head = format!(
        "GET /v1/customers?source=tanma&staff_id=dowen HTTP/1.1\r\nhost: {address}\r\nauthorization: {authorization}\r\n\
         accept: application/x-ndjson\r\n\r\n"
    );
    reader.write_all(head.as_bytes()).await.unwrap();
    second.notified().await;
    // Until the page has arrived.
    for _ in 0..20 {
        get(&gateway, "other", "/v1/me").await.ok();
    }
    // 10.5 MB of 19.9 MB.
    let mut body = br#"{"items": [{"staff_id": "rocky", "union_id": "o-one", "remark": "x"}]}"#.to_vec();
    body.resize(4_200_000, b' ');
    let headers = [("authorization", &*authorization), ("content-type", "application/json")];
    let reply = gateway.send(Method::POST, "/v1/remarks?source=juzibot", &headers, Some(body)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    drop(reader);
    gateway.stop().await;
}
