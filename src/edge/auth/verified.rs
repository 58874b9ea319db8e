//! Tokens that were found good: their signature is not checked again for as long as the key that vouched for them is there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache;
use sha2::{Digest, Sha256};

use crate::model::Caller;

use super::keys::KeyId;
use super::token::Life;

/// What all entries may take, in bytes: some 25,000 tokens of usual size.
const MAX_BYTES: u64 = 32 << 20;
/// What an entry takes beside what the token says.
const ENTRY_BYTES: usize = 512;

/// What a scope takes beside its text.
const SCOPE_BYTES: usize = 64;

/// Good tokens, by a hash: the memory of this process holds no token that somebody could use.
pub(super) struct VerifiedTokens(Cache<TokenHash, Entry>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TokenHash([u8; 32]);

/// Who calls, and what must still be so for the token to hold.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) caller: Arc<Caller>,
    /// Which of the issuers it is.
    pub(super) issuer: usize,
    /// The key that vouched for it.
    pub(super) key: KeyId,
    pub(super) life: Life,
    /// How long it held when it was found good, leeway included.
    pub(super) left: Duration,
    /// The token's length.
    pub(super) bytes: usize,
}

impl TokenHash {
    pub(super) fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

impl VerifiedTokens {
    pub(super) fn new() -> Self {
        let weigh = |_: &TokenHash, entry: &Entry| {
            let scopes: usize = entry.caller.scopes.iter().map(|scope| scope.len() + SCOPE_BYTES).sum();
            u32::try_from(entry.bytes + scopes + ENTRY_BYTES).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(MAX_BYTES).weigher(weigh).expire_after(WithTheToken).build())
    }

    pub(super) fn get(&self, token: TokenHash) -> Option<Entry> {
        self.0.get(&token)
    }

    pub(super) fn insert(&self, token: TokenHash, entry: Entry) {
        self.0.insert(token, entry);
    }

    pub(super) fn forget(&self, token: TokenHash) {
        self.0.invalidate(&token);
    }
}

/// Frees the memory; whether a token holds is looked at by the clock on the wall with each use.
struct WithTheToken;

impl Expiry<TokenHash, Entry> for WithTheToken {
    fn expire_after_create(&self, _token: &TokenHash, entry: &Entry, _created: Instant) -> Option<Duration> {
        // The clock is read in whole seconds, and the last one counts.
        Some(entry.left.saturating_add(Duration::from_secs(1)))
    }
}
