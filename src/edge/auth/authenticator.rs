//! From a token to its caller, and to what that caller may see.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;

use crate::live::Reread;
use crate::model::{Caller, CallerId, Problem, SourceName};
use crate::outbound::{ClientConfig, ClientError};
use crate::telemetry::metrics;

use super::fetched::FetchedKeys;
use super::issuer::{Keys, NotNow, Refusal, Verifier};
use super::keys::KeyId;
use super::token::{self, Claimed, Verified};
use super::verified::{Entry, TokenHash, VerifiedTokens};
use super::{Auth, CallerConfig, invalid, without_keys};

/// Verifies tokens and tells what their callers may see.
pub struct Authenticator {
    issuers: Vec<Verifier>,
    callers: Vec<CallerConfig>,
    /// All sources, in the order of merges.
    sources: Vec<SourceName>,
    default_sources_all: bool,
    leeway: Duration,
    verified: VerifiedTokens,
}

impl Authenticator {
    /// # Errors
    /// A client for keys at a URL that cannot be built.
    pub fn new(
        auth: &Auth,
        callers: Vec<CallerConfig>,
        sources: Vec<SourceName>,
        client: &ClientConfig,
    ) -> Result<Self, ClientError> {
        let verifiers = auth.issuers.iter().map(|issuer| Verifier::new(issuer, auth.leeway, client));
        Ok(Self {
            issuers: verifiers.collect::<Result<_, _>>()?,
            callers,
            sources,
            default_sources_all: auth.default_sources_all,
            leeway: Duration::from_secs(auth.leeway.as_secs()),
            verified: VerifiedTokens::new(),
        })
    }

    /// The files that hold keys.
    pub fn files(&self) -> impl Iterator<Item = Arc<dyn Reread>> {
        self.issuers.iter().filter_map(|issuer| match &issuer.keys {
            Keys::Held(held) => Some(held.live.clone() as Arc<dyn Reread>),
            Keys::Fetched(_) => None,
        })
    }

    /// Fetches the keys that lie at URLs, until it is dropped.
    pub fn follow(&self) -> impl Future<Output = ()> + Send + use<> {
        let fetched = self.issuers.iter().filter_map(|issuer| match &issuer.keys {
            Keys::Held(_) => None,
            Keys::Fetched(fetched) => Some(fetched.clone()),
        });
        let fetched: Vec<_> = fetched.collect();
        async move {
            let mut following: JoinSet<()> = fetched.into_iter().map(FetchedKeys::follow).collect();
            while following.join_next().await.is_some() {}
        }
    }

    /// # Errors
    /// `unauthenticated`, with a challenge that contains the reason; `issuer_unavailable` if the issuer's keys are not there, or
    /// are older than the token and lack its key.
    pub async fn verify(&self, token: &str) -> Result<Arc<Caller>, Problem> {
        // Before the hash: a stranger sends up to 64 KiB.
        token::check_length(token).map_err(invalid)?;
        let hash = TokenHash::of(token);
        if let Some(caller) = self.known(hash) {
            return Ok(caller);
        }
        let claimed = Claimed::read(token).map_err(invalid)?;
        let mut refusal = Refusal::Bad("the token's issuer or algorithm is not accepted");
        let mut unknown = Vec::new();
        // By the keys at hand first: nobody waits for one issuer's host where another one vouches.
        for (index, issuer) in self.issuers.iter().enumerate().filter(|(_, issuer)| issuer.may_vouch_for(&claimed)) {
            match issuer.check(token, &claimed) {
                Ok((key, verified)) => return Ok(self.good(hash, token, index, key, verified)),
                Err(NotNow::Bad(why)) => refusal = Refusal::Bad(why),
                Err(NotNow::NotOf(known)) => unknown.push((index, known)),
            }
        }
        for (index, known) in unknown {
            match self.issuers[index].check_by_newer(known, token, &claimed).await {
                Ok((key, verified)) => return Ok(self.good(hash, token, index, key, verified)),
                // That keys are missing says more than that others do not fit.
                Err(Refusal::Bad(_)) if matches!(refusal, Refusal::NoKeys(_)) => {}
                Err(refused) => refusal = refused,
            }
        }
        Err(match refusal {
            Refusal::Bad(why) => invalid(why),
            Refusal::NoKeys(wait) => without_keys(wait),
        })
    }

    /// Remembers a token whose signature is good.
    fn good(&self, hash: TokenHash, token: &str, index: usize, key: KeyId, verified: Verified) -> Arc<Caller> {
        let issuer = &self.issuers[index];
        metrics::good_token(&issuer.name, "signature");
        let life = verified.life;
        let caller = Arc::new(self.caller(&issuer.issuer, verified));
        if let Some(left) = life.left(since_1970(), self.leeway) {
            let entry = Entry { caller: caller.clone(), issuer: index, key, life, left, bytes: token.len() };
            self.verified.insert(hash, entry);
        }
        caller
    }

    /// The caller of a token that was found good and still is: by its times, and by the key that vouched for it.
    fn known(&self, hash: TokenHash) -> Option<Arc<Caller>> {
        let entry = self.verified.get(hash)?;
        let issuer = &self.issuers[entry.issuer];
        if issuer.holds(entry.key) && entry.life.left(since_1970(), self.leeway).is_some() {
            metrics::good_token(&issuer.name, "reuse");
            return Some(entry.caller);
        }
        self.verified.forget(hash);
        None
    }

    fn caller(&self, issuer: &Arc<str>, token: Verified) -> Caller {
        let id = CallerId { issuer: issuer.clone(), subject: token.subject.into() };
        let entry = self.callers.iter().find(|entry| *entry.issuer == *id.issuer && *entry.subject == *id.subject);
        let configured = entry.and_then(|entry| entry.sources.as_deref());
        let claimed = token.sources.as_deref();
        let sees = |source: &&SourceName| match (claimed, configured) {
            (None, None) => self.default_sources_all,
            (claimed, configured) => {
                claimed.is_none_or(|names| names.iter().any(|name| name == source.as_str()))
                    && configured.is_none_or(|names| names.contains(source))
            }
        };
        let sources = self.sources.iter().filter(sees).cloned().collect();
        Caller { id, scopes: token.scopes.into_iter().collect(), sources }
    }
}

/// As the crate reads the clock: in whole seconds.
fn since_1970() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(now.as_secs())
}
