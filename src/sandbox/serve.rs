//! The ports: accepting connections and speaking HTTP/1.1 on them. An accept loop of our own, so that a handler can cut the very
//! connection it answers on ([`Cut`]).

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::{Request, Response};
use futures_util::future::BoxFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Source, State};

/// Connections the kernel completes before they are accepted.
const BACKLOG: u32 = 1_024;

pub(super) type Handler = Arc<dyn Fn(Request<Incoming>, Cut) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Lets a handler end the connection it answers on.
#[derive(Debug, Clone, Default)]
pub(super) struct Cut {
    now: CancellationToken,
    reset: Arc<AtomicBool>,
}

impl Cut {
    /// Closes the connection in the ordinary way (FIN); what was written before is delivered.
    pub(super) fn close(&self) {
        self.now.cancel();
    }

    /// Resets the connection (RST); never returns, for there is nobody left to answer.
    pub(super) async fn reset<T>(&self) -> T {
        self.reset.store(true, Ordering::SeqCst);
        self.now.cancel();
        pending().await
    }
}

/// A bound port. The port is ours from here on; connections are accepted once it is served.
#[derive(Debug)]
pub(super) struct Port {
    socket: TcpSocket,
    address: SocketAddr,
}

impl Port {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// The address with the real port, where 0 was asked for.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Listens, and spawns the accept loop on `tasks`; it ends with `stop`.
    pub(super) fn serve(
        self,
        handler: Handler,
        gate: Gate,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let door = Door::open(self.socket, &stop)?;
        tasks.spawn(accept_loop(door, self.address, handler, gate, tasks.clone(), stop));
        Ok(())
    }
}

/// What may close a port for a while.
pub(super) enum Gate {
    AlwaysOpen,
    /// The rules that refuse the connections of this source.
    Faults(Arc<State>, Source),
}

impl Gate {
    /// Whether the port is to be closed, and when that changes by itself.
    fn is_closed(&self) -> (bool, Option<Instant>) {
        match self {
            Self::AlwaysOpen => (false, None),
            Self::Faults(state, source) => state.faults.closes(*source),
        }
    }

    fn versions(&self) -> watch::Receiver<u64> {
        match self {
            Self::AlwaysOpen => watch::Sender::new(0).subscribe(),
            Self::Faults(state, _) => state.faults.versions(),
        }
    }

    fn follow(&self, version: u64) {
        if let Self::Faults(state, source) = self {
            state.faults.follow(*source, version);
        }
    }
}

enum Door {
    /// The token ends the connections that came through it.
    Open(TcpListener, CancellationToken),
    /// Bound, so that nobody else takes the port, but not listening: the kernel refuses connections.
    Closed(TcpSocket),
}

impl Door {
    fn open(socket: TcpSocket, stop: &CancellationToken) -> io::Result<Self> {
        Ok(Self::Open(socket.listen(BACKLOG)?, stop.child_token()))
    }

    fn set(self, closed: bool, address: SocketAddr, stop: &CancellationToken) -> io::Result<Self> {
        match self {
            Self::Open(listener, connections) if closed => {
                connections.cancel();
                drop(listener);
                Ok(Self::Closed(Port::bind(address)?.socket))
            }
            Self::Closed(socket) if !closed => Self::open(socket, stop),
            same => Ok(same),
        }
    }

    async fn accept(&self) -> io::Result<(TcpStream, CancellationToken)> {
        match self {
            Self::Open(listener, connections) => Ok((listener.accept().await?.0, connections.clone())),
            Self::Closed(_) => pending().await,
        }
    }
}

async fn accept_loop(
    mut door: Door,
    address: SocketAddr,
    handler: Handler,
    gate: Gate,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let mut versions = gate.versions();
    loop {
        let version = *versions.borrow_and_update();
        let (closed, until) = gate.is_closed();
        door = match door.set(closed, address, &stop) {
            Ok(door) => door,
            Err(error) => {
                tracing::error!(%error, %address, "sandbox: the port is lost");
                break;
            }
        };
        gate.follow(version);
        let turn = async {
            match until {
                Some(until) => sleep_until(until).await,
                None => pending().await,
            }
        };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            () = turn => continue,
            Ok(()) = versions.changed() => continue,
            accepted = door.accept() => accepted,
        };
        match accepted {
            Ok((stream, end)) => {
                tasks.spawn(connection(stream, handler.clone(), end));
            }
            Err(error) => tracing::warn!(%error, "sandbox: a connection was lost while it was accepted"),
        }
    }
    gate.follow(u64::MAX);
}

async fn connection(stream: TcpStream, handler: Handler, end: CancellationToken) {
    let cut = Cut::default();
    let io = TokioIo::new(Socket { stream, reset: cut.reset.clone() });
    let service = service_fn(|request| {
        let answer = handler(request, cut.clone());
        async move { Ok::<_, Infallible>(answer.await) }
    });
    // No timer: a clock that a test has paused must not close idle connections.
    let exchange = http1::Builder::new().header_read_timeout(None).serve_connection(io, service);
    tokio::select! {
        () = end.cancelled() => {}
        () = cut.now.cancelled() => {}
        outcome = exchange => {
            if let Err(error) = outcome {
                tracing::debug!(%error, "sandbox: a connection ended early");
            }
        }
    }
}

/// A stream that is reset instead of closed when it is dropped, where so told.
struct Socket {
    stream: TcpStream,
    reset: Arc<AtomicBool>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.reset.load(Ordering::SeqCst)
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::warn!(%error, "sandbox: the connection is closed, not reset");
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
