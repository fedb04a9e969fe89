//! [`Peers`]: the clients of a tunnel, by their addresses in it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Addresses of all clients together. When there are more, the client that has been silent for the longest time is forgotten.
const MOST: usize = 16 * 1024;

/// Who has only one client sends it everything.
const ANYWHERE: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// The clients that there are.
pub(super) struct Peers {
    table: Mutex<Table>,
    /// The least time that a client is taken to let pass between its messages.
    ttl: Duration,
    single: bool,
}

#[derive(Default)]
struct Table {
    /// Where to send what goes to an address.
    routes: HashMap<IpAddr, SocketAddr>,
    peers: HashMap<SocketAddr, Peer>,
}

struct Peer {
    addresses: Vec<IpAddr>,
    /// When anything came from it.
    heard: Instant,
    /// When it told its addresses.
    told: Instant,
    /// How long it lets pass before it tells them again; `None` until it has: GOST's clients do so only if they are asked
    /// to, and aren't forgotten otherwise.
    period: Option<Duration>,
}

impl Peer {
    /// Its packets don't count: it may not be let in any more.
    fn is_over(&self, ttl: Duration) -> bool {
        self.period.is_some_and(|period| self.told.elapsed() > 3 * period.max(ttl))
    }
}

impl Peers {
    /// None yet; at most one if `single`.
    pub(super) fn new(ttl: Duration, single: bool) -> Self {
        Self { table: Mutex::default(), ttl, single }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on a client at `from` has those addresses, whoever had them before; true if that is news.
    pub(super) fn learn(&self, from: SocketAddr, mut addresses: Vec<IpAddr>) -> bool {
        let (now, mut table) = (Instant::now(), self.table());
        if self.single {
            addresses = vec![ANYWHERE];
        }
        addresses.sort_unstable();
        addresses.dedup();
        if let Some(peer) = table.peers.get_mut(&from)
            && peer.addresses == addresses
        {
            peer.period = Some(now - peer.told);
            (peer.heard, peer.told) = (now, now);
            return false;
        }
        table.forget(from);
        for address in &addresses {
            table.take(*address);
        }
        table.make_room(addresses.len(), self.ttl);
        table.routes.extend(addresses.iter().map(|address| (*address, from)));
        table.peers.insert(from, Peer { addresses, heard: now, told: now, period: None });
        true
    }

    /// Whether there is a client at `from`, from which something has come now.
    pub(super) fn hear(&self, from: SocketAddr) -> bool {
        let mut table = self.table();
        match table.peers.get_mut(&from) {
            Some(peer) if !peer.is_over(self.ttl) => {
                peer.heard = Instant::now();
                true
            }
            _ => false,
        }
    }

    /// The client that has `address`.
    pub(super) fn find(&self, address: IpAddr) -> Option<SocketAddr> {
        let mut table = self.table();
        let peer = *table.routes.get(if self.single { &ANYWHERE } else { &address })?;
        if table.peers.get(&peer).is_none_or(|peer| peer.is_over(self.ttl)) {
            tracing::debug!("the client at {peer} has not kept alive, and is forgotten");
            table.forget(peer);
            return None;
        }
        Some(peer)
    }
}

impl Table {
    fn forget(&mut self, peer: SocketAddr) {
        for address in self.peers.remove(&peer).map(|peer| peer.addresses).unwrap_or_default() {
            self.routes.remove(&address);
        }
    }

    /// Takes an address from the client that has it, which may be left without any.
    fn take(&mut self, address: IpAddr) {
        let Some(from) = self.routes.remove(&address) else { return };
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.addresses.retain(|other| *other != address);
            if peer.addresses.is_empty() {
                self.peers.remove(&from);
            }
        }
    }

    fn make_room(&mut self, wanted: usize, ttl: Duration) {
        if self.routes.len() + wanted <= MOST {
            return;
        }
        let over: Vec<_> = self.peers.iter().filter(|(_, peer)| peer.is_over(ttl)).map(|(at, _)| *at).collect();
        over.into_iter().for_each(|peer| self.forget(peer));
        while self.routes.len() + wanted > MOST {
            let Some(longest) = self.peers.iter().min_by_key(|(_, peer)| peer.heard).map(|(at, _)| *at) else { return };
            self.forget(longest);
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], port))
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_alive_is_forgotten_after_three_periods_without() {
        let peers = Peers::new(SECOND, false);
        assert!(peers.learn(at(1), vec![ip(1), ip(2)]));
        // Who has told once is never forgotten: GOST's clients need not tell again.
        advance(1000 * SECOND).await;
        assert_eq!((peers.find(ip(1)), peers.hear(at(1))), (Some(at(1)), true));
        assert!(!peers.learn(at(1), vec![ip(2), ip(1)]));
        advance(5 * SECOND).await;
        assert!(!peers.learn(at(1), vec![ip(1), ip(2)]));
        // Its own period counts.
        advance(15 * SECOND).await;
        assert_eq!(peers.find(ip(1)), Some(at(1)));
        // Whatever else comes from it.
        assert!(peers.hear(at(1)));
        advance(SECOND).await;
        assert!(!peers.hear(at(1)));
        assert_eq!((peers.find(ip(1)), peers.find(ip(2))), (None, None));
        assert!(peers.table().routes.is_empty() && peers.table().peers.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn messages_that_come_twice_are_no_hurry() {
        let peers = Peers::new(2 * SECOND, false);
        peers.learn(at(1), vec![ip(1)]);
        peers.learn(at(1), vec![ip(1)]);
        advance(6 * SECOND).await;
        assert_eq!(peers.find(ip(1)), Some(at(1)));
        advance(SECOND).await;
        assert_eq!(peers.find(ip(1)), None);
        // And comes back.
        assert!(peers.learn(at(1), vec![ip(1)]));
        assert_eq!(peers.find(ip(1)), Some(at(1)));
    }

    #[tokio::test]
    async fn the_last_who_has_an_address_gets_its_packets() {
        let peers = Peers::new(SECOND, false);
        peers.learn(at(1), vec![ip(1), ip(2)]);
        peers.learn(at(2), vec![ip(2)]);
        assert_eq!((peers.find(ip(1)), peers.find(ip(2))), (Some(at(1)), Some(at(2))));
        peers.learn(at(2), vec![ip(1)]);
        assert_eq!((peers.find(ip(1)), peers.find(ip(2))), (Some(at(2)), None));
        // It has none any more.
        assert!(!peers.hear(at(1)));
        assert_eq!(peers.table().peers.len(), 1);
    }

    #[tokio::test]
    async fn one_client_gets_everything() {
        let peers = Peers::new(SECOND, true);
        peers.learn(at(1), vec![ip(1)]);
        assert_eq!(peers.find(ip(9)), Some(at(1)));
        peers.learn(at(2), vec![ip(2)]);
        assert_eq!((peers.find(ip(1)), peers.hear(at(1))), (Some(at(2)), false));
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_never_more_than_fit() {
        let peers = Peers::new(SECOND, false);
        let address = |peer: usize, number: usize| IpAddr::from([10, (peer >> 8) as u8, peer as u8, number as u8]);
        let learn = |peer: usize| {
            let addresses = (0..32).map(|number| address(peer, number)).collect();
            peers.learn(SocketAddr::new(address(peer, 0), 1), addresses);
        };
        (0..MOST / 32).for_each(learn);
        advance(SECOND).await;
        // The first one goes on speaking.
        assert!(peers.hear(SocketAddr::new(address(0, 0), 1)));
        (MOST / 32..MOST / 32 + 10).for_each(learn);
        let sizes = |table: &Table| (table.routes.len(), table.peers.len());
        assert_eq!(sizes(&peers.table()), (MOST, MOST / 32));
        assert!(peers.find(address(0, 1)).is_some() && peers.find(address(MOST / 32 + 9, 1)).is_some());
    }
}
