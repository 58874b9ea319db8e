//! Contract §3.5: a caller who disconnects does not cut a chunk in flight, and no new one starts.

use std::sync::Arc;
use std::time::Duration;

use scrm_gateway::sandbox::Endpoint;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use serde_json::Value;

use super::{gateway, gateway_with, remarks, set};
use crate::support::{Gateway, GatewayOptions};

/// Items of one chunk at the source.
const CHUNK: usize = 50;
/// As long as no test takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Asks a source that is slow, and leaves once that has been asked.
async fn ask_and_leave(gateway: &Arc<Gateway>, items: &[Value]) {
    let state = gateway.sandbox.state();
    // Much longer than it takes to see that a caller has left.
    let delay = Effect::Delay { min: Duration::from_secs(2), max: None, applied: false };
    state.set_faults(vec![Rule::new(Endpoint::JuzibotSetRemark, delay)]).await.unwrap();
    let asked = tokio::spawn({
        let (gateway, items) = (gateway.clone(), items.to_vec());
        async move { set(&gateway, &items).await }
    });
    gateway.asked(Endpoint::JuzibotSetRemark, 1).await;
    asked.abort();
}

#[tokio::test]
async fn a_caller_who_leaves_cuts_no_chunk_in_flight_and_starts_no_further_one() {
    let gateway = Arc::new(gateway().await);
    let state = gateway.sandbox.state().clone();
    let items = remarks(&gateway, 1_000);
    ask_and_leave(&gateway, &items).await;
    // Those that had begun are applied whole, though nobody waits for them.
    let settled = async {
        loop {
            let calls = usize::try_from(state.calls_to(Endpoint::JuzibotSetRemark)).unwrap();
            if state.applied_remarks().len() == calls * CHUNK {
                return calls;
            }
            tokio::task::yield_now().await;
        }
    };
    let under_way = tokio::time::timeout(PATIENCE, settled).await.expect("what has begun is applied");
    assert!((1..20).contains(&under_way), "{under_way} of 20 chunks");
    // A further chunk would have followed at once; this request comes after it would have.
    state.clear_faults().await;
    set(&gateway, &items[999..]).await.ok();
    assert_eq!(state.calls_to(Endpoint::JuzibotSetRemark), under_way as u64 + 1);
    assert_eq!(state.applied_remarks().len(), under_way * CHUNK + 1);
}

#[tokio::test]
async fn a_caller_who_leaves_takes_back_what_still_waits_for_its_turn() {
    let options = GatewayOptions { juzibot: "max_in_flight = 1".to_owned(), ..GatewayOptions::default() };
    let gateway = Arc::new(gateway_with(options).await);
    let state = gateway.sandbox.state().clone();
    let items = remarks(&gateway, 4 * CHUNK);
    ask_and_leave(&gateway, &items).await;
    state.clear_faults().await;
    // The slots are given out in turn: what had waited would be sent before this.
    set(&gateway, &items[..1]).await.ok();
    assert_eq!(state.calls_to(Endpoint::JuzibotSetRemark), 2);
    assert_eq!(state.applied_remarks().len(), CHUNK + 1);
}
