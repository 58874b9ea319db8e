//! The program as it is run, its log at the finest, and everything that it says put through the scanner.

use std::fs::File;
use std::process::Stdio;

use reqwest::Method;
use scrm_gateway::sandbox::faults::{Effect, Rule};
use scrm_gateway::sandbox::{Endpoint, Options, Sandbox};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Scanner;
use super::seeds::{self, APP_KEY, CURSOR_KEY, JWT_SECRET, TOKEN};
use super::settings::{self, Patience};
use crate::cli::{PATIENCE, command};
use crate::support::asked;

/// A request, and what may be in its answer.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: Method,
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<String>,
    /// Whether a success brings customers.
    pub brings_customers: bool,
}

impl Asked {
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: Method::GET, path: path.into(), headers: Vec::new(), body: None, brings_customers: false }
    }

    pub fn post(path: impl Into<String>, body: &impl ToString) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self { method: Method::POST, headers, body: Some(body.to_string()), ..Self::get(path) }
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub fn customers(self) -> Self {
        Self { brings_customers: true, ..self }
    }
}

pub struct Service {
    pub sandbox: Sandbox,
    pub secrets: Scanner,
    pub customer_data: Scanner,
    pub url: String,
    admin_url: String,
    child: Child,
    log: Log,
    folder: TempDir,
    client: reqwest::Client,
    /// Requests so far.
    asked: usize,
}

/// What a process says on its standard output, as it says it.
struct Log {
    said: watch::Receiver<String>,
    reading: JoinHandle<()>,
}

impl Log {
    fn of(mut output: ChildStdout) -> Self {
        let (saying, said) = watch::channel(String::new());
        let reading = tokio::spawn(async move {
            let mut bytes = Vec::new();
            while output.read_buf(&mut bytes).await.unwrap() > 0 {
                // A character may not be whole yet.
                let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
                let lines = String::from_utf8(bytes.drain(..whole).collect()).unwrap();
                saying.send_modify(|said| said.push_str(&lines));
            }
            saying.send_modify(|said| said.push_str(&String::from_utf8(bytes).unwrap()));
        });
        Self { said, reading }
    }

    fn so_far(&self) -> String {
        self.said.borrow().clone()
    }

    /// The first line that is wanted.
    async fn line(&self, wanted: impl Fn(&str) -> bool) -> String {
        let (mut said, mut looked_at) = (self.said.clone(), 0);
        loop {
            {
                let said = said.borrow_and_update();
                if let Some(line) = said[looked_at..].lines().find(|line| wanted(line)) {
                    return line.to_owned();
                }
                looked_at = said.len();
            }
            said.changed().await.expect("it goes on");
        }
    }

    /// All of it, once it has ended.
    async fn whole(self) -> String {
        self.reading.await.unwrap();
        self.said.borrow().clone()
    }
}

impl Service {
    pub async fn start(format: &str, patience: Patience) -> Self {
        Self::with(format, patience, "").await
    }

    /// With these sections of the configuration besides.
    pub async fn with(format: &str, patience: Patience, more: &str) -> Self {
        let mut options = Options { customers: 60, ..Options::default() };
        options.juzibot.token = TOKEN.to_owned().into();
        options.tanma.app_key = APP_KEY.to_owned().into();
        let sandbox = scrm_gateway::sandbox::start(options).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (name, secret) in [("jwt", JWT_SECRET), ("token", TOKEN), ("app-key", APP_KEY), ("cursor", CURSOR_KEY)] {
            std::fs::write(folder.path().join(name), format!("{secret}\n")).unwrap();
        }
        std::fs::write(folder.path().join("gateway.toml"), settings::served(&sandbox, format, patience, more)).unwrap();
        let mut serve = command(folder.path(), &["serve", "--config", "gateway.toml"]);
        serve.env("RUST_LOG", "trace").env("RUST_BACKTRACE", "full");
        let errors = File::create(folder.path().join("stderr")).unwrap();
        serve.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::from(errors));
        let mut child = serve.spawn().unwrap();
        let log = Log::of(child.stdout.take().unwrap());
        let customer_data = Scanner::new(&seeds::customer_data(sandbox.state()));
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let mut service = Self {
            sandbox,
            secrets: seeds::for_secrets(),
            customer_data,
            url: String::new(),
            admin_url: String::new(),
            child,
            log,
            folder,
            client,
            asked: 0,
        };
        let line = service.line(|line| line.contains("serving")).await;
        (service.url, service.admin_url) = addresses(&line);
        service
    }

    /// The first line of the log that is wanted.
    pub async fn line(&self, wanted: impl Fn(&str) -> bool) -> String {
        let found = tokio::time::timeout(PATIENCE, self.log.line(wanted)).await;
        found.unwrap_or_else(|_| panic!("it is not said: {}", self.log.so_far()))
    }

    /// Asks all at once, and looks at each answer; gives their statuses.
    pub async fn ask(&mut self, context: &str, requests: Vec<Asked>) -> Vec<u16> {
        let begun = requests.into_iter().map(|asked| {
            self.asked += 1;
            self.send(asked, format!("canary-{:04}", self.asked))
        });
        let begun: Vec<_> = begun.collect();
        let mut statuses = Vec::new();
        for exchange in begun {
            let (asked, status, headers, body) = exchange.await.unwrap();
            let what = format!("{context}: the answer to {} {}, {status},", asked.method, asked.path);
            self.secrets.check(&what, format!("{headers}\n{body}"));
            self.customer_data.check(&what, &headers);
            if !(asked.brings_customers && status == 200) {
                self.customer_data.check(&what, without_the_sources_words(&body));
            }
            statuses.push(status);
        }
        statuses
    }

    fn send(&self, asked: Asked, id: String) -> tokio::task::JoinHandle<(Asked, u16, String, String)> {
        let mut request = self.client.request(asked.method.clone(), format!("{}{}", self.url, asked.path));
        request = request.header("x-request-id", id);
        request = request.header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
        if !asked.headers.iter().any(|(name, _)| *name == "authorization") {
            request = request.header("authorization", seeds::bearer().bearer());
        }
        for (name, value) in &asked.headers {
            request = request.header(*name, reqwest::header::HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        if let Some(body) = &asked.body {
            request = request.body(body.clone());
        }
        tokio::spawn(async move {
            let response = request.send().await.unwrap();
            let (status, headers) = (response.status().as_u16(), format!("{:?}", response.headers()));
            (asked, status, headers, response.text().await.unwrap_or_default())
        })
    }

    /// A file of a secret that cannot be used any longer.
    pub async fn unusable_file(&mut self) {
        let file = self.folder.path().join("token");
        std::fs::write(&file, format!("{TOKEN}\n{APP_KEY}\n")).unwrap();
        self.line(|line| line.contains("what it held before is kept")).await;
        std::fs::write(&file, format!("{TOKEN}\n")).unwrap();
        self.line(|line| line.contains("was read again")).await;
    }

    /// Callers that do not wait for their answer.
    pub async fn readers_who_leave(&mut self) {
        let state = self.sandbox.state().clone();
        state.set_faults(vec![Rule::new(Endpoint::JuzibotList, Effect::NeverAnswer { applied: false })]).await.unwrap();
        state.reset_calls();
        let left = self.send(Asked::get("/v1/customers?source=juzibot&include=raw"), "canary-left".to_owned());
        asked(&self.sandbox, Endpoint::JuzibotList, 1).await;
        left.abort();
        self.line(|line| line.contains("canary-left") && line.contains("client disconnected before the response"))
            .await;
        state.clear_faults().await;
    }

    /// The admin port.
    pub async fn numbers(&mut self) {
        for path in ["/metrics", "/livez", "/readyz", "/"] {
            let reply = self.client.get(format!("{}{path}", self.admin_url)).send().await.unwrap();
            let text = format!("{:?}\n{}", reply.headers().clone(), reply.text().await.unwrap());
            assert!(path != "/metrics" || text.contains("source_call_duration_seconds"), "{text}");
            self.secrets.check(path, &text);
            self.customer_data.check(path, &text);
        }
    }

    /// Stops the service and looks at all that it has said about its requests, which are so many or more.
    pub async fn end(mut self, at_least: usize) {
        let id = self.child.id().expect("it runs");
        let kill = Command::new("sh").arg("-c").arg(format!("kill -TERM {id}")).status().await;
        assert!(kill.unwrap().success());
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap();
        let log = self.log.whole().await;
        let errors = std::fs::read_to_string(self.folder.path().join("stderr")).unwrap();
        assert!(ended.success(), "{errors}");
        for (what, text) in [("the log", &log), ("the standard error", &errors)] {
            self.secrets.check(what, text);
            self.customer_data.check(what, text);
        }
        assert!(self.asked >= at_least, "{}", self.asked);
        for number in 1..=self.asked {
            let id = format!("canary-{number:04}");
            assert!(log.contains(&id), "nothing is in the log of {id}");
        }
        let library = |line: &&str| line.contains("hyper") || line.contains("rustls") || line.contains("reqwest");
        assert_eq!(log.lines().find(library), None, "libraries' words are not ours to vouch for");
        assert!(log.contains("set_remarks") && log.contains("audit"), "the audit trail is in it");
        self.sandbox.stop().await;
    }
}

/// The public address and the admin one, in either form of the log.
fn addresses(line: &str) -> (String, String) {
    let of = |key: &str| {
        let value = serde_json::from_str::<Value>(line).ok().and_then(|line| Some(line[key].as_str()?.to_owned()));
        let in_text = || line.split(&format!(" {key}=")).nth(1)?.split_whitespace().next().map(str::to_owned);
        format!("http://{}", value.or_else(in_text).unwrap_or_else(|| panic!("{line}")))
    };
    (of("address"), of("admin_address"))
}

/// A body without what is a source's own text, which callers are shown.
fn without_the_sources_words(body: &str) -> String {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.remove("upstream");
                members.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    let lines = body.lines().map(|line| match serde_json::from_str::<Value>(line) {
        Ok(mut value) => {
            strip(&mut value);
            value.to_string()
        }
        Err(_) => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}
