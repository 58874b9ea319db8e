//! JuziBot's part of the configuration.

use std::path::PathBuf;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::model::SourceName;
use crate::upstream::config::{ConfigError, hidden};
use crate::upstream::secret::{Keys, SourceSecret};

/// The settings of a JuziBot source, validated.
#[derive(Debug, Clone)]
pub struct Config {
    /// Sent in the query of every call (JuziBot documentation, customer).
    pub token: SourceSecret,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct Raw {
    #[serde(default, serialize_with = "hidden", skip_serializing_if = "Option::is_none")]
    token: Option<SecretString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_file: Option<PathBuf>,
}

impl Config {
    pub fn validate(name: &SourceName, raw: Raw) -> Result<Self, Vec<ConfigError>> {
        let keys = Keys { inline: "token", file: "token_file" };
        let token = SourceSecret::read(name, keys, raw.token, raw.token_file, |_| Ok(()));
        Ok(Self { token: token.map_err(|error| vec![error])? })
    }
}
