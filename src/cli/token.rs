//! `token`: development tokens.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use jsonwebtoken::{EncodingKey, Header, encode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::config::Config;
use crate::edge::{Issuer, IssuerKeys};
use crate::suggest::closest;

use super::{CliError, ConfigArgs, say};

#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The issuer's name in the configuration; may be left out where only one has a secret.
    #[arg(long)]
    issuer: Option<String>,
    /// The subject: the caller's name.
    #[arg(long, value_parser = clap::builder::NonEmptyStringValueParser::new())]
    sub: String,
    /// The scopes, with spaces between.
    #[arg(long, default_value = "customers:read")]
    scope: String,
    /// A source that the caller may see; may be given several times. None: as the configuration has it.
    #[arg(long = "source")]
    sources: Vec<String>,
    /// How long the token is valid, such as "1h".
    #[arg(long, default_value = "1h", value_parser = duration)]
    ttl: Duration,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error("no issuer of the configuration has a secret to sign with")]
    NoSecret,
    #[error("the issuer \"{0}\" has no secret to sign with")]
    NoSecretOf(String),
    #[error("unknown issuer \"{name}\" (configured: {configured}){hint}")]
    UnknownIssuer { name: String, configured: String, hint: String },
    #[error("several issuers have a secret; name one with --issuer")]
    Ambiguous,
    #[error("the token cannot be signed")]
    Signing,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a [String],
    sub: &'a str,
    scope: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sources: Option<&'a [String]>,
    iat: i64,
    exp: i64,
}

/// Parses a duration of at least a second.
fn duration(text: &str) -> Result<Duration, &'static str> {
    let duration = humantime::parse_duration(text).ok().filter(|duration| *duration >= Duration::from_secs(1));
    duration.ok_or("expected a duration of at least 1s, such as \"1h\" or \"30m\"")
}

pub(super) fn run(args: &TokenArgs) -> Result<(), CliError> {
    let config = args.config.load()?;
    let sources = Some(args.sources.as_slice()).filter(|sources| !sources.is_empty());
    say(&sign(&config, args.issuer.as_deref(), &args.sub, &args.scope, sources, args.ttl)?)
}

/// Signs a token with the first secret of an issuer.
pub(super) fn sign(
    config: &Config,
    issuer: Option<&str>,
    sub: &str,
    scope: &str,
    sources: Option<&[String]>,
    ttl: Duration,
) -> Result<String, TokenError> {
    let (issuer, secret) = signer(config, issuer)?;
    let now = Timestamp::now().as_second();
    let exp = now.saturating_add(i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
    let claims = Claims { iss: &issuer.issuer, aud: &issuer.audience, sub, scope, sources, iat: now, exp };
    let key = EncodingKey::from_secret(secret.expose_secret().as_bytes());
    encode(&Header::new(issuer.algorithms[0]), &claims, &key).map_err(|_| TokenError::Signing)
}

fn signer<'a>(config: &'a Config, name: Option<&str>) -> Result<(&'a Issuer, SecretString), TokenError> {
    let issuers = &config.auth.issuers;
    if let Some(name) = name.filter(|name| issuers.iter().all(|issuer| issuer.name != *name)) {
        return Err(unknown_issuer(name, issuers));
    }
    let wanted = |issuer: &&Issuer| name.is_none_or(|name| issuer.name == name);
    let mut signers = issuers.iter().filter(wanted).filter_map(|issuer| match &issuer.keys {
        IssuerKeys::Held(live) => Some((issuer, live.get().signing_secret()?.clone())),
        IssuerKeys::Fetched(_) => None,
    });
    match (signers.next(), signers.next()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(TokenError::Ambiguous),
        (None, _) => Err(name.map_or(TokenError::NoSecret, |name| TokenError::NoSecretOf(name.to_owned()))),
    }
}

fn unknown_issuer(name: &str, issuers: &[Issuer]) -> TokenError {
    let configured: Vec<&str> = issuers.iter().map(|issuer| issuer.name.as_str()).collect();
    let hint = closest(name, configured.iter().copied()).map(|meant| format!("; did you mean \"{meant}\"?"));
    TokenError::UnknownIssuer {
        name: name.to_owned(),
        configured: configured.join(", "),
        hint: hint.unwrap_or_default(),
    }
}
