//! Limits of requests in flight: in total, and a share of it per caller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::model::CallerId;

use super::lock;

/// One caller holds at most this part of the permits, and at least one.
const CALLER_PART: usize = 4;

/// Returns how many of `total` permits one caller may hold.
pub fn caller_share(total: usize) -> usize {
    (total / CALLER_PART).max(1)
}

/// The permits of requests in flight.
#[derive(Debug, Clone)]
pub struct ConcurrencyLimit {
    total: usize,
    per_caller: usize,
    held: Arc<Mutex<Held>>,
}

/// Permits that are held. A caller without any has no entry.
#[derive(Debug, Default)]
struct Held {
    total: usize,
    by_caller: HashMap<CallerId, usize>,
}

/// The limit that refused a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exceeded {
    /// The caller's own share.
    Caller,
    Total,
}

/// A permit of one request. Clones belong to the same request; the last one to be dropped returns the permit.
#[derive(Debug, Clone)]
pub struct Permit(#[expect(dead_code, reason = "returned when dropped")] Arc<Returned>);

#[derive(Debug)]
struct Returned {
    held: Arc<Mutex<Held>>,
    caller: CallerId,
}

impl ConcurrencyLimit {
    pub fn new(total: usize) -> Self {
        Self { total, per_caller: caller_share(total), held: Arc::default() }
    }

    /// Takes a permit for a request of `caller`.
    ///
    /// # Errors
    /// The limit that has no permit left; the caller's own is checked first.
    pub fn try_acquire(&self, caller: &CallerId) -> Result<Permit, Exceeded> {
        let mut held = lock(&self.held);
        let own = held.by_caller.get(caller).copied().unwrap_or_default();
        if own >= self.per_caller {
            return Err(Exceeded::Caller);
        }
        if held.total >= self.total {
            return Err(Exceeded::Total);
        }
        held.total += 1;
        held.by_caller.insert(caller.clone(), own + 1);
        drop(held);
        Ok(Permit(Arc::new(Returned { held: self.held.clone(), caller: caller.clone() })))
    }
}

impl Drop for Returned {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        held.total -= 1;
        if let Some(own) = held.by_caller.get_mut(&self.caller) {
            *own -= 1;
            if *own == 0 {
                held.by_caller.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn caller(subject: usize) -> CallerId {
        CallerId { issuer: "i".into(), subject: subject.to_string().into() }
    }

    #[test]
    fn caller_share_is_a_quarter_and_at_least_one() {
        for (total, share) in [(1, 1), (3, 1), (8, 2), (1024, 256)] {
            let limit = ConcurrencyLimit::new(total);
            let held: Vec<_> = (0..share).map(|_| limit.try_acquire(&caller(0)).unwrap()).collect();
            assert_eq!(limit.try_acquire(&caller(0)).unwrap_err(), Exceeded::Caller);
            assert_eq!(limit.try_acquire(&caller(1)).is_ok(), total > 1, "{total}");
            drop(held);
            assert!(limit.try_acquire(&caller(0)).is_ok());
        }
    }

    proptest! {
        #[test]
        fn permits_never_exceed_either_limit_and_all_return(
            total in 1..20_usize,
            steps in prop::collection::vec((0..6_usize, any::<bool>()), 0..200),
        ) {
            let limit = ConcurrencyLimit::new(total);
            let mut held: Vec<(usize, Permit)> = Vec::new();
            for (subject, acquires) in steps {
                let own = held.iter().filter(|(holder, _)| *holder == subject).count();
                if acquires {
                    let expected = match () {
                        () if own >= (total / 4).max(1) => Err(Exceeded::Caller),
                        () if held.len() >= total => Err(Exceeded::Total),
                        () => Ok(()),
                    };
                    let permit = limit.try_acquire(&caller(subject));
                    prop_assert_eq!(permit.as_ref().map(|_| ()).map_err(|exceeded| *exceeded), expected);
                    held.extend(permit.ok().map(|permit| (subject, permit)));
                } else if let Some(at) = held.iter().position(|(holder, _)| *holder == subject) {
                    held.swap_remove(at);
                }
            }
            held.clear();
            let left = lock(&limit.held);
            prop_assert!(left.total == 0 && left.by_caller.is_empty(), "{:?}", left);
        }
    }
}
