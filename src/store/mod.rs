//! State shared by requests, each concern behind one small seam. In memory now; knows only the model.

pub mod concurrency;
pub mod details;
pub mod idempotency;
pub mod quota;
#[cfg(test)]
mod resident;
mod weigh;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock on plain data: what a holder that panicked left is still whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
