//! Contract §9: the commands, as processes.

#[cfg(target_os = "linux")]
mod clock;
mod configuration;
#[cfg(target_os = "linux")]
mod files;
mod mistakes;
mod outbound;
mod ports;
mod serving;
mod shortage;
mod signals;
mod stopping;
mod values;
mod variables;
mod warnings;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use scrm_gateway::sandbox::{Options, Sandbox};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::{APP_KEY, JUZIBOT_TOKEN, JWT_SECRET};

/// Longer than any command takes; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The program in a folder of its own, with nothing of this process's environment.
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scrm-gateway"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .env("HOME", folder)
        .env("TMPDIR", folder)
        .kill_on_drop(true);
    command
}

/// Runs a command to its end.
pub async fn run(mut command: Command) -> Output {
    let output = command.stdin(Stdio::null()).output();
    tokio::time::timeout(PATIENCE, output).await.expect("it ends").unwrap()
}

pub fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// A command that runs until it is told to stop. It is killed where a test ends before.
pub struct Running {
    pub child: Child,
    pub lines: Lines<BufReader<ChildStdout>>,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// The next line of the standard output that is wanted, whatever stands before it.
    pub async fn line<T>(&mut self, wanted: impl Fn(&str) -> Option<T>) -> T {
        let found = async {
            loop {
                let line = self.lines.next_line().await.unwrap();
                let line = line.expect("it goes on");
                if let Some(found) = wanted(&line) {
                    return found;
                }
            }
        };
        tokio::time::timeout(PATIENCE, found).await.expect("it is said")
    }

    /// Asks it to stop, as an orchestrator does.
    pub async fn terminate(&self) {
        self.signal("TERM").await;
    }

    /// Sends it a signal.
    pub async fn signal(&self, name: &str) {
        let id = self.child.id().expect("it runs");
        let kill = Command::new("sh").arg("-c").arg(format!("kill -{name} {id}")).status().await;
        assert!(kill.unwrap().success());
    }

    /// Its exit code, and what else it said on the standard output.
    pub async fn ended(mut self) -> (Option<i32>, Vec<String>) {
        let end = async {
            let mut rest = Vec::new();
            while let Some(line) = self.lines.next_line().await.unwrap() {
                rest.push(line);
            }
            (self.child.wait().await.unwrap().code(), rest)
        };
        tokio::time::timeout(PATIENCE, end).await.expect("it ends")
    }
}

/// A client of the processes.
pub fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap()
}

pub async fn sandbox() -> Sandbox {
    let mut options = Options { customers: 50, ..Options::default() };
    options.juzibot.token = JUZIBOT_TOKEN.to_owned().into();
    options.tanma.app_key = APP_KEY.to_owned().into();
    scrm_gateway::sandbox::start(options).await.unwrap()
}

/// A folder with a configuration over these sources, its secrets in files.
pub fn folder_for(sandbox: &Sandbox) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    for (name, secret) in [("jwt", JWT_SECRET), ("token", JUZIBOT_TOKEN), ("app-key", APP_KEY)] {
        std::fs::write(folder.path().join(name), format!("{secret}\n")).unwrap();
    }
    let config = folder.path().join("gateway.toml");
    let text = format!(
        r#"
source_order = ["juzibot", "tanma"]
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
[auth.issuers.login]
issuer = "https://login.test"
audience = ["scrm-gateway"]
algorithms = ["HS256"]
secret_file = "jwt"
[sources.juzibot]
kind = "juzibot"
base_url = "{}"
token_file = "token"
[sources.tanma]
kind = "tanma"
base_url = "{}"
app_id = "sandbox_app"
app_key_file = "app-key"
"#,
        sandbox.juzibot_url(),
        sandbox.tanma_url()
    );
    std::fs::write(&config, text).unwrap();
    (folder, config)
}

/// The addresses of a serving gateway, from its log: the public and the admin one.
pub async fn addresses(gateway: &mut Running) -> (String, String) {
    gateway
        .line(|line| {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON in the log: {line}"));
            let address = |key: &str| Some(format!("http://{}", event[key].as_str()?));
            (event["message"] == "serving").then_some(())?;
            Some((address("address")?, address("admin_address")?))
        })
        .await
}
