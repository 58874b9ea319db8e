//! Silent connections to the admin port.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::answers::Answers;
use crate::client::{Connection, LOAD, PROBE, connect, get};
use crate::trial::{Load, Trial};

const SILENT: usize = 200;
const ROUNDS: u32 = 24;
const EVERY: Duration = Duration::from_millis(500);
/// A probe of Kubernetes fails after a second by default.
const MOST: Duration = Duration::from_secs(1);

pub async fn run(trial: &Trial) -> Load {
    let (began, admin) = (Instant::now(), trial.gateway.admin);
    let answers = Answers::default();
    let (mut silent, mut slowest) = (Vec::new(), Duration::ZERO);
    for round in 0..ROUNDS {
        if round % (ROUNDS / 2) == 0 {
            let opening = (0..SILENT).map(|_| timeout(MOST, connect(LOAD, admin)));
            silent.extend(futures_util::future::join_all(opening).await.into_iter().flatten().flatten());
        }
        let asked = Instant::now();
        let reply = timeout(Duration::from_secs(10), async {
            Connection::open(PROBE, admin).await.ok()?.send(get("/livez", None)).await.ok()
        });
        match reply.await.ok().flatten() {
            Some(reply) => answers.add_reply(&reply),
            None => answers.add("no answer from /livez"),
        }
        slowest = slowest.max(asked.elapsed());
        tokio::time::sleep_until(began + EVERY * (round + 1)).await;
    }
    let notes = vec![format!("{} silent connections opened, `/livez` within {} ms", silent.len(), slowest.as_millis())];
    let missed = (slowest > MOST).then(|| format!("`/livez` took {} ms", slowest.as_millis()));
    Load { answers, notes, missed: missed.into_iter().collect(), ..Load::default() }
}
