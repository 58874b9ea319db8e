//! Whether one caller, or a stranger, can take the gateway away from the others: the rows of a table, each on a gateway process of
//! its own with the default configuration under a memory limit of 1 GiB. `docs/resilience.md` has the results.
//!
//! ```text
//! make pressure                       all rows, up to 15 minutes
//! PRESSURE_ROWS=a,c make pressure     the rows whose names begin so
//! ```
//!
//! The sources and the load are outside the limit. Load goes to loopback alone and is bounded in count and time. All processes and
//! cgroups end with the run, also when it fails or is interrupted. The run fails if a row fails.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench ends where something fails, and prints its results"
)]

mod answers;
mod client;
mod gateway;
mod limit;
mod load;
mod probe;
mod rows;
mod sources;
mod stub;
#[path = "../support/mod.rs"]
mod support;
mod trial;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::Instant;

use limit::Limit;
use sources::Sources;
use trial::{Outcome, Row};

/// The longest run: no row begins later.
const LONGEST_RUN: Duration = Duration::from_mins(14);
/// The longest row: start, quiet, load, release of memory.
const LONGEST_ROW: Duration = Duration::from_secs(150);

#[tokio::main]
async fn main() -> ExitCode {
    let mut terminate = signal(SignalKind::terminate()).unwrap();
    // Processes and cgroups end when the run is dropped.
    tokio::select! {
        code = run() => code,
        _ = tokio::signal::ctrl_c() => interrupted(),
        _ = terminate.recv() => interrupted(),
    }
}

fn interrupted() -> ExitCode {
    println!("interrupted");
    ExitCode::FAILURE
}

async fn run() -> ExitCode {
    let wanted = std::env::var_os("PRESSURE_ROWS").unwrap_or_default().into_string().unwrap_or_default();
    let wanted: Vec<&str> = wanted.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    let is_wanted = |row: &Row| wanted.is_empty() || wanted.iter().any(|wanted| row.name.starts_with(wanted));
    let sources = Arc::new(Sources::start());
    println!("limit: {}", Limit::create().description());
    let (began, mut results) = (Instant::now(), Vec::new());
    for row in rows::all().into_iter().filter(is_wanted) {
        println!("row {}: {}", row.name, row.what);
        if began.elapsed() > LONGEST_RUN {
            results.push((row, Err("not run: the run had taken 14 minutes".to_owned())));
            continue;
        }
        let trial = AssertUnwindSafe(trial::run(&row, &sources)).catch_unwind();
        let outcome = match tokio::time::timeout(LONGEST_ROW, trial).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err("the bench failed in this row; see above".to_owned()),
            Err(_) => Err("the row did not end in time".to_owned()),
        };
        print_outcome(&outcome);
        results.push((row, outcome));
    }
    print_table(&results);
    let passed = results.iter().filter(|(_, outcome)| passes(outcome)).count();
    println!("{passed} of {} rows passed", results.len());
    if passed == results.len() && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn passes(outcome: &Result<Outcome, String>) -> bool {
    outcome.as_ref().is_ok_and(|outcome| outcome.missed.is_empty())
}

fn print_outcome(outcome: &Result<Outcome, String>) {
    match outcome {
        Ok(outcome) => {
            println!("  others: {}\n  memory: {}\n  causing: {}", outcome.others, outcome.memory, outcome.causing);
            outcome.notes.iter().for_each(|note| println!("  {note}"));
            outcome.missed.iter().for_each(|missed| println!("  MISSED: {missed}"));
        }
        Err(error) => println!("  MISSED: {error}"),
    }
}

fn print_table(results: &[(Row, Result<Outcome, String>)]) {
    println!(
        "\n| row | what is done | commit f8e0379 | other callers, quiet → under load | resident before / peak / 20 s after | answers to the load | result |"
    );
    println!("|---|---|---|---|---|---|---|");
    for (row, outcome) in results {
        let cells = match outcome {
            Ok(outcome) => {
                let causing = [std::slice::from_ref(&outcome.causing), &outcome.notes].concat().join("; ");
                let result = if outcome.missed.is_empty() {
                    "pass".to_owned()
                } else {
                    format!("FAIL: {}", outcome.missed.join("; "))
                };
                format!("{} | {} | {causing} | {result}", outcome.others, outcome.memory)
            }
            Err(error) => format!("– | – | – | FAIL: {error}"),
        };
        println!("| {} | {} | {} | {cells} |", row.name, row.what, row.before);
    }
    println!();
}
