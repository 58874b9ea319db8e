//! Documentation assets, compressed, without a token.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use crate::answers::Answers;
use crate::client::{Body, Connection, LOAD, get};
use crate::load::one;
use crate::trial::{Load, Trial};

const LASTS: Duration = Duration::from_secs(10);
/// 98 requests/s over 14 connections.
const CONNECTIONS: u32 = 14;
const EVERY: Duration = Duration::from_nanos(1_000_000_000 / 7);

fn packed(path: &str) -> hyper::Request<Body> {
    let mut request = get(path, None);
    request.headers_mut().insert("accept-encoding", "gzip".parse().unwrap());
    request
}

pub async fn run(trial: &Trial) -> Load {
    let (gateway, answers) = (trial.gateway.public, Answers::default());
    let Some((path, length)) = largest_asset(trial).await else {
        return Load { missed: vec!["no asset was found on the page /docs/".to_owned()], ..Load::default() };
    };
    let (began, used) = (Instant::now(), trial.gateway.processor_time());
    let mut tasks = JoinSet::new();
    for number in 0..CONNECTIONS {
        let (answers, path) = (answers.clone(), path.clone());
        tasks.spawn(async move {
            tokio::time::sleep(EVERY * number / CONNECTIONS).await;
            let (mut due, mut connection) = (interval(EVERY), None);
            while began.elapsed() < LASTS {
                due.tick().await;
                one(&mut connection, gateway, packed(&path), Duration::from_secs(20), &answers).await;
            }
        });
    }
    tasks.join_all().await;
    let cores = trial.gateway.processor_time().saturating_sub(used).as_secs_f64() / began.elapsed().as_secs_f64();
    Load { answers, notes: vec![format!("{path}: {length} bytes packed, {cores:.2} cores")], ..Load::default() }
}

/// The path of the largest script or style that the page names, and its length.
async fn largest_asset(trial: &Trial) -> Option<(String, u64)> {
    let mut connection = Connection::open(LOAD, trial.gateway.public).await.ok()?;
    let page = connection.send(get("/docs/", None)).await.ok()?;
    let page = String::from_utf8_lossy(&page.body).into_owned();
    let names = page.split("src=\"").skip(1).chain(page.split("href=\"").skip(1));
    let mut largest = None;
    for name in names.filter_map(|rest| rest.split('"').next()) {
        let path = format!("/docs/{}", name.trim_start_matches("./"));
        let reply = connection.send(packed(&path)).await.ok()?;
        if reply.status == 200 && largest.as_ref().is_none_or(|(_, length)| reply.length > *length) {
            largest = Some((path, reply.length));
        }
    }
    largest
}
