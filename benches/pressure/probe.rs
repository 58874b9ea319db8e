//! The other callers: a steady rate of cached reads over connections that are kept alive.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::answers::{Answers, CLOSED, SILENCE};
use crate::client::{Connection, PROBE, get};
use crate::gateway::token;

const CONNECTIONS: u32 = 5;
/// Of each connection: 50 requests/s in all.
const EVERY: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads under way, in a thread of their own: the load of this process must not delay them.
pub struct Probe {
    stop: DropGuard,
    thread: JoinHandle<Reading>,
}

/// The times and the answers of the reads.
#[derive(Debug, Default)]
pub struct Reading {
    times: Vec<Duration>,
    pub answers: Answers,
}

impl Probe {
    /// Opens the connections before it returns, so that they are there before the load.
    pub async fn start(gateway: SocketAddr, paths: Arc<[String]>) -> Self {
        let stop = CancellationToken::new();
        let (opened, all_opened) = tokio::sync::oneshot::channel();
        let stopped = stop.clone();
        let thread = tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(read(gateway, paths, stopped, opened))
        });
        let _opened = all_opened.await;
        Self { stop: stop.drop_guard(), thread }
    }

    /// Ends the reads.
    pub async fn stop(self) -> Reading {
        drop(self.stop);
        self.thread.await.unwrap()
    }
}

async fn read(
    gateway: SocketAddr,
    paths: Arc<[String]>,
    stopped: CancellationToken,
    opened: tokio::sync::oneshot::Sender<()>,
) -> Reading {
    let answers = Answers::default();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        connections.push(Connection::open(PROBE, gateway).await.ok());
    }
    let _told = opened.send(());
    let one = |(number, connection)| one_connection(number, connection, gateway, &paths, &stopped, &answers);
    let times = futures_util::future::join_all((0..).zip(connections).map(one)).await;
    Reading { times: times.concat(), answers: answers.clone() }
}

/// Times run from the moment when a read was due, so that a late answer also counts for the reads behind it.
async fn one_connection(
    number: u32,
    mut connection: Option<Connection>,
    gateway: SocketAddr,
    paths: &[String],
    stopped: &CancellationToken,
    answers: &Answers,
) -> Vec<Duration> {
    let authorization = token("probe");
    let mut times = Vec::new();
    tokio::time::sleep(EVERY * number / CONNECTIONS).await;
    let mut due = interval(EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for path in paths.iter().cycle().skip(number as usize) {
        let began: Instant = tokio::select! {
            due = due.tick() => due,
            () = stopped.cancelled() => break,
        };
        if connection.is_none() {
            connection = Connection::open(PROBE, gateway).await.ok();
        }
        let Some(open) = &mut connection else {
            answers.add(CLOSED);
            continue;
        };
        match timeout(PATIENCE, open.send(get(path, Some(&authorization)))).await {
            Ok(Ok(reply)) => answers.add_reply(&reply),
            Ok(Err(_)) => {
                answers.add(CLOSED);
                connection = None;
            }
            Err(_) => {
                answers.add(SILENCE);
                connection = None;
            }
        }
        times.push(began.elapsed());
    }
    times
}

impl Reading {
    /// The `share`-th smallest time, in milliseconds.
    pub fn percentile(&self, share: f64) -> f64 {
        let mut times = self.times.clone();
        times.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index of a list that fits into memory"
        )]
        let index = ((times.len() as f64 * share).ceil() as usize).saturating_sub(1);
        times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }
}
