//! How often a source is called while it fails: an outage is not to be multiplied by retries.

use std::time::Duration;

use scrm_gateway::sandbox::faults::{Effect, Rule};
use scrm_gateway::sandbox::{Endpoint, Source};
use tokio::time::Instant;

use crate::bounds::Bounds;
use crate::gateway::Bench;
use crate::load::{Class, send};

const RATE: u32 = 200;
/// Longer than the breaker's window, so that it is full of successes.
const STEADY: Duration = Duration::from_secs(15);
const OUTAGE: Duration = Duration::from_secs(30);

/// Calls to a source that fails, to those that there would be if each request until the breaker opened were one, and none
/// came after.
const MOST: f64 = 1.2;

pub async fn run(bounds: &mut Bounds) {
    let unavailable = Effect::Status { status: 503, retry_after: None, body: String::new(), applied: false };
    let hang = Effect::NeverAnswer { applied: false };
    println!("outage             steady/s  open after s  calls till open  calls in all  / (steady x share)");
    for (name, effect) in [("503", unavailable), ("refused", Effect::RefuseConnections), ("hang", hang)] {
        let bench = Bench::start().await;
        let list =
            Class { name: "list", path: Box::new(|_| "/v1/customers?source=juzibot&limit=5".to_owned()), body: None };
        let begun = Instant::now();
        let count = async {
            tokio::time::sleep(STEADY / 3).await;
            let (from, early) = (Instant::now(), calls(&bench, &effect).await);
            tokio::time::sleep(STEADY * 2 / 3).await;
            let before = calls(&bench, &effect).await;
            #[expect(clippy::cast_precision_loss, reason = "counts of a minute")]
            let steady = (before - early) as f64 / from.elapsed().as_secs_f64();
            let failing = Instant::now();
            bench.sandbox.state().set_faults(vec![Rule::new(Source::Juzibot, effect.clone())]).await.unwrap();
            let mut opened = None;
            while failing.elapsed() < OUTAGE {
                if opened.is_none() && bench.breaker().await == "open" {
                    opened = Some((failing.elapsed(), calls(&bench, &effect).await - before));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            (steady, opened, calls(&bench, &effect).await - before)
        };

        let classes = [&list];
        let (_samples, (steady, opened, calls)) =
            tokio::join!(send(&bench, begun, RATE, STEADY + OUTAGE, &classes), count);
        let Some((after, till_open)) = opened else {
            println!("{name:<18} {steady:>8.1}  never opened; {calls} calls in all");
            bounds.missed(format!("{name}: the breaker never opened"));
            continue;
        };
        #[expect(clippy::cast_precision_loss, reason = "counts of a minute")]
        let ratio = calls as f64 / (steady * after.as_secs_f64());
        println!(
            "{name:<18} {steady:>8.1}  {:>12.2}  {till_open:>15}  {calls:>12}  {ratio:>18.2}",
            after.as_secs_f64()
        );
        bounds.at_most(&format!("{name}: calls / (steady rate x share)"), ratio, MOST);
    }
}

/// The lists that the source was asked for, by its own count; a refused connection it cannot count, so that is the gateway's.
async fn calls(bench: &Bench, effect: &Effect) -> u64 {
    match effect {
        Effect::RefuseConnections => bench.calls().await,
        _ => bench.sandbox.state().calls_to(Endpoint::JuzibotList),
    }
}
