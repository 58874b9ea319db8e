//! Reservations of bytes in flight: request bodies, answers of sources while they are decoded, and answers until they are
//! written.
//!
//! Two reservations that each hold a part and wait for more cannot block each other for longer than [`PATIENCE`]: then one is
//! refused, and what it holds is free again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use crate::model::CallerId;
use crate::telemetry::metrics;

/// Bytes that one permit stands for.
const UNIT: usize = 1024;
/// Bytes of each reservation that are not counted, a multiple of [`UNIT`]: small requests take no lock that is shared, and never
/// wait. They are part of what the limit leaves for the program.
pub const UNCOUNTED: usize = 32 * 1024;
const CALLERS_PART: usize = super::shares::CALLERS_PART;
/// Divisor of all bytes: the quotient is what work that callers share may hold together.
const SHARED_PART: usize = 2;
/// The longest wait for bytes to become free.
const PATIENCE: Duration = Duration::from_millis(500);

tokio::task_local! {
    static CURRENT: Call;
}

/// What a call in progress is charged to.
#[derive(Debug, Clone)]
pub struct Call {
    pub reservation: Arc<Reservation>,
    /// Whether the raw form of the answer is kept beside what is made of it.
    pub raw: bool,
}

impl Call {
    /// The call in progress, if it is charged.
    pub fn current() -> Option<Self> {
        CURRENT.try_with(Clone::clone).ok()
    }
}

/// The bytes in flight of the process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct InFlight(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// First in, first out: a large reservation is not overtaken by small ones for ever.
    permits: Arc<Semaphore>,
    units: usize,
    callers: Arc<Callers>,
    /// Of the work that callers share.
    shared: Arc<Semaphore>,
}

type Callers = Mutex<HashMap<CallerId, Weak<Share>>>;

/// The permits of one caller, while it has a reservation that is counted.
#[derive(Debug)]
struct Share {
    permits: Arc<Semaphore>,
    caller: CallerId,
    callers: Arc<Callers>,
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut callers = lock(&self.callers);
        // Another one may have followed under the same name.
        if callers.get(&self.caller).is_some_and(|share| share.strong_count() == 0) {
            callers.remove(&self.caller);
        }
    }
}

/// The reason for which bytes are not reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// The caller's other requests use its share.
    Caller,
    /// All requests together use all bytes.
    Total,
    /// The reservation would be larger than it may ever be.
    TooLarge,
}

impl InFlight {
    /// `bytes` is the most that all reservations may hold together.
    pub fn new(bytes: u64) -> Self {
        let units = usize::try_from(bytes).unwrap_or(usize::MAX) / UNIT;
        let units = units.min(Semaphore::MAX_PERMITS);
        let permits = |units| Arc::new(Semaphore::new(units));
        let shared = permits(units / SHARED_PART);
        Self(Arc::new(Inner { permits: permits(units), units, callers: Arc::default(), shared }))
    }

    /// Opens an empty reservation: of a caller, or of work that callers share. The latter may hold half of all bytes together, so that
    /// callers always find the other half.
    pub fn open(&self, caller: Option<CallerId>) -> Arc<Reservation> {
        Arc::new(Reservation { in_flight: self.clone(), caller, held: Mutex::default() })
    }

    fn share(&self, caller: &CallerId) -> Arc<Share> {
        let mut callers = lock(&self.0.callers);
        if let Some(share) = callers.get(caller).and_then(Weak::upgrade) {
            return share;
        }
        let permits = Arc::new(Semaphore::new(self.0.units / CALLERS_PART));
        let share = Arc::new(Share { permits, caller: caller.clone(), callers: self.0.callers.clone() });
        callers.insert(caller.clone(), Arc::downgrade(&share));
        share
    }
}

/// Bytes that one request holds. They are free again when it is dropped.
#[derive(Debug)]
pub struct Reservation {
    in_flight: InFlight,
    caller: Option<CallerId>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// Bytes that are reserved or waited for, those that are not counted included.
    bytes: usize,
    permits: Option<Permits>,
}

#[derive(Debug)]
struct Permits {
    of_all: OwnedSemaphorePermit,
    /// Of the caller's share, or of the part for work that callers share.
    of_part: OwnedSemaphorePermit,
    share: Option<Arc<Share>>,
    counted: Counted,
}

impl Reservation {
    /// Reserves more bytes. What does not fit is waited for, for [`PATIENCE`] at most.
    ///
    /// # Errors
    /// They did not become free in time, or can never fit; then the reservation is as it was.
    pub async fn grow(&self, bytes: usize) -> Result<(), Refused> {
        let bytes = bytes.div_ceil(UNIT).saturating_mul(UNIT);
        let growing = Growing::new(self, bytes);
        if growing.units > 0 {
            let taken =
                self.take(growing.units).await.inspect_err(|refused| metrics::memory_refused(refused.scope()))?;
            self.lock().add(taken);
        }
        growing.done();
        Ok(())
    }

    /// Gives back what is reserved beyond `bytes`.
    pub fn shrink_to(&self, bytes: usize) {
        let mut held = self.lock();
        held.bytes = held.bytes.min(bytes);
        let freed = held.trim();
        drop(held);
        drop(freed);
    }

    /// Takes over all that another reservation of the same caller holds.
    pub fn absorb(&self, other: &Self) {
        let taken = std::mem::take(&mut *other.lock());
        let mut held = self.lock();
        held.bytes += taken.bytes;
        if let Some(permits) = taken.permits {
            held.add(permits);
        }
    }

    /// Opens an empty reservation of the same caller.
    pub fn sibling(&self) -> Arc<Self> {
        self.in_flight.open(self.caller.clone())
    }

    /// Reserved bytes.
    pub fn bytes(&self) -> usize {
        self.lock().bytes
    }

    /// The most bytes that it may ever hold.
    pub fn most(&self) -> usize {
        self.most_units().saturating_mul(UNIT)
    }

    fn most_units(&self) -> usize {
        self.in_flight.0.units / if self.caller.is_some() { CALLERS_PART } else { SHARED_PART }
    }

    /// Whether bytes are counted, rather than few enough to be left out.
    pub fn is_counted(&self) -> bool {
        self.lock().permits.is_some()
    }

    /// Runs a call that is charged to this reservation. `raw`: as [`Call::raw`].
    pub async fn charged<F: Future>(self: &Arc<Self>, raw: bool, call: F) -> F::Output {
        CURRENT.scope(Call { reservation: self.clone(), raw }, call).await
    }

    async fn take(&self, units: usize) -> Result<Permits, Refused> {
        let Inner { permits, shared, .. } = &*self.in_flight.0;
        let held = self.lock().units();
        let fits = units.saturating_add(held) <= self.most_units();
        let units = u32::try_from(units).ok().filter(|_| fits).ok_or(Refused::TooLarge)?;
        let until = Instant::now() + PATIENCE;
        let share = self.caller.as_ref().map(|caller| self.in_flight.share(caller));
        let (part, refused) = match &share {
            Some(share) => (&share.permits, Refused::Caller),
            None => (shared, Refused::Total),
        };
        let of_part = acquire(part, units, until).await.ok_or(refused)?;
        let of_all = acquire(permits, units, until).await.ok_or(Refused::Total)?;
        let counted = Counted::new(of_all.num_permits());
        Ok(Permits { of_all, of_part, share, counted })
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        lock(&self.held)
    }
}

async fn acquire(permits: &Arc<Semaphore>, units: u32, until: Instant) -> Option<OwnedSemaphorePermit> {
    if let Ok(permit) = permits.clone().try_acquire_many_owned(units) {
        return Some(permit);
    }
    timeout_at(until, permits.clone().acquire_many_owned(units)).await.ok()?.ok()
}

impl Held {
    /// The units that the bytes need.
    fn needed(bytes: usize) -> usize {
        bytes.saturating_sub(UNCOUNTED).div_ceil(UNIT)
    }

    fn units(&self) -> usize {
        self.permits.as_ref().map_or(0, |permits| permits.of_all.num_permits())
    }

    fn add(&mut self, more: Permits) {
        match &mut self.permits {
            Some(permits) => permits.merge(more),
            None => self.permits = Some(more),
        }
    }

    /// Takes off the permits that the bytes do not need.
    fn trim(&mut self) -> Option<Permits> {
        let needed = Self::needed(self.bytes);
        if needed == 0 {
            return self.permits.take();
        }
        let excess = self.units().saturating_sub(needed);
        self.permits.as_mut().filter(|_| excess > 0)?.split(excess)
    }
}

impl Permits {
    /// Joins permits of the same caller.
    fn merge(&mut self, other: Self) {
        self.of_all.merge(other.of_all);
        self.of_part.merge(other.of_part);
        self.counted.merge(other.counted);
    }

    fn split(&mut self, units: usize) -> Option<Self> {
        let of_all = self.of_all.split(units)?;
        let of_part = self.of_part.split(units)?;
        Some(Self { of_all, of_part, share: self.share.clone(), counted: self.counted.split(units) })
    }
}

/// Units in the metric of bytes in flight.
#[derive(Debug)]
struct Counted(usize);

impl Counted {
    fn new(units: usize) -> Self {
        metrics::memory_reserved(units * UNIT);
        Self(units)
    }

    fn merge(&mut self, mut other: Self) {
        self.0 += std::mem::take(&mut other.0);
    }

    fn split(&mut self, units: usize) -> Self {
        self.0 -= units;
        Self(units)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::memory_released(self.0 * UNIT);
    }
}

/// A growth under way. Dropped before it is done, the reservation is as it was.
struct Growing<'a> {
    reservation: &'a Reservation,
    bytes: usize,
    /// The units that are missing.
    units: usize,
    is_done: bool,
}

impl<'a> Growing<'a> {
    fn new(reservation: &'a Reservation, bytes: usize) -> Self {
        let mut held = reservation.lock();
        let before = held.bytes;
        held.bytes = before.saturating_add(bytes);
        let units = Held::needed(held.bytes) - Held::needed(before);
        Self { reservation, bytes: held.bytes - before, units, is_done: false }
    }

    fn done(mut self) {
        self.is_done = true;
    }
}

impl Drop for Growing<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            let mut held = self.reservation.lock();
            held.bytes = held.bytes.saturating_sub(self.bytes);
        }
    }
}

impl Refused {
    /// The limit that was reached, for the metric.
    pub fn scope(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Total => "total",
            Self::TooLarge => "request",
        }
    }
}

/// Locks, ignoring poisoning: the data stays valid if a holder panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
