//! Closing a port without resetting anyone who is connected to it as far as they know.
//!
//! Connections wait in the port's queue until they are accepted; closing the port resets those. So new ones are kept out
//! first, by a filter that drops their first packet (who is dropped tries again after a second, and is refused then), and what
//! is in the queue, or half-way through its handshake, is accepted.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

/// What a handshake that has begun may still take: one way over the network, and some.
const HANDSHAKE: Duration = Duration::from_millis(50);

/// Accepts that may fail before the queue is given up.
const MAX_FAILURES: usize = 100;

/// Closes the port; gives what was connected to it and not accepted yet.
pub(super) async fn close(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    // From here on the system itself is asked: the runtime may not have heard of them yet.
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let mut accepted = Vec::new();
    let mut drain = || {
        let mut failures = 0;
        while failures < MAX_FAILURES {
            match listener.accept() {
                Ok(one) => accepted.push(one),
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                // One of them may have left while it was in the queue; the others have not.
                Err(_) => failures += 1,
            }
        }
    };
    if keep_out(&listener).is_ok() {
        drain();
        tokio::time::sleep(HANDSHAKE).await;
    }
    drain();
    drop(listener);
    let usable = accepted.into_iter().filter_map(|(stream, peer)| {
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, peer))
    });
    usable.collect()
}

/// Drops the first packet of every new connection, and nothing else.
#[cfg(target_os = "linux")]
fn keep_out(listener: &std::net::TcpListener) -> std::io::Result<()> {
    use socket2::{SockFilter, SockRef};
    /// Where the flags stand in a TCP header, and the one of a first packet (RFC 9293 §3.1).
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    // In the order of linux/bpf_common.h: load a byte, jump where a bit is set, return how much to keep.
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(0x30, 0, 0, FLAGS),
        SockFilter::new(0x45, 0, 1, SYN),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ])
}

#[cfg(not(target_os = "linux"))]
fn keep_out(_listener: &std::net::TcpListener) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_is_connected_is_handed_over_and_who_comes_later_is_not_reset() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let early = TcpStream::connect(address).await.unwrap();
        let late = async {
            // The filter is there by now: the other future runs up to its pause first.
            tokio::time::timeout(HANDSHAKE / 2, TcpStream::connect(address)).await
        };
        let (accepted, late) = tokio::join!(close(listener), late);
        assert!(late.is_err(), "its first packet is dropped: {late:?}");
        let peers: Vec<SocketAddr> = accepted.iter().map(|(_, peer)| *peer).collect();
        assert_eq!(peers, [early.local_addr().unwrap()]);
        let refused = TcpStream::connect(address).await.unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
}
