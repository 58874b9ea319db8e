//! Lingering close (RFC 9112 §9.6): a socket that is closed while the peer still sends is reset, and the reset may destroy the
//! answer before the peer has read it. So the gateway shuts its write side, and reads and discards what arrives for a second.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

/// The longest time that is waited for the peer to close its side.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The most that is discarded: a body of the default limit, and some.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Of one read; on the stack, so that thousands of lingering connections cost no memory.
const CHUNK_BYTES: usize = 16 * 1024;

/// A connection whose write side is shut.
pub(super) struct Linger {
    timer: Pin<Box<Sleep>>,
    discarded: usize,
}

impl Linger {
    pub(super) fn begin() -> Self {
        Self { timer: Box::pin(tokio::time::sleep(TIMEOUT)), discarded: 0 }
    }

    /// Discards what arrives. Ready when the peer has closed its side, or time or bytes are used up.
    pub(super) fn poll<S: AsyncRead>(&mut self, cx: &mut Context<'_>, mut stream: Pin<&mut S>) -> Poll<io::Result<()>> {
        while self.discarded < MAX_BYTES && self.timer.as_mut().poll(cx).is_pending() {
            let mut chunk = [MaybeUninit::uninit(); CHUNK_BYTES];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            match ready!(stream.as_mut().poll_read(cx, &mut chunk)) {
                Ok(()) if !chunk.filled().is_empty() => self.discarded += chunk.filled().len(),
                // Closed or reset: it has what it wants.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
