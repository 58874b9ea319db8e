//! The log, structured lines on the standard output, and the numbers in [`metrics`]. A leaf: imports nothing of the road.

pub mod metrics;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Libraries whose finer levels tell of hosts and headers, and are of use to their authors only.
const CAPPED: [&str; 6] = ["hyper=info", "hyper_util=info", "reqwest=info", "h2=info", "rustls=info", "tower=info"];

/// A level, or directives, that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("log.level: expected a level such as \"info\", or directives such as \"info,scrm_gateway=debug\"")]
pub struct InvalidLevel;

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Stdout,
    Stderr,
}

/// Installs the log for the process; a second call changes nothing.
///
/// # Errors
/// The level cannot be read.
pub fn init(level: &str, json: bool, output: Output) -> Result<(), InvalidLevel> {
    let filter = filter(level)?;
    let writer = tracing_subscriber::fmt::writer::BoxMakeWriter::new(move || -> Box<dyn std::io::Write> {
        match output {
            Output::Stdout => Box::new(std::io::stdout()),
            Output::Stderr => Box::new(std::io::stderr()),
        }
    });
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let registry = tracing_subscriber::registry().with(filter);
    let _already = if json {
        registry.with(lines.json().flatten_event(true).with_current_span(true).with_span_list(false)).try_init()
    } else {
        registry.with(lines.with_ansi(false)).try_init()
    };
    // The place is enough to find a panic; its message may hold anything.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panicked");
    }));
    Ok(())
}

/// The filter of a level or of directives, with the libraries capped.
///
/// # Errors
/// The level cannot be read.
pub fn filter(level: &str) -> Result<EnvFilter, InvalidLevel> {
    let directives = std::iter::once(level).chain(CAPPED).collect::<Vec<_>>().join(",");
    EnvFilter::try_new(directives).map_err(|_| InvalidLevel)
}
