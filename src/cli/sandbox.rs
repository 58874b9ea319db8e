//! `sandbox`: the two simulated sources alone.

use std::net::SocketAddr;

use clap::Args;
use secrecy::SecretString;

use crate::sandbox::{self, Options};
use crate::telemetry::{self, Output};

use super::{CliError, say, stop_signal};

#[derive(Debug, Args)]
pub(super) struct SandboxArgs {
    /// How many customers there are.
    #[arg(long, default_value_t = 1000)]
    customers: usize,
    /// What the customers are made from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the simulated `JuziBot` listens.
    #[arg(long, default_value = "127.0.0.1:8091")]
    juzibot_listen: SocketAddr,
    /// Where the simulated Tanma listens.
    #[arg(long, default_value = "127.0.0.1:8092")]
    tanma_listen: SocketAddr,
    /// Where faults are set.
    #[arg(long, default_value = "127.0.0.1:8093")]
    control_listen: SocketAddr,
    /// The token that the simulated `JuziBot` takes.
    #[arg(long, default_value = "sandbox-token", env = "SANDBOX_TOKEN", hide_env_values = true)]
    token: SecretString,
    /// The application that the simulated Tanma knows.
    #[arg(long, default_value = "sandbox_app")]
    app_id: String,
    /// The key that the simulated Tanma checks signatures with.
    #[arg(long, default_value = "sandbox-app-key", env = "SANDBOX_APP_KEY", hide_env_values = true)]
    app_key: SecretString,
}

pub(super) async fn run(args: SandboxArgs) -> Result<(), CliError> {
    telemetry::init("warn", false, Output::Stderr)?;
    let stop = stop_signal()?;
    let mut options = Options {
        customers: args.customers,
        seed: args.seed,
        juzibot_listen: args.juzibot_listen,
        tanma_listen: args.tanma_listen,
        control_listen: args.control_listen,
        ..Options::default()
    };
    options.juzibot.token = args.token;
    options.tanma.app_id = args.app_id;
    options.tanma.app_key = args.app_key;
    let sandbox = sandbox::start(options).await?;
    let featured = sandbox.state().people().featured();
    say(&format!(
        "simulated JuziBot  {}\nsimulated Tanma    {}\ncontrol endpoint   {}\n\
         a customer that both know: external_user_id {}, union_id {}\n",
        sandbox.juzibot_url(),
        sandbox.tanma_url(),
        sandbox.control_url(),
        featured.external_user_id,
        featured.union_id,
    ))?;
    stop.await;
    sandbox.stop().await;
    Ok(())
}
