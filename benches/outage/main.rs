//! What one source's outage does to callers, to the other source, and to the source itself: measured on a real gateway
//! process before the simulated sources, side by side in one run.
//!
//! ```text
//! cargo bench --bench outage -- blackhole   500 requests/s of mixed load; one source answers nothing for 60 s
//! cargo bench --bench outage -- opening     500 and 20 requests/s for one source, some or all of whose calls hang
//! cargo bench --bench outage -- storm       200 requests/s for one source, which fails for 30 s in three ways
//! ```
//!
//! A run that misses a bound fails. `SCRM_BENCH_OUT` names a folder for the readings, which `plot.py` draws. Load goes to loopback alone.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench ends where something fails, and says what it saw"
)]

mod blackhole;
mod bounds;
mod gateway;
mod load;
mod opening;
mod storm;
#[path = "../support/mod.rs"]
mod support;

use std::process::ExitCode;

use bounds::Bounds;

#[tokio::main]
async fn main() -> ExitCode {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let mut bounds = Bounds::default();
    if wants("blackhole") {
        blackhole::run(&mut bounds).await;
    }
    if wants("opening") {
        opening::run(&mut bounds).await;
    }
    if wants("storm") {
        storm::run(&mut bounds).await;
    }
    let missed = bounds.all_missed();
    for missed in &missed {
        println!("missed: {missed}");
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
