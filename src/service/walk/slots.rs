//! How many walks may be under way, in total and of one caller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::model::{CallerId, Problem, ProblemCode};

/// The bounds.
#[derive(Debug, Clone, Copy)]
pub struct StreamLimits {
    pub total: usize,
    pub per_caller: usize,
}

/// What a refused caller is asked to wait: a walk takes seconds at least.
const RETRY_AFTER: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Slots {
    limits: StreamLimits,
    taken: Arc<Mutex<HashMap<CallerId, usize>>>,
}

impl Slots {
    pub(super) fn new(limits: StreamLimits) -> Self {
        Self { limits, taken: Arc::default() }
    }

    pub(super) fn take(&self, caller: &CallerId) -> Result<Slot, Problem> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.get(caller).copied().unwrap_or(0) >= self.limits.per_caller {
            let detail = format!("the caller has {} streams open already", self.limits.per_caller);
            return Err(Problem::new(ProblemCode::RateLimited, detail).with_retry_after(RETRY_AFTER));
        }
        if taken.values().sum::<usize>() >= self.limits.total {
            let problem = Problem::new(ProblemCode::Overloaded, "more streams are open than the gateway holds");
            return Err(problem.with_retry_after(RETRY_AFTER));
        }
        *taken.entry(caller.clone()).or_default() += 1;
        Ok(Slot { taken: self.taken.clone(), caller: caller.clone() })
    }
}

/// A walk's place, given back when the walk ends.
pub(super) struct Slot {
    taken: Arc<Mutex<HashMap<CallerId, usize>>>,
    caller: CallerId,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.caller) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.caller);
            }
        }
    }
}
