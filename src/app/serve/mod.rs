//! The accept loop and the drain. Not `axum::serve`: that has no time limit for a request's head, and a half-sent one
//! would hold the drain for ever.

mod accept;
mod admission;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::telemetry::metrics;

use super::connection::{self, Accepted, ConnectionLimits, Phases, Requests};
use super::port;
use accept::Acceptor;
use admission::OpenConnections;

pub(super) use admission::AddressConnections;

/// The log has one line about refused connections in this time.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// How long idle connections stay open after the listener has closed. A request that arrives meanwhile is answered with
/// `Connection: close`.
const IDLE_GRACE: Duration = Duration::from_secs(1);
/// The last part of the drain, in which streams write why they end.
const FAREWELL: Duration = Duration::from_secs(1);

/// How serving ends.
pub(super) struct Ending {
    /// Take no more connections, and finish what is in flight.
    pub(super) stop: CancellationToken,
    /// How long that may take.
    pub(super) drain: Duration,
    /// Cancelled shortly before what is left is cut off.
    pub(super) closing: CancellationToken,
}

/// What happens to a new connection where the listener has as many as it may.
#[derive(Clone)]
pub(super) enum WhenFull {
    /// It waits in the system's queue. Connections per address are limited.
    Wait(AddressConnections),
    /// An old one is closed for it, if possible one without a request.
    CloseOldest,
}

/// Limits of a listener.
#[derive(Clone)]
pub(super) struct Limits {
    pub(super) max_connections: usize,
    pub(super) when_full: WhenFull,
    pub(super) connection: ConnectionLimits,
}

/// Serves a router on a listener.
struct Server {
    router: Router,
    limits: Limits,
    phases: Phases,
    connections: TaskTracker,
    permits: Arc<Semaphore>,
    open: OpenConnections,
}

impl Server {
    /// Takes connections until `stop`; returns the listener.
    async fn accept(&self, listener: TcpListener, stop: &CancellationToken) -> TcpListener {
        let closes = matches!(self.limits.when_full, WhenFull::CloseOldest);
        let mut acceptor = Acceptor::new(listener, closes);
        let mut refused: Option<Instant> = None;
        let accepting = async {
            loop {
                let permit = if closes { None } else { self.permits.clone().acquire_owned().await.ok() };
                let (stream, peer) = acceptor.accept(|| closes && self.open.close_one()).await;
                let Some(permit) = (if closes { self.make_room().await } else { permit }) else { break };
                if !self.connect(stream, peer, Some(permit)) {
                    metrics::connection_closed("address_limit");
                    if refused.is_none_or(|logged| logged.elapsed() >= LOG_EVERY) {
                        refused = Some(Instant::now());
                        tracing::warn!(client = %peer.ip(), "server.max_connections_per_address is exceeded");
                    }
                }
            }
        };
        stop.run_until_cancelled(accepting).await;
        acceptor.into_listener()
    }

    /// Closes a connection if there are too many; returns the permit of a new one.
    async fn make_room(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Some(permit);
        }
        if self.open.close_one() {
            metrics::connection_closed("made_room");
        }
        self.permits.clone().acquire_owned().await.ok()
    }

    /// Serves the connection in a task of its own; returns whether its address may have one more.
    fn connect(&self, stream: TcpStream, peer: SocketAddr, permit: Option<OwnedSemaphorePermit>) -> bool {
        let counted = match &self.limits.when_full {
            WhenFull::Wait(addresses) => match addresses.admit(peer.ip()) {
                None => return false,
                counted => counted,
            },
            WhenFull::CloseOldest => None,
        };
        let requests = Arc::new(Requests::default());
        let phases = Phases { cut: self.phases.cut.child_token(), ..self.phases.clone() };
        let is_listed = matches!(self.limits.when_full, WhenFull::CloseOldest);
        let listed = is_listed.then(|| self.open.list(requests.clone(), phases.cut.clone()));
        let accepted = Accepted { stream, peer, requests };
        let served = connection::serve(accepted, self.router.clone(), self.limits.connection.clone(), phases);
        self.connections.spawn(async move {
            let _held = (permit, counted, listed);
            served.await;
        });
        true
    }
}

/// Serves connections until it is stopped; then finishes what is in flight.
pub(super) async fn serve(listener: TcpListener, router: Router, limits: Limits, ending: Ending) {
    let phases = Phases { stop: ending.stop.clone(), retire: CancellationToken::new(), cut: CancellationToken::new() };
    let permits = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
    let (connections, open) = (TaskTracker::new(), OpenConnections::default());
    let server = Server { router, limits, phases: phases.clone(), connections: connections.clone(), permits, open };
    let listener = server.accept(listener, &ending.stop).await;
    let since = Instant::now();
    for (stream, peer) in port::close(listener).await {
        let _admitted = server.connect(stream, peer, None);
    }
    connections.close();
    let farewell = FAREWELL.min(ending.drain / 2);
    let over = since + ending.drain;
    if timeout_at(since + IDLE_GRACE.min(ending.drain / 4), connections.wait()).await.is_ok() {
        return;
    }
    phases.retire.cancel();
    if timeout_at(over - farewell, connections.wait()).await.is_ok() {
        return;
    }
    ending.closing.cancel();
    if timeout_at(over, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "drain_timeout is over; closing what is left");
        phases.cut.cancel();
        connections.wait().await;
    }
}

#[cfg(test)]
mod tests;
