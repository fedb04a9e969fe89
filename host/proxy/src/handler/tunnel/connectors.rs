//! [`Connectors`]: who serves which tunnel.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use drawspan_modules::ConnInfo;
use drawspan_wire::relay::TunnelId;
use uuid::Uuid;

use crate::net::Limits;
use crate::router::weighted;

/// While there is a connector of this weight, those of other weights aren't chosen.
const EXCLUSIVE: u8 = u8::MAX;

/// Who serves which tunnel; `S` is how they are reached.
pub(super) struct Connectors<S>(Mutex<HashMap<Uuid, Vec<Arc<Connector<S>>>>>);

/// A client that serves a tunnel.
pub(super) struct Connector<S> {
    /// Its own id, its weight, and what it serves.
    pub(super) id: TunnelId,
    /// The connection that it registered by.
    pub(super) info: ConnInfo,
    /// What the service limits that by.
    pub(super) limits: Vec<Arc<Limits>>,
    pub(super) session: S,
}

/// A connector that is chosen until this is dropped.
pub(super) struct Registration<'c, S> {
    connectors: &'c Connectors<S>,
    tunnel: Uuid,
    pub(super) connector: Arc<Connector<S>>,
}

impl<S> Connectors<S> {
    pub(super) fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    pub(super) fn add(&self, tunnel: Uuid, connector: Connector<S>) -> Registration<'_, S> {
        let connector = Arc::new(connector);
        self.tunnels().entry(tunnel).or_default().push(Arc::clone(&connector));
        Registration { connectors: self, tunnel, connector }
    }

    /// One of those who serve `tunnel`, at random by weight, other than those that were `tried`. Of several only those for
    /// datagrams, or only those that aren't (GOST reference, dataplane 4.1).
    pub(super) fn choose(&self, tunnel: Uuid, udp: bool, tried: &[Arc<Connector<S>>]) -> Option<Arc<Connector<S>>> {
        let tunnels = self.tunnels();
        let all = tunnels.get(&tunnel)?;
        if all.len() == 1 && tried.is_empty() {
            return all.first().cloned();
        }
        let is_fresh = |connector: &Arc<Connector<S>>| !tried.iter().any(|tried| Arc::ptr_eq(tried, connector));
        let mut fit: Vec<_> = all.iter().filter(|other| other.id.udp == udp && is_fresh(other)).collect();
        if fit.iter().any(|connector| connector.id.weight == EXCLUSIVE) {
            fit.retain(|connector| connector.id.weight == EXCLUSIVE);
        }
        let chosen = weighted(fit.iter().map(|connector| connector.id.weight.into()))?;
        fit.get(chosen).copied().cloned()
    }

    fn tunnels(&self) -> MutexGuard<'_, HashMap<Uuid, Vec<Arc<Connector<S>>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> Drop for Registration<'_, S> {
    fn drop(&mut self) {
        let mut tunnels = self.connectors.tunnels();
        if let Some(all) = tunnels.get_mut(&self.tunnel) {
            all.retain(|connector| !Arc::ptr_eq(connector, &self.connector));
            if all.is_empty() {
                tunnels.remove(&self.tunnel);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use drawspan_modules::Addr;

    use super::*;

    const TUNNEL: Uuid = Uuid::from_u128(1);

    fn connector(session: u32, udp: bool, weight: u8) -> Connector<u32> {
        let info = ConnInfo {
            service: "s".into(),
            sid: "x".into(),
            client: Addr::unnamed(),
            local: Addr::unnamed(),
            certificate: None,
        };
        Connector { id: TunnelId { id: [7; 16], udp, weight }, info, limits: Vec::new(), session }
    }

    /// How often each is chosen.
    fn chosen(connectors: &Connectors<u32>, udp: bool) -> BTreeMap<u32, u32> {
        let mut counts = BTreeMap::new();
        for _ in 0..2000 {
            if let Some(connector) = connectors.choose(TUNNEL, udp, &[]) {
                *counts.entry(connector.session).or_default() += 1;
            }
        }
        counts
    }

    #[test]
    fn a_lone_connector_is_for_everything() {
        let connectors = Connectors::new();
        assert!(connectors.choose(TUNNEL, false, &[]).is_none());
        let only = connectors.add(TUNNEL, connector(1, true, 0));
        assert_eq!(connectors.choose(TUNNEL, false, &[]).unwrap().session, 1);
        assert!(connectors.choose(Uuid::from_u128(2), false, &[]).is_none());
        let tried = [connectors.choose(TUNNEL, true, &[]).unwrap()];
        assert!(connectors.choose(TUNNEL, true, &tried).is_none());
        drop(only);
        assert!(connectors.choose(TUNNEL, true, &[]).is_none());
        assert!(connectors.tunnels().is_empty(), "nothing is left of a tunnel that nobody serves");
    }

    #[test]
    fn of_several_those_of_the_kind_by_weight() {
        let connectors = Connectors::new();
        let _zero = connectors.add(TUNNEL, connector(1, false, 0));
        let _three = connectors.add(TUNNEL, connector(2, false, 3));
        let udp = connectors.add(TUNNEL, connector(3, true, 9));
        let counts = chosen(&connectors, false);
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [1, 2]);
        assert!((1300..1700).contains(&counts[&2]), "three of four: {counts:?}");
        assert_eq!(chosen(&connectors, true).keys().copied().collect::<Vec<_>>(), [3]);
        drop(udp);
        assert!(connectors.choose(TUNNEL, true, &[]).is_none());
    }

    #[test]
    fn an_exclusive_one_is_alone_while_it_is_there() {
        let connectors = Connectors::new();
        let _one = connectors.add(TUNNEL, connector(1, false, 254));
        let first = connectors.add(TUNNEL, connector(2, false, 255));
        let second = connectors.add(TUNNEL, connector(3, false, 255));
        assert_eq!(chosen(&connectors, false).keys().copied().collect::<Vec<_>>(), [2, 3]);
        let tried = [Arc::clone(&first.connector), Arc::clone(&second.connector)];
        assert_eq!(connectors.choose(TUNNEL, false, &tried).unwrap().session, 1, "when the others don't answer");
        drop((first, second));
        assert_eq!(chosen(&connectors, false).keys().copied().collect::<Vec<_>>(), [1]);
    }
}
