//! `demo`: the gateway over both simulated sources in one process. Its secrets are made at start and die with it.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use clap::Args;

use crate::app::{self, StartError};
use crate::config::Config;
use crate::model::Scope;
use crate::sandbox::{self, Sandbox};
use crate::telemetry::{self, InvalidLevel, Output};

use super::{CliError, say, stop_signal, token};

#[derive(Debug, Args)]
pub(super) struct DemoArgs {
    /// The port of the gateway on 127.0.0.1; the default is 8080, or a free port where 8080 is in use.
    #[arg(long)]
    port: Option<u16>,
    /// How many customers there are.
    #[arg(long, default_value_t = 1000)]
    customers: usize,
    /// What the customers are made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The level of the log, on the standard error.
    #[arg(long, default_value = "warn", value_parser = level)]
    log: String,
}

/// The port where none is given.
const DEFAULT_PORT: u16 = 8080;
/// How long the printed token holds.
const TOKEN_TTL: Duration = Duration::from_hours(12);

pub(super) async fn run(args: &DemoArgs) -> Result<(), CliError> {
    telemetry::init(&args.log, false, Output::Stderr)?;
    let stop = stop_signal()?;
    let mut options = sandbox::Options { customers: args.customers, seed: args.seed, ..sandbox::Options::default() };
    options.juzibot.token = random_secret().into();
    options.tanma.app_key = random_secret().into();
    let rules = (options.juzibot.clone(), options.tanma.clone());
    let sandbox = sandbox::start(options).await?;

    let port = args.port.unwrap_or(DEFAULT_PORT);
    let mut config = Config::from_toml(&settings(&sandbox, &rules))?;
    config.server.listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
    let gateway = match app::start(&config).await {
        Err(StartError::Listen { error, .. }) if args.port.is_none() && error.kind() == ErrorKind::AddrInUse => {
            config.server.listen.set_port(0);
            let gateway = app::start(&config).await?;
            say(&format!("Port {port} is in use: the demo listens on port {} instead.", gateway.address.port()))?;
            gateway
        }
        started => started?,
    };
    let scope = Scope::ALL.map(|(scope, _)| scope.as_str()).join(" ");
    let token = token::sign(&config, None, "demo", &scope, None, TOKEN_TTL)?;
    say(&greeting(&sandbox, gateway.address, &token))?;
    stop.await;
    gateway.stop().await;
    sandbox.stop().await;
    Ok(())
}

fn level(text: &str) -> Result<String, InvalidLevel> {
    telemetry::check_level(text).map(|()| text.to_owned())
}

fn random_secret() -> String {
    base16ct::lower::encode_string(&rand::random::<[u8; 32]>())
}

fn settings(sandbox: &Sandbox, (juzibot, tanma): &(sandbox::juzibot::Rules, sandbox::tanma::Rules)) -> String {
    use secrecy::ExposeSecret;
    format!(
        r#"
source_order = ["juzibot", "tanma"]
[server]
listen = "127.0.0.1:0"
admin_listen = "127.0.0.1:0"
drain_timeout = "2s"
[auth.issuers.demo]
issuer = "scrm-gateway-demo"
audience = ["scrm-gateway"]
algorithms = ["HS256"]
secret = "{secret}"
[rate_limit]
default = {{ requests = 60000, window = "1m", burst = 10000 }}
per_address = {{ requests = 60000, window = "1m", burst = 10000 }}
[sources.juzibot]
kind = "juzibot"
base_url = "{juzibot_url}"
token = "{juzibot_token}"
codes = {{ credentials = [{token_refused}], invalid = [{bad_parameter}] }}
[sources.tanma]
kind = "tanma"
base_url = "{tanma_url}"
app_id = "{app_id}"
app_key = "{app_key}"
"#,
        secret = random_secret(),
        juzibot_url = sandbox.juzibot_url(),
        juzibot_token = juzibot.token.expose_secret(),
        token_refused = juzibot.token_refused,
        bad_parameter = juzibot.bad_parameter,
        tanma_url = sandbox.tanma_url(),
        app_id = tanma.app_id,
        app_key = tanma.app_key.expose_secret(),
    )
}

fn greeting(sandbox: &Sandbox, address: SocketAddr, token: &str) -> String {
    let featured = sandbox.state().people().featured();
    format!(
        "scrm-gateway demo: both sources are simulated, nothing leaves this machine.\n\n\
         Swagger UI  http://{address}/docs/\n\
         Faults      {control} (the simulated sources' control endpoint)\n\
         Token       {token}\n\n\
         Try:\n\
         curl -s -H 'Authorization: Bearer {token}' 'http://{address}/v1/customers/{id}'\n\n\
         Stop with Ctrl-C.\n",
        control = sandbox.control_url(),
        id = featured.external_user_id,
    )
}
