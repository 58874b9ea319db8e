//! Hostile input against the service as a process: a clear refusal, never a 5xx, and afterwards it serves on and is no larger.
//!
//! What it takes in memory is read from the system, so these tests run on Linux alone.

mod bodies;
mod floods;
mod messages;
mod sources;

use std::net::SocketAddr;

use reqwest::StatusCode;
use scrm_gateway::sandbox::Sandbox;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

use crate::cli::{PATIENCE, Running, addresses, command, folder_for, http, sandbox};
use crate::support::Token;

const MIB: u64 = 1024 * 1024;
/// The longest line that the log may have, whatever was asked, in bytes.
const LONGEST_LINE: usize = 2_000;

/// A serving process, and what it takes.
struct Process {
    address: SocketAddr,
    child: Child,
    /// Follows the log to its end.
    log: JoinHandle<()>,
    /// Bytes at the start, after some requests.
    before: u64,
    _sandbox: Sandbox,
    _folder: TempDir,
}

impl Process {
    /// Settings are variables of the environment, such as `SERVER__BODY_LIMIT`. Nobody is limited unless they say so.
    async fn start(settings: &[(&str, &str)]) -> Self {
        let sandbox = sandbox().await;
        let (folder, _) = folder_for(&sandbox);
        let mut serve = command(folder.path(), &["serve", "--config", "gateway.toml"]);
        for limit in ["DEFAULT", "PER_ADDRESS"] {
            for (key, value) in [("REQUESTS", "1000000"), ("WINDOW", "1s")] {
                serve.env(format!("SCRM_GATEWAY__RATE_LIMIT__{limit}__{key}"), value);
            }
        }
        for (key, value) in settings {
            serve.env(format!("SCRM_GATEWAY__{key}"), value);
        }
        let mut running = Running::start(serve);
        let (url, _) = addresses(&mut running).await;
        let Running { child, mut lines } = running;
        let log = tokio::spawn(async move {
            while let Some(line) = lines.next_line().await.unwrap() {
                assert!(line.len() <= LONGEST_LINE, "a line of {} bytes: {}…", line.len(), &line[..200]);
                let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON in the log: {line}"));
                assert_ne!(event["level"], "ERROR", "{line}");
            }
        });
        let address = url.trim_start_matches("http://").parse().unwrap();
        let mut process = Self { address, child, log, before: 0, _sandbox: sandbox, _folder: folder };
        process.serves().await;
        process.before = process.memory("VmRSS");
        process
    }

    /// A number of the system's on the process, in bytes.
    fn memory(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id().unwrap())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    /// It answers callers whose requests are good.
    async fn serves(&self) {
        for path in ["/v1/errors", "/v1/me", "/v1/customers?source=juzibot&limit=2"] {
            let request = http().get(format!("http://{}{path}", self.address));
            let reply = request.header("authorization", Token::default().bearer()).send().await.unwrap();
            assert_eq!(reply.status(), StatusCode::OK, "{path}");
        }
    }

    /// It serves on, never took more memory than this beside what it had, logged no error, and ends in peace.
    async fn ends_unharmed(mut self, bytes: u64) {
        self.serves().await;
        let grown = self.memory("VmHWM").saturating_sub(self.before);
        assert!(grown < bytes, "it took {} KiB more", grown / 1024);
        let kill = Command::new("kill").args(["-TERM", &self.child.id().unwrap().to_string()]).status().await;
        assert!(kill.unwrap().success());
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap();
        assert_eq!(ended.code(), Some(0));
        self.log.await.unwrap();
    }
}
