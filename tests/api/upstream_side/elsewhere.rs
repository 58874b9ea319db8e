//! Only the configuration says whom the gateway talks to.

use serde_json::{Value, json};
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::{ALONE, Bytes, VENDORS};
use crate::support::failures::check_discretion;
use crate::support::{Gateway, GatewayOptions, Vendor};

const REDIRECTS: [u16; 6] = [300, 301, 302, 303, 307, 308];

/// A server that nobody configured; it must never be asked for anything.
async fn nobody() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    server
}

async fn calls(server: &MockServer) -> usize {
    server.received_requests().await.unwrap().len()
}

/// Where a redirect may point: to another host, in two spellings, and to other paths of the source's own.
fn places(elsewhere: &MockServer, source: &MockServer) -> [String; 5] {
    let host = elsewhere.address();
    [
        elsewhere.uri(),
        format!("//{host}/api"),
        format!("http://user:password@{host}/?token=x"),
        format!("{}/elsewhere", source.uri()),
        "/elsewhere".to_owned(),
    ]
}

#[tokio::test]
async fn a_redirect_of_a_read_is_not_followed_wherever_it_points() {
    for vendor in VENDORS {
        let (stage, elsewhere) = (Bytes::of(vendor, "").await, nobody().await);
        for status in REDIRECTS {
            for place in places(&elsewhere, &stage.source) {
                stage.answer(ResponseTemplate::new(status).insert_header("location", place.as_str())).await;
                for reply in [stage.list().await, stage.detail().await] {
                    reply.problem(502, "source_rejected");
                    check_discretion(&place, &reply.body);
                }
                assert_eq!(calls(&stage.source).await, 2, "{status} to {place}");
            }
        }
        assert_eq!(calls(&elsewhere).await, 0);
        stage.gateway.stop().await;
    }
}

#[tokio::test]
async fn a_redirect_of_a_write_is_not_followed_wherever_it_points() {
    let (stage, elsewhere) = (Bytes::of(Vendor::Juzibot, "").await, nobody().await);
    let item = json!({"staff_id": "rocky", "union_id": "o-one"});
    let (mut remark, mut note) = (item.clone(), item);
    remark["remark"] = json!("r");
    note["content"] = json!("c");
    for status in REDIRECTS {
        for place in places(&elsewhere, &stage.source) {
            stage.answer(ResponseTemplate::new(status).insert_header("location", place.as_str())).await;
            for (path, item) in [("/v1/remarks", &remark), ("/v1/follow-ups", &note)] {
                let reply = stage.gateway.post(path, &json!({"items": [item]})).await;
                let result = &reply.ok()["data"]["results"][0];
                // Who knows what a server does before it points elsewhere.
                assert_eq!(result["status"], "unconfirmed");
                assert_eq!(result["problem"]["code"], "source_rejected");
                check_discretion(&place, &reply.body);
            }
            assert_eq!(calls(&stage.source).await, 2, "{status} to {place}");
        }
    }
    assert_eq!(calls(&elsewhere).await, 0);
    stage.gateway.stop().await;
}

#[tokio::test]
async fn nothing_in_an_answer_makes_the_gateway_talk_to_another_host() {
    let elsewhere = nobody().await;
    let (uri, address) = (elsewhere.uri(), *elsewhere.address());
    let followed = json!({"userId": uri, "avatar": uri, "state": uri, "remarkMobiles": [uri]});
    let person = json!({"externalUserId": "wm-one", "unionId": uri, "avatar": uri, "followUser": [followed]});
    let row = json!({"customerId": 1, "qwUserId": uri, "wechatAvatar": uri, "externalUserId": uri});
    for vendor in VENDORS {
        let list = match vendor {
            Vendor::Juzibot => vendor.envelope(0, &uri, &json!({"data": [person], "total": 300, "next": uri})),
            Vendor::Tanma => vendor.envelope(0, &uri, &json!({"data": {"list": [row], "nextCursor": uri}})),
        };
        let of_the_asked = |row: &Value| {
            let mut row = row.clone();
            row["externalUserId"] = json!(null);
            row["unionId"] = json!(uri);
            row
        };
        let detail = match vendor {
            Vendor::Juzibot => vendor.ok(of_the_asked(&person)),
            Vendor::Tanma => vendor.ok(json!([of_the_asked(&row)])),
        };
        let stage = Bytes::of(vendor, "").await;
        let answer = |body| {
            ResponseTemplate::new(200)
                .set_body_json(body)
                .insert_header("set-cookie", "a=b; Domain=127.0.0.1")
                .insert_header("location", uri.as_str())
                .insert_header("content-location", uri.as_str())
                .insert_header("refresh", format!("0; url={uri}").as_str())
                .insert_header("link", format!("<{uri}>; rel=\"preload\"").as_str())
                .insert_header("alt-svc", format!("h2=\"{address}\", http/1.1=\"{address}\"").as_str())
        };
        stage.answer(answer(detail)).await;
        stage.detail().await.ok();
        stage.answer(answer(list)).await;
        let page = stage.list().await.ok();
        // What the source called its next page is a text that it gets back.
        let cursor = page["page"]["next_cursor"].as_str().unwrap();
        stage.gateway.get(&format!("{}&cursor={cursor}", vendor.list_path())).await;
        let asked = stage.source.received_requests().await.unwrap();
        assert_eq!(asked.len(), 2);
        assert!(asked.iter().all(|call| !call.headers.contains_key("cookie") && !call.headers.contains_key("referer")));
        stage.gateway.stop().await;
    }
    // A merge asks the other source about an id that the first one told.
    let source = MockServer::start().await;
    let mut asked = person;
    asked["unionId"] = json!("o-one");
    let answer = ResponseTemplate::new(200).set_body_json(Vendor::Juzibot.ok(asked));
    Mock::given(any()).respond_with(answer).mount(&source).await;
    let gateway: Gateway = Vendor::Juzibot.gateway(&source.uri(), ALONE, "").await;
    gateway.get("/v1/customers/o-one?id_type=union_id").await.ok();
    gateway.stop().await;
    assert_eq!(calls(&elsewhere).await, 0);
}

#[tokio::test]
async fn a_proxy_that_is_configured_gets_every_call_that_leaves_the_machine() {
    let proxy = MockServer::start().await;
    for vendor in VENDORS {
        // A name that nobody resolves: the proxy alone would know it.
        let gateway = behind_proxy(&proxy, "http://hub.invalid", "allow_http = true").await;
        proxy.reset().await;
        let data = if vendor == Vendor::Juzibot { json!([]) } else { json!({"list": []}) };
        let answer = ResponseTemplate::new(200).set_body_json(vendor.ok(data));
        Mock::given(any()).respond_with(answer).mount(&proxy).await;
        gateway.get(vendor.list_path()).await.ok();
        let asked = proxy.received_requests().await.unwrap();
        assert_eq!(asked.len(), 1);
        assert_eq!(asked[0].headers["host"], "hub.invalid");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_proxy_never_sees_what_goes_in_clear_because_it_stays_on_this_machine() {
    let (proxy, source) = (nobody().await, MockServer::start().await);
    // Nobody listens on the last of them: only that the proxy has not seen the call counts.
    let port = source.address().port();
    for host in ["127.0.0.1", "localhost", "LOCALHOST", "127.1", "[::1]"] {
        let gateway = behind_proxy(&proxy, &format!("http://{host}:{port}"), "").await;
        for vendor in VENDORS {
            source.reset().await;
            let data = if vendor == Vendor::Juzibot { json!([]) } else { json!({"list": []}) };
            let answer = ResponseTemplate::new(200).set_body_json(vendor.ok(data));
            Mock::given(any()).respond_with(answer).mount(&source).await;
            let reply = gateway.get(vendor.list_path()).await;
            if host != "[::1]" {
                reply.ok();
            }
        }
        gateway.stop().await;
    }
    assert_eq!(calls(&proxy).await, 0);
}

/// A gateway both of whose sources are at `url`, with a proxy.
async fn behind_proxy(proxy: &MockServer, url: &str, keys: &str) -> Gateway {
    Gateway::with(GatewayOptions {
        juzibot_url: Some(url.to_owned()),
        tanma_url: Some(url.to_owned()),
        juzibot: format!("{ALONE}\n{keys}"),
        tanma: format!("{ALONE}\n{keys}"),
        extra: format!("[outbound]\nproxy = \"{}\"\n", proxy.uri()),
        ..GatewayOptions::default()
    })
    .await
}
