//! Readers that take their answers slowly: 70 KB every 45 s. Half of the answers are compressed.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::answers::{Answers, CLOSED};
use crate::client::{LOAD, Reply, connect_narrow};
use crate::gateway::token;
use crate::trial::{Load, Trial};

const LASTS: Duration = Duration::from_secs(50);
const DRAIN_EVERY: Duration = Duration::from_secs(45);
const DRAINED: usize = 70_000;
/// The pause after a refusal or a close.
const PAUSE: Duration = Duration::from_secs(1);

pub async fn few(trial: &Trial) -> Load {
    run(trial, 20, Duration::ZERO).await
}

pub async fn many(trial: &Trial) -> Load {
    run(trial, 1_100, Duration::from_secs(20)).await
}

/// `readers` begin evenly within `ramp`.
async fn run(trial: &Trial, readers: u32, ramp: Duration) -> Load {
    let answers = Answers::default();
    let (began, gateway) = (Instant::now(), trial.gateway.public);
    let mut tasks = JoinSet::new();
    for number in 0..readers {
        let answers = answers.clone();
        let encoding = if number % 2 == 1 { "accept-encoding: gzip\r\n" } else { "" };
        let headers = format!("authorization: {}\r\n{encoding}", token("load"));
        tasks.spawn(async move {
            sleep_until(began + ramp * number / readers).await;
            while Instant::now() < began + LASTS {
                if read_slowly(gateway, &headers, began + LASTS, &answers).await.is_err() {
                    answers.add(CLOSED);
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    tasks.join_all().await;
    Load { answers, may_close: true, ..Load::default() }
}

async fn read_slowly(gateway: SocketAddr, headers: &str, until: Instant, answers: &Answers) -> std::io::Result<()> {
    let mut stream = connect_narrow(LOAD, gateway).await?;
    let request = format!("GET /v1/customers?source=stub&limit=1000 HTTP/1.1\r\nhost: gateway\r\n{headers}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut start = [0; 4096];
    let length = timeout_at(until, stream.read(&mut start)).await??;
    let reply = Reply::parse(&start[..length]).ok_or(std::io::ErrorKind::UnexpectedEof)?;
    answers.add_reply(&reply);
    if reply.status != 200 {
        return Ok(());
    }
    let mut part = vec![0; DRAINED];
    loop {
        let next = Instant::now() + DRAIN_EVERY;
        sleep_until(next.min(until)).await;
        if next > until {
            return Ok(());
        }
        // Once the answer has ended, nothing comes.
        let Ok(drained) = timeout_at(until, drain(&mut stream, &mut part)).await else { return Ok(()) };
        drained?;
    }
}

async fn drain(stream: &mut TcpStream, part: &mut [u8]) -> std::io::Result<()> {
    let mut read = 0;
    while read < part.len() {
        match stream.read(&mut part[read..]).await? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            length => read += length,
        }
    }
    Ok(())
}
