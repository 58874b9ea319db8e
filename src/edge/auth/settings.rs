//! What the configuration says of issuers and callers, validated.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use url::Url;

use crate::live::Live;
use crate::model::SourceName;
use crate::store::quota::QuotaConfig;

use super::KeySet;

#[derive(Debug, Clone)]
pub struct Auth {
    pub issuers: Vec<Issuer>,
    /// Whether a caller that no claim and no entry gives sources sees all of them.
    pub default_sources_all: bool,
    /// How far clocks may be apart.
    pub leeway: Duration,
}

/// One issuer of tokens.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its name in the configuration.
    pub name: String,
    /// What `iss` must be.
    pub issuer: String,
    /// One of these `aud` must hold.
    pub audience: Vec<String>,
    pub algorithms: Vec<Algorithm>,
    pub keys: IssuerKeys,
}

/// Where an issuer's keys are.
#[derive(Debug, Clone)]
pub enum IssuerKeys {
    /// In the configuration or in a file.
    Held(Arc<Live<KeySet>>),
    /// At a URL.
    Fetched(JwksUrl),
}

/// A JWK set that is fetched.
#[derive(Debug, Clone)]
pub struct JwksUrl {
    pub url: Url,
    /// How often it is fetched in any case.
    pub refresh: Duration,
    /// What lies between two times that tokens with unknown keys have it fetched.
    pub cool_down: Duration,
}

/// What stands over the defaults for one caller.
#[derive(Debug, Clone)]
pub struct CallerConfig {
    /// What the caller's `iss` is.
    pub issuer: String,
    pub subject: String,
    pub sources: Option<Vec<SourceName>>,
    pub quota: Option<QuotaConfig>,
}
