//! Few open files, and connections that use them up.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::answers::Answers;
use crate::client::{Connection, LOAD, PROBE, connect, get};
use crate::gateway::token;
use crate::load::one;
use crate::trial::{Load, Trial};

const IDLE: usize = 400;
const LASTS: Duration = Duration::from_secs(15);
const EVERY: Duration = Duration::from_secs(1);
/// Calls to the source at once, so that connections to it have to be opened.
const CALLS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer of `/readyz`.
const MOST: Duration = Duration::from_secs(1);

/// The soft limit is raised: calls to sources succeed.
pub async fn raised(trial: &Trial) -> Load {
    run(trial, |outcome| outcome == "200").await
}

/// It cannot be raised: calls succeed, or the gateway says that it is overloaded.
pub async fn short(trial: &Trial) -> Load {
    run(trial, |outcome| matches!(outcome, "200" | "503 overloaded")).await
}

async fn run(trial: &Trial, expected: fn(&str) -> bool) -> Load {
    let (public, admin, authorization) = (trial.gateway.public, trial.gateway.admin, token("load"));
    let mut callers = Vec::new();
    for _ in 0..CALLS {
        callers.push(Connection::open(LOAD, public).await.ok());
    }
    let idle = futures_util::future::join_all((0..IDLE).map(|_| idle(trial))).await;
    let idle: Vec<TcpStream> = idle.into_iter().flatten().collect();
    let (answers, began, mut slowest) = (Answers::default(), Instant::now(), Duration::ZERO);
    let mut due = interval(EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while began.elapsed() < LASTS {
        due.tick().await;
        let calls = callers.iter_mut().map(|connection| {
            let request = get("/v1/customers?source=stub&limit=20", Some(&authorization));
            one(connection, public, request, PATIENCE, &answers)
        });
        let asked = Instant::now();
        let ready = async {
            let reply = timeout(PATIENCE, async {
                Connection::open(PROBE, admin).await.ok()?.send(get("/readyz", None)).await.ok()
            });
            let ready = reply.await.ok().flatten().is_some_and(|reply| reply.status == 200);
            if ready { asked.elapsed() } else { PATIENCE }
        };
        let (_calls, ready) = tokio::join!(futures_util::future::join_all(calls), ready);
        slowest = slowest.max(ready);
    }
    let breaker = breaker(&mut callers, trial).await;
    let mut missed = answers.except(expected);
    if slowest > MOST {
        missed.push(format!("`/readyz` took {} ms", slowest.as_millis()));
    }
    if breaker != "closed" {
        missed.push(format!("the breaker is {breaker}"));
    }
    let ready = slowest.as_millis();
    let notes = vec![format!("{} idle connections, `/readyz` within {ready} ms, breaker {breaker}", idle.len())];
    Load { answers, notes, missed, ..Load::default() }
}

/// A connection that has sent one request and reads nothing: the gateway keeps it for the next one.
async fn idle(trial: &Trial) -> Option<TcpStream> {
    let mut stream = timeout(Duration::from_secs(2), connect(LOAD, trial.gateway.public)).await.ok()?.ok()?;
    stream.write_all(b"GET /v1/errors HTTP/1.1\r\nhost: gateway\r\n\r\n").await.ok()?;
    Some(stream)
}

/// The breaker of the stub, by `/v1/sources`.
async fn breaker(callers: &mut [Option<Connection>], trial: &Trial) -> String {
    let request = get("/v1/sources", Some(&token("load")));
    let reply = match callers.first_mut() {
        Some(first) => one(first, trial.gateway.public, request, PATIENCE, &Answers::default()).await,
        None => None,
    };
    let sources = reply.unwrap_or_default().json();
    let stub = sources["data"].as_array().into_iter().flatten().find(|source| source["name"] == "stub").cloned();
    stub.and_then(|stub| Some(stub["health"]["breaker"].as_str()?.to_owned())).unwrap_or("unknown".to_owned())
}
