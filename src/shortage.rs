//! Errors that mean that this machine or process has run out of something: the peer of the call is not at fault. A leaf: imports
//! nothing of the other stages.

use std::error::Error;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

const DESCRIPTOR: &str = "file descriptor";
const PORT: &str = "local port";
const MEMORY: &str = "memory";

/// The resource that is missing, if that is what the error, or one of its causes, reports.
pub fn of(error: &(dyn Error + 'static)) -> Option<&'static str> {
    codes(error).find_map(|code| resource(code, lacks_ports))
}

/// As [`of`], for an attempt to connect. A name lookup may fail without a system code although it found no free descriptor; such an
/// error counts as a shortage if there are none to be had now.
pub fn of_connecting(error: &(dyn Error + 'static)) -> Option<&'static str> {
    of(error).or_else(|| (codes(error).next().is_none() && lacks_descriptors()).then_some(DESCRIPTOR))
}

/// The system's codes of the I/O errors in the chain.
fn codes(error: &(dyn Error + 'static)) -> impl Iterator<Item = i32> {
    std::iter::successors(Some(error), |error| (*error).source())
        .filter_map(|error| error.downcast_ref::<io::Error>()?.raw_os_error())
}

/// `lacks_ports` decides what a missing address means: `connect` reports one too where the peer has an IPv6 address and this machine
/// has none.
fn resource(code: i32, lacks_ports: impl FnOnce() -> bool) -> Option<&'static str> {
    match code {
        libc::EMFILE | libc::ENFILE => Some(DESCRIPTOR),
        libc::ENOBUFS | libc::ENOMEM => Some(MEMORY),
        libc::EADDRNOTAVAIL => lacks_ports().then_some(PORT),
        _ => None,
    }
}

/// Whether no port can be bound: each one of the range is in use, by connections to whatever peer.
fn lacks_ports() -> bool {
    let in_use = |domain, address: SocketAddr| {
        let bound = Socket::new(domain, Type::STREAM, None).and_then(|socket| socket.bind(&address.into()));
        bound.is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    };
    in_use(Domain::IPV4, (Ipv4Addr::UNSPECIFIED, 0).into()) || in_use(Domain::IPV6, (Ipv6Addr::UNSPECIFIED, 0).into())
}

/// Whether a name lookup would lack descriptors: it needs a file and a socket at once.
fn lacks_descriptors() -> bool {
    let open = || File::open("/dev/null");
    let opened = [open(), open()];
    opened
        .iter()
        .any(|file| file.as_ref().is_err_and(|error| resource(error.raw_os_error().unwrap_or(0), || false).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("connecting failed")]
    struct Wrapped(#[source] Box<dyn Error + Send + Sync>);

    /// As a client reports it: deep in a chain.
    fn wrapped(error: io::Error) -> Wrapped {
        Wrapped(Wrapped(error.into()).into())
    }

    #[test]
    fn local_codes_in_a_chain_name_the_resource() {
        for (code, expected) in [
            (libc::EMFILE, Some(DESCRIPTOR)),
            (libc::ENFILE, Some(DESCRIPTOR)),
            (libc::ENOBUFS, Some(MEMORY)),
            (libc::ENOMEM, Some(MEMORY)),
            (libc::ECONNREFUSED, None),
            (libc::ECONNRESET, None),
            (libc::EHOSTUNREACH, None),
            (libc::ETIMEDOUT, None),
        ] {
            let error = wrapped(io::Error::from_raw_os_error(code));
            assert_eq!((of(&error), of_connecting(&error)), (expected, expected), "{error:?}");
        }
    }

    #[test]
    fn missing_address_is_a_shortage_only_without_free_ports() {
        assert_eq!(resource(libc::EADDRNOTAVAIL, || true), Some(PORT));
        assert_eq!(resource(libc::EADDRNOTAVAIL, || false), None);
        assert_eq!(of(&wrapped(io::Error::from_raw_os_error(libc::EADDRNOTAVAIL))), None, "this machine has ports");
    }

    #[test]
    fn lookup_failure_without_a_code_is_no_shortage_here() {
        assert_eq!(of_connecting(&wrapped(io::Error::other("failed to look up the address"))), None);
    }
}
