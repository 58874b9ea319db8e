//! `[auth.issuers.NAME]`: who may make tokens, and where the keys are that vouch for them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::Algorithm;
use secrecy::{ExposeSecret, SecretString};

use crate::edge::{Issuer, IssuerKeys, JwksUrl, KeySet};
use crate::live::{FileError, Live};
use crate::outbound::{self, Way};
use crate::upstream::{HIDDEN, HIDDEN_GIVEN};

use super::check::Checker;
use super::raw;

const REFRESH: Duration = Duration::from_mins(10);
const COOL_DOWN: Duration = Duration::from_secs(30);

/// Makes keys of a file's bytes.
type Parse = fn(&[u8], &[Algorithm]) -> Result<KeySet, String>;

impl Checker<'_> {
    pub(super) fn issuers(&mut self, raw: &BTreeMap<String, raw::Issuer>) -> Vec<Issuer> {
        raw.iter().filter_map(|(name, issuer)| self.issuer(name, issuer)).collect()
    }

    fn issuer(&mut self, name: &str, raw: &raw::Issuer) -> Option<Issuer> {
        let key = |key: &str| format!("auth.issuers.{name}.{key}");
        if raw.audience.is_empty() {
            self.reject(key("audience"), "expected at least one audience");
        }
        let symmetric =
            |algorithm: &Algorithm| matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512);
        // A list of both would let a public key be taken for a secret, if anything else went wrong.
        let secret = raw.secret.is_some() || raw.secret_file.is_some();
        let fit = !raw.algorithms.is_empty() && raw.algorithms.iter().all(|algorithm| symmetric(algorithm) == secret);
        let (count, has_one_key) = self.has_one_key(name, raw);
        if !fit && (count > 0 || raw.algorithms.is_empty()) {
            let expected = "expected HS256, HS384 or HS512 with a secret, and RS, PS, ES or EdDSA with public keys";
            self.reject(key("algorithms"), expected);
        }
        if raw.jwks_url.is_none() {
            let only_with_url = [("jwks_refresh", raw.jwks_refresh), ("jwks_cool_down", raw.jwks_cool_down)];
            for (given, _) in only_with_url.into_iter().filter(|(_, duration)| duration.is_some()) {
                self.reject(key(given), "goes with jwks_url only");
            }
        }
        if !has_one_key {
            return None;
        }
        if !fit {
            self.key_source(name, raw);
            return None;
        }
        let keys = self.issuer_keys(name, raw)?;
        Some(Issuer {
            name: name.to_owned(),
            issuer: raw.issuer.clone(),
            audience: raw.audience.clone(),
            algorithms: raw.algorithms.clone(),
            keys,
        })
    }

    /// Checks that exactly one of the settings with an issuer's keys is given. Returns how many are, and whether it is one.
    fn has_one_key(&mut self, name: &str, raw: &raw::Issuer) -> (usize, bool) {
        let given = [
            ("secret", raw.secret.is_some()),
            ("secret_file", raw.secret_file.is_some()),
            ("public_key_file", raw.public_key_file.is_some()),
            ("jwks_file", raw.jwks_file.is_some()),
            ("jwks_url", raw.jwks_url.is_some()),
        ];
        let section = format!("auth.issuers.{name}");
        let count = given.iter().filter(|(_, is_given)| *is_given).count();
        // A misspelt or unreadable one is an error of its own.
        let is_explained = || given.iter().any(|(key, _)| self.is_at_fault(&format!("{section}.{key}")));
        if count != 1 && !(count == 0 && is_explained()) {
            let all = "secret, secret_file, public_key_file, jwks_file and jwks_url";
            let given: Vec<&str> = given.iter().filter(|(_, is_given)| *is_given).map(|(key, _)| *key).collect();
            let found =
                if given.is_empty() { "none is given".to_owned() } else { format!("given: {}", given.join(", ")) };
            self.reject(section, format!("expected exactly one of {all}; {found}"));
        }
        (count, count == 1)
    }

    /// Checks the secret, file or URL of keys that are not read: keys are read for their algorithms, and without a fitting list every
    /// error of theirs would follow from that.
    fn key_source(&mut self, name: &str, raw: &raw::Issuer) {
        let key = |key: &str| format!("auth.issuers.{name}.{key}");
        for (file, path, _) in files(raw) {
            if let Some(path) = path
                && let Err(error) = Live::of_file(key(file), path, |_| Ok(()))
            {
                self.reject(key(file), message(file, &error));
            }
        }
        if let Some(Err(why)) = raw.secret.as_ref().map(|secret| of_secret(secret, &[Algorithm::HS256])) {
            self.reject(key("secret"), why);
        }
        if let Some(url) = &raw.jwks_url {
            let _checked = self.jwks_url(&key, url, raw);
        }
    }

    fn issuer_keys(&mut self, name: &str, raw: &raw::Issuer) -> Option<IssuerKeys> {
        let key = |key: &str| format!("auth.issuers.{name}.{key}");
        let file = files(raw).into_iter().find_map(|(name, path, parse)| Some((name, path.as_ref()?, parse)));
        let (given, keys) = if let Some(secret) = &raw.secret {
            ("secret", of_secret(secret, &raw.algorithms).map(Live::fixed))
        } else if let Some((file, path, parse)) = file {
            let algorithms = raw.algorithms.clone();
            let keys = Live::of_file(key(file), path, move |bytes| parse(bytes, &algorithms));
            (file, keys.map_err(|error| message(file, &error)))
        } else {
            return self.jwks_url(&key, raw.jwks_url.as_deref()?, raw).map(IssuerKeys::Fetched);
        };
        let keys = keys.map_err(|why| self.reject(key(given), why));
        keys.ok().map(|keys| IssuerKeys::Held(Arc::new(keys)))
    }

    fn jwks_url(&mut self, key: &impl Fn(&str) -> String, url: &str, raw: &raw::Issuer) -> Option<JwksUrl> {
        let url = outbound::absolute(url).filter(|url| matches!(Way::to(url), Way::Tls | Way::Loopback));
        if url.is_none() {
            let expected = "expected an absolute https URL without user and fragment; plain http is taken to a loopback \
                            address only";
            self.reject(key("jwks_url"), expected);
        }
        let refresh = raw.jwks_refresh.unwrap_or(REFRESH);
        if !(Duration::from_secs(1)..=Duration::from_hours(24)).contains(&refresh) {
            self.reject(key("jwks_refresh"), "expected 1s to 24h");
        }
        let cool_down = raw.jwks_cool_down.unwrap_or(COOL_DOWN);
        if !(Duration::from_secs(1)..=Duration::from_mins(10)).contains(&cool_down) {
            self.reject(key("jwks_cool_down"), "expected 1s to 10m");
        }
        Some(JwksUrl { url: url?, refresh, cool_down })
    }
}

/// The keys that name files, their paths, and how each file is parsed.
fn files(raw: &raw::Issuer) -> [(&'static str, &Option<PathBuf>, Parse); 3] {
    [
        ("secret_file", &raw.secret_file, KeySet::of_secrets),
        ("public_key_file", &raw.public_key_file, KeySet::of_pem),
        ("jwks_file", &raw.jwks_file, KeySet::of_jwks),
    ]
}

fn of_secret(secret: &SecretString, algorithms: &[Algorithm]) -> Result<KeySet, String> {
    if secret.expose_secret() == HIDDEN {
        return Err(HIDDEN_GIVEN.to_owned());
    }
    KeySet::of_secret(secret, algorithms)
}

/// The message about a file that cannot be used.
fn message(file: &str, error: &FileError) -> String {
    if file == "secret_file" { error.with_inline("secret") } else { error.to_string() }
}
