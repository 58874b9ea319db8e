//! What a person runs (contract §9).

#[cfg(feature = "sandbox")]
mod demo;
#[cfg(feature = "sandbox")]
mod sandbox;
mod token;

use std::env;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::task::AbortOnDropHandle;

use crate::app::{self, StartError};
use crate::clock::{self, ClockError};
use crate::config::{CONFIG_FILE, Config, ConfigError};
use crate::live;
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
    // Not a doc comment, whose backticks the help would show.
    #[arg(
        long,
        value_name = "FILE",
        help = "The configuration file [env: SCRM_GATEWAY_CONFIG]; variables SCRM_GATEWAY__SECTION__KEY override its keys"
    )]
    config: Option<PathBuf>,
}

impl ConfigArgs {
    fn load(&self) -> Result<Config, CliError> {
        // An empty variable is what a template leaves of one that is not set.
        let from_variable = || env::var_os(CONFIG_FILE).filter(|path| !path.is_empty()).map(PathBuf::from);
        Ok(Config::load(self.config.clone().or_else(from_variable).as_deref())?)
    }
}

/// What ends a command early.
#[derive(Debug, thiserror::Error)]
enum CliError {
    #[error("the configuration cannot be used")]
    Config(#[from] ConfigError),
    #[error("log.level: {0}")]
    Level(#[from] InvalidLevel),
    #[error("{0}")]
    Clock(#[from] ClockError),
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
            Self::Config(_) | Self::Level(_) | Self::Clock(_) => EXIT_CONFIGURATION.into(),
            Self::Start(error) if error.is_configuration() => EXIT_CONFIGURATION.into(),
            Self::Start(_) | Self::Token(_) | Self::Io(_) => ExitCode::FAILURE,
        }
    }
}

/// Runs the command of the process's arguments.
pub async fn run() -> ExitCode {
    telemetry::hide_panic_messages();
    match run_command(Cli::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let CliError::Config(config) = &error {
                config.messages().for_each(|message| say_error(&format!("error: {message}")));
            }
            say_error(&format!("scrm-gateway: {error}"));
            error.exit_code()
        }
    }
}

async fn run_command(command: Command) -> Result<(), CliError> {
    if !matches!(command, Command::Openapi) {
        clock::check(SystemTime::now())?;
    }
    match command {
        Command::Serve(args) => serve(&args).await,
        #[cfg(feature = "sandbox")]
        Command::Demo(args) => demo::run(&args).await,
        #[cfg(feature = "sandbox")]
        Command::Sandbox(args) => sandbox::run(args).await,
        Command::Token(args) => token::run(&args),
        Command::Openapi => say(&openapi::to_json(&openapi::spec(None))),
        Command::Check(args) => check(&args),
    }
}

async fn serve(args: &ConfigArgs) -> Result<(), CliError> {
    // First of all, so that the signal does not end a process that is starting.
    let hangup = signal(SignalKind::hangup())?;
    let config = args.load()?;
    telemetry::init(&config.log.level, config.log.json, Output::Stdout)?;
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    if !telemetry::applies_to_gateway(&config.log.level) {
        // The log that is off by mistake cannot show them.
        say_warnings(&config);
    }
    tracing::info!("memory limit: {}", config.memory);
    let stop = stop_signal()?;
    let gateway = app::start(&config).await?;
    // To the end of the drain.
    let _reloading = AbortOnDropHandle::new(tokio::spawn(reload_on(hangup, gateway.files())));
    stop.await;
    tracing::info!("stopping");
    gateway.stop().await;
    Ok(())
}

/// Reloads the files of secrets and keys at each signal.
async fn reload_on(mut hangup: Signal, files: Vec<Arc<dyn live::Reread>>) {
    while hangup.recv().await.is_some() {
        live::reload(&files).await;
    }
}

/// Prints the configuration on the standard output, and what there is to say about it on the standard error.
fn check(args: &ConfigArgs) -> Result<(), CliError> {
    let config = args.load()?;
    app::check(&config)?;
    say(&config.shown)?;
    say_error(&format!("memory limit: {}", config.memory));
    say_warnings(&config);
    say_error("configuration is valid");
    Ok(())
}

fn say_warnings(config: &Config) {
    config.warnings.iter().for_each(|warning| say_error(&format!("warning: {warning}")));
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

fn say_error(line: &str) {
    // Nothing is left to do for a process that cannot even write this.
    let _ignored = writeln!(std::io::stderr(), "{line}");
}

fn say(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    if !text.ends_with('\n') {
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}
