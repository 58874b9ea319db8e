//! The simulated sources, in a process of their own outside the limit.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use axum::body::Bytes;
use hyper::{Method, Request};
use scrm_gateway::sandbox::Source;
use scrm_gateway::sandbox::faults::{Effect, Rule};

use crate::client::{Connection, LOAD, full};

/// The running sources. Dropping it kills the process.
pub struct Sources {
    pub juzibot: String,
    pub tanma: String,
    control: SocketAddr,
    child: Child,
}

impl Sources {
    pub fn start() -> Self {
        let any = "127.0.0.1:0";
        let mut child = Command::new(env!("CARGO_BIN_EXE_scrm-gateway"))
            .args(["sandbox", "--customers", "2000"])
            .args(["--juzibot-listen", any, "--tanma-listen", any, "--control-listen", any])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // The first three lines end with the addresses.
        let mut address = || {
            let line = lines.next().and_then(Result::ok).unwrap_or_default();
            line.split_whitespace().last().unwrap_or_default().to_owned()
        };
        let (juzibot, tanma, control) = (address(), address(), address());
        let control = control.trim_start_matches("http://").parse().unwrap();
        Self { juzibot, tanma, control, child }
    }

    /// Makes `JuziBot` take requests without answering them, or answer again.
    pub async fn hang_juzibot(&self, hangs: bool) {
        let rules = hangs.then(|| Rule::new(Source::Juzibot, Effect::NeverAnswer { applied: false }));
        let rules: Vec<Rule> = rules.into_iter().collect();
        let request = Request::builder().method(Method::PUT).uri("/faults").header("host", "control");
        let request = request.body(full(Bytes::from(serde_json::to_vec(&rules).unwrap()))).unwrap();
        let reply = Connection::open(LOAD, self.control).await.unwrap().send(request).await.unwrap();
        assert_eq!(reply.status, 204, "the sources refused the fault");
    }
}

impl Drop for Sources {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
