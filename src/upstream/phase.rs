//! How far a call to a source has come, so that an answer of 504 can say what the time went by with.
//!
//! Whoever may give up waiting makes a [`Progress`] and runs the call within it; what carries out the call notes each
//! phase as it begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Poll};

use tower::{Layer, Service};

use super::Failure;

/// What a call is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The quota that the configuration says the source grants.
    Quota,
    /// One of the source's slots.
    Slot,
    /// Name lookup, TCP and TLS.
    Connect,
    /// The head of the answer.
    Answer,
    /// The body of the answer.
    Body,
    /// The pause before another try.
    Pause,
}

impl Phase {
    const ALL: [Self; 6] = [Self::Quota, Self::Slot, Self::Connect, Self::Answer, Self::Body, Self::Pause];

    /// Whether nothing of a call, or of the last try, has been sent and nothing is being sent.
    pub fn only_waits(self) -> bool {
        matches!(self, Self::Quota | Self::Slot | Self::Pause)
    }

    /// To be read after "while".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Quota => "waiting for its quota",
            Self::Slot => "waiting for a free slot",
            Self::Connect => "connecting",
            Self::Answer => "waiting for its answer",
            Self::Body => "reading its answer",
            Self::Pause => "waiting to try again",
        }
    }
}

/// The phase of one call, or of a row of tries.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    phase: AtomicU8,
    given_up: AtomicBool,
}

tokio::task_local! {
    static CURRENT: Progress;
}

impl Default for Progress {
    fn default() -> Self {
        Self(Arc::new(Inner { phase: AtomicU8::new(Phase::Slot as u8), given_up: AtomicBool::new(false) }))
    }
}

impl Progress {
    /// That of the call which is being carried out, or one that nobody looks at.
    pub(super) fn current() -> Self {
        CURRENT.try_with(Self::clone).unwrap_or_default()
    }

    pub fn phase(&self) -> Phase {
        Phase::ALL[usize::from(self.0.phase.load(Ordering::Relaxed))]
    }

    /// Marks the call that is being carried out as being in this phase.
    #[cfg(test)]
    pub fn enter_for_tests(phase: Phase) {
        Self::current().reached(phase);
    }

    pub(super) fn reached(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Relaxed);
    }

    /// What happened to whoever waits no longer: its turn in the source's quota did not come, or `late`.
    pub fn overdue(&self, late: impl FnOnce(Phase) -> Failure) -> Failure {
        match self.phase() {
            Phase::Quota => Failure::QuotaSpent,
            phase => late(phase),
        }
    }

    /// Nobody waits any more: what is being sent is finished, and not tried again.
    pub fn give_up(&self) {
        self.0.given_up.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.0.given_up.load(Ordering::Relaxed)
    }

    /// The connector is done: where somebody waited for that, it is the answer that is waited for now. Else the call took a
    /// connection that had become free, and this one is kept for others.
    fn connected(&self) {
        let (connect, answer) = (Phase::Connect as u8, Phase::Answer as u8);
        let _elsewhere = self.0.phase.compare_exchange(connect, answer, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Runs a call whose phases are noted here.
    pub async fn of<F: Future>(&self, call: F) -> F::Output {
        CURRENT.scope(self.clone(), call).await
    }
}

/// Notes the time that a client's connector takes.
#[derive(Clone, Copy)]
pub(super) struct Connecting;

#[derive(Clone)]
pub(super) struct Connector<S>(S);

impl<S> Layer<S> for Connecting {
    type Service = Connector<S>;

    fn layer(&self, inner: S) -> Connector<S> {
        Connector(inner)
    }
}

impl<S, R> Service<R> for Connector<S>
where
    S: Service<R>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = futures_util::future::BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, target: R) -> Self::Future {
        let progress = Progress::current();
        progress.reached(Phase::Connect);
        let connecting = self.0.call(target);
        Box::pin(async move {
            let connected = connecting.await;
            progress.connected();
            connected
        })
    }
}
