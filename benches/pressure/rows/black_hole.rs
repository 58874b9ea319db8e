//! A source that stops answering. `cargo bench --bench outage` has the whole picture.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use crate::answers::Answers;
use crate::client::{Connection, LOAD, get};
use crate::gateway::token;
use crate::load::one;
use crate::trial::{Load, Trial};

/// Longer than the breaker's window, so that it is full of successes.
const STEADY: Duration = Duration::from_secs(12);
const HOLE: Duration = Duration::from_secs(12);
/// 50 lists/s: requests begin at this rate, whether answered or not.
const EVERY: Duration = Duration::from_millis(20);
/// The source's `timeout` (1.4 s) and a second.
const MOST: Duration = Duration::from_millis(2_400);

pub async fn run(trial: &Trial) -> Load {
    let answers = Answers::default();
    let opened = async {
        tokio::time::sleep(STEADY).await;
        trial.sources.hang_juzibot(true).await;
        let hangs = Instant::now();
        let opened = open_after(trial, hangs).await;
        tokio::time::sleep_until(hangs + HOLE).await;
        trial.sources.hang_juzibot(false).await;
        opened
    };
    let (opened, ()) = tokio::join!(opened, lists(trial, &answers));
    let (note, missed) = match opened {
        Some(after) if after <= MOST => (format!("breaker open after {} ms", after.as_millis()), None),
        Some(after) => {
            let note = format!("breaker open after {} ms", after.as_millis());
            (note.clone(), Some(format!("{note}, later than {} ms", MOST.as_millis())))
        }
        None => ("breaker never open".to_owned(), Some("the breaker did not open".to_owned())),
    };
    Load { answers, notes: vec![note], missed: missed.into_iter().collect(), ..Load::default() }
}

/// Lists are not cached: each is a call.
async fn lists(trial: &Trial, answers: &Answers) {
    let (gateway, until, mut due) = (trial.gateway.public, Instant::now() + STEADY + HOLE, interval(EVERY));
    let mut tasks = JoinSet::new();
    while Instant::now() < until {
        due.tick().await;
        while tasks.try_join_next().is_some() {}
        let (answers, authorization) = (answers.clone(), token("load"));
        tasks.spawn(async move {
            let request = get("/v1/customers?source=juzibot&limit=5", Some(&authorization));
            one(&mut None, gateway, request, Duration::from_secs(15), &answers).await;
        });
    }
    tasks.join_all().await;
}

async fn open_after(trial: &Trial, hangs: Instant) -> Option<Duration> {
    let mut connection = Connection::open(LOAD, trial.gateway.public).await.ok()?;
    let authorization = token("load");
    while hangs.elapsed() < HOLE {
        let sources = connection.send(get("/v1/sources", Some(&authorization))).await.ok()?.json();
        let juzibot = sources["data"].as_array()?.iter().find(|source| source["name"] == "juzibot")?;
        if juzibot["health"]["breaker"] == "open" {
            return Some(hangs.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    None
}
