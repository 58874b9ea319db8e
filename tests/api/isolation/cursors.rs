//! A cursor is its caller's alone, and to others as good as none.

use super::{ask, gateway, others, tester, whole};

const STREAM: (&str, &str) = ("accept", "application/x-ndjson");

#[tokio::test]
async fn anothers_cursor_is_refused_as_one_that_was_made_up() {
    let gateway = gateway().await;
    for list in ["/v1/customers?source=juzibot", "/v1/customers?source=tanma&staff_id=dowen"] {
        let page = ask(&gateway, &tester(), &format!("{list}&limit=5"), &[]).await.ok();
        let cursor = page["page"]["next_cursor"].as_str().unwrap();
        let path = format!("{list}&cursor={cursor}");
        // Of the same length, so that nothing else tells them apart.
        let made_up = format!("{list}&cursor={}", "A".repeat(cursor.len()));
        for (who, claims) in others() {
            for accept in [&[][..], &[STREAM]] {
                let refused = ask(&gateway, &claims, &path, accept).await;
                refused.problem(400, "cursor_invalid");
                assert_eq!(whole(&refused), whole(&ask(&gateway, &claims, &made_up, accept).await), "{who}");
            }
        }
        ask(&gateway, &tester(), &path, &[]).await.ok();
    }
    gateway.stop().await;
}

#[tokio::test]
async fn a_cursor_to_resume_a_stream_by_is_no_use_to_others() {
    use scrm_gateway::sandbox::Endpoint;
    use scrm_gateway::sandbox::faults::{Effect, Rule};
    let mut options = super::options("");
    options.tanma = "page_size = 10".to_owned();
    let gateway = crate::support::Gateway::with(options).await;
    let list = "/v1/customers?source=tanma&staff_id=dowen";
    gateway.fault(Rule::new(Endpoint::TanmaList, Effect::Html { applied: false }).after(1)).await;
    let broken = ask(&gateway, &tester(), list, &[STREAM]).await;
    let end: serde_json::Value = serde_json::from_str(broken.body.lines().last().unwrap()).unwrap();
    let path = format!("{list}&cursor={}", end["resume_cursor"].as_str().unwrap());
    gateway.sandbox.state().clear_faults().await;
    for (who, claims) in others() {
        let refused = ask(&gateway, &claims, &path, &[STREAM]).await;
        assert_eq!(refused.problem(400, "cursor_invalid")["retryable"], false, "{who}");
    }
    assert_eq!(ask(&gateway, &tester(), &path, &[STREAM]).await.status, 200);
    gateway.stop().await;
}
