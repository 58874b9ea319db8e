//! The process under test: the gateway with its default configuration, under a memory limit.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use crate::client::{Connection, LOAD, get};
use crate::limit::Limit;
use crate::sources::Sources;
use crate::support::{bearer, free_port, resident_kib};

const SECRET: &str = "bench-secret-0123456789abcdef0123456789abcdef";
/// The longest start.
const START: Duration = Duration::from_secs(20);

/// The differences of a row from the defaults.
#[derive(Debug, Default)]
pub struct Changes {
    /// Environment variables of the configuration, without the prefix: `("SERVER__MAX_IN_FLIGHT", "20")`.
    pub variables: Vec<(&'static str, String)>,
    /// More sections of the configuration file.
    pub sections: String,
    /// Soft and hard limit of open files.
    pub files: Option<(u32, u32)>,
}

/// A running gateway. Dropping it kills the process and removes its cgroup.
pub struct Gateway {
    pub public: SocketAddr,
    pub admin: SocketAddr,
    process: u32,
    child: Mutex<Child>,
    limit: Limit,
    _folder: tempfile::TempDir,
}

impl Gateway {
    pub async fn start(sources: &Sources, changes: &Changes) -> Result<Self, String> {
        let (public, admin) = (free_port(), free_port());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.toml");
        std::fs::write(&file, configuration(public, admin, sources) + &changes.sections).unwrap();
        let limit = Limit::create();
        let files = changes.files.map(|(soft, hard)| format!("ulimit -S -n {soft} && ulimit -H -n {hard} && "));
        let script = files.unwrap_or_default() + &limit.script();
        let mut command = Command::new("sh");
        command.arg("-c").arg(script + "\"$@\"").arg("sh").arg(env!("CARGO_BIN_EXE_scrm-gateway"));
        command.args(["serve", "--config"]).arg(&file).stdout(Stdio::null()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        for (name, value) in &changes.variables {
            command.env(format!("SCRM_GATEWAY__{name}"), value);
        }
        let child = command.spawn().unwrap();
        let address = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let process = child.id();
        let (public, admin, child) = (address(public), address(admin), Mutex::new(child));
        let gateway = Self { public, admin, process, child, limit, _folder: folder };
        tokio::time::timeout(START, gateway.ready()).await.map_err(|_| "the gateway did not start".to_owned())??;
        Ok(gateway)
    }

    async fn ready(&self) -> Result<(), String> {
        loop {
            if let Some(status) = self.ended() {
                return Err(format!("the gateway ended at its start: {status}"));
            }
            if let Ok(mut connection) = Connection::open(LOAD, self.admin).await
                && connection.send(get("/readyz", None)).await.is_ok_and(|reply| reply.status == 200)
            {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The status of the process if it has ended.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.child.lock().unwrap().try_wait().unwrap()
    }

    /// The processes that the kernel has killed for memory.
    pub fn killed(&self) -> u64 {
        self.limit.killed()
    }

    pub fn resident_mib(&self) -> Option<u64> {
        resident_kib(self.process).map(|kib| kib / 1024)
    }

    /// The peak of the resident memory, or of the cgroup if the process has ended or that is more.
    pub fn peak_mib(&self) -> Option<u64> {
        let resident = || {
            let status = std::fs::read_to_string(format!("/proc/{}/status", self.process)).ok()?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
            line.trim().trim_end_matches(" kB").parse().ok()
        };
        resident().max(self.limit.peak_kib()).map(|kib: u64| kib / 1024)
    }

    /// The processor time that the process has used.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process)).unwrap_or_default();
        // After the name, which is in parentheses: user and system time are fields 14 and 15, in ticks of 10 ms.
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        Duration::from_millis(fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>() * 10)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Ok(child) = self.child.get_mut() {
            let _ended = child.kill();
            let _status = child.wait();
        }
    }
}

/// The `Authorization` header of a caller: `load` causes the load, `probe` is everybody else.
pub fn token(subject: &str) -> String {
    bearer(SECRET, subject)
}

/// The defaults, the two sources, and two callers with large quotas.
fn configuration(public: u16, admin: u16, sources: &Sources) -> String {
    let quota = r#"issuer = "bench"
quota = { requests = 6000000, window = "1m", burst = 1000000 }"#;
    format!(
        r#"
[server]
listen = "127.0.0.1:{public}"
admin_listen = "127.0.0.1:{admin}"
[auth.issuers.bench]
issuer = "https://bench.test"
audience = ["scrm-gateway"]
algorithms = ["HS256"]
secret = "{SECRET}"
[callers.load]
subject = "load"
{quota}
[callers.probe]
subject = "probe"
{quota}
[sources.juzibot]
kind = "juzibot"
base_url = "{}"
token = "sandbox-token"
[sources.tanma]
kind = "tanma"
base_url = "{}"
app_id = "sandbox_app"
app_key = "sandbox-app-key"
"#,
        sources.juzibot, sources.tanma,
    )
}
