//! Contract §6: the cache of details.

mod stale;
mod writes;

use std::time::Duration;

use scrm_gateway::sandbox::Endpoint::{JuzibotDetail, JuzibotSetRemark, TanmaDetails};
use scrm_gateway::sandbox::faults::{Effect, Rule, When};
use scrm_gateway::sandbox::people::Featured;
use serde_json::{Value, json};

use crate::support::{Gateway, GatewayOptions, JUZIBOT_TOKEN, Reply, Token};

async fn with_cache(cache: &str) -> Gateway {
    Gateway::with(GatewayOptions { cache: cache.to_owned(), ..GatewayOptions::default() }).await
}

fn featured(gateway: &Gateway) -> Featured {
    gateway.sandbox.state().people().featured()
}

fn path(gateway: &Gateway) -> String {
    format!("/v1/customers/{}", featured(gateway).external_user_id)
}

/// The same customer in `JuziBot` alone.
fn in_juzibot(gateway: &Gateway) -> String {
    format!("{}?source=juzibot", path(gateway))
}

/// The remark that rocky put on the customer, as `JuziBot` tells it.
fn remark(body: &Value) -> &str {
    let relations = body["data"]["relations"].as_array().unwrap();
    let of_rocky = |one: &&Value| one["source"] == "juzibot" && one["staff_id"] == "rocky";
    relations.iter().find(of_rocky).unwrap()["remark"].as_str().unwrap()
}

async fn set_remark(gateway: &Gateway, remark: &str) -> Value {
    let item = json!({"staff_id": "rocky", "union_id": featured(gateway).union_id, "remark": remark});
    let body = gateway.post("/v1/remarks", &json!({"items": [item]})).await.ok();
    body["data"]["results"][0]["status"].clone()
}

/// Changes the remark at the source behind the gateway's back.
async fn set_remark_at_the_source(gateway: &Gateway, remark: &str) {
    let url = format!("{}/api/v1/customer/set_remark?token={JUZIBOT_TOKEN}", gateway.sandbox.juzibot_url());
    let item = json!({"userId": "rocky", "unionId": featured(gateway).union_id, "remark": remark});
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(url).json(&json!({"remark_list": [item]}));
    let reply: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(reply["errcode"], 0, "{reply}");
}

/// The members of `Cache-Status` with their parameters, by source.
fn cache_status<'a>(reply: &'a Reply, source: &str) -> Vec<&'a str> {
    let name = format!("\"scrm-gateway/{source}\"");
    let mut members = reply.header("cache-status").split(", ").map(|member| member.split(';'));
    let found = members.find_map(|mut parts| (parts.next() == Some(&name)).then(|| parts.collect()));
    found.unwrap_or_else(|| panic!("no {name} in {:?}", reply.header("cache-status")))
}

#[track_caller]
fn is_hit(reply: &Reply, source: &str) -> i64 {
    match cache_status(reply, source)[..] {
        ["hit", ttl] => ttl.strip_prefix("ttl=").unwrap().parse().unwrap(),
        ref other => panic!("{source} is no hit: {other:?}"),
    }
}

fn failing(status: u16) -> Effect {
    Effect::Status { status, retry_after: None, body: String::new(), applied: false }
}

fn delayed(applied: bool) -> Effect {
    Effect::Delay { min: Duration::from_millis(400), max: None, applied }
}

#[tokio::test]
async fn the_second_ask_is_a_hit_and_says_so() {
    let gateway = Gateway::start().await;
    let path = path(&gateway);
    let first = gateway.get(&path).await;
    assert_eq!(
        first.header("cache-status"),
        "\"scrm-gateway/juzibot\";fwd=miss;stored, \"scrm-gateway/tanma\";fwd=miss;stored"
    );
    let second = gateway.get(&path).await;
    for source in ["juzibot", "tanma"] {
        let ttl = is_hit(&second, source);
        assert!((30..=60).contains(&ttl), "{ttl}");
    }
    assert_eq!(first.ok(), second.ok());
    assert_eq!((gateway.calls_to(JuzibotDetail), gateway.calls_to(TanmaDetails)), (1, 1));
    gateway.stop().await;
}

#[tokio::test]
async fn what_is_kept_serves_every_caller_but_only_of_sources_it_sees() {
    let gateway = Gateway::start().await;
    let path = path(&gateway);
    gateway.get(&path).await.ok();
    let bearer = Token::with(&json!({"sub": "another", "sources": ["tanma"]})).bearer();
    let reply = gateway.get_with(&path, &[("authorization", &bearer)]).await;
    is_hit(&reply, "tanma");
    assert!(!reply.header("cache-status").contains("juzibot") && !reply.body.contains("juzibot"));
    let bearer = Token::with(&json!({"sub": "another"})).bearer();
    let reply = gateway.get_with(&path, &[("authorization", &bearer)]).await;
    is_hit(&reply, "juzibot");
    assert_eq!((gateway.calls_to(JuzibotDetail), gateway.calls_to(TanmaDetails)), (1, 1));
    gateway.stop().await;
}

#[tokio::test]
async fn one_record_serves_every_staff_member() {
    let gateway = Gateway::start().await;
    let path = in_juzibot(&gateway);
    for staff in featured(&gateway).juzibot_staff {
        let body = gateway.get(&format!("{path}&staff_id={staff}")).await.ok();
        let relations = body["data"]["relations"].as_array().unwrap();
        assert_eq!(relations.len(), 1);
        assert_eq!(relations[0]["staff_id"], staff);
    }
    let of_nobody = gateway.get(&format!("{path}&staff_id=nobody")).await.ok();
    assert_eq!(of_nobody["data"]["relations"], json!([]));
    assert_eq!(gateway.calls_to(JuzibotDetail), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_remark_drops_the_customer_whichever_id_it_was_asked_by() {
    let gateway = Gateway::start().await;
    let by_external = in_juzibot(&gateway);
    let by_union = format!("/v1/customers/{}?id_type=union_id&source=juzibot", featured(&gateway).union_id);
    for path in [&by_external, &by_union] {
        gateway.get(path).await.ok();
        is_hit(&gateway.get(path).await, "juzibot");
    }
    assert_eq!(set_remark(&gateway, "new").await, "succeeded");
    for path in [&by_external, &by_union] {
        let reply = gateway.get(path).await;
        assert_eq!(remark(&reply.ok()), "new");
        assert_eq!(cache_status(&reply, "juzibot"), ["fwd=miss", "stored"]);
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_remark_that_may_have_been_applied_drops_the_customer_and_a_refused_one_does_not() {
    let gateway = Gateway::start().await;
    let path = in_juzibot(&gateway);
    gateway.get(&path).await.ok();
    let refused = Effect::FailItems { items: 1, code: 0, item_code: 40_035 };
    let rules = vec![Rule::new(JuzibotSetRemark, refused).when(When::First(1))];
    gateway.sandbox.state().set_faults(rules).await.unwrap();
    assert_eq!(set_remark(&gateway, "refused").await, "failed");
    is_hit(&gateway.get(&path).await, "juzibot");

    let lost = Effect::Reset { applied: true };
    let rules = vec![Rule::new(JuzibotSetRemark, lost).when(When::First(1))];
    gateway.sandbox.state().set_faults(rules).await.unwrap();
    assert_eq!(set_remark(&gateway, "applied").await, "unconfirmed");
    assert_eq!(remark(&gateway.get(&path).await.ok()), "applied");
    gateway.stop().await;
}

#[tokio::test]
async fn a_load_that_read_before_a_remark_is_not_kept_after_it() {
    let gateway = Gateway::start().await;
    let path = in_juzibot(&gateway);
    // It reads at once and answers late.
    gateway.fault(Rule::new(JuzibotDetail, delayed(true)).when(When::First(1))).await;
    let mut reading = Box::pin(gateway.get(&path));
    tokio::select! {
        reply = &mut reading => panic!("answered at once: {reply:?}"),
        () = gateway.asked(JuzibotDetail, 1) => {}
    }
    assert_eq!(set_remark(&gateway, "new").await, "succeeded");
    // Who asks now has seen the write end, and must not be given what was read before.
    let (early, late) = tokio::join!(reading, gateway.get(&path));
    early.ok();
    assert_eq!(remark(&late.ok()), "new");
    assert_eq!(remark(&gateway.get(&path).await.ok()), "new");
    gateway.stop().await;
}

#[tokio::test]
async fn not_found_is_kept_briefly() {
    for (cache, calls) in [("", 1), ("not_found = \"0s\"", 2)] {
        let gateway = with_cache(cache).await;
        for _ in 0..2 {
            gateway.get("/v1/customers/nobody").await.problem(404, "not_found");
        }
        assert_eq!(gateway.calls_to(JuzibotDetail), calls, "{cache}");
        assert_eq!(gateway.calls_to(TanmaDetails), calls, "{cache}");
        gateway.stop().await;
    }
}

#[tokio::test]
async fn a_failure_is_never_kept() {
    for effect in [failing(500), failing(418), failing(401), Effect::Html { applied: false }] {
        let gateway = Gateway::start().await;
        let path = path(&gateway);
        for endpoint in [JuzibotDetail, TanmaDetails] {
            gateway.fault(Rule::new(endpoint, effect.clone())).await;
        }
        let reply = gateway.get(&path).await;
        assert!(reply.status.is_server_error(), "{effect:?}: {}", reply.status);
        gateway.sandbox.state().clear_faults().await;
        let reply = gateway.get(&path).await;
        reply.ok();
        for source in ["juzibot", "tanma"] {
            assert_eq!(cache_status(&reply, source), ["fwd=miss", "stored"], "{effect:?}");
        }
        gateway.stop().await;
    }
}

#[tokio::test]
async fn raw_is_fetched_fresh_and_never_kept() {
    let gateway = Gateway::start().await;
    let path = in_juzibot(&gateway);
    let raw = format!("{path}&include=raw");
    for calls in [1, 2] {
        let reply = gateway.get(&raw).await;
        assert_eq!(reply.ok()["data"]["records"][0]["raw"]["externalUserId"], featured(&gateway).external_user_id);
        assert_eq!(reply.header("cache-control"), "no-store");
        assert_eq!(cache_status(&reply, "juzibot"), ["fwd=request"]);
        assert_eq!(gateway.calls_to(JuzibotDetail), calls);
    }
    let plain = gateway.get(&path).await;
    assert_eq!(cache_status(&plain, "juzibot"), ["fwd=miss", "stored"]);
    assert_eq!(plain.ok()["data"]["records"][0]["raw"], Value::Null);
    assert_ne!(plain.header("cache-control"), "no-store");
    gateway.get(&raw).await.ok();
    assert_eq!(gateway.calls_to(JuzibotDetail), 4);
    // Nor does what is kept stand in for it.
    gateway.fault(Rule::new(JuzibotDetail, failing(500))).await;
    gateway.get(&raw).await.problem(503, "source_unavailable");
    gateway.stop().await;
}

#[tokio::test]
async fn a_caller_that_gives_up_does_not_end_the_load_for_the_others() {
    let gateway = Gateway::start().await;
    let path = in_juzibot(&gateway);
    gateway.fault(Rule::new(JuzibotDetail, delayed(false))).await;
    // One is not willing to wait, and one hangs up.
    gateway.get_with(&path, &[("prefer", "wait=0")]).await.problem(504, "source_timeout");
    let mut leaving = Box::pin(gateway.get(&path));
    tokio::select! {
        reply = &mut leaving => panic!("answered at once: {reply:?}"),
        () = gateway.asked(JuzibotDetail, 1) => {}
    }
    drop(leaving);
    let reply = gateway.get(&path).await;
    reply.ok();
    assert_eq!(cache_status(&reply, "juzibot"), ["fwd=miss", "stored", "collapsed"]);
    is_hit(&gateway.get(&path).await, "juzibot");
    assert_eq!(gateway.calls_to(JuzibotDetail), 1);
    gateway.stop().await;
}

#[tokio::test]
async fn a_load_that_nobody_waits_for_any_more_fills_the_cache() {
    let gateway = Gateway::start().await;
    let path = in_juzibot(&gateway);
    gateway.fault(Rule::new(JuzibotDetail, delayed(false))).await;
    let filled = async {
        loop {
            let reply = gateway.get_with(&path, &[("prefer", "wait=0")]).await;
            if reply.status == 504 {
                reply.problem(504, "source_timeout");
                continue;
            }
            reply.ok();
            // One that came as the load ended has joined it without waiting; the next finds it kept.
            if !cache_status(&reply, "juzibot").contains(&"collapsed") {
                break is_hit(&reply, "juzibot");
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), filled).await.unwrap();
    assert_eq!(gateway.calls_to(JuzibotDetail), 1);
    gateway.stop().await;
}
