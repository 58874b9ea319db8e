//! Records past their freshness: refreshed behind, or standing in for a source that fails.

use std::time::Duration;

use scrm_gateway::sandbox::Endpoint::JuzibotDetail;
use scrm_gateway::sandbox::faults::{Effect, Rule, When};
use serde_json::json;

use super::{cache_status, delayed, failing, in_juzibot, is_hit, path, remark, set_remark_at_the_source, with_cache};
use crate::support::{Gateway, GatewayOptions};

/// Every record is served as it is, and refreshed behind.
const ALWAYS_STALE: &str = "fresh = \"0s\"\nstale = \"10m\"";
/// A record is served only where its source fails.
const ALWAYS_GONE: &str = "fresh = \"0s\"\nstale = \"0s\"";

#[tokio::test]
async fn a_stale_record_is_served_at_once_and_refreshed_behind() {
    let gateway = with_cache(ALWAYS_STALE).await;
    let path = in_juzibot(&gateway);
    let before = gateway.get(&path).await.ok();
    set_remark_at_the_source(&gateway, "changed").await;
    gateway.fault(Rule::new(JuzibotDetail, delayed(false))).await;
    let stale = gateway.get(&path).await;
    let body = stale.ok();
    assert_eq!(remark(&body), remark(&before), "nobody waits for the refresh");
    assert_eq!(body["meta"]["sources"][0]["status"], "ok");
    assert!(is_hit(&stale, "juzibot") < 0);
    // Asked again while the refresh is under way: one is enough.
    gateway.asked(JuzibotDetail, 2).await;
    gateway.get(&path).await.ok();
    assert_eq!(gateway.calls_to(JuzibotDetail), 2);
    let refreshed = async {
        while remark(&gateway.get(&path).await.ok()) != "changed" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), refreshed).await.unwrap();
    gateway.stop().await;
}

#[tokio::test]
async fn a_record_stands_in_for_a_source_that_fails_and_is_marked() {
    let gateway = Gateway::with(GatewayOptions {
        cache: ALWAYS_GONE.to_owned(),
        juzibot: "timeout = \"300ms\"".to_owned(),
        ..GatewayOptions::default()
    })
    .await;
    let path = path(&gateway);
    let before = gateway.get(&path).await.ok();
    for (effect, code) in [
        (failing(500), "source_unavailable"),
        (failing(429), "source_rate_limited"),
        (failing(401), "source_credentials"),
        (Effect::Html { applied: false }, "source_bad_payload"),
        (Effect::Reset { applied: false }, "source_unavailable"),
        (Effect::NeverAnswer { applied: false }, "source_timeout"),
    ] {
        let rules = vec![Rule::new(JuzibotDetail, effect)];
        gateway.sandbox.state().set_faults(rules).await.unwrap();
        // A stale record counts as one that was found.
        let reply = gateway.get(&format!("{path}?on_partial=fail")).await;
        let body = reply.ok();
        assert_eq!(body["data"], before["data"], "{code}");
        let report = &body["meta"]["sources"][0];
        assert_eq!((&report["source"], &report["status"]), (&json!("juzibot"), &json!("stale")));
        assert_eq!(report["problem"]["code"], code);
        assert_eq!(report["fetched_at"], before["meta"]["sources"][0]["fetched_at"]);
        assert_eq!(body["meta"]["sources"][1]["status"], "ok");
        assert!(is_hit(&reply, "juzibot") < 0, "{code}");
    }
    gateway.sandbox.state().clear_faults().await;
    let body = gateway.get(&path).await.ok();
    assert_eq!(body["meta"]["sources"][0]["status"], "ok");
    gateway.stop().await;
}

#[tokio::test]
async fn a_record_does_not_stand_in_for_a_source_that_rejects_nor_for_ever() {
    let gateway = with_cache(ALWAYS_GONE).await;
    let path = in_juzibot(&gateway);
    gateway.get(&path).await.ok();
    let rejects = Effect::Code { code: 99_999, message: "no".to_owned(), applied: false };
    for effect in [failing(418), rejects] {
        let rules = vec![Rule::new(JuzibotDetail, effect)];
        gateway.sandbox.state().set_faults(rules).await.unwrap();
        gateway.get(&path).await.problem(502, "source_rejected");
    }
    gateway.stop().await;

    let gateway = with_cache(&format!("{ALWAYS_GONE}\nstale_if_error = \"0s\"")).await;
    let path = in_juzibot(&gateway);
    gateway.get(&path).await.ok();
    gateway.fault(Rule::new(JuzibotDetail, failing(500))).await;
    gateway.get(&path).await.problem(503, "source_unavailable");
    gateway.stop().await;
}

#[tokio::test]
async fn a_caller_that_asks_for_now_is_given_now_and_the_others_too() {
    let gateway = Gateway::start().await;
    let path = in_juzibot(&gateway);
    gateway.get(&path).await.ok();
    set_remark_at_the_source(&gateway, "changed").await;
    assert_ne!(remark(&gateway.get(&path).await.ok()), "changed");
    for header in ["no-cache", "max-stale=60, No-Cache"] {
        let reply = gateway.get_with(&path, &[("cache-control", header)]).await;
        assert_eq!(remark(&reply.ok()), "changed");
        assert_eq!(cache_status(&reply, "juzibot"), ["fwd=request", "stored"]);
    }
    assert_eq!(gateway.calls_to(JuzibotDetail), 3);
    let reply = gateway.get(&path).await;
    is_hit(&reply, "juzibot");
    assert_eq!(remark(&reply.ok()), "changed");
    gateway.stop().await;
}

#[tokio::test]
async fn no_cache_during_a_slow_load_brings_what_the_source_has_now() {
    let gateway = Gateway::start().await;
    let path = in_juzibot(&gateway);
    // It reads at once and answers late.
    gateway.fault(Rule::new(JuzibotDetail, delayed(true)).when(When::First(1))).await;
    let mut reading = Box::pin(gateway.get(&path));
    tokio::select! {
        reply = &mut reading => panic!("answered at once: {reply:?}"),
        () = gateway.asked(JuzibotDetail, 1) => {}
    }
    set_remark_at_the_source(&gateway, "changed").await;
    let revalidating = gateway.get_with(&path, &[("cache-control", "no-cache")]);
    let (early, late) = tokio::join!(reading, revalidating);
    assert_ne!(remark(&early.ok()), "changed");
    assert_eq!(remark(&late.ok()), "changed");
    assert_eq!(cache_status(&late, "juzibot"), ["fwd=request", "stored"]);
    let after = gateway.get(&path).await;
    is_hit(&after, "juzibot");
    assert_eq!(remark(&after.ok()), "changed", "the older load has not replaced it");
    gateway.stop().await;
}

#[tokio::test]
async fn fresh_record_in_place_of_a_failing_source_is_ok() {
    let gateway = Gateway::start().await;
    let path = path(&gateway);
    let before = gateway.get(&path).await.ok();
    gateway.fault(Rule::new(JuzibotDetail, failing(500))).await;
    let reply = gateway.get_with(&path, &[("cache-control", "no-cache")]).await;
    let body = reply.ok();
    assert_eq!(body["meta"]["sources"][0], before["meta"]["sources"][0]);
    assert!(is_hit(&reply, "juzibot") > 0);
    assert_eq!(cache_status(&reply, "tanma"), ["fwd=request", "stored"]);
    gateway.stop().await;
}
