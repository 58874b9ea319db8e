//! The whole stack over handlers that the tests make up.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};

use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{HeaderValue, Request, StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use tempfile::NamedTempFile;
use tower::ServiceExt;
use tracing::subscriber::DefaultGuard;

use super::*;
use crate::live::Live;
use crate::outbound::ClientConfig;
use crate::store::quota::QuotaConfig;
use crate::telemetry;

fn edge() -> Edge {
    let quota = QuotaConfig {
        requests: NonZeroU32::new(100).unwrap(),
        window: Duration::from_secs(1),
        burst: NonZeroU32::new(100).unwrap(),
    };
    let auth = Auth { issuers: Vec::new(), default_sources_all: true, leeway: Duration::ZERO };
    Edge {
        authenticator: Arc::new(Authenticator::new(&auth, Vec::new(), Vec::new(), &ClientConfig::default()).unwrap()),
        quotas: Arc::new(Quotas::new(quota, [])),
        memory: InFlight::new(1 << 30),
        address_limit: AddressLimit::new(AddressLimitConfig {
            quota,
            trusted_proxies: Vec::new(),
            header: ClientAddressHeader::XForwardedFor,
        }),
        timeouts: Timeouts { request: Duration::from_secs(1), batch: Duration::from_secs(1) },
        max_in_flight: 10,
        body_limit: 1024,
        body_pace: Pace { min_rate: NonZeroU64::MIN, timeout: Duration::from_secs(1) },
        cors: Cors::default(),
        methods: Arc::default(),
        public_url: "".into(),
    }
}

/// The panics of this thread go to the hook of the service, those of other tests to theirs.
fn hide_panic_messages_of_this_thread() {
    let theirs = std::panic::take_hook();
    telemetry::hide_panic_messages();
    let ours = std::panic::take_hook();
    let here = std::thread::current().id();
    std::panic::set_hook(Box::new(move |panic| {
        let hook = if std::thread::current().id() == here { &ours } else { &theirs };
        hook(panic);
    }));
}

#[tokio::test]
async fn a_panic_is_one_500_and_one_line_that_say_nothing_of_its_message_or_of_the_request() {
    /// Its message holds the whole request.
    async fn panics(request: axum::extract::Request) -> &'static str {
        let (head, body) = request.into_parts();
        let said = format!("{head:?} {:?}", to_bytes(body, 10_000).await.unwrap());
        if SEEDED.iter().all(|word| said.contains(word)) { panic!("{said}") } else { "something is not in it" }
    }
    /// In the path, the query, the token and the body.
    const SEEDED: [&str; 4] = ["Pt7vKq2xLm", "Qy5wBn8zRc", "Tk4jGf9dSh", "Bd6pXr3tVn"];
    let log = tempfile::NamedTempFile::new().unwrap();
    let subscriber = telemetry::subscriber("trace", true, Arc::new(log.reopen().unwrap())).unwrap();
    let _logging = tracing::subscriber::set_default(subscriber);
    hide_panic_messages_of_this_thread();
    let router = edge().enclose(Router::new().route("/customers/{id}", post(panics)));
    let [id, query, token, body] = SEEDED;
    let mut request = Request::post(format!("/customers/{id}?staff_id={query}"))
        .header("host", "gateway.test")
        .header("x-request-id", "req-1")
        .header("authorization", format!("Bearer {token}"))
        .body(axum::body::Body::from(body))
        .unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 500);
    let headers = format!("{:?}", response.headers());
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let body = to_bytes(response.into_body(), 10_000).await.unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&problem["code"], &problem["request_id"]), (&"internal".into(), &"req-1".into()));
    let log = std::fs::read_to_string(log.path()).unwrap();
    for said in [&headers, &problem.to_string(), &log] {
        assert_eq!(SEEDED.map(|word| said.contains(word)), [false; 4], "{said}");
    }
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let panicked: Vec<_> = lines.filter(|line| line["message"] == "panicked").collect();
    assert_eq!(panicked.len(), 1, "{log}");
    assert!(panicked[0]["place"].as_str().unwrap().starts_with(file!()), "{log}");
    assert_eq!(panicked[0]["span"]["request_id"], "req-1");
}

/// A log of this thread's own.
struct Log {
    file: NamedTempFile,
    _logging: DefaultGuard,
}

impl Log {
    fn begin() -> Self {
        let file = NamedTempFile::new().unwrap();
        let subscriber = telemetry::subscriber("info", true, Arc::new(file.reopen().unwrap())).unwrap();
        Self { file, _logging: tracing::subscriber::set_default(subscriber) }
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.file.path()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The only line.
    #[track_caller]
    fn line(&self) -> Value {
        let [line] = <[Value; 1]>::try_from(self.lines()).unwrap();
        line
    }
}

fn request(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::get(path).header("host", "gateway.test").header("x-request-id", "req-1");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(ConnectInfo(SocketAddr::from(([198, 51, 100, 7], 1))));
    request
}

/// The status that a path of the tests names.
fn status_in(uri: &Uri) -> StatusCode {
    uri.path().trim_start_matches('/').parse().unwrap()
}

const ACCEPT_ENCODINGS: [(&str, Option<&str>); 10] = [
    ("gzip", Some("gzip")),
    ("*", Some("gzip")),
    ("identity;q=0, gzip", Some("gzip")),
    ("identity;q=0", None),
    ("*;q=0", None),
    ("gzip;q=0, identity;q=0", None),
    ("br, identity;q=0", None),
    ("gzip;q=0", None),
    ("", None),
    (";q=0,,;", None),
];

/// Answers with the status in the path, and with a body that is long enough to be compressed.
async fn answer_with_status(uri: Uri) -> Response {
    let status = status_in(&uri);
    let body = if matches!(status.as_u16(), 204 | 304) { Body::empty() } else { Body::from("x".repeat(1_000)) };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// An edge without limits, and a token of its issuer.
fn edge_with_issuer() -> (Edge, String) {
    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    let algorithms = vec![jsonwebtoken::Algorithm::HS256];
    let issuer = Issuer {
        name: "login".to_owned(),
        issuer: "https://login.test".to_owned(),
        audience: vec!["scrm-gateway".to_owned()],
        keys: IssuerKeys::Held(Arc::new(Live::fixed(KeySet::of_secret(&SECRET.into(), &algorithms).unwrap()))),
        algorithms,
    };
    let auth = Auth { issuers: vec![issuer], default_sources_all: true, leeway: Duration::ZERO };
    let claims = json!({"iss": "https://login.test", "aud": "scrm-gateway", "sub": "tester", "exp": 4_102_444_800_u64});
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let token = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap();
    let quota = QuotaConfig { requests: NonZeroU32::MAX, window: Duration::from_secs(1), burst: NonZeroU32::MAX };
    let address_limit = AddressLimit::new(AddressLimitConfig {
        quota,
        trusted_proxies: Vec::new(),
        header: ClientAddressHeader::XForwardedFor,
    });
    let authenticator = Authenticator::new(&auth, Vec::new(), Vec::new(), &ClientConfig::default()).unwrap();
    let quotas = Arc::new(Quotas::new(quota, []));
    let edge = Edge { authenticator: Arc::new(authenticator), quotas, address_limit, ..edge() };
    (edge, format!("Bearer {token}"))
}

fn coding(response: &Response) -> Option<&str> {
    response.headers().get("content-encoding").map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn no_layer_replaces_status_of_handler() {
    let (edge, bearer) = edge_with_issuer();
    let cors = Cors { origins: vec![HeaderValue::from_static("https://app.test")], ..Cors::default() };
    let edge = Edge { cors, ..edge };
    let router = edge.enclose(edge.protect(Router::new().route("/{status}", get(answer_with_status))));
    for status in 200..600 {
        for (encoding, expected) in ACCEPT_ENCODINGS {
            for origin in ["https://app.test", "https://other.test"] {
                let headers = [
                    ("authorization", bearer.as_str()),
                    ("accept-encoding", encoding),
                    ("origin", origin),
                    ("accept", "text/csv;q=0"),
                ];
                let response = router.clone().oneshot(request(&format!("/{status}"), &headers)).await.unwrap();
                assert_eq!(response.status(), status, "{encoding:?}");
                let expected = expected.filter(|_| !matches!(status, 204 | 304));
                assert_eq!(coding(&response), expected, "{status} {encoding:?}");
            }
        }
    }
}

#[tokio::test]
async fn answer_is_uncompressed_if_its_encoder_does_not_fit() {
    // One caller has a quarter.
    for (memory, expected) in [(4 << 20, None), (8 << 20, Some("gzip"))] {
        let (edge, bearer) = edge_with_issuer();
        let edge = Edge { memory: InFlight::new(memory), ..edge };
        let page = get(async || "x".repeat(900_000));
        let router = edge.enclose(edge.protect(Router::new().route("/page", page)));
        let headers = [("authorization", bearer.as_str()), ("accept-encoding", "gzip")];
        let response = router.oneshot(request("/page", &headers)).await.unwrap();
        assert_eq!((response.status().as_u16(), coding(&response)), (200, expected));
        let body = to_bytes(response.into_body(), 1_000_000).await.unwrap();
        assert_eq!(body.len() == 900_000, expected.is_none());
    }
}

#[tokio::test]
async fn route_without_token_is_not_compressed() {
    let (edge, bearer) = edge_with_issuer();
    let router = edge.enclose(Router::new().route("/{status}", get(answer_with_status)));
    for status in [200, 404, 503] {
        for (encoding, _) in ACCEPT_ENCODINGS {
            let headers = [("authorization", bearer.as_str()), ("accept-encoding", encoding)];
            let response = router.clone().oneshot(request(&format!("/{status}"), &headers)).await.unwrap();
            assert_eq!((response.status().as_u16(), coding(&response)), (status, None), "{encoding:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn access_line_times_stream_to_its_last_byte() {
    let slow = async || {
        let chunks = stream::iter(["one\n", "two\n", "three\n"]).then(async |chunk| {
            tokio::time::sleep(Duration::from_secs(20)).await;
            Ok::<_, Infallible>(chunk)
        });
        Body::from_stream(chunks)
    };
    let router = edge().enclose(Router::new().route("/customers/{id}", get(slow)));
    let log = Log::begin();
    let response = router.oneshot(request("/customers/wm-secret?q=secret", &[])).await.unwrap();
    assert_eq!(log.lines(), Vec::<Value>::new(), "nothing is logged before the last byte");
    assert_eq!(to_bytes(response.into_body(), 100).await.unwrap().len(), 14);
    let line = log.line();
    assert_eq!((&line["message"], &line["status"]), (&"request completed".into(), &200.into()));
    assert_eq!((&line["duration_ms"], &line["bytes"]), (&60_000.into(), &14.into()));
    assert_eq!(line["client"], "198.51.100.7");
    assert_eq!((&line["span"]["route"], &line["span"]["request_id"]), (&"/customers/{id}".into(), &"req-1".into()));
    assert!(!line.to_string().contains("secret"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn access_line_of_disconnected_caller_counts_what_was_sent() {
    let endless = async || Body::from_stream(stream::repeat("12345678\n").map(Ok::<_, Infallible>));
    let never = async || std::future::pending::<()>().await;
    let router = edge().enclose(Router::new().route("/endless", get(endless)).route("/never", get(never)));
    let log = Log::begin();
    let mut response = router.clone().oneshot(request("/endless", &[])).await.unwrap();
    for _ in 0..2 {
        response.body_mut().frame().await.unwrap().unwrap();
    }
    tokio::time::advance(Duration::from_secs(5)).await;
    drop(response);
    let line = log.line();
    assert_eq!((&line["message"], &line["status"]), (&"response aborted".into(), &200.into()));
    assert_eq!((&line["bytes"], &line["duration_ms"]), (&18.into(), &5_000.into()));
    drop(log);

    let log = Log::begin();
    let waited = tokio::time::timeout(Duration::from_secs(7), router.oneshot(request("/never", &[]))).await;
    assert!(waited.is_err());
    let line = log.line();
    assert_eq!(line["message"], "client disconnected before the response");
    assert_eq!((&line["duration_ms"], &line["bytes"]), (&7_000.into(), &0.into()));
    assert!(line.get("status").is_none(), "{line}");
}

#[tokio::test]
async fn access_line_of_empty_body_and_of_head_is_complete() {
    let router = edge().enclose(Router::new().route(
        "/{status}",
        get(async |uri: Uri| {
            let status = status_in(&uri);
            (status, if status == StatusCode::OK { "x" } else { "" })
        }),
    ));
    for (method, path, status) in [("GET", "/304", 304), ("HEAD", "/200", 200), ("GET", "/200", 200)] {
        let log = Log::begin();
        let mut request = request(path, &[]);
        *request.method_mut() = method.parse().unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        // As a server does: a body that has ended is not polled.
        if response.body().is_end_stream() {
            drop(response);
        } else {
            to_bytes(response.into_body(), 100).await.unwrap();
        }
        let line = log.line();
        assert_eq!(
            (&line["message"], &line["status"]),
            (&"request completed".into(), &status.into()),
            "{method} {path}"
        );
    }
}

/// An edge that takes one request of an address.
fn edge_with_one_request() -> Edge {
    let quota = QuotaConfig { requests: NonZeroU32::MIN, window: Duration::from_hours(24), burst: NonZeroU32::MIN };
    let address_limit = AddressLimit::new(AddressLimitConfig {
        quota,
        trusted_proxies: Vec::new(),
        header: ClientAddressHeader::XForwardedFor,
    });
    Edge { address_limit, ..edge() }
}

#[tokio::test(start_paused = true)]
async fn refusals_by_address_have_one_access_line_a_second() {
    let edge = edge_with_one_request();
    let router = edge.enclose(Router::new().route("/{status}", get(answer_with_status)));
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _counting = metrics::set_default_local_recorder(&recorder);
    let log = Log::begin();
    let send = async |times: usize| {
        for _ in 0..times {
            to_bytes(router.clone().oneshot(request("/200", &[])).await.unwrap().into_body(), 10_000).await.unwrap();
        }
    };
    send(1).await;
    assert_eq!(log.line()["status"], 200);
    send(1_000).await;
    let [_, first] = <[Value; 2]>::try_from(log.lines()).unwrap();
    assert_eq!((&first["status"], &first["code"]), (&429.into(), &"rate_limited".into()));
    assert_eq!((&first["client"], &first["span"]["request_id"]), (&"198.51.100.7".into(), &"req-1".into()));
    tokio::time::advance(Duration::from_secs(1)).await;
    send(10).await;
    let [_, _, count, next] = <[Value; 4]>::try_from(log.lines()).unwrap();
    assert_eq!((&count["message"], &count["count"]), (&OMITTED.into(), &999.into()));
    assert_eq!((count.get("span"), &next["status"]), (None, &429.into()));
    for _ in 0..2 {
        edge.log_omitted();
    }
    let lines = log.lines();
    assert_eq!(lines.len(), 5, "a count is logged once");
    assert_eq!((&lines[4]["message"], &lines[4]["count"]), (&OMITTED.into(), &9.into()));
    let refused = metrics.render();
    let refused = refused.lines().find(|line| line.contains("_count{") && line.contains("status=\"429\"")).unwrap();
    assert!(refused.ends_with(" 1010"), "each is counted: {refused}");
}

const OMITTED: &str = "access lines of requests refused by address were omitted";
