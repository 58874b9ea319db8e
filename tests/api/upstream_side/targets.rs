//! Where a call goes is the configuration's: nothing that a caller sends changes its host, its path or its parameters.

use serde_json::{Value, json};
use wiremock::{MockServer, Request};

use super::{ALONE, VENDORS};
use crate::bad_input::wild;
use crate::support::{Gateway, Stage, Token, Vendor, WireReply, exchange, fixture};

/// A part of the base URL that no call may leave.
const PREFIX: &str = "/api/tenant-7";

/// Ids that would be more than that to somebody who joined texts to a URL.
const IDS: [&str; 24] = [
    "..",
    ".",
    "/",
    "//",
    "../../../admin",
    "a/../../b",
    "//elsewhere.example/x",
    "///elsewhere.example",
    "http://elsewhere.example/x",
    "@elsewhere.example",
    ":80@elsewhere.example/",
    "user:password@elsewhere.example",
    "a?token=stolen",
    "a&token=stolen",
    "a&externalUserId=b&unionId=c",
    "a=b;c=d",
    "a#b",
    "%2f..%2f",
    "a%00b",
    "a%0d%0aX-Injected:1",
    "\\..\\..\\",
    "a\"},{\"b\":\"",
    "a+b",
    "[::1]:8080",
];

/// Every byte that is more than a letter or a digit, encoded.
fn encoded(id: &str) -> String {
    percent_encoding::utf8_percent_encode(id, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// A gateway before a source with a prefix, which knows whoever it is asked for.
async fn stage(vendor: Vendor) -> Stage {
    let source = MockServer::start().await;
    let gateway = vendor.gateway(&format!("{}{PREFIX}", source.uri()), ALONE, "").await;
    Stage { vendor, gateway, source }
}

fn paths(vendor: Vendor) -> [&'static str; 2] {
    match vendor {
        Vendor::Juzibot => ["/api/v1/customer/list", "/api/v1/customer/detail"],
        Vendor::Tanma => ["/api/v3/customer-relation/list-by-qw-user-id", "/api/v2/customer/qw-details"],
    }
}

fn answers(vendor: Vendor) -> [Value; 2] {
    let file = |name: &str| fixture(&format!("{}/{name}.ok.json", vendor.name()));
    match vendor {
        Vendor::Juzibot => [file("list"), of_anybody(vendor, file("detail"))],
        Vendor::Tanma => [file("list-by-qw-user-id"), of_anybody(vendor, file("qw-details"))],
    }
}

/// A detail that is the answer to any external user id: it has the other kind of id only.
fn of_anybody(vendor: Vendor, mut detail: Value) -> Value {
    let row = if vendor == Vendor::Tanma { &mut detail["data"][0] } else { &mut detail["data"] };
    row["externalUserId"] = json!(null);
    row["unionId"] = json!("o-one");
    detail
}

/// It went to the source, below its prefix, to this path.
#[track_caller]
fn went_to(call: &Request, stage: &Stage, path: &str, what: &str) {
    assert_eq!(call.url.path(), format!("{PREFIX}{path}"), "{what}");
    assert_eq!(call.headers["host"], stage.source.address().to_string(), "{what}");
    assert!(!call.headers.contains_key("x-injected"), "{what}");
    assert!(call.url.fragment().is_none(), "{what}");
}

/// What the source is asked for: the parameters but for the token, in the query or in the body.
fn parameters(call: &Request, vendor: Vendor) -> Vec<(String, String)> {
    match vendor {
        Vendor::Juzibot => {
            let pairs = call.url.query_pairs().map(|(name, value)| (name.into_owned(), value.into_owned()));
            let (token, rest): (Vec<_>, Vec<_>) = pairs.partition(|(name, _)| name == "token");
            assert_eq!(token.len(), 1, "{}", call.url);
            rest
        }
        Vendor::Tanma => {
            assert_eq!(call.url.query(), None);
            let body: Value = serde_json::from_slice(&call.body).unwrap();
            let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_owned);
            body.as_object().unwrap().iter().map(|(name, value)| (name.clone(), text(value))).collect()
        }
    }
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

#[tokio::test]
async fn an_id_is_an_id_whatever_it_looks_like() {
    for vendor in VENDORS {
        let stage = stage(vendor).await;
        let [list, detail] = paths(vendor);
        let [page, person] = answers(vendor);
        for id in IDS {
            stage.now_answer(&person).await;
            // Byte by byte: a client that knows URLs takes `..` for a way up, however it is written.
            let target = format!("/v1/customers/{}?source={}", encoded(id), vendor.name());
            let reply = ask(&stage.gateway, &format!("GET {target}"), "host: gateway.test\r\n").await;
            assert_eq!(reply.status, 200, "{id}: {}", reply.body);
            let call = stage.call().await;
            went_to(&call, &stage, detail, id);
            assert_eq!(parameters(&call, vendor), [pair("externalUserId", id)], "{id}");

            stage.now_answer(&page).await;
            let path = format!("/v1/customers?source={}&limit=5&staff_id={}", vendor.name(), encoded(id));
            stage.gateway.get(&path).await.ok();
            let call = stage.call().await;
            went_to(&call, &stage, list, id);
            let asked = parameters(&call, vendor);
            let expected = match vendor {
                Vendor::Juzibot => vec![pair("current", "1"), pair("pageSize", "5"), pair("userId", id)],
                Vendor::Tanma => vec![pair("qwUserId", id), pair("size", "5")],
            };
            assert_eq!(asked, expected, "{id}");
        }
        stage.gateway.stop().await;
    }
}

#[tokio::test]
async fn an_id_in_a_batch_is_one_too() {
    let stage = stage(Vendor::Juzibot).await;
    for id in IDS {
        let item = json!({"staff_id": id, "union_id": id});
        let (mut remark, mut note) = (item.clone(), item);
        remark["remark"] = json!("r");
        note["content"] = json!("c");
        for (path, theirs, list, item) in [
            ("/v1/remarks", "/api/v1/customer/set_remark", "remark_list", &remark),
            ("/v1/follow-ups", "/api/v1/customer/add_follow", "follow_list", &note),
        ] {
            stage.now_answer(&json!({"errcode": 0})).await;
            stage.gateway.post(path, &json!({"items": [item]})).await.ok();
            let call = stage.call().await;
            went_to(&call, &stage, theirs, id);
            assert_eq!(parameters(&call, Vendor::Juzibot), [], "{id}");
            let body: Value = serde_json::from_slice(&call.body).unwrap();
            let sent = &body[list][0];
            assert_eq!((&sent["userId"], &sent["unionId"]), (&json!(id), &json!(id)), "{id}");
        }
    }
    stage.gateway.stop().await;
}

/// Sends a head as it is.
async fn ask(gateway: &Gateway, line: &str, headers: &str) -> WireReply {
    let address = gateway.url.trim_start_matches("http://").parse().unwrap();
    let bearer = Token::default().bearer();
    let head = format!("{line} HTTP/1.1\r\n{headers}connection: close\r\nauthorization: {bearer}\r\n\r\n");
    WireReply::all(exchange(address, head.as_bytes()).await).remove(0)
}

#[tokio::test]
async fn neither_the_host_nor_the_target_of_a_request_says_where_its_call_goes() {
    for vendor in VENDORS {
        let (stage, elsewhere) = (stage(vendor).await, MockServer::start().await);
        let (host, uri) = (elsewhere.address().to_string(), elsewhere.uri());
        let [_, detail] = paths(vendor);
        let target = |n: usize| format!("/v1/customers/wm-{n}?source={}", vendor.name());
        let own = "host: gateway.test\r\n";
        for (n, (line, headers)) in [
            (target(0), format!("host: {host}\r\n")),
            (target(1), "host: elsewhere.example\r\n".to_owned()),
            (format!("{uri}{}", target(2)), own.to_owned()),
            (format!("{uri}{}", target(3)), format!("host: {host}\r\n")),
            (
                target(4),
                format!("{own}x-forwarded-host: {host}\r\nx-forwarded-proto: http\r\nx-forwarded-for: {host}\r\n"),
            ),
            (target(5), format!("{own}forwarded: for=192.0.2.1;host=\"{host}\";proto=http\r\nvia: 1.1 {host}\r\n")),
            (target(6), format!("{own}x-original-url: {uri}/a\r\nx-rewrite-url: {uri}/a\r\nx-host: {host}\r\n")),
            (target(7), format!("{own}referer: {uri}\r\norigin: {uri}\r\nproxy-authorization: Basic YTpi\r\n")),
            (target(8), format!("{own}cookie: a=b\r\nx-injected: 1\r\nappid: other\r\nsign: x\r\ntoken: x\r\n")),
        ]
        .into_iter()
        .enumerate()
        {
            stage.now_answer(&answers(vendor)[1]).await;
            let what = format!("{line} {headers}");
            let reply = ask(&stage.gateway, &format!("GET {line}"), &headers).await;
            assert_eq!(reply.status, 200, "{what}: {}", reply.body);
            assert!(!reply.head.contains(&host) && !reply.body.contains(&host), "{what}: {reply:?}");
            let call = stage.call().await;
            went_to(&call, &stage, detail, &what);
            assert_eq!(parameters(&call, vendor), [pair("externalUserId", &format!("wm-{n}"))], "{what}");
            // What a caller says of itself stays here.
            let sent = format!("{:?}", call.headers);
            for name in ["authorization", "cookie", "forwarded", "via", "referer", "origin", "x-original-url"] {
                assert!(!call.headers.contains_key(name), "{what}: {name} in {sent}");
            }
            assert!(!sent.contains("other"), "{what}: {sent}");
        }
        assert_eq!(elsewhere.received_requests().await.unwrap().len(), 0);
        stage.gateway.stop().await;
    }
}

#[tokio::test]
async fn what_leaves_the_path_is_no_route_and_asks_nobody() {
    for vendor in VENDORS {
        let stage = stage(vendor).await;
        stage.now_answer(&answers(vendor)[1]).await;
        for target in [
            "/v1/customers/../admin",
            "/v1/customers/a/../../admin",
            "/v1/customers//",
            "/v1/customers/a/b",
            "/v1/customers/a/",
            "/v1/customers/",
            "//elsewhere.example/v1/customers/a",
            "/v1//customers/a",
            "/v1/customers/a%20b",
            "/v1/customers/a%0d%0ab",
        ] {
            let reply = ask(&stage.gateway, &format!("GET {target}"), "host: gateway.test\r\n").await;
            wild::refused(target, &reply);
            assert!(matches!(reply.status, 400 | 404), "{target}: {}", reply.status);
        }
        assert_eq!(stage.calls().await.len(), 0);
        stage.gateway.stop().await;
    }
}
