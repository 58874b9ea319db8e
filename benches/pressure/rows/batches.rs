//! Large batches of one authorised caller, all at once.

use std::time::Duration;

use axum::body::Bytes;
use serde_json::json;

use crate::client::{full, post};
use crate::gateway::token;
use crate::load::{Worker, closed_loop};
use crate::trial::{Load, Trial};

pub const PATH: &str = "/v1/follow-ups?source=stub";
const CONCURRENT: usize = 60;
const LASTS: Duration = Duration::from_secs(8);

/// Returns a valid batch of 7.9 MiB: 1,000 notes of 8,200 characters.
pub fn body() -> Bytes {
    let content = "x".repeat(8_200);
    let item = |number| json!({"staff_id": "rocky", "union_id": format!("union-{number}"), "content": content});
    json!({"items": (0..1_000).map(item).collect::<Vec<_>>()}).to_string().into()
}

pub async fn run(trial: &Trial) -> Load {
    let (body, authorization) = (body(), token("load"));
    let worker = Worker {
        gateway: trial.gateway.public,
        request: move |_| post(PATH, &authorization, full(body.clone())),
        patience: Duration::from_secs(40),
    };
    let answers = closed_loop(worker, CONCURRENT, LASTS, |_| false).await;
    Load { answers, ..Load::default() }
}
