//! The cache and the idempotency store, filled beyond their limits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use serde_json::json;

use crate::client::{Reply, full, get, post};
use crate::gateway::token;
use crate::load::{Worker, closed_loop};
use crate::trial::{Load, Trial};

use super::batches::PATH;
use super::{CACHE_MIB, OUTCOMES_MIB};

/// Few, so that the load is the stores' and not the processor's.
const CONCURRENT: usize = 4;
const LONGEST: Duration = Duration::from_secs(75);
const PATIENCE: Duration = Duration::from_secs(10);
/// Resident growth to the limit of the store.
const MOST: f64 = 1.15;
/// More than the outcome of a batch of one item costs, in bytes.
const MOST_OUTCOME: u64 = 600;
const MIB: u64 = 1 << 20;

pub async fn cache(trial: &Trial) -> Load {
    let warm = warm(trial).await;
    let authorization = token("load");
    let worker = Worker {
        gateway: trial.gateway.public,
        request: move |number| get(&format!("/v1/customers/wm{number:030}?source=stub"), Some(&authorization)),
        patience: PATIENCE,
    };
    let received = Arc::new(AtomicU64::new(0));
    let sum = received.clone();
    let enough = move |reply: &Reply| sum.fetch_add(reply.length, Ordering::Relaxed) > 2 * CACHE_MIB * MIB;
    let answers = closed_loop(worker, CONCURRENT, LONGEST, enough).await;
    let filled = received.load(Ordering::Relaxed) / MIB;
    let mut load = Load { answers, notes: vec![format!("{filled} MiB of details")], ..Load::default() };
    if filled < 2 * CACHE_MIB {
        load.missed.push(format!("the cache was filled with {filled} MiB only"));
    }
    judge(trial, warm, CACHE_MIB, &mut load);
    load
}

pub async fn outcomes(trial: &Trial) -> Load {
    let warm = warm(trial).await;
    let authorization = token("load");
    let item = json!({"staff_id": "rocky", "union_id": "union-1", "content": "a note"});
    let body = Bytes::from(json!({"items": [item]}).to_string());
    let worker = Worker {
        gateway: trial.gateway.public,
        request: move |number| {
            let mut request = post(PATH, &authorization, full(body.clone()));
            request.headers_mut().insert("idempotency-key", format!("key-{number:020}").parse().unwrap());
            request
        },
        patience: PATIENCE,
    };
    let answers = closed_loop(worker, CONCURRENT, LONGEST, |reply| reply.status >= 400).await;
    let stored = answers.count("200");
    let mut load = Load { answers, notes: vec![format!("{stored} outcomes")], ..Load::default() };
    if load.answers.except(|outcome| outcome == "200").is_empty() {
        load.missed.push("the store did not refuse a key within 75 s".to_owned());
    }
    // A refusal for another reason must not count as a full store.
    if stored * MOST_OUTCOME < OUTCOMES_MIB * MIB {
        load.missed.push(format!("keys were refused after {stored} outcomes"));
    }
    judge(trial, warm, OUTCOMES_MIB, &mut load);
    load
}

/// Resident memory after requests that store nothing, so that buffers and threads do not count as growth.
async fn warm(trial: &Trial) -> u64 {
    let authorization = token("load");
    let worker = Worker {
        gateway: trial.gateway.public,
        request: move |_| get("/v1/customers?source=stub&limit=20", Some(&authorization)),
        patience: PATIENCE,
    };
    closed_loop(worker, CONCURRENT, Duration::from_secs(4), |_| false).await;
    trial.gateway.resident_mib().unwrap_or_default()
}

fn judge(trial: &Trial, warm: u64, limit: u64, load: &mut Load) {
    let growth = trial.gateway.resident_mib().unwrap_or_default().saturating_sub(warm);
    #[expect(clippy::cast_precision_loss, reason = "MiB of a process of 1 GiB")]
    let ratio = growth as f64 / limit as f64;
    load.notes.push(format!("grew from {warm} MiB by {growth} MiB, {ratio:.2} × the limit"));
    if ratio > MOST {
        load.missed.push(format!("resident growth {ratio:.2} × the limit, more than {MOST}"));
    }
}
