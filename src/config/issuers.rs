//! `[auth.issuers.NAME]`: who may make tokens, and where the keys are that vouch for them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;

use crate::edge::{Issuer, IssuerKeys, JwksUrl, KeySet};
use crate::live::Live;
use crate::outbound::{self, Way};

use super::check::Checker;
use super::{ConfigError, raw};

const REFRESH: Duration = Duration::from_mins(10);
const COOL_DOWN: Duration = Duration::from_secs(30);

/// Makes keys of a file's bytes.
type Parse = fn(&[u8], &[Algorithm]) -> Result<KeySet, String>;

impl Checker<'_> {
    pub(super) fn issuer(&self, name: &str, raw: &raw::Issuer) -> Result<Issuer, ConfigError> {
        let key = |key: &str| format!("auth.issuers.{name}.{key}");
        if raw.audience.is_empty() {
            return Err(self.fault(key("audience"), "expected at least one audience"));
        }
        let symmetric =
            |algorithm: &Algorithm| matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
        // A list of both would let a public key be taken for a secret, if anything else went wrong.
        let secret = raw.secret.is_some() || raw.secret_file.is_some();
        if raw.algorithms.is_empty() || raw.algorithms.iter().any(|algorithm| symmetric(algorithm) != secret) {
            let expected = "expected HS256, HS384 or HS512 with a secret, and RS, PS, ES or EdDSA with public keys";
            return Err(self.fault(key("algorithms"), expected));
        }
        if raw.jwks_url.is_none() && (raw.jwks_refresh.is_some() || raw.jwks_cool_down.is_some()) {
            let known = if raw.jwks_refresh.is_some() { "jwks_refresh" } else { "jwks_cool_down" };
            return Err(self.fault(key(known), "goes with jwks_url only"));
        }
        Ok(Issuer {
            name: name.to_owned(),
            issuer: raw.issuer.clone(),
            audience: raw.audience.clone(),
            algorithms: raw.algorithms.clone(),
            keys: self.issuer_keys(name, raw)?,
        })
    }

    fn issuer_keys(&self, name: &str, raw: &raw::Issuer) -> Result<IssuerKeys, ConfigError> {
        let key = |key: &str| format!("auth.issuers.{name}.{key}");
        let held = |live| IssuerKeys::Held(Arc::new(live));
        let files: [(_, &Option<PathBuf>, Parse); 3] = [
            ("secret_file", &raw.secret_file, KeySet::of_secrets),
            ("public_key_file", &raw.public_key_file, KeySet::of_pem),
            ("jwks_file", &raw.jwks_file, KeySet::of_jwks),
        ];
        let mut files = files.into_iter().filter_map(|(name, path, parse)| Some((name, path.as_ref()?, parse)));
        match (&raw.secret, files.next(), &raw.jwks_url, files.next()) {
            (Some(secret), None, None, None) => {
                let keys = KeySet::of_secret(secret, &raw.algorithms);
                Ok(held(Live::fixed(keys.map_err(|why| self.fault(key("secret"), &why))?)))
            }
            (None, Some((file, path, parse)), None, None) => {
                let algorithms = raw.algorithms.clone();
                let keys = Live::of_file(key(file), path, move |bytes| parse(bytes, &algorithms));
                Ok(held(keys.map_err(|why| self.fault(key(file), &why))?))
            }
            (None, None, Some(url), None) => self.jwks_url(&key, url, raw).map(IssuerKeys::Fetched),
            _ => {
                let expected = "expected exactly one of secret, secret_file, public_key_file, jwks_file and jwks_url";
                Err(self.fault(format!("auth.issuers.{name}"), expected))
            }
        }
    }

    fn jwks_url(&self, key: &impl Fn(&str) -> String, url: &str, raw: &raw::Issuer) -> Result<JwksUrl, ConfigError> {
        let url = outbound::absolute(url).filter(|url| matches!(Way::to(url), Way::Tls | Way::Loopback));
        let url = url.ok_or_else(|| {
            let expected = "expected an absolute https URL without user and fragment; plain http is taken to a loopback \
                            address only";
            self.fault(key("jwks_url"), expected)
        })?;
        let refresh = raw.jwks_refresh.unwrap_or(REFRESH);
        if !(Duration::from_secs(1)..=Duration::from_hours(24)).contains(&refresh) {
            return Err(self.fault(key("jwks_refresh"), "expected 1s to 24h"));
        }
        let cool_down = raw.jwks_cool_down.unwrap_or(COOL_DOWN);
        if !(Duration::from_secs(1)..=Duration::from_mins(10)).contains(&cool_down) {
            return Err(self.fault(key("jwks_cool_down"), "expected 1s to 10m"));
        }
        Ok(JwksUrl { url, refresh, cool_down })
    }
}
