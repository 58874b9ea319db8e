//! Every line that any test makes the service log, at the level trace, passes through here. A line that holds a secret
//! or a token ends the run at once. Lines of requests with certain ids are retained for the tests that ask for them.

use std::io::Write;
use std::pin::pin;
use std::sync::{Mutex, Once};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Notify;
use tracing_subscriber::util::SubscriberInitExt;

/// Stands in every secret of the tests.
pub const MARK: &str = "CANARY";
/// Every JWT begins so: the base64 of `{"`.
const JWT: &str = "eyJ";

pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        scrm_gateway::telemetry::subscriber("trace", true, || Watch).unwrap().init();
    });
}

/// What requests whose id begins so have left in the audit trail.
const AUDITED: &str = "audited-";
static TRAIL: Mutex<Vec<Value>> = Mutex::new(Vec::new());
static TOLD: Notify = Notify::const_new();

/// The lines of the audit trail under a request's id, which begins with `audited-`.
pub fn trail(request_id: &str) -> Vec<Value> {
    assert!(request_id.starts_with(AUDITED));
    TRAIL.lock().unwrap().iter().filter(|line| line["request_id"] == request_id).cloned().collect()
}

/// Waits until so many lines are there, for as long as `patience`.
pub async fn told(request_id: &str, lines: usize, patience: Duration) {
    let told = async {
        loop {
            // Before the look: a line that is written between the two is told of.
            let mut written = pin!(TOLD.notified());
            written.as_mut().enable();
            if trail(request_id).len() >= lines {
                return;
            }
            written.await;
        }
    };
    tokio::time::timeout(patience, told).await.unwrap_or_else(|_| panic!("{request_id}: {:?}", trail(request_id)));
}

/// The log of requests whose id begins so is retained, without the audit trail.
const LOGGED: &str = "logged-";
static LOG: Mutex<Vec<Value>> = Mutex::new(Vec::new());
static WRITTEN: Notify = Notify::const_new();

/// The log lines under a request's id, which begins with `logged-`.
pub fn log(request_id: &str) -> Vec<Value> {
    assert!(request_id.starts_with(LOGGED));
    LOG.lock().unwrap().iter().filter(|line| line["span"]["request_id"] == request_id).cloned().collect()
}

/// Waits until the lines under a request's id are as wanted, for as long as `patience`.
pub async fn logged(request_id: &str, patience: Duration, wanted: impl Fn(&[Value]) -> bool) {
    let written = async {
        loop {
            let mut written = pin!(WRITTEN.notified());
            written.as_mut().enable();
            if wanted(&log(request_id)) {
                return;
            }
            written.await;
        }
    };
    tokio::time::timeout(patience, written).await.unwrap_or_else(|_| panic!("{request_id}: {:?}", log(request_id)));
}

struct Watch;

impl Write for Watch {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        if line.contains(MARK) || line.contains(JWT) {
            eprintln!("a secret was logged: {line}");
            std::process::abort();
        }
        if line.contains(LOGGED)
            && let Ok(line) = serde_json::from_str::<Value>(&line)
            && line["target"] != "audit"
        {
            LOG.lock().unwrap().push(line);
            WRITTEN.notify_waiters();
        }
        if line.contains(AUDITED)
            && let Ok(line) = serde_json::from_str::<Value>(&line)
            && line["target"] == "audit"
        {
            TRAIL.lock().unwrap().push(line);
            TOLD.notify_waiters();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_watch_knows_the_secrets_that_the_tests_use() {
    let options = super::GatewayOptions::default();
    assert!(super::gateway::SECRETS.iter().all(|secret| secret.contains(MARK)));
    assert!(super::Token::default().sign().starts_with(JWT));
    drop(options);
}
