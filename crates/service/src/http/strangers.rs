//! How many connections without a certificate there are, and from where.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// A network: an IPv4 address, or the 64 bits of an IPv6 address that one subscriber is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Network([u8; 16]);

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.to_ipv6_mapped().octets()),
            IpAddr::V6(address) => {
                let mut octets = address.octets();
                octets[8..].fill(0);
                Self(octets)
            }
        }
    }
}

/// Counts the connections of strangers.
#[derive(Debug)]
pub(super) struct Strangers {
    all: usize,
    of_one_network: usize,
    open: Mutex<HashMap<Network, usize>>,
}

/// The place of one connection, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    strangers: Arc<Strangers>,
    network: Network,
}

impl Strangers {
    pub(super) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self {
            all,
            of_one_network: (all / 4).max(1),
            open: Mutex::default(),
        })
    }

    /// A place for a connection from `address`, if there is one left.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Place> {
        let network = Network::from(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let of_network = open.get(&network).copied().unwrap_or(0);
        if of_network >= self.of_one_network || open.values().sum::<usize>() >= self.all {
            return None;
        }
        open.insert(network, of_network + 1);
        Some(Place {
            strangers: Arc::clone(self),
            network,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let open = &self.strangers.open;
        let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_network_cannot_take_all_places() {
        let strangers = Strangers::new(8);
        let admit = |address: &str| strangers.admit(address.parse().unwrap());
        let mut places = vec![admit("192.0.2.1").unwrap(), admit("192.0.2.1").unwrap()];
        assert!(admit("192.0.2.1").is_none());
        assert!(admit("::ffff:192.0.2.1").is_none(), "the same address");
        for host in ["2001:db8::1", "2001:db8::ffff:2"] {
            places.push(admit(host).unwrap());
        }
        assert!(admit("2001:db8::3").is_none(), "the same subscriber");
        for last in 2..6 {
            places.push(admit(&format!("192.0.2.{last}")).unwrap());
        }
        assert!(admit("192.0.2.9").is_none(), "all places are taken");
        places.pop();
        assert!(admit("192.0.2.9").is_some());
        places.clear();
        assert!(strangers.open.lock().unwrap().is_empty());
    }
}
