//! What a person runs (contract §9).

#[cfg(feature = "sandbox")]
mod demo;
#[cfg(feature = "sandbox")]
mod sandbox;
mod token;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{self, StartError};
use crate::config::{Config, ConfigError};
use crate::openapi;
use crate::telemetry::{self, InvalidLevel, Output};

/// `EX_CONFIG` of sysexits.h.
const EXIT_CONFIGURATION: u8 = 78;

#[derive(Debug, Parser)]
#[command(name = "scrm-gateway", version, about = "One clean REST contract in front of two customer APIs")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service.
    Serve(ConfigArgs),
    /// Run the service with both simulated sources in one process; needs no files and leaves none.
    #[cfg(feature = "sandbox")]
    Demo(demo::DemoArgs),
    /// Run the two simulated sources alone.
    #[cfg(feature = "sandbox")]
    Sandbox(sandbox::SandboxArgs),
    /// Print a development token for an issuer of the configuration that has a secret.
    Token(token::TokenArgs),
    /// Print the `OpenAPI` document.
    Openapi,
    /// Validate the configuration and print what is in force, secrets hidden.
    Check(ConfigArgs),
}

#[derive(Debug, Args)]
struct ConfigArgs {
    /// The configuration file. Environment variables `SCRM_GATEWAY__SECTION__KEY` stand over it.
    #[arg(long, env = "SCRM_GATEWAY_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    fn load(&self) -> Result<Config, CliError> {
        Ok(Config::load(self.config.as_deref())?)
    }
}

/// What ends a command early.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error("configuration: {0}")]
    Config(#[from] ConfigError),
    #[error("configuration: {0}")]
    Level(#[from] InvalidLevel),
    #[error("{0}")]
    Start(#[from] StartError),
    #[error("{0}")]
    Token(#[from] token::TokenError),
    #[error("{0}")]
    Io(#[from] std::io::Error),
}

impl CliError {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Config(_) | Self::Level(_) => EXIT_CONFIGURATION.into(),
            Self::Start(error) if error.is_configuration() => EXIT_CONFIGURATION.into(),
            Self::Start(_) | Self::Token(_) | Self::Io(_) => ExitCode::FAILURE,
        }
    }
}

/// Runs the command of the process's arguments.
pub async fn run() -> ExitCode {
    telemetry::hide_panic_messages();
    let result = match Cli::parse().command {
        Command::Serve(args) => serve(&args).await,
        #[cfg(feature = "sandbox")]
        Command::Demo(args) => demo::run(&args).await,
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => sandbox::run(args).await,
        Command::Token(args) => token::run(&args),
        Command::Openapi => say(&openapi::to_json(&openapi::spec(None))),
        Command::Check(args) => check(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do for a process that cannot even complain.
            let _unheard = writeln!(std::io::stderr(), "scrm-gateway: {error}");
            error.exit_code()
        }
    }
}

async fn serve(args: &ConfigArgs) -> Result<(), CliError> {
    let config = args.load()?;
    telemetry::init(&config.log.level, config.log.json, Output::Stdout)?;
    let stop = stop_signal()?;
    let gateway = app::start(&config).await?;
    stop.await;
    tracing::info!("stopping");
    gateway.stop().await;
    Ok(())
}

fn check(args: &ConfigArgs) -> Result<(), CliError> {
    let config = args.load()?;
    telemetry::check_level(&config.log.level)?;
    app::check(&config)?;
    say(&config.shown)
}

/// Ends when the process is asked to: SIGTERM or SIGINT. The signals are taken from the moment of the call.
fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

fn say(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}
