//! Contract §5, `Prefer`, and §4, `source_timeout`: one deadline a request, and what it went by with.

use std::net::Ipv4Addr;
use std::time::Duration;

use reqwest::Method;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use scrm_gateway::sandbox::{Endpoint, Source};
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;

use crate::support::{Gateway, GatewayOptions, WireRequest};

const LIST: &str = "/v1/customers?source=juzibot";
/// A time that nothing in these tests takes, unless it hangs.
const LONG: Duration = Duration::from_secs(20);

async fn with(juzibot: &str) -> Gateway {
    Gateway::with(GatewayOptions { juzibot: juzibot.to_owned(), ..GatewayOptions::default() }).await
}

async fn at(url: String, juzibot: &str) -> Gateway {
    let juzibot = juzibot.to_owned();
    Gateway::with(GatewayOptions { juzibot, juzibot_url: Some(url), ..GatewayOptions::default() }).await
}

async fn never_answers(gateway: &Gateway) {
    let rule = Rule::new(Source::Juzibot, Effect::NeverAnswer { applied: false });
    gateway.sandbox.state().set_faults(vec![rule]).await.unwrap();
}

/// A port to which nobody can connect any more: its queue is full.
struct Full {
    url: String,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

async fn full_port() -> Full {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(connected) = tokio::time::timeout(Duration::from_secs(1), TcpStream::connect(address)).await {
        queued.push(connected.unwrap());
        assert!(queued.len() < 10, "the queue has no end");
    }
    Full { url: format!("http://{address}"), _listener: listener, _queued: queued }
}

#[tokio::test]
async fn a_504_says_which_source_and_what_its_time_went_by_with() {
    // Time enough to connect, and to be sent a head.
    let once = "retry = { attempts = 1 }\ntimeout = \"1500ms\"";
    let told = |problem: serde_json::Value, phase: &str| {
        assert_eq!(problem["source"], "juzibot");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.starts_with("source juzibot: ") && detail.ends_with(phase), "{detail}");
    };

    let gateway = with(once).await;
    never_answers(&gateway).await;
    told(gateway.get(LIST).await.problem(504, "source_timeout"), "its time went by waiting for its answer");
    let drip = Effect::Drip { bytes: 1, every: Duration::from_millis(200) };
    gateway.sandbox.state().set_faults(vec![Rule::new(Source::Juzibot, drip)]).await.unwrap();
    told(gateway.get(LIST).await.problem(504, "source_timeout"), "its time went by reading its answer");
    gateway.stop().await;

    let full = full_port().await;
    for (keys, wait) in [
        ("retry = { attempts = 1 }\nconnect_timeout = \"200ms\"", "9"),
        ("retry = { attempts = 1 }\ntimeout = \"300ms\"", "9"),
        ("retry = { attempts = 1 }", "1"),
    ] {
        let gateway = at(full.url.clone(), keys).await;
        let wait = format!("wait={wait}");
        let problem = gateway.get_with(LIST, &[("prefer", &wait)]).await.problem(504, "source_timeout");
        told(problem, "connecting");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn who_waits_for_a_load_that_others_share_is_told_how_far_it_is() {
    let gateway = Gateway::start().await;
    never_answers(&gateway).await;
    let path = "/v1/customers/wm_shared?source=juzibot";
    let (first, second) =
        tokio::join!(gateway.get_with(path, &[("prefer", "wait=1")]), gateway.get_with(path, &[("prefer", "wait=1")]));
    for reply in [first, second] {
        let problem = reply.problem(504, "source_timeout");
        assert_eq!(problem["detail"], "source juzibot: the deadline passed while waiting for its answer");
    }
    assert_eq!(gateway.sandbox.state().calls_to(Endpoint::JuzibotDetail), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_full_source_is_waited_for_a_moment_and_then_refused_promptly() {
    let gateway = with("max_in_flight = 1\ntimeout = \"30s\"").await;
    never_answers(&gateway).await;
    let stuck = gateway.get(LIST);
    let others = async {
        gateway.asked(Endpoint::JuzibotList, 1).await;
        let begun = tokio::time::Instant::now();
        let refused = gateway.get(LIST).await;
        let problem = refused.problem(503, "source_unavailable");
        assert_eq!(problem["detail"], "source juzibot: it takes no more calls at once");
        assert_eq!(refused.header("retry-after"), "1");
        assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
        let problem = gateway.get_with(LIST, &[("prefer", "wait=1")]).await.problem(504, "source_timeout");
        assert_eq!(problem["detail"], "source juzibot: the deadline passed while waiting for a free slot");
        // The other source has slots of its own.
        let id = gateway.sandbox.state().people().featured().external_user_id;
        gateway.get(&format!("/v1/customers/{id}?source=tanma")).await.ok();
    };
    tokio::select! {
        _ended = stuck => panic!("the call was to be stuck"),
        () = others => {}
    }
    assert_eq!(gateway.sandbox.state().calls_to(Endpoint::JuzibotList), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_batch_that_may_wait_for_nothing_is_not_sent() {
    let gateway = Gateway::start().await;
    let union_id = gateway.sandbox.state().people().featured().union_id;
    let body = json!({"items": [{"staff_id": "rocky", "union_id": union_id, "remark": "r"}]});
    let headers = [("content-type", "application/json"), ("prefer", "wait=0")];
    let reply = gateway.send(Method::POST, "/v1/remarks", &headers, Some(body.to_string().into())).await;
    assert_eq!(reply.problem(504, "source_timeout")["source"], "juzibot");
    assert_eq!(gateway.sandbox.state().calls_to(Endpoint::JuzibotSetRemark), 0);
    gateway.stop().await;
}

/// A source that takes one request, and tells when the client leaves.
async fn silent() -> (String, oneshot::Receiver<()>, oneshot::Receiver<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let ((asked, was_asked), (left, has_left)) = (oneshot::channel(), oneshot::channel());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 4096];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        asked.send(()).unwrap();
        while stream.read(&mut request).await.is_ok_and(|length| length > 0) {}
        // Where the test has ended, nobody asks any more.
        let _ended = left.send(());
    });
    (url, was_asked, has_left)
}

#[tokio::test]
async fn a_caller_that_leaves_takes_its_read_with_it_unless_others_may_share_it() {
    for (path, ends) in
        [(LIST, true), ("/v1/customers/wm_x?source=juzibot&include=raw", true), ("/v1/customers/wm_x", false)]
    {
        let (url, was_asked, mut has_left) = silent().await;
        let gateway = at(url, "timeout = \"30s\"").await;
        tokio::select! {
            reply = gateway.get(path) => panic!("{path}: {}", reply.body),
            asked = was_asked => asked.unwrap(),
        }
        // The request's future is dropped, its connection with it.
        if ends {
            tokio::time::timeout(LONG, has_left).await.expect("the call goes on").unwrap();
        } else {
            let early = tokio::time::timeout(Duration::from_millis(500), &mut has_left).await;
            assert!(early.is_err(), "the shared load was given up");
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn body_that_does_not_arrive_ends_at_body_timeout() {
    let server = "body_timeout = \"500ms\"".to_owned();
    let gateway = Gateway::with(GatewayOptions { server, ..GatewayOptions::default() }).await;
    let mut request = WireRequest::post("/v1/remarks", "").with("content-length", "100");
    request.body = None;
    let reply = request.send(&gateway).await.unwrap();
    let problem = reply.problem();
    assert_eq!(problem["detail"], "the body did not arrive in time");
    assert_eq!((reply.status, &problem["code"]), (400, &json!("invalid_request")));
    assert!(reply.head.contains("\r\nconnection: close"), "{}", reply.head);
    gateway.stop().await;
}
