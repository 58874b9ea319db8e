//! The keys that vouch for an issuer's tokens, wherever they are from. Each is held together with the algorithms that it may
//! be used with (RFC 8725 §3.1), so that no token can choose another.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::jwk;

/// The shortest secret of an HMAC signature, in bytes: as long as SHA-256's output (RFC 7518 §3.2).
const MIN_SECRET_BYTES: usize = 32;
/// The most keys of one set. A token that names none is tried with each.
const MOST_KEYS: usize = 64;
/// What each block of PEM begins with.
const BEGIN: &[u8] = b"-----BEGIN ";

/// The keys of one moment, at least one.
pub struct KeySet {
    keys: Vec<Key>,
    /// Of several secrets the first, which signs.
    signing: Option<SecretString>,
}

/// One key.
pub(super) struct Key {
    pub(super) id: KeyId,
    pub(super) decoding: DecodingKey,
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
}

/// Tells keys apart: a hash over the key, its name and its algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyId([u8; 32]);

impl KeySet {
    /// One secret.
    ///
    /// # Errors
    /// It is too short.
    pub fn of_secret(secret: &SecretString, algorithms: &[Algorithm]) -> Result<Self, String> {
        Self::of_texts(&[secret.expose_secret()], algorithms)
    }

    /// Secrets, one a line; empty lines count for nothing. The first signs, all verify.
    ///
    /// # Errors
    /// There is none, or one is too short or no text.
    pub fn of_secrets(lines: &[u8], algorithms: &[Algorithm]) -> Result<Self, String> {
        let text = std::str::from_utf8(lines).map_err(|_| "expected text in UTF-8")?;
        let secrets: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        Self::of_texts(&secrets, algorithms)
    }

    fn of_texts(secrets: &[&str], algorithms: &[Algorithm]) -> Result<Self, String> {
        let first = secrets.first().ok_or("expected at least one secret")?;
        if secrets.iter().any(|secret| secret.len() < MIN_SECRET_BYTES) {
            return Err(format!("expected secrets of {MIN_SECRET_BYTES} bytes or more (RFC 7518 §3.2)"));
        }
        let key = |secret: &&str| {
            let bytes = secret.as_bytes();
            Key::new(None, algorithms.to_vec(), DecodingKey::from_secret(bytes), &[bytes])
        };
        Ok(Self { keys: few(secrets.iter().map(key).collect())?, signing: Some((*first).to_owned().into()) })
    }

    /// Public keys in PEM, one after the other.
    ///
    /// # Errors
    /// There is none, something else, a key that fits none of the algorithms, or an algorithm that no key fits.
    pub fn of_pem(text: &[u8], algorithms: &[Algorithm]) -> Result<Self, String> {
        let unfit = || "expected public keys in PEM that fit the algorithms, one or more for each".to_owned();
        let blocks = pem::parse_many(text).map_err(|_| unfit())?;
        // The crate passes over a block without an end: a file that was seen half written.
        if text.windows(BEGIN.len()).filter(|window| *window == BEGIN).count() != blocks.len() {
            return Err(unfit());
        }
        let key = |block: &pem::Pem| jwk::of_pem(block).and_then(|jwk| jwk::key(&jwk, algorithms));
        let keys: Vec<Key> = blocks.iter().map(key).collect::<Result<_, _>>().map_err(|why| {
            // Which of several it is stays open; what is wrong with it does not.
            format!("{}; one {why}", unfit())
        })?;
        if keys.is_empty() || !algorithms.iter().all(|wanted| keys.iter().any(|key| key.algorithms.contains(wanted))) {
            return Err(unfit());
        }
        Ok(Self { keys: few(keys)?, signing: None })
    }

    /// A JWK set (RFC 7517 §5). What it holds beside keys of use is passed over.
    ///
    /// # Errors
    /// It is none, or holds no key that fits an algorithm.
    pub fn of_jwks(json: &[u8], algorithms: &[Algorithm]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_slice(json).map_err(|_| "expected a JWK set: JSON with a list keys")?;
        let mut keys = Vec::new();
        for member in &set.keys {
            match jwk::public(member).and_then(|jwk: Jwk| jwk::key(&jwk, algorithms)) {
                Ok(key) => keys.push(key),
                Err(why) => tracing::debug!(why, "a key of a JWK set is passed over"),
            }
        }
        if keys.is_empty() {
            return Err("expected a JWK set with a public key that fits one of the algorithms".to_owned());
        }
        Ok(Self { keys: few(keys)?, signing: None })
    }

    /// The secret that signs, where these are secrets.
    pub fn signing_secret(&self) -> Option<&SecretString> {
        self.signing.as_ref()
    }

    /// The keys that may have signed a token with this header. One that the set calls by no name may have signed any.
    pub(super) fn fitting(&self, kid: Option<&str>, algorithm: Algorithm) -> impl Iterator<Item = &Key> {
        self.keys.iter().filter(move |key| {
            key.algorithms.contains(&algorithm) && (kid.is_none() || key.kid.is_none() || key.kid.as_deref() == kid)
        })
    }

    /// Whether a key goes by this name. Several may (RFC 7517 §4.5).
    pub(super) fn names(&self, kid: &str) -> bool {
        self.keys.iter().any(|key| key.kid.as_deref() == Some(kid))
    }

    pub(super) fn holds(&self, id: KeyId) -> bool {
        self.keys.iter().any(|key| key.id == id)
    }

    /// Whether both hold the same keys.
    pub(super) fn is_same_as(&self, other: &Self) -> bool {
        self.keys.iter().map(|key| key.id).eq(other.keys.iter().map(|key| key.id))
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

impl Key {
    /// `material` is what makes the key another one.
    pub(super) fn new(
        kid: Option<String>,
        algorithms: Vec<Algorithm>,
        decoding: DecodingKey,
        material: &[&[u8]],
    ) -> Self {
        let mut hash = Sha256::new();
        for part in [format!("{kid:?}").as_bytes(), format!("{algorithms:?}").as_bytes()].iter().chain(material) {
            hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            hash.update(part);
        }
        Self { id: KeyId(hash.finalize().into()), decoding, kid, algorithms }
    }
}

fn few(keys: Vec<Key>) -> Result<Vec<Key>, String> {
    if keys.len() <= MOST_KEYS { Ok(keys) } else { Err(format!("expected at most {MOST_KEYS} keys")) }
}

/// They may be secrets.
impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys.len()).finish_non_exhaustive()
    }
}
