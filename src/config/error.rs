//! The errors of a configuration, all of them at once.

use std::fmt;
use std::path::PathBuf;

use crate::upstream::{Unreadable, shown_origin};

/// A configuration that cannot be used: every error in it. Never shows the value of a secret.
#[derive(Debug)]
pub struct ConfigError {
    errors: Vec<Error>,
}

/// One error.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("{}: {error}", path.display())]
    File { path: PathBuf, error: std::io::Error },
    #[error("{}, line {line}: {message}", path.display())]
    Syntax { path: PathBuf, line: usize, message: String },
    #[error(transparent)]
    Read(#[from] Unreadable),
    #[error("{key}{}: {expected}", shown_origin(origin.as_deref()))]
    Value { key: String, origin: Option<String>, expected: String },
    /// A variable whose name is almost that of a key.
    #[error("environment variable {name}: not a variable of the gateway; did you mean \"{suggestion}\"?")]
    Variable { name: String, suggestion: String },
    /// A variable of a source, issuer or caller that is not configured.
    #[error("environment variable {variable}: no {what} \"{name}\" is configured; did you mean \"{suggestion}\"?")]
    Misnamed { variable: String, what: &'static str, name: String, suggestion: String },
    #[error("environment variable {name}: expected text in UTF-8")]
    NoText { name: String },
    #[error("no configuration file was given; pass it with --config FILE or set SCRM_GATEWAY_CONFIG")]
    NoFile,
}

impl ConfigError {
    pub(super) fn new(errors: Vec<Error>) -> Self {
        Self { errors }
    }

    /// One message for each error, in one line each.
    pub fn messages(&self) -> impl Iterator<Item = String> {
        self.errors.iter().map(ToString::to_string)
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.messages().collect::<Vec<_>>().join("\n"))
    }
}
