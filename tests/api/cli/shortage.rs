//! A process without a free file descriptor. Its limit is lowered while it runs: it gets no new descriptor, and those that are open
//! go on.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use scrm_gateway::sandbox::Sandbox;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::timeout;

use super::{Running, addresses, command, folder_for, http, sandbox};
use crate::support::{Behaviour, RawSource, Reply, Token, fixture};

/// The customer of the recorded answer.
const KNOWN: &str = "/v1/customers/wmfvEMCAAAPHR9XslvYqTFgCJTULiZgg?source=juzibot";
const UNKNOWN: &str = "/v1/customers/wm-nobody";
const EXTRA: &str = r#"
[cache]
fresh = "0s"
stale = "0s"
not_found = "0s"
[auth.issuers.other]
issuer = "https://other.test"
audience = ["scrm-gateway"]
algorithms = ["ES256"]
jwks_url = "http://127.0.0.1:9/jwks.json"
jwks_cool_down = "1s"
"#;

/// A gateway process that has connections to its ports and to Tanma. `JuziBot` closes each connection after its answer.
struct Stage {
    gateway: Running,
    client: reqwest::Client,
    url: String,
    admin: String,
    /// The limit before it was lowered.
    limit: Option<Rlimit>,
    sandbox: Sandbox,
    _source: RawSource,
    _folder: TempDir,
}

impl Stage {
    /// `host`: of `JuziBot`'s URL.
    async fn start(host: &str) -> Self {
        let answer = fixture("juzibot/detail.ok.json").to_string();
        let source = RawSource::that(Behaviour::http("200 OK", &answer)).await;
        let sandbox = sandbox().await;
        let (folder, config) = folder_for(&sandbox);
        let text = std::fs::read_to_string(&config).unwrap();
        let text = text.replace(&sandbox.juzibot_url(), &source.url.replace("127.0.0.1", host));
        let breaker = "token_file = \"token\"\nbreaker = { min_calls = 3, open_for = \"1h\" }";
        std::fs::write(&config, text.replace("token_file = \"token\"", breaker) + EXTRA).unwrap();
        let mut serve = command(folder.path(), &["serve", "--config", "gateway.toml"]);
        serve.env("SCRM_GATEWAY__SERVER__REREAD_FILES", "1h");
        let mut gateway = Running::start(serve);
        let (url, admin) = addresses(&mut gateway).await;
        let stage =
            Self { gateway, client: http(), url, admin, limit: None, sandbox, _source: source, _folder: folder };
        stage.get(KNOWN).await.ok();
        stage.get(&format!("{UNKNOWN}?source=tanma")).await.problem(404, "not_found");
        stage.is_ready().await;
        stage
    }

    /// Takes all free descriptors from the process.
    fn exhaust(&mut self) {
        let lowered = Rlimit { current: Some(3), maximum: getrlimit(Resource::Nofile).maximum };
        self.limit = Some(prlimit(pid(&self.gateway), Resource::Nofile, lowered).unwrap());
    }

    fn restore(&mut self) {
        prlimit(pid(&self.gateway), Resource::Nofile, self.limit.take().unwrap()).unwrap();
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Reply {
        let response = request.header("authorization", Token::default().bearer()).send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Reply { status, headers, body: response.text().await.unwrap() }
    }

    async fn get(&self, path: &str) -> Reply {
        self.send(self.client.get(format!("{}{path}", self.url))).await
    }

    async fn is_ready(&self) {
        let probe = async {
            let reply = self.client.get(format!("{}/readyz", self.admin)).send().await.unwrap();
            (reply.status().as_u16(), reply.text().await.unwrap())
        };
        let answered = timeout(Duration::from_secs(5), probe).await.expect("it is quick");
        assert_eq!(answered, (200, "ok\n".to_owned()));
    }

    async fn stop(self) {
        self.gateway.terminate().await;
        assert_eq!(self.gateway.ended().await.0, Some(0));
        self.sandbox.stop().await;
    }
}

fn pid(gateway: &Running) -> Option<Pid> {
    Pid::from_raw(i32::try_from(gateway.child.id().unwrap()).unwrap())
}

fn event(line: &str, message: &str) -> Option<Value> {
    serde_json::from_str(line)
        .ok()
        .filter(|event: &Value| event["message"].as_str().is_some_and(|text| text == message))
}

/// Whether an address is given or looked up, a missing descriptor is the gateway's own problem.
#[tokio::test]
async fn calls_without_a_descriptor_are_overloaded_and_blame_no_source() {
    for host in ["127.0.0.1", "localhost"] {
        let mut stage = Stage::start(host).await;
        stage.exhaust();
        for _ in 0..10 {
            let reply = stage.get(&format!("{UNKNOWN}?source=juzibot")).await;
            let problem = reply.problem(503, "overloaded");
            assert_eq!(
                (&problem["source"], reply.header("retry-after")),
                (&json!("juzibot"), "1"),
                "{host}: {problem}"
            );
            assert!(problem["detail"].as_str().unwrap().contains("no file descriptor left"), "{problem}");
        }
        let failed = stage.gateway.line(|line| event(line, "a source failed")).await;
        assert_eq!((&failed["code"], &failed["failure"]), (&json!("overloaded"), &json!("overloaded")), "{failed}");
        assert_eq!(failed["detail"], "file descriptor");

        stage.get(UNKNOWN).await.problem(503, "overloaded");
        let person = stage.sandbox.state().people().featured().external_user_id;
        let merged = stage.get(&format!("/v1/customers/{person}")).await.ok()["meta"]["sources"].clone();
        assert_eq!((&merged[0]["status"], &merged[0]["problem"]["code"]), (&json!("failed"), &json!("overloaded")));
        assert_eq!((&merged[1]["source"], &merged[1]["status"]), (&json!("tanma"), &json!("ok")), "{merged}");
        let cached = stage.get(KNOWN).await.ok();
        assert_eq!(cached["meta"]["sources"][0]["status"], "stale", "{cached}");
        assert_eq!(cached["meta"]["sources"][0]["problem"]["code"], "overloaded", "{cached}");

        let items = json!({"items": [{"staff_id": "rocky", "union_id": "u", "remark": "r"}]});
        let write = stage.client.post(format!("{}/v1/remarks", stage.url)).json(&items);
        let refused = stage.send(write).await.problem(503, "overloaded");
        assert_eq!(refused["retryable"], true);

        stage.is_ready().await;
        let health = stage.get("/v1/sources").await.ok()["data"][0]["health"].clone();
        let seen = (&health["state"], &health["breaker"], &health["last_error"]);
        assert_eq!(seen, (&json!("ok"), &json!("closed"), &Value::Null), "{health}");

        stage.restore();
        stage.get(KNOWN).await.ok();
        stage.stop().await;
    }
}

#[tokio::test]
async fn files_and_keys_without_a_descriptor_are_logged_as_a_shortage() {
    let mut stage = Stage::start("127.0.0.1").await;
    stage.exhaust();
    let fetch = |line: &str| {
        let event = event(line, "the keys of an issuer could not be fetched")?;
        event["fault"].as_str()?.contains("no file descriptor left").then_some(())
    };
    stage.gateway.line(fetch).await;
    stage.gateway.signal("HUP").await;
    let message = "the file was not read again: the gateway has no file descriptor left";
    let event = stage.gateway.line(|line| event(line, message)).await;
    assert_eq!(event["level"], "WARN", "{event}");
    stage.restore();
    stage.gateway.signal("HUP").await;
    // The end of the first reload, then that of the second.
    for _ in 0..2 {
        let reloaded = |line: &str| {
            assert!(!line.contains("the file has changed"), "{line}");
            self::event(line, "reloaded secret and key files")
        };
        let reloaded = stage.gateway.line(reloaded).await;
        assert_eq!(reloaded["changed"], 0, "{reloaded}");
    }
    stage.get(KNOWN).await.ok();
    stage.stop().await;
}
