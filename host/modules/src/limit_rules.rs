//! [`LimitRules`]: limits that stand in the config, by client address (GOST reference, modules 4.5); and what two of the
//! three limiters do with them: [`ConnLimiter`] and [`RateLimiter`].

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::{Addr, IpTable};

/// Entries of clients that may be forgotten before a limiter looks for them.
const SWEEP: usize = 1024;

/// Limits of a service, of its clients, and of single ones among them.
#[derive(Clone, Debug)]
pub struct LimitRules<V> {
    /// `$`: all together.
    pub service: Option<V>,
    /// `$$`: each connection, or each client address, that has no other.
    pub each: Option<V>,
    /// Of single addresses, and of each address in a network.
    pub ips: IpTable<V>,
}

impl<V> Default for LimitRules<V> {
    fn default() -> Self {
        Self { service: None, each: None, ips: IpTable::default() }
    }
}

impl<V: Copy> LimitRules<V> {
    /// The limit that is set for an address: its own before its network's.
    #[must_use]
    pub fn of_ip(&self, ip: IpAddr) -> Option<V> {
        self.ips.exact(ip).or_else(|| self.ips.widest(ip)).copied()
    }

    /// The limit of a client's address, or that of each.
    fn of_client(&self, client: &Addr) -> Option<V> {
        client.ip().and_then(|ip| self.of_ip(ip)).or(self.each)
    }
}

/// Bounds how many connections there are at a time. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ConnLimiter(Arc<Conns>);

#[derive(Debug)]
struct Conns {
    rules: LimitRules<u64>,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: u64,
    /// Only of those who have a connection.
    of: HashMap<String, u64>,
}

/// A connection that counts until it is dropped.
#[derive(Debug)]
pub struct ConnPermit {
    conns: Arc<Conns>,
    client: String,
}

impl ConnLimiter {
    /// With those rules.
    #[must_use]
    pub fn new(rules: LimitRules<u64>) -> Self {
        Self(Arc::new(Conns { rules, open: Mutex::default() }))
    }

    /// Room for a connection of `client`, or `None` if there is none.
    #[must_use]
    pub fn admit(&self, client: &Addr) -> Option<ConnPermit> {
        let conns = &self.0;
        let host = client.host();
        let mut open = lock(&conns.open);
        let has_room = |limit: Option<u64>, count: u64| limit.is_none_or(|limit| count < limit);
        let count = open.of.get(&host).copied().unwrap_or(0);
        if !has_room(conns.rules.service, open.all) || !has_room(conns.rules.of_client(client), count) {
            return None;
        }
        open.all += 1;
        *open.of.entry(host.clone()).or_default() += 1;
        Some(ConnPermit { conns: Arc::clone(conns), client: host })
    }
}

impl Drop for ConnPermit {
    fn drop(&mut self) {
        let mut open = lock(&self.conns.open);
        open.all -= 1;
        if let Some(count) = open.of.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                open.of.remove(&self.client);
            }
        }
    }
}

/// Bounds how many connections a second there are. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RateLimiter(Arc<Rates>);

#[derive(Debug)]
struct Rates {
    rules: LimitRules<f64>,
    state: Mutex<RateState>,
}

/// Token buckets, as the times until which they are empty.
#[derive(Debug, Default)]
struct RateState {
    all: Option<Instant>,
    of: HashMap<String, Instant>,
    /// How many clients there may be before those whose buckets are full are forgotten.
    sweep_at: usize,
}

impl RateLimiter {
    /// With those rules, in connections per second. A burst of one more than the whole connections is let through.
    #[must_use]
    pub fn new(rules: LimitRules<f64>) -> Self {
        Self(Arc::new(Rates { rules, state: Mutex::new(RateState { sweep_at: SWEEP, ..RateState::default() }) }))
    }

    /// Whether a connection of `client` is served now.
    #[must_use]
    pub fn allows(&self, client: &Addr) -> bool {
        self.allows_at(client, Instant::now())
    }

    fn allows_at(&self, client: &Addr, now: Instant) -> bool {
        let Rates { rules, state } = &*self.0;
        let host = client.host();
        let mut state = lock(state);
        let own = rules.of_client(client).map(|rate| take(rate, state.of.get(&host).copied(), now));
        let all = rules.service.map(|rate| take(rate, state.all, now));
        // Nothing is taken from one bucket when the other is empty.
        if own == Some(None) || all == Some(None) {
            return false;
        }
        if let Some(all) = all {
            state.all = all;
        }
        if let Some(Some(full_at)) = own {
            if state.of.len() >= state.sweep_at {
                state.of.retain(|_, full_at| *full_at > now);
                state.sweep_at = (state.of.len() * 2).max(SWEEP);
            }
            state.of.insert(host, full_at);
        }
        true
    }
}

/// Takes one from a bucket that will be full at `full_at`: when it will be full then, or `None` if it is empty.
fn take(rate: f64, full_at: Option<Instant>, now: Instant) -> Option<Instant> {
    if rate <= 0.0 {
        return None;
    }
    let one = Duration::try_from_secs_f64(rate.recip()).unwrap_or(Duration::MAX);
    let burst = one.checked_mul((rate.floor() + 1.0).min(f64::from(u32::MAX)) as u32).unwrap_or(Duration::MAX);
    let next = full_at.unwrap_or(now).max(now).checked_add(one)?;
    (next.duration_since(now) <= burst + Duration::from_nanos(1000)).then_some(next)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn client(ip: &str) -> Addr {
        SocketAddr::new(ip.parse().unwrap(), 1).into()
    }

    fn rules<V>(
        service: Option<V>,
        each: Option<V>,
        ips: impl IntoIterator<Item = (&'static str, V)>,
    ) -> LimitRules<V> {
        let mut table = IpTable::default();
        for (net, value) in ips {
            table.insert(net.parse().unwrap(), value);
        }
        LimitRules { service, each, ips: table }
    }

    #[test]
    fn connections_are_counted_by_address_and_together() {
        let limiter = ConnLimiter::new(rules(Some(4), Some(1), [("10.0.0.0/8", 2), ("10.0.0.9/32", 9)]));
        let first = limiter.admit(&client("192.0.2.1")).unwrap();
        assert!(limiter.admit(&client("192.0.2.1")).is_none());
        let network: Vec<_> = (0..2).map(|_| limiter.admit(&client("10.0.0.1")).unwrap()).collect();
        assert!(limiter.admit(&client("10.0.0.1")).is_none());
        let own = limiter.admit(&client("10.0.0.9")).unwrap();
        assert!(limiter.admit(&client("10.0.0.9")).is_none(), "four in all");
        drop(first);
        assert!(limiter.admit(&client("192.0.2.1")).is_some());
        drop((network, own));
        assert!(lock(&limiter.0.open).of.is_empty());
        assert_eq!(lock(&limiter.0.open).all, 0);
    }

    #[test]
    fn rates_let_a_burst_through() {
        let limiter = RateLimiter::new(rules(Some(3.0), Some(1.0), []));
        let start = Instant::now();
        let at = |ip, millis| limiter.allows_at(&client(ip), start + Duration::from_millis(millis));
        assert!(at("192.0.2.1", 0) && at("192.0.2.1", 0) && !at("192.0.2.1", 0));
        assert!(at("192.0.2.2", 0) && at("192.0.2.3", 0));
        assert!(!at("192.0.2.4", 0), "four in all");
        assert!(!at("192.0.2.1", 900) && at("192.0.2.1", 1001));
        let none = RateLimiter::new(rules(None, Some(0.0), []));
        assert!(!none.allows(&client("192.0.2.1")));
    }

    #[test]
    fn clients_that_are_quiet_are_forgotten() {
        let limiter = RateLimiter::new(rules(None, Some(10.0), []));
        let start = Instant::now();
        for second in 0..8000_u32 {
            let ip = std::net::Ipv4Addr::from(second);
            let from = SocketAddr::new(ip.into(), 1).into();
            assert!(limiter.allows_at(&from, start + Duration::from_secs(second.into())));
        }
        assert!(lock(&limiter.0.state).of.len() <= SWEEP);
    }
}
