//! One issuer: its keys of the moment, and what must be so in a token for them to vouch for it.

use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode};

use crate::live::{Live, OnDemand};
use crate::outbound::{ClientConfig, ClientError};

use super::fetched::FetchedKeys;
use super::keys::{Key, KeyId};
use super::token::{Claimed, Claims, Verified};
use super::{Issuer, IssuerKeys, KeySet};

const BAD_SIGNATURE: &str = "the token's signature is not valid";

/// Verifies the tokens of one issuer.
pub(super) struct Verifier {
    /// Its name in the configuration.
    pub(super) name: String,
    /// Its `iss`.
    pub(super) issuer: Arc<str>,
    pub(super) keys: Keys,
    validation: Validation,
}

/// Where the keys of the moment are.
pub(super) enum Keys {
    Held(HeldKeys),
    Fetched(Arc<FetchedKeys>),
}

/// Keys of the configuration, or of a file.
pub(super) struct HeldKeys {
    pub(super) live: Arc<Live<KeySet>>,
    file: OnDemand,
}

/// Between two readings of a file for tokens.
const REREAD_COOL_DOWN: Duration = Duration::from_secs(1);

/// Why a token does not do.
pub(super) enum Refusal {
    Bad(&'static str),
    /// There are no keys to tell by, and for so long nobody will look for some.
    NoKeys(Duration),
}

/// Why a token does not do with the keys at hand.
pub(super) enum NotNow {
    Bad(&'static str),
    /// None of these can have signed it, but one of a newer set might.
    NotOf(Option<Arc<KeySet>>),
}

/// What one set of keys says of a token.
enum Failed {
    /// No key of the set can have signed it, but one of a newer set might.
    OfNoKey,
    Bad(&'static str),
}

impl Verifier {
    pub(super) fn new(issuer: &Issuer, leeway: Duration, client: &ClientConfig) -> Result<Self, ClientError> {
        let keys = match &issuer.keys {
            IssuerKeys::Held(live) => {
                Keys::Held(HeldKeys { live: live.clone(), file: OnDemand::new(REREAD_COOL_DOWN) })
            }
            IssuerKeys::Fetched(at) => Keys::Fetched(Arc::new(FetchedKeys::new(issuer, at, client)?)),
        };
        // The list comes from the configuration, never from the token.
        let mut validation = Validation::new(issuer.algorithms[0]);
        validation.algorithms.clone_from(&issuer.algorithms);
        validation.set_issuer(&[&issuer.issuer]);
        validation.set_audience(&issuer.audience);
        // Without this list the crate takes a token that lacks them.
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.validate_nbf = true;
        validation.leeway = leeway.as_secs();
        Ok(Self { name: issuer.name.clone(), issuer: issuer.issuer.as_str().into(), keys, validation })
    }

    /// Whether this issuer may have made the token.
    pub(super) fn may_vouch_for(&self, claimed: &Claimed) -> bool {
        *self.issuer == *claimed.issuer && self.validation.algorithms.contains(&claimed.algorithm)
    }

    /// Whether a key is still among those that vouch.
    pub(super) fn holds(&self, key: KeyId) -> bool {
        match &self.keys {
            Keys::Held(held) => held.live.get().holds(key),
            Keys::Fetched(fetched) => fetched.get().is_some_and(|keys| keys.holds(key)),
        }
    }

    /// The key that vouches for a token, and what the token says, by the keys at hand.
    pub(super) fn check(&self, token: &str, claimed: &Claimed) -> Result<(KeyId, Verified), NotNow> {
        let keys = match &self.keys {
            Keys::Held(held) => Some(held.live.get()),
            Keys::Fetched(fetched) => fetched.get(),
        };
        let Some(keys) = keys else { return Err(NotNow::NotOf(None)) };
        self.check_with(&keys, token, claimed).map_err(|failed| match failed {
            Failed::OfNoKey => NotNow::NotOf(Some(keys.clone())),
            Failed::Bad(why) => NotNow::Bad(why),
        })
    }

    /// The same by newer keys than these, where there are some.
    pub(super) async fn check_by_newer(
        &self,
        known: Option<Arc<KeySet>>,
        token: &str,
        claimed: &Claimed,
    ) -> Result<(KeyId, Verified), Refusal> {
        let newer = match &self.keys {
            Keys::Held(held) => held.newer_than(known.as_ref()).await,
            Keys::Fetched(fetched) => fetched.newer_than(known.as_ref()).await.map_err(Refusal::NoKeys)?,
        };
        self.check_with(&newer, token, claimed).map_err(|failed| match failed {
            Failed::OfNoKey => Refusal::Bad(BAD_SIGNATURE),
            Failed::Bad(why) => Refusal::Bad(why),
        })
    }

    fn check_with(&self, keys: &KeySet, token: &str, claimed: &Claimed) -> Result<(KeyId, Verified), Failed> {
        let kid = claimed.kid.as_deref();
        for key in keys.fitting(kid, claimed.algorithm) {
            if let Some(claims) = self.check_by(key, token, claimed).map_err(Failed::Bad)? {
                return Ok((key.id, claims.verified().map_err(Failed::Bad)?));
            }
        }
        let named = kid.is_some_and(|kid| keys.names(kid));
        Err(if named { Failed::Bad(BAD_SIGNATURE) } else { Failed::OfNoKey })
    }

    /// `None`: the key has not signed it.
    fn check_by(&self, key: &Key, token: &str, claimed: &Claimed) -> Result<Option<Claims>, &'static str> {
        let mut validation = self.validation.clone();
        validation.algorithms = vec![claimed.algorithm];
        // The signature comes first: an error about the claims is one of a token that the key has signed.
        match decode::<Claims>(token, &key.decoding, &validation) {
            Ok(data) => Ok(Some(data.claims)),
            Err(error) => reason(error.kind()).map_or(Ok(None), Err),
        }
    }
}

impl HeldKeys {
    /// Newer keys than these, where the file holds some.
    async fn newer_than(&self, known: Option<&Arc<KeySet>>) -> Arc<KeySet> {
        let is_needed = || known.is_none_or(|known| Arc::ptr_eq(known, &self.live.get()));
        if self.live.may_change() {
            self.file.reread(self.live.clone(), is_needed).await;
        }
        self.live.get()
    }
}

/// What is wrong with the claims; `None`: it is about the signature.
fn reason(kind: &ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::ExpiredSignature => Some("the token has expired"),
        ErrorKind::ImmatureSignature => Some("the token is not valid yet"),
        ErrorKind::InvalidAudience => Some("the token is for another audience"),
        ErrorKind::InvalidIssuer => Some("the token is of another issuer"),
        ErrorKind::MissingRequiredClaim(_) => Some("the token lacks one of exp, iss, aud and sub"),
        ErrorKind::Json(_) | ErrorKind::Utf8(_) | ErrorKind::InvalidClaimFormat(_) => Some("the token is malformed"),
        _ => None,
    }
}
