//! The system clock: a time before 1970 at start, and a step back while the service runs.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use reqwest::{Client, RequestBuilder, Response};
use scrm_gateway::sandbox::Endpoint;
use serde_json::{Value, json};
use tokio::process::Command;

use super::{Running, addresses, command, folder_for, http, run, sandbox, stderr, stdout};
use crate::support::Token;

const HOUR: i64 = 3_600;
/// A shift from today to the 1960s.
const BEFORE_1970: i64 = -60 * 365 * 24 * HOUR;
/// Longer than a test takes.
const TOLERANCE: Duration = Duration::from_mins(5);

/// The wall clock of one process, beside that of the machine.
struct WallClock {
    library: PathBuf,
    shift: PathBuf,
}

impl WallClock {
    /// Compiles the library; the compiler is one that the build of the service needs too.
    async fn shifted(folder: &Path, seconds: i64) -> Self {
        let clock = Self { library: folder.join("wall_clock.so"), shift: folder.join("shift") };
        std::fs::write(&clock.shift, seconds.to_ne_bytes()).unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/api/cli/wall_clock.c");
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&clock.library).arg(source).status();
        assert!(compiled.await.unwrap().success());
        clock
    }

    fn apply(&self, mut command: Command) -> Command {
        command.env("LD_PRELOAD", &self.library).env("WALL_CLOCK_SHIFT", &self.shift);
        command
    }

    /// Changes the shift of the running process.
    fn set(&self, seconds: i64) {
        // In place: the process has the file mapped.
        File::options().write(true).open(&self.shift).unwrap().write_all(&seconds.to_ne_bytes()).unwrap();
    }
}

#[tokio::test]
async fn clock_before_1970_is_exit_78() {
    let sandbox = sandbox().await;
    let (folder, _) = folder_for(&sandbox);
    let clock = WallClock::shifted(folder.path(), BEFORE_1970).await;
    for arguments in [
        &["serve", "--config", "gateway.toml"][..],
        &["check", "--config", "gateway.toml"],
        &["token", "--config", "gateway.toml", "--sub", "me"],
        &["demo"],
        &["sandbox"],
    ] {
        let output = run(clock.apply(command(folder.path(), arguments))).await;
        assert_eq!((output.status.code(), stdout(&output)), (Some(78), ""), "{arguments:?}");
        let lines: Vec<&str> = stderr(&output).lines().collect();
        let [line] = lines[..] else { panic!("{arguments:?}: {lines:?}") };
        assert!(line.starts_with("scrm-gateway: the system clock shows a time ") && line.contains(" before 1970;"));
    }
    let openapi = run(clock.apply(command(folder.path(), &["openapi"]))).await;
    assert_eq!(openapi.status.code(), Some(0), "the document depends on no clock");
    clock.set(0);
    let check = run(clock.apply(command(folder.path(), &["check", "--config", "gateway.toml"]))).await;
    assert_eq!(check.status.code(), Some(0), "{}", stderr(&check));
    sandbox.stop().await;
}

/// A gateway whose wall clock is an hour ahead, and a client that keeps its connection.
struct Ahead {
    gateway: Running,
    clock: WallClock,
    url: String,
    admin_url: String,
    client: Client,
}

impl Ahead {
    async fn start(folder: &Path, config: &Path, settings: &str) -> Self {
        let text = std::fs::read_to_string(config).unwrap();
        std::fs::write(config, text + settings).unwrap();
        let clock = WallClock::shifted(folder, HOUR).await;
        let mut gateway = Running::start(clock.apply(command(folder, &["serve", "--config", "gateway.toml"])));
        let (url, admin_url) = addresses(&mut gateway).await;
        Self { gateway, clock, url, admin_url, client: http() }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url)).header("authorization", Token::default().bearer())
    }

    async fn ok(&self, request: RequestBuilder) -> Response {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{:?}", response.text().await);
        response
    }

    async fn stop(self) {
        self.gateway.terminate().await;
        assert_eq!(self.gateway.ended().await.0, Some(0));
    }
}

/// How far the `Date` of a response is ahead of the machine's clock, in hours.
fn hours_ahead(response: &Response) -> u64 {
    let date = httpdate::parse_http_date(response.headers()["date"].to_str().unwrap()).unwrap();
    let ahead = (date + TOLERANCE).duration_since(SystemTime::now()).unwrap();
    assert!(ahead.as_secs() % 3_600 < 2 * TOLERANCE.as_secs(), "{date:?}");
    ahead.as_secs() / 3_600
}

#[tokio::test]
async fn date_follows_clock_that_steps_back() {
    let sandbox = sandbox().await;
    let (folder, config) = folder_for(&sandbox);
    let gateway = Ahead::start(folder.path(), &config, "").await;
    let dates = async || {
        let mut ahead = Vec::new();
        for url in [&gateway.url, &gateway.admin_url] {
            for path in ["/livez", "/v1/errors", "/v1/me"] {
                ahead.push(hours_ahead(&gateway.client.get(format!("{url}{path}")).send().await.unwrap()));
            }
        }
        ahead
    };
    assert_eq!(dates().await, [1; 6]);
    gateway.clock.set(0);
    assert_eq!(dates().await, [0; 6]);
    gateway.clock.set(HOUR);
    assert_eq!(dates().await, [1; 6]);
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn cursors_caches_and_limits_survive_clock_step_back() {
    let sandbox = sandbox().await;
    let (folder, config) = folder_for(&sandbox);
    let limit = "[rate_limit]\ndefault = { requests = 60, window = \"1m\", burst = 20 }\n";
    let gateway = Ahead::start(folder.path(), &config, limit).await;
    let featured = sandbox.state().people().featured();
    let list = "/v1/customers?source=juzibot&limit=1";
    let page: Value = gateway.ok(gateway.get(list)).await.json().await.unwrap();
    let cursor = page["page"]["next_cursor"].as_str().unwrap();
    let detail = format!("/v1/customers/{}?source=juzibot", featured.external_user_id);
    gateway.ok(gateway.get(&detail)).await;
    let remark = || {
        let body = json!({"items": [{"staff_id": "rocky", "union_id": featured.union_id, "remark": "r"}]});
        let request = gateway.client.post(format!("{}/v1/remarks", gateway.url));
        request.bearer_auth(Token::default().sign()).header("idempotency-key", "clock-0001").json(&body)
    };
    gateway.ok(remark()).await;
    gateway.ok(gateway.get(&detail)).await;

    gateway.clock.set(0);
    gateway.ok(gateway.get(&format!("{list}&cursor={cursor}"))).await;
    let hit = gateway.ok(gateway.get(&detail)).await;
    let status = hit.headers()["cache-status"].to_str().unwrap();
    let ttl: i64 = status.strip_prefix("\"scrm-gateway/juzibot\";hit;ttl=").unwrap().parse().unwrap();
    assert!((1..=60).contains(&ttl), "{status}");
    let replayed = gateway.ok(remark()).await;
    assert_eq!(replayed.headers()["idempotent-replayed"], "true");
    assert_eq!(sandbox.state().calls_to(Endpoint::JuzibotSetRemark), 1);
    let refused = loop {
        let response = gateway.get("/v1/me").send().await.unwrap();
        if response.status() != 200 {
            break response;
        }
    };
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (429, &"1".parse().unwrap()));
    gateway.stop().await;
    sandbox.stop().await;
}

#[tokio::test]
async fn token_times_are_compared_with_wall_clock() {
    let sandbox = sandbox().await;
    let (folder, config) = folder_for(&sandbox);
    let gateway = Ahead::start(folder.path(), &config, "").await;
    let issued_ahead = Token::with(&json!({"nbf": Timestamp::now().as_second() + HOUR})).bearer();
    let me = format!("{}/v1/me", gateway.url);
    let me = async || gateway.client.get(&me).header("authorization", &issued_ahead).send().await.unwrap();
    assert_eq!(me().await.status(), 200);
    gateway.clock.set(0);
    let refused = me().await;
    assert_eq!(refused.status(), 401, "also if the token was verified before the step");
    let problem: Value = refused.json().await.unwrap();
    assert_eq!(problem["detail"], "the token is not valid yet");
    gateway.clock.set(HOUR);
    assert_eq!(me().await.status(), 200);
    gateway.stop().await;
    sandbox.stop().await;
}
