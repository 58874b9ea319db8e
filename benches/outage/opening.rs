//! How soon a breaker opens when calls hang, by rate and by the share of calls that hang.

use std::time::Duration;

use scrm_gateway::sandbox::Source;
use scrm_gateway::sandbox::faults::{Effect, Rule, When};
use tokio::time::Instant;

use crate::bounds::Bounds;
use crate::gateway::Bench;
use crate::load::{Class, send};

const TIMEOUT: Duration = Duration::from_millis(1_400);
/// Longer than the breaker's window, so that it is full of successes.
const STEADY: Duration = Duration::from_secs(12);
/// How long the fault lasts.
const FAULT: Duration = Duration::from_secs(20);

/// Prints a Markdown table.
pub async fn run(bounds: &mut Bounds) {
    let cases = [
        ("all", When::Always, true),
        ("60 %", When::Rate(0.6), true),
        ("5 %", When::Every(20), false),
        ("one", When::First(1), false),
    ];
    println!("| requests/s | calls that hang | breaker opens after | allowed |\n|---|---|---|---|");
    for rate in [500, 20] {
        for (name, when, opens) in cases {
            let opened = opening(rate, when).await;
            let allowed = TIMEOUT + Duration::from_secs(1);
            let seen = opened.map_or("never".to_owned(), |after| format!("{:.2} s", after.as_secs_f64()));
            let allowed_text = if opens { format!("{:.2} s", allowed.as_secs_f64()) } else { "never".to_owned() };
            println!("| {rate} | {name} | {seen} | {allowed_text} |");
            if opened.is_some_and(|after| after <= allowed) != opens || (!opens && opened.is_some()) {
                bounds.missed(format!("breaker at {rate}/s, {name} hang: {seen}, allowed {allowed_text}"));
            }
        }
    }
}

/// Returns the time from the fault to the open breaker.
async fn opening(rate: u32, when: When) -> Option<Duration> {
    let bench = Bench::with(&format!("timeout = \"{}ms\"", TIMEOUT.as_millis())).await;
    // Each of another customer that the source does not know: small answers, and each request is a call.
    let path = |number| format!("/v1/customers/wm-nobody-{number}?source=juzibot");
    let detail = Class { name: "detail", path: Box::new(path), body: None };
    let classes = [&detail];
    let watch = async {
        tokio::time::sleep(STEADY).await;
        let failing = Instant::now();
        let hang = Rule::new(Source::Juzibot, Effect::NeverAnswer { applied: false });
        bench.sandbox.state().set_faults(vec![hang.when(when)]).await.unwrap();
        while failing.elapsed() < FAULT {
            if bench.breaker().await == "open" {
                return Some(failing.elapsed());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        None
    };
    // The load ends with the watch.
    let load = send(&bench, Instant::now(), rate, STEADY + FAULT, &classes);
    tokio::select! {
        opened = watch => opened,
        _samples = load => None,
    }
}
