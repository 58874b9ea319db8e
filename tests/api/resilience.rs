//! Contract §4: what stands between the service and a source that misbehaves: retries, breaker, quota.

use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::SignedDuration;
use scrm_gateway::sandbox::faults::{Effect, Rule, When};
use scrm_gateway::sandbox::{Endpoint, Source};
use serde_json::{Value, json};

use crate::support::{Gateway, GatewayOptions, Reply};

const LIST: &str = "/v1/customers?source=juzibot";

fn status(status: u16, retry_after: Option<&str>) -> Effect {
    Effect::Status { status, retry_after: retry_after.map(str::to_owned), body: String::new(), applied: false }
}

async fn with(juzibot: &str) -> Gateway {
    Gateway::with(GatewayOptions { juzibot: juzibot.to_owned(), ..GatewayOptions::default() }).await
}

async fn fault(gateway: &Gateway, rule: Rule) {
    gateway.sandbox.state().set_faults(vec![rule]).await.unwrap();
}

fn lists(gateway: &Gateway) -> u64 {
    gateway.sandbox.state().calls_to(Endpoint::JuzibotList)
}

async fn health(gateway: &Gateway) -> Value {
    gateway.get("/v1/sources").await.ok()["data"][0]["health"].clone()
}

#[tokio::test]
async fn a_read_that_fails_once_is_tried_again_and_no_more() {
    // One gateway each: where few calls are made, one a second may be tried again.
    for effect in [status(500, None), Effect::Html { applied: false }, Effect::Reset { applied: false }] {
        let gateway = Gateway::start().await;
        fault(&gateway, Rule::new(Source::Juzibot, effect.clone()).when(When::First(1))).await;
        gateway.get(LIST).await.ok();
        assert_eq!(lists(&gateway), 2, "{effect:?}");
        gateway.stop().await;
    }
    let gateway = Gateway::start().await;
    fault(&gateway, Rule::new(Source::Juzibot, status(500, None))).await;
    gateway.get(LIST).await.problem(503, "source_unavailable");
    assert_eq!(lists(&gateway), 2);
    gateway.stop().await;
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    let gateway = Gateway::start().await;
    for (effect, told) in [
        (status(404, None), (502, "source_rejected")),
        (status(401, None), (502, "source_credentials")),
        (status(429, None), (503, "source_rate_limited")),
    ] {
        gateway.sandbox.state().reset_calls();
        fault(&gateway, Rule::new(Source::Juzibot, effect)).await;
        gateway.get(LIST).await.problem(told.0, told.1);
        assert_eq!(lists(&gateway), 1, "{told:?}");
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_source_that_asks_for_time_gets_it_if_the_deadline_allows() {
    let gateway = Gateway::start().await;
    fault(&gateway, Rule::new(Source::Juzibot, status(429, Some("1"))).when(When::First(1))).await;
    gateway.get(LIST).await.ok();
    assert_eq!(lists(&gateway), 2);

    gateway.sandbox.state().reset_calls();
    fault(&gateway, Rule::new(Source::Juzibot, status(503, Some("7")))).await;
    let refused = gateway.get_with(LIST, &[("prefer", "wait=3")]).await;
    refused.problem(503, "source_unavailable");
    assert_eq!(refused.header("retry-after"), "7");
    assert_eq!(lists(&gateway), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_breaker_opens_spares_the_source_and_closes_when_it_is_back() {
    let gateway = with("retry = { attempts = 1 }\nbreaker = { min_calls = 4, open_for = \"2s\" }").await;
    fault(&gateway, Rule::new(Source::Juzibot, status(500, None))).await;
    for _ in 0..4 {
        gateway.get(LIST).await.problem(503, "source_unavailable");
    }
    assert_eq!(lists(&gateway), 4);
    let spared = gateway.get(LIST).await.problem(503, "source_unavailable");
    assert!(spared["detail"].as_str().unwrap().contains("not asked for now"), "{spared}");
    assert_eq!(lists(&gateway), 4, "nothing is sent while it is open");
    let health_now = health(&gateway).await;
    assert_eq!((&health_now["state"], &health_now["breaker"]), (&json!("down"), &json!("open")));

    gateway.sandbox.state().clear_faults().await;
    let begun = tokio::time::Instant::now();
    while gateway.get(LIST).await.status != 200 {
        assert!(begun.elapsed() < Duration::from_secs(10), "it does not close");
        tokio::task::yield_now().await;
    }
    let health_now = health(&gateway).await;
    assert_eq!((&health_now["state"], &health_now["breaker"]), (&json!("ok"), &json!("closed")));
    gateway.stop().await;
}

#[tokio::test]
async fn hanging_calls_open_the_breaker_despite_earlier_successes() {
    let never = || Effect::NeverAnswer { applied: false };
    // The head of an answer arrives at once and its body a byte at a time.
    let drip = Effect::Drip { bytes: 1, every: Duration::from_millis(100) };
    let cases = [(never(), When::Always, "open"), (drip, When::Always, "open"), (never(), When::Every(20), "closed")];
    for (effect, when, breaker) in cases {
        let gateway = with("retry = { attempts = 1 }\ntimeout = \"1500ms\"\nbreaker = { open_for = \"1h\" }").await;
        let lists =
            || futures_util::future::join_all((0..40).map(|_| gateway.get("/v1/customers?source=juzibot&limit=1")));
        for _ in 0..3 {
            lists().await.iter().for_each(|reply| drop(reply.ok()));
        }
        fault(&gateway, Rule::new(Source::Juzibot, effect.clone()).when(when)).await;
        let hung = lists().await;
        let hung = hung.iter().filter(|reply| reply.status == 504).count();
        let expected = if breaker == "open" { 20..=40 } else { 2..=2 };
        assert!(expected.contains(&hung), "{effect:?}: {hung}");
        assert_eq!(health(&gateway).await["breaker"], breaker, "{effect:?}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn what_is_no_fault_of_the_source_does_not_open_the_breaker() {
    let gateway = with("retry = { attempts = 1 }\nbreaker = { min_calls = 2 }").await;
    for id in 0..4 {
        gateway.get(&format!("/v1/customers/wm_nobody{id}?source=juzibot")).await.problem(404, "not_found");
    }
    fault(&gateway, Rule::new(Source::Juzibot, Effect::NeverAnswer { applied: false })).await;
    // A third of the source's own time is too little to tell.
    let hasty = || async { gateway.get_with(LIST, &[("prefer", "wait=1")]).await.problem(504, "source_timeout") };
    futures_util::future::join_all((0..4).map(|_| hasty())).await;
    assert_eq!(lists(&gateway), 4);
    gateway.sandbox.state().clear_faults().await;
    gateway.get(LIST).await.ok();
    gateway.stop().await;
}

#[tokio::test]
async fn one_sources_open_breaker_leaves_the_other_alone() {
    let gateway = with("retry = { attempts = 1 }\nbreaker = { min_calls = 1, open_for = \"1h\" }").await;
    fault(&gateway, Rule::new(Source::Juzibot, status(500, None))).await;
    gateway.get(LIST).await.problem(503, "source_unavailable");
    let id = gateway.sandbox.state().people().featured().external_user_id;
    let body = gateway.get(&format!("/v1/customers/{id}")).await.ok();
    assert_eq!(body["meta"]["sources"][0]["status"], "failed");
    assert_eq!(body["meta"]["sources"][1]["status"], "ok");
    gateway.stop().await;
}

#[tokio::test]
async fn behind_an_open_breaker_a_batch_is_not_sent() {
    let gateway = with("breaker = { min_calls = 1, open_for = \"1h\" }\nretry = { attempts = 1 }").await;
    fault(&gateway, Rule::new(Source::Juzibot, status(500, None))).await;
    gateway.get(LIST).await.problem(503, "source_unavailable");
    gateway.sandbox.state().clear_faults().await;
    let union_id = gateway.sandbox.state().people().featured().union_id;
    let body = json!({"items": [{"staff_id": "rocky", "union_id": union_id, "remark": "r"}]});
    gateway.post("/v1/remarks", &body).await.problem(503, "source_unavailable");
    assert_eq!(gateway.sandbox.state().calls_to(Endpoint::JuzibotSetRemark), 0);
    gateway.stop().await;
}

#[tokio::test]
async fn a_sources_quota_is_waited_for_within_the_deadline_and_then_refused_unsent() {
    // A fifth of it may be spent at once.
    let gateway = with("quota = { requests = 10, window = \"1h\" }").await;
    gateway.get(LIST).await.ok();
    gateway.get(LIST).await.ok();
    let refused = gateway.get(LIST).await;
    refused.problem(503, "source_rate_limited");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() > 300);
    assert_eq!(lists(&gateway), 2);
    gateway.stop().await;

    // A caller that waits for less than its turn is told so where the answer would have been kept, too.
    let gateway = with("quota = { requests = 1, window = \"1h\" }").await;
    let detail = "/v1/customers/wm_nobody?source=juzibot";
    gateway.get(LIST).await.ok();
    for path in [LIST, detail] {
        gateway.get_with(path, &[("prefer", "wait=1")]).await.problem(503, "source_rate_limited");
    }
    gateway.stop().await;

    let gateway = with("quota = { requests = 20, window = \"1s\" }").await;
    let begun = tokio::time::Instant::now();
    let replies = futures_util::future::join_all((0..25).map(|_| gateway.get(LIST))).await;
    assert!(replies.iter().all(|reply| reply.status == 200), "they wait for their turn");
    // Four at once, and one in each 17th part of a second.
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    gateway.stop().await;
}

/// Waits until so many of them are answered; the others go on waiting.
async fn answers<F: Future<Output = Reply>>(asked: &mut FuturesUnordered<F>, count: usize) -> Vec<Reply> {
    asked.take(count).collect().await
}

#[tokio::test]
async fn a_source_whose_quota_is_waited_for_takes_no_place_from_the_other() {
    // One caller has 40 of them.
    let server = "max_in_flight = 160".to_owned();
    let juzibot = "max_in_flight = 4\nquota = { requests = 1, window = \"500ms\" }".to_owned();
    let gateway = Gateway::with(GatewayOptions { juzibot, server, ..GatewayOptions::default() }).await;
    let id = gateway.sandbox.state().people().featured().external_user_id;
    let mut limited: FuturesUnordered<_> = (0..40).map(|_| gateway.get(LIST)).collect();
    // The line holds twelve.
    let refused = answers(&mut limited, 28).await;
    for reply in refused.iter().filter(|reply| reply.status != 200) {
        reply.problem(503, "source_rate_limited");
    }
    assert!(refused.iter().filter(|reply| reply.status == 200).count() < 10, "most are refused at once");
    for _ in 0..10 {
        gateway.get(&format!("/v1/customers/{id}?source=tanma")).await.ok();
    }
    drop(limited);
    gateway.stop().await;
}

#[tokio::test]
async fn writes_that_a_source_does_not_answer_leave_room_for_reads_and_for_the_other_source() {
    // One caller has 60 of them.
    let server = "max_in_flight = 240".to_owned();
    let gateway =
        Gateway::with(GatewayOptions { juzibot: "max_in_flight = 4".to_owned(), server, ..GatewayOptions::default() })
            .await;
    fault(&gateway, Rule::new(Endpoint::JuzibotAddFollow, Effect::NeverAnswer { applied: false })).await;
    let person = gateway.sandbox.state().people().featured();
    let note = json!({"items": [{"staff_id": "rocky", "union_id": person.union_id, "content": "n"}]});
    let mut writes: FuturesUnordered<_> = (0..60).map(|_| gateway.post("/v1/follow-ups", &note)).collect();
    // 32 hang or wait for their turn.
    for refused in answers(&mut writes, 28).await {
        refused.problem(503, "source_unavailable");
    }
    for _ in 0..10 {
        gateway.get(LIST).await.ok();
        gateway.get(&format!("/v1/customers/{}?source=tanma", person.external_user_id)).await.ok();
    }
    drop(writes);
    gateway.stop().await;
}

#[tokio::test]
async fn what_waited_long_for_a_slot_is_still_sent_no_faster_than_the_quota_allows() {
    let gateway = with("max_in_flight = 2\nquota = { requests = 10, window = \"1s\" }").await;
    let slow = Duration::from_millis(1_200);
    let delay = Effect::Delay { min: slow, max: Some(slow), applied: false };
    fault(&gateway, Rule::new(Endpoint::JuzibotAddFollow, delay).when(When::First(1))).await;
    let union_id = gateway.sandbox.state().people().featured().union_id;
    let note = json!({"items": [{"staff_id": "rocky", "union_id": union_id, "content": "n"}]});
    let begun = tokio::time::Instant::now();
    let writes = futures_util::future::join_all((0..8).map(|_| gateway.post("/v1/follow-ups", &note))).await;
    assert!(writes.iter().all(|reply| reply.status == 200));
    // Behind the slow one two may go at once, and then one in each ninth part of a second.
    assert!(begun.elapsed() >= slow + Duration::from_millis(5 * 110), "{:?}", begun.elapsed());
    gateway.stop().await;
}

#[tokio::test]
async fn what_a_source_in_trouble_says_of_a_customer_is_not_believed() {
    let invalid = GatewayOptions::default().sandbox.juzibot.bad_parameter;
    let options = GatewayOptions {
        juzibot: "retry = { attempts = 1 }\nbreaker = { min_calls = 2, open_for = \"1h\" }".to_owned(),
        juzibot_codes: "not_found = [404]".to_owned(),
        ..GatewayOptions::default()
    };
    let gateway = Gateway::with(options).await;
    let id = gateway.sandbox.state().people().featured().external_user_id;
    let detail = format!("/v1/customers/{id}?source=juzibot");
    for code in [invalid, 404] {
        let body = json!({"errcode": code, "errmsg": "no"}).to_string();
        let fails = Effect::Status { status: 500, retry_after: None, body, applied: false };
        fault(&gateway, Rule::new(Source::Juzibot, fails).when(When::First(1))).await;
        let problem = gateway.get(&detail).await.problem(503, "source_unavailable");
        assert_eq!(problem["upstream"]["code"], code.to_string());
    }
    // Both were failures.
    assert_eq!(health(&gateway).await["breaker"], "open");
    gateway.stop().await;
}

#[tokio::test]
async fn a_deadline_of_the_callers_own_neither_closes_a_breaker_nor_keeps_it_closed() {
    let keys = "retry = { attempts = 1 }\ntimeout = \"1100ms\"\nbreaker = { min_calls = 2, open_for = \"1s\" }";
    let gateway = with(keys).await;
    fault(&gateway, Rule::new(Source::Juzibot, Effect::NeverAnswer { applied: false })).await;
    let breaker = async || health(&gateway).await["breaker"].clone();
    // Who waits for most of the source's own time has seen that it hangs.
    for _ in 0..2 {
        gateway.get_with(LIST, &[("prefer", "wait=1")]).await.problem(504, "source_timeout");
    }
    assert_eq!(breaker().await, "open");
    let begun = tokio::time::Instant::now();
    while breaker().await != "half_open" {
        assert!(begun.elapsed() < Duration::from_secs(10), "it stays open");
        tokio::task::yield_now().await;
    }
    // Nothing is sent for who waits for nothing, and nothing is learnt.
    let sent = lists(&gateway);
    gateway.get_with(LIST, &[("prefer", "wait=0")]).await.problem(504, "source_timeout");
    assert_eq!((lists(&gateway), breaker().await), (sent, json!("half_open")));
    gateway.stop().await;
}

#[tokio::test]
async fn a_refused_clock_is_told_with_the_difference_and_is_well_again_once_it_is_right() {
    let gateway = Gateway::start().await;
    let staff = "/v1/customers?source=tanma&staff_id=rocky";
    for (offset, side) in [(600, "behind"), (-600, "ahead of")] {
        gateway.sandbox.state().set_clock_offset(Source::Tanma, SignedDuration::from_secs(offset));
        let problem = gateway.get(staff).await.problem(502, "source_credentials");
        assert_eq!(problem["upstream"]["code"], "1003");
        // `Date` is exact to a second.
        let told =
            |seconds| format!("source tanma: it refused the gateway's clock, which is {seconds} s {side} the source's");
        assert!((599..=601).any(|seconds| problem["detail"] == told(seconds)), "{problem}");
        gateway.sandbox.state().set_clock_offset(Source::Tanma, SignedDuration::ZERO);
        gateway.get(staff).await.ok();
    }
    gateway.stop().await;
}
