//! Requests of whoever causes the load, sent again as soon as they are answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hyper::Request;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::answers::{Answers, CLOSED, SILENCE};
use crate::client::{Body, Connection, LOAD, Reply};

/// The pause after an answer that refuses the request.
const PAUSE: Duration = Duration::from_millis(500);

/// The requests of a load.
pub struct Worker<R> {
    pub gateway: SocketAddr,
    /// Returns the nth request.
    pub request: R,
    /// The longest wait for an answer.
    pub patience: Duration,
}

/// Sends requests over `concurrent` connections for a time, or until `enough` is true of an answer.
pub async fn closed_loop<R, E>(worker: Worker<R>, concurrent: usize, lasts: Duration, enough: E) -> Answers
where
    R: Fn(usize) -> Request<Body> + Send + Sync + 'static,
    E: Fn(&Reply) -> bool + Send + Sync + 'static,
{
    let answers = Answers::default();
    let until = Instant::now() + lasts;
    let shared = Arc::new((worker, enough, AtomicUsize::new(0), AtomicBool::new(false)));
    let mut tasks = JoinSet::new();
    for _ in 0..concurrent {
        let (shared, answers) = (shared.clone(), answers.clone());
        tasks.spawn(async move {
            let (worker, enough, number, over) = &*shared;
            let mut connection = None;
            while Instant::now() < until && !over.load(Ordering::Relaxed) {
                let request = (worker.request)(number.fetch_add(1, Ordering::Relaxed));
                let reply = one(&mut connection, worker.gateway, request, worker.patience, &answers).await;
                if reply.as_ref().is_some_and(enough) {
                    over.store(true, Ordering::Relaxed);
                }
                if reply.is_none_or(|reply| reply.status >= 400) {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
    }
    tasks.join_all().await;
    answers
}

/// Sends one request over the connection, opening one if there is none, and counts the answer.
pub async fn one(
    connection: &mut Option<Connection>,
    gateway: SocketAddr,
    request: Request<Body>,
    patience: Duration,
    answers: &Answers,
) -> Option<Reply> {
    let exchange = async {
        if connection.as_ref().is_none_or(Connection::is_closed) {
            *connection = Some(Connection::open(LOAD, gateway).await.ok()?);
        }
        connection.as_mut()?.send(request).await.ok()
    };
    match timeout(patience, exchange).await {
        Ok(Some(reply)) => {
            answers.add_reply(&reply);
            Some(reply)
        }
        failed => {
            answers.add(if failed.is_ok() { CLOSED } else { SILENCE });
            *connection = None;
            None
        }
    }
}
