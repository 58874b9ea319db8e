//! Who may connect: connections per client address, and which connection makes room for a new one.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ipnet::IpNet;
use tokio_util::sync::CancellationToken;

use crate::edge::network;

use super::super::connection::Requests;

/// Counts connections per address, IPv6 by /64. Connections of trusted proxies are not counted: they bring many clients.
#[derive(Clone)]
pub(in crate::app) struct AddressConnections {
    max: usize,
    trusted: Arc<[IpNet]>,
    open: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One counted connection; none of a trusted proxy.
pub(super) struct Counted(Option<(AddressConnections, IpAddr)>);

impl AddressConnections {
    pub(in crate::app) fn new(max: usize, trusted: Vec<IpNet>) -> Self {
        Self { max, trusted: trusted.into(), open: Arc::default() }
    }

    /// Counts a connection; `None` if its address has too many.
    pub(super) fn admit(&self, address: IpAddr) -> Option<Counted> {
        let address = address.to_canonical();
        if self.trusted.iter().any(|network| network.contains(&address)) {
            return Some(Counted(None));
        }
        let address = network(address);
        let mut open = lock(&self.open);
        let count = open.entry(address).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        drop(open);
        Some(Counted(Some((self.clone(), address))))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let Some((limit, address)) = &self.0 else { return };
        let mut open = lock(&limit.open);
        if let Some(count) = open.get_mut(address) {
            *count -= 1;
            if *count == 0 {
                open.remove(address);
            }
        }
    }
}

/// The open connections of a listener that closes one of them for a new one.
#[derive(Clone, Default)]
pub(super) struct OpenConnections(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    next: u64,
    by_age: BTreeMap<u64, (Arc<Requests>, CancellationToken)>,
}

/// An entry of [`OpenConnections`].
pub(super) struct Listed {
    open: OpenConnections,
    id: u64,
}

impl OpenConnections {
    /// Lists a connection that `close` ends.
    pub(super) fn list(&self, requests: Arc<Requests>, close: CancellationToken) -> Listed {
        let mut open = lock(&self.0);
        open.next += 1;
        let id = open.next;
        open.by_age.insert(id, (requests, close));
        Listed { open: self.clone(), id }
    }

    /// Closes the oldest connection without a request, else the oldest. Returns whether there was one.
    pub(super) fn close_one(&self) -> bool {
        let mut open = lock(&self.0);
        let silent = open.by_age.iter().find(|(_, (requests, _))| !requests.answering());
        let Some(id) = silent.or_else(|| open.by_age.first_key_value()).map(|(id, _)| *id) else { return false };
        if let Some((_, close)) = open.by_age.remove(&id) {
            close.cancel();
        }
        true
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        lock(&self.open.0).by_age.remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_per_network_except_of_trusted_proxies() {
        let limit = AddressConnections::new(2, vec!["10.0.0.0/8".parse().unwrap()]);
        let admit = |address: &str| limit.admit(address.parse().unwrap());
        for [first, second] in [["192.0.2.1", "::ffff:192.0.2.1"], ["2001:db8:0:1::1", "2001:db8:0:1:ffff::2"]] {
            let (one, two) = (admit(first).unwrap(), admit(second).unwrap());
            assert!(admit(first).is_none() && admit(second).is_none());
            assert!(admit("192.0.2.2").is_some() && admit("2001:db8:0:2::1").is_some());
            drop(one);
            let again = admit(second);
            assert!(again.is_some());
            drop((two, again));
        }
        let proxies: Vec<_> = (0..10).map(|_| (admit("10.1.1.1"), admit("::ffff:10.1.1.1"))).collect();
        assert!(proxies.iter().all(|(one, other)| one.is_some() && other.is_some()));
        assert!(lock(&limit.open).is_empty(), "entries end with the last connection");
    }
}
