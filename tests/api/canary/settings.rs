//! The configurations: one that is served, and one that has every key a secret might be put in the place of.

use std::path::{Path, PathBuf};
use std::time::Duration;

use scrm_gateway::sandbox::Sandbox;

use super::seeds::{self, APP_KEY, CURSOR_KEY, JWT_SECRET, TOKEN};
/// Of a source whose faults are met: what is late is later than this.
pub const TIMEOUT: Duration = Duration::from_millis(250);

/// How long the service waits.
#[derive(Debug, Clone, Copy)]
pub enum Patience {
    /// For a sound source, as long as no test takes.
    Long,
    /// For a source that hangs: [`TIMEOUT`], and for two attempts at it.
    Short,
}

/// Of the service: secrets in files, the log at its finest. `more` are sections besides.
pub fn served(sandbox: &Sandbox, format: &str, patience: Patience, more: &str) -> String {
    let (of_a_source, of_a_request) = match patience {
        Patience::Long => (Duration::from_secs(20), Duration::from_secs(25)),
        Patience::Short => (TIMEOUT, Duration::from_millis(900)),
    };
    let plenty = "{ requests = 6000000, window = \"1m\", burst = 1000000 }";
    let of_source = format!(
        "timeout = \"{timeout}ms\"\nconnect_timeout = \"{timeout}ms\"\nwrite_timeout = \"{timeout}ms\"\nmax_response = \"1MiB\"\n\
         breaker = {{ min_calls = 1000000 }}\nretry = {{ attempts = 2, budget_percent = 100 }}\n\
         codes = {{ not_found = [84061], credentials = [40001], rate_limited = [45009], retryable = [50001], invalid = [40058] }}",
        timeout = of_a_source.as_millis()
    );
    format!(
        r#"
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
drain_timeout = "2s"
request_timeout = "{of_a_request}ms"
batch_timeout = "{of_a_request}ms"
merge_grace = "{of_a_source}ms"
reread_files = "50ms"
[log]
level = "trace,hyper=trace,reqwest=trace,[request]=trace"
format = "{format}"
[telemetry]
propagate_to_sources = true
[auth.issuers.login]
issuer = "https://login.test"
audience = ["scrm-gateway"]
algorithms = ["HS256"]
secret_file = "jwt"
[cursor]
key_file = "cursor"
[rate_limit]
default = {plenty}
per_address = {plenty}
[cors]
origins = ["https://app.example"]
[sources.juzibot]
kind = "juzibot"
base_url = "{}"
token_file = "token"
{of_source}
[sources.tanma]
kind = "tanma"
base_url = "{}"
app_id = "sandbox_app"
app_key_file = "app-key"
send_app_key_header = true
{of_source}
{more}
"#,
        sandbox.juzibot_url(),
        sandbox.tanma_url(),
        of_a_request = of_a_request.as_millis(),
        of_a_source = of_a_source.as_millis(),
    )
}

/// With secrets in place, as text and in a file of that folder.
pub fn full(folder: &Path) -> (String, PathBuf) {
    let file = folder.join("gateway.toml");
    let text = format!(
        r#"
source_order = ["juzibot", "tanma"]
[server]
public_url = "https://gateway.example/scrm"
trusted_proxies = ["10.0.0.0/8"]
[auth.issuers.login]
issuer = "https://login.test"
audience = ["scrm-gateway"]
algorithms = ["HS256"]
secret = '{JWT_SECRET}'
[callers.one]
issuer = "login"
subject = "one"
sources = ["juzibot"]
quota = {{ requests = 10, window = "1m", burst = 5 }}
[cursor]
key_file = "cursor"
[outbound]
proxy = "http://somebody:{proxy_password}@127.0.0.1:9"
[cors]
origins = ["https://app.example"]
[sources.juzibot]
kind = "juzibot"
base_url = "https://hub.example"
token = '{TOKEN}'
operations = ["list_customers", "set_remarks"]
read_timeout = "1s"
quota = {{ requests = 50, window = "1s" }}
codes = {{ credentials = [1, "two"] }}
[sources.tanma]
kind = "tanma"
base_url = "https://tanma.example/apiServer"
app_id = "an_app"
app_key = '{APP_KEY}'
list_type = 1
"#,
        proxy_password = seeds::PROXY_PASSWORD
    );
    std::fs::write(folder.join("cursor"), format!("{CURSOR_KEY}\n")).unwrap();
    let text = text.replace("key_file = \"cursor\"", &format!("key_file = \"{}\"", folder.join("cursor").display()));
    std::fs::write(&file, &text).unwrap();
    (text, file)
}
