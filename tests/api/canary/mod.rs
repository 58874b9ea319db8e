//! Secrets and customers' data are seeded, everything is run with the log at its finest, and nothing of them may come out:
//! not in the log, the numbers, a refusal or a header, nor in any spelling of them.
//!
//! That the net holds is tried as well: the scanner finds what it is to find (`scan`), and what is seeded does travel (`travels`).

mod commands;
mod configuration;
mod effects;
mod requests;
mod scan;
mod seeds;
mod service;
mod settings;
mod travels;
mod ways;

use scan::Scanner;
use service::Service;
use settings::Patience;

/// Every operation and refusal, and then every fault.
async fn nothing_comes_out(format: &str) {
    let mut service = Service::start(format, Patience::Long).await;
    requests::operations(&mut service).await;
    requests::refusals(&mut service).await;
    requests::hostile(&mut service).await;
    service.unusable_file().await;
    service.readers_who_leave().await;
    service.numbers().await;
    service.end(100).await;
    let mut service = Service::start(format, Patience::Short).await;
    effects::all(&mut service).await;
    service.numbers().await;
    service.end(400).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_comes_out_with_a_log_in_json() {
    nothing_comes_out("json").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_comes_out_with_a_log_in_text() {
    nothing_comes_out("text").await;
}
