//! The process under test, and the sources it asks.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use scrm_gateway::sandbox::{self, Sandbox};
use serde_json::Value;

use crate::support::{self, free_port};

const SECRET: &str = "bench-secret-0123456789abcdef0123456789abcdef";
/// One caller may have a quarter of the requests in flight; the load comes from more, so that only sources limit it.
const CALLERS: usize = 8;

/// A gateway process before simulated sources in this one. It ends with this value.
pub struct Bench {
    pub sandbox: Sandbox,
    pub url: String,
    admin: String,
    bearers: Vec<String>,
    pub client: reqwest::Client,
    child: Child,
    _folder: tempfile::TempDir,
}

impl Bench {
    /// Without a cache: every detail is a call, so that what is measured is the way to the sources.
    pub async fn start() -> Self {
        Self::with("").await
    }

    /// With these keys of `JuziBot`'s section.
    pub async fn with(juzibot: &str) -> Self {
        let sandbox = sandbox::start(sandbox::Options { customers: 20_000, ..Default::default() }).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (port, admin) = (free_port(), free_port());
        let options = sandbox::Options::default();
        let (token, key) = {
            use secrecy::ExposeSecret;
            (options.juzibot.token.expose_secret().to_owned(), options.tanma.app_key.expose_secret().to_owned())
        };
        let config = format!(
            r#"
source_order = ["juzibot", "tanma"]
[server]
listen = "127.0.0.1:{port}"
admin_listen = "127.0.0.1:{admin}"
[auth.issuers.bench]
issuer = "https://bench.test"
audience = ["scrm-gateway"]
algorithms = ["HS256"]
secret = "{SECRET}"
[rate_limit]
default = {{ requests = 6000000, window = "1m", burst = 1000000 }}
per_address = {{ requests = 6000000, window = "1m" }}
[cache]
fresh = "0s"
stale = "0s"
stale_if_error = "0s"
not_found = "0s"
[log]
level = "error"
[sources.juzibot]
kind = "juzibot"
base_url = "{}"
token = "{token}"
{juzibot}
[sources.tanma]
kind = "tanma"
base_url = "{}"
app_id = "{}"
app_key = "{key}"
"#,
            sandbox.juzibot_url(),
            sandbox.tanma_url(),
            options.tanma.app_id,
        );
        let path = folder.path().join("gateway.toml");
        std::fs::write(&path, config).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_scrm-gateway"))
            .args(["serve", "--config"])
            .arg(&path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(20)).build().unwrap();
        let bench = Self {
            sandbox,
            url: format!("http://127.0.0.1:{port}"),
            admin: format!("http://127.0.0.1:{admin}"),
            bearers: (0..CALLERS).map(|caller| support::bearer(SECRET, &format!("bench-{caller}"))).collect(),
            client,
            child,
            _folder: folder,
        };
        let ready = format!("{}/readyz", bench.admin);
        while !bench.client.get(&ready).send().await.is_ok_and(|reply| reply.status().is_success()) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bench
    }

    /// The `Authorization` header of the nth caller; after the last comes the first again.
    pub fn bearer(&self, caller: usize) -> &str {
        &self.bearers[caller % CALLERS]
    }

    /// The resident memory of the gateway, in KiB.
    pub fn resident_kib(&self) -> u64 {
        support::resident_kib(self.child.id()).unwrap()
    }

    /// What `/v1/sources` says of `JuziBot`'s breaker.
    pub async fn breaker(&self) -> String {
        let url = format!("{}/v1/sources", self.url);
        let reply = self.client.get(url).header("authorization", self.bearer(0)).send().await.unwrap();
        let body: Value = serde_json::from_slice(&reply.bytes().await.unwrap()).unwrap();
        body["data"][0]["health"]["breaker"].as_str().unwrap().to_owned()
    }

    /// The calls that were sent to `JuziBot`, by the gateway's own count.
    pub async fn calls(&self) -> u64 {
        let text = self.client.get(format!("{}/metrics", self.admin)).send().await.unwrap().text().await.unwrap();
        let counts = text
            .lines()
            .filter(|line| {
                line.starts_with("source_call_duration_seconds_count{") && line.contains("source=\"juzibot\"")
            })
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        counts.sum()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
