//! JuziBot's part of the configuration.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::Deserialize;

use crate::model::SourceName;
use crate::upstream::config::{ConfigError, secret};

/// The settings of a JuziBot source, validated.
#[derive(Debug, Clone)]
pub struct Config {
    /// Sent in the query of every call (JuziBot documentation, customer).
    pub token: SecretString,
}

#[derive(Debug, Deserialize)]
pub struct Raw {
    token: Option<SecretString>,
    token_file: Option<PathBuf>,
}

impl Config {
    pub fn validate(name: &SourceName, raw: Raw) -> Result<Self, ConfigError> {
        Ok(Self { token: secret(name, "token", raw.token, raw.token_file)? })
    }
}
