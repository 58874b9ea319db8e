//! Keys of the configuration, or of a file that is read again for tokens with unknown keys.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::live::{Live, OnDemand, Reread};

use super::KeySet;
use super::fetched::MOST_WAITING;

/// The least time between two readings for tokens, and about the longest that a token waits for one.
const COOL_DOWN: Duration = Duration::from_millis(100);
/// When to repeat a request whose token could not be verified, because the file hangs, is unusable, or too many wait.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) struct HeldKeys {
    pub(super) live: Arc<Live<KeySet>>,
    file: OnDemand,
    waiting: Semaphore,
}

impl HeldKeys {
    pub(super) fn new(live: Arc<Live<KeySet>>) -> Self {
        Self { live, file: OnDemand::new(COOL_DOWN), waiting: Semaphore::new(MOST_WAITING) }
    }

    /// Returns the keys of a reading that began after the call.
    ///
    /// # Errors
    /// There was no such reading, or the file cannot be used: when to try again.
    pub(super) async fn reread(&self) -> Result<Arc<KeySet>, Duration> {
        if !self.live.may_change() {
            return Ok(self.live.get());
        }
        let _permit = self.waiting.try_acquire().map_err(|_full| RETRY_AFTER)?;
        let is_read = self.file.reread_now(self.live.clone()).await;
        if is_read && self.live.is_usable() == Some(true) { Ok(self.live.get()) } else { Err(RETRY_AFTER) }
    }
}
