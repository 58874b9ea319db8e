//! Accepts connections while file descriptors run out.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// The pause of a failing accept (no file descriptors left).
const PAUSE: Duration = Duration::from_millis(100);
/// Time for a connection to close that makes room.
const CLOSING: Duration = Duration::from_millis(10);
/// The log has one line about failing accepts in this time.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// A listener's accepts.
pub(super) struct Acceptor {
    listener: TcpListener,
    /// A descriptor that is given up for a connection when there are none left.
    spare: Option<File>,
    has_spare: bool,
    logged: Option<Instant>,
    failures: u64,
}

impl Acceptor {
    /// `has_spare`: whether to keep a descriptor in reserve for one connection.
    pub(super) fn new(listener: TcpListener, has_spare: bool) -> Self {
        Self { listener, spare: None, has_spare, logged: None, failures: 0 }
    }

    pub(super) fn into_listener(self) -> TcpListener {
        self.listener
    }

    /// Accepts a connection. When it fails for want of descriptors, `make_room` may close a connection; it returns whether it did.
    /// Cancel safe.
    pub(super) async fn accept(&mut self, make_room: impl Fn() -> bool) -> (TcpStream, SocketAddr) {
        loop {
            if self.has_spare && self.spare.is_none() {
                self.spare = File::open("/dev/null").ok();
            }
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    self.log(&error);
                    if is_out_of_files(&error) && self.spare.take().is_some() {
                        // At once, before another part of the process takes the descriptor.
                        if let Ok(accepted) = self.listener.accept().await {
                            return accepted;
                        }
                    }
                    let is_closing = is_out_of_files(&error) && make_room();
                    tokio::time::sleep(if is_closing { CLOSING } else { PAUSE }).await;
                }
            }
        }
    }

    fn log(&mut self, error: &io::Error) {
        self.failures += 1;
        if self.logged.is_none_or(|logged| logged.elapsed() >= LOG_EVERY) {
            tracing::warn!(%error, failures = self.failures, "accept failed");
            self.logged = Some(Instant::now());
        }
    }
}

/// EMFILE (of this process) or ENFILE (of the machine).
fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(24 | 23))
}
