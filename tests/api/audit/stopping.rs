//! What is under way when the time for stopping is over may have been applied: the trail says so before the process ends.

use std::process::Stdio;

use reqwest::Method;
use scrm_gateway::sandbox::Endpoint;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use serde_json::{Value, json};

use crate::cli::{Running, addresses, command, folder_for, http, sandbox};
use crate::support::Token;
use crate::support::people::writable;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_cut_at_the_end_of_the_drain_is_told_whole() {
    for key in [None, Some("key-of-a-stop")] {
        let sandbox = sandbox().await;
        let state = sandbox.state().clone();
        let item = |(staff_id, union_id)| json!({"staff_id": staff_id, "union_id": union_id, "remark": "said"});
        let items: Vec<Value> = writable(&state).take(60).map(item).collect();
        state
            .set_faults(vec![Rule::new(Endpoint::JuzibotSetRemark, Effect::NeverAnswer { applied: true })])
            .await
            .unwrap();
        let (folder, config) = folder_for(&sandbox);
        let mut serve = command(folder.path(), &["serve", "--config", config.to_str().unwrap()]);
        serve.env("SCRM_GATEWAY__SERVER__DRAIN_TIMEOUT", "500ms").stderr(Stdio::null());
        let mut gateway = Running::start(serve);
        let (url, _) = addresses(&mut gateway).await;
        let mut write = http().request(Method::POST, format!("{url}/v1/remarks?source=juzibot"));
        write = write.header("authorization", Token::default().bearer()).json(&json!({"items": items}));
        if let Some(key) = key {
            write = write.header("idempotency-key", key);
        }
        let asked = tokio::spawn(write.send());
        crate::support::asked(&sandbox, Endpoint::JuzibotSetRemark, 2).await;
        gateway.terminate().await;
        let (code, lines) = gateway.ended().await;
        assert_eq!(code, Some(0));
        let lines = lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let told: Vec<Value> = lines.filter(|line| line["target"] == "audit").collect();
        let unconfirmed: u64 = told.iter().map(|line| line["unconfirmed"].as_u64().unwrap()).sum();
        assert!(items.len() > 50, "two chunks");
        assert_eq!((told.len(), unconfirmed), (2, items.len() as u64), "{key:?}: {told:?}");
        drop(asked);
        sandbox.stop().await;
    }
}
