//! The log and the audit trail, structured lines on the standard output, and the numbers in [`metrics`]. A leaf: imports
//! nothing of the road.

pub mod metrics;

use std::io::{self, Write as _};
use std::panic::PanicHookInfo;

use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{Directive, EnvFilter, FilterExt, LevelFilter, Targets};
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::suggest::closest;

/// The target of the audit trail (`service/audit.rs`).
pub const AUDIT: &str = "audit";
/// What our own targets begin with.
const OURS: &str = env!("CARGO_CRATE_NAME");

/// The levels of the log.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A level, or directives, that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error(
    "{found}expected off, error, warn, info, debug or trace, or directives such as \"info,scrm_gateway=debug\"{hint}"
)]
pub struct InvalidLevel {
    found: String,
    hint: String,
}

impl InvalidLevel {
    /// The error of one directive. Repeats a single word only: anything else may be a misplaced secret.
    fn new(directive: &str) -> Self {
        let is_word = (1..=12).contains(&directive.len()) && directive.bytes().all(|byte| byte.is_ascii_lowercase());
        let found = if is_word { format!("unknown level \"{directive}\"; ") } else { String::new() };
        let hint = closest(directive, LEVELS).map(|level| format!("; did you mean \"{level}\"?")).unwrap_or_default();
        Self { found, hint }
    }
}

/// Where lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Stdout,
    Stderr,
}

impl MakeWriter<'_> for Output {
    type Writer = Box<dyn io::Write>;

    fn make_writer(&self) -> Self::Writer {
        match self {
            Self::Stdout => Box::new(io::stdout()),
            Self::Stderr => Box::new(io::stderr()),
        }
    }
}

/// Installs the log for the process; a second call changes nothing.
///
/// # Errors
/// The level cannot be read.
pub fn init(level: &str, json: bool, output: Output) -> Result<(), InvalidLevel> {
    let _already = subscriber(level, json, output)?.try_init();
    Ok(())
}

/// The log as [`init`] installs it, with its lines going to `writer`.
///
/// # Errors
/// The level cannot be read.
pub fn subscriber<W>(level: &str, json: bool, writer: W) -> Result<impl Subscriber + Send + Sync, InvalidLevel>
where
    W: for<'w> MakeWriter<'w> + Clone + Send + Sync + 'static,
{
    let filter = directives(level)?.and(limits());
    let lines = fmt::layer().with_writer(writer.clone());
    let lines = if json {
        lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed()
    } else {
        lines.with_ansi(false).boxed()
    };
    Ok(Registry::default().with(lines.with_filter(filter)).with(audit(writer)))
}

/// Whether a level or directives can be read.
///
/// # Errors
/// They cannot.
pub fn check_level(level: &str) -> Result<(), InvalidLevel> {
    directives(level).map(|_| ())
}

/// Whether valid directives apply to the gateway's own log lines: one is a level for all, or its target is ours. `off` applies too.
pub fn applies_to_gateway(level: &str) -> bool {
    // A target applies to all that begin with it, as `EnvFilter` compares them.
    let is_ours = |target: &str| OURS.starts_with(target) || target.starts_with(&format!("{OURS}::"));
    level.split(',').map(str::trim).filter(|part| !part.is_empty()).any(|part| match part.split_once(['[', '=']) {
        None => true,
        Some((target, _)) => is_ours(target),
    })
}

/// A word without a level would be taken for the name of a target, and switch off everything else.
fn directives(level: &str) -> Result<EnvFilter, InvalidLevel> {
    let parts: Vec<&str> = level.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    let is_level = |part: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(part));
    let is_directive = |part: &str| {
        let has_level = part.contains('[') || (part.contains('=') && !part.ends_with('='));
        has_level && part.parse::<Directive>().is_ok()
    };
    match parts.iter().find(|part| !is_level(part) && !is_directive(part)) {
        None if !parts.is_empty() => EnvFilter::try_new(parts.join(",")).map_err(|_| InvalidLevel::new("")),
        wrong => Err(InvalidLevel::new(wrong.copied().unwrap_or(level))),
    }
}

/// What no directive gets round: the finer levels of libraries tell of hosts, headers and bodies, and are of use to their
/// authors only. A limit of its own, because among directives the more specific one wins.
fn limits() -> Targets {
    Targets::new().with_default(Level::INFO).with_target(OURS, Level::TRACE).with_target(AUDIT, LevelFilter::OFF)
}

/// The audit trail: JSON whatever the log's form, and there whatever its level.
fn audit<S, W>(writer: W) -> impl Layer<S>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer).json();
    let lines = lines.flatten_event(true).with_current_span(false).with_span_list(false);
    lines.with_filter(Targets::new().with_target(AUDIT, Level::INFO))
}

/// From now on a panic is one line that tells its place: that is enough to find it, and its message may hold anything.
pub fn hide_panic_messages() {
    std::panic::set_hook(Box::new(tell_place));
}

fn tell_place(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    if tracing::dispatcher::has_been_set() {
        tracing::error!(place, "panicked");
    } else {
        // A command without a log. Nothing is left to do for a process that cannot even complain.
        let _unheard = writeln!(io::stderr(), "scrm-gateway: panicked at {place}");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::Value;

    use super::*;

    /// The lines that come of what is done under this level.
    fn written(level: &str, json: bool, act: impl FnOnce()) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        let subscriber = subscriber(level, json, Arc::new(file.reopen().unwrap())).unwrap();
        tracing::subscriber::with_default(subscriber, act);
        std::fs::read_to_string(file.path()).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn directives_apply_where_the_gateway_logs() {
        for (level, applies) in [
            ("info", true),
            ("off", true),
            ("scrm_gateway=debug", true),
            ("scrm=debug", true),
            ("hyper=trace,warn", true),
            ("scrm_gatway=debug", false),
            ("scrm_gateway_client=debug", false),
            ("hyper=trace, reqwest=info", false),
        ] {
            assert_eq!(applies_to_gateway(level), applies, "{level}");
            let lines = written(level, false, || tracing::error!("ours"));
            assert_eq!(!lines.is_empty(), applies && level != "off", "{level}");
        }
        for level in ["scrm_gateway::edge=debug", "[request]=info", "scrm_gateway[request]=info"] {
            assert!(applies_to_gateway(level), "{level}");
        }
    }

    #[test]
    fn no_directive_lifts_the_limit_of_the_libraries() {
        for level in [
            "trace",
            "trace,hyper=trace,reqwest=trace",
            "trace,hyper::proto::h1=trace,hyper_util::client=trace",
            "info,hyper::proto::h1::io=trace,[request]=trace",
            "trace,[request{request_id=req-1}]=trace",
            "off,hyper=trace,hyper_util=trace,scrm_gateway=trace,api=trace",
        ] {
            let lines = written(level, false, || {
                let _entered = tracing::info_span!("request", request_id = "req-1").entered();
                tracing::trace!(target: "hyper::proto::h1::io", "read 400 bytes");
                tracing::debug!(target: "hyper_util::client::legacy::pool", "host");
                tracing::debug!(target: "rustls::client::hs", "certificate");
                tracing::debug!(target: "a_library_that_is_new", "anything");
                tracing::trace!("ours");
                tracing::info!(target: "hyper::proto::h1::io", "allowed");
            });
            assert!(lines.iter().all(|line| line.contains("ours") || line.contains("allowed")), "{level}: {lines:#?}");
            assert_eq!(lines.iter().filter(|line| line.contains("allowed")).count(), 1, "{level}: {lines:#?}");
        }
        let lines = written("trace", false, || tracing::trace!("ours"));
        assert_eq!(lines.len(), 1);
    }

    #[test]
    fn the_audit_trail_is_json_at_every_level_and_not_told_twice() {
        for level in ["trace", "info", "error", "off", "info,audit=off", "audit=trace"] {
            for json in [true, false] {
                let lines = written(level, json, || {
                    let _entered = tracing::info_span!("request", request_id = "req-1").entered();
                    tracing::info!(target: AUDIT, operation = "set_remarks", succeeded = 3);
                });
                let [line] = <[String; 1]>::try_from(lines).unwrap();
                let line: Value = serde_json::from_str(&line).unwrap();
                assert_eq!(line["target"], AUDIT, "{level}");
                assert_eq!((&line["operation"], &line["succeeded"]), (&"set_remarks".into(), &3.into()));
                assert!(line.get("span").is_none(), "it stands by itself");
            }
        }
    }

    #[test]
    fn level_is_checked_word_by_word() {
        for level in [
            "info",
            "OFF",
            "trace",
            "info,scrm_gateway=debug",
            " info , hyper=warn,",
            "warn,[request]=trace",
            "[request{request_id=req-1}]",
            "scrm_gateway::edge[request]=debug",
        ] {
            assert!(check_level(level).is_ok(), "{level}");
        }
        for level in
            ["", ",", "verbose", "info,verbose", "a=b=c", "info,hyper=loud", "hyper=", "=info", "info debug", "3"]
        {
            let message = check_level(level).expect_err(level).to_string();
            assert!(message.contains("off, error, warn, info, debug or trace"), "{level}: {message}");
        }
        let message = |level| check_level(level).unwrap_err().to_string();
        assert!(message("verbose").starts_with("unknown level \"verbose\"; "), "{}", message("verbose"));
        assert!(message("info,debgu").ends_with("; did you mean \"debug\"?"), "{}", message("info,debgu"));
        assert!(!message("a-secret-0123").contains("secret"));
    }

    #[test]
    fn blank_before_directive_is_ignored() {
        let lines = written("off, scrm_gateway=debug", false, || tracing::debug!("ours"));
        assert_eq!(lines.len(), 1);
    }
}
