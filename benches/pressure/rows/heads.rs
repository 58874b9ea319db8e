//! Connections whose request head does not end, without a token.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::answers::{Answers, CLOSED};
use crate::client::{Reply, connect};
use crate::trial::{Load, Trial};

const CONNECTIONS: u32 = 3_589;
/// Each within `server.max_connections_per_address`.
const ADDRESSES: u32 = 4;
/// More than the gateway's limit of 10 s for a head, and a little for 3,589 closes at once.
const LASTS: Duration = Duration::from_secs(14);
/// The connections are opened within this time.
const RAMP: Duration = Duration::from_secs(2);
/// Files of this process for everything else.
const RESERVE: u32 = 200;

pub async fn run(trial: &Trial) -> Load {
    let (began, gateway) = (Instant::now(), trial.gateway.public);
    let head = format!("GET /v1/customers HTTP/1.1\r\nhost: gateway\r\nx-filler: {}", "x".repeat(58_000));
    let answers = Answers::default();
    let connections = CONNECTIONS.min(open_files().saturating_sub(RESERVE));
    let mut tasks = JoinSet::new();
    for number in 0..connections {
        let (head, answers) = (head.clone(), answers.clone());
        let [.., last] = (10 + number % ADDRESSES).to_be_bytes();
        tasks.spawn(async move {
            sleep_until(began + RAMP * number / connections).await;
            let Ok(mut stream) = connect(Ipv4Addr::new(127, 0, 0, last), gateway).await else {
                return answers.add(CLOSED);
            };
            let opened = Instant::now();
            let _sent = stream.write_all(head.as_bytes()).await;
            if timeout_at(opened + LASTS, end(&mut stream, &answers)).await.is_err() {
                answers.add("waiting after 14 s");
            }
        });
    }
    tasks.join_all().await;
    let notes = vec![format!("{connections} connections")];
    Load { answers, may_close: true, notes, ..Load::default() }
}

/// Reads until the gateway closes the connection, and counts its answer.
async fn end(stream: &mut TcpStream, answers: &Answers) {
    let mut answer = Vec::new();
    let _ended = stream.read_to_end(&mut answer).await;
    match Reply::parse(&answer) {
        Some(reply) => answers.add_reply(&reply),
        None => answers.add(CLOSED),
    }
}

/// The open files that this process may have.
fn open_files() -> u32 {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(u32::MAX)
}
