//! [`Router::associate`]: datagrams to any target.

use std::net::{IpAddr, SocketAddr};

use drawspan_modules::ClientId;
use drawspan_wire::http1::HostPort;
use drawspan_wire::socks::Address;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::hop::Leg;
use super::names::resolve;
use super::{DialError, Router, Wanted};
use crate::net::Datagrams;

/// A way for datagrams to any target.
#[derive(Debug)]
pub struct Association {
    /// Sends and receives them.
    pub datagrams: Datagrams,
    /// How they go, for records: `node@addr > `.
    pub route: String,
}

impl Router {
    /// Makes a way for datagrams, whose targets they name themselves: `wanted` names none. Takes as long as
    /// [`Router::dial`].
    ///
    /// # Errors
    /// When all attempts fail; the error tells of the last.
    pub async fn associate(&self, wanted: &Wanted<'_>) -> Result<Association, DialError> {
        let key = self.key(wanted);
        let leg = Leg { wanted, address: wanted.target, key: &key, seen: None };
        self.persist(wanted, |deadline| self.route.associate(leg, &self.direct, deadline)).await
    }

    /// Where a datagram goes that is sent from here: `target` itself, or the first address of its name. `None` if nobody
    /// knows one, or not in time.
    pub(crate) async fn resolve_datagram(&self, target: &Address, client: &ClientId) -> Option<SocketAddr> {
        let target = match target {
            Address::Ip(address) => return Some(*address),
            Address::Name(..) => target.host_port().ok()?,
        };
        timeout(self.dial_timeout, self.first_address(&target, client)).await.ok()?
    }

    async fn first_address(&self, target: &HostPort, client: &ClientId) -> Option<SocketAddr> {
        let target = resolve(self.hosts.as_ref(), self.resolver.as_ref(), target, Some(client)).await.ok()?;
        if let Ok(ip) = target.host.parse::<IpAddr>() {
            return Some(SocketAddr::new(ip, target.port));
        }
        let found: Vec<SocketAddr> = lookup_host((target.host.as_str(), target.port)).await.ok()?.collect();
        // IPv4 first, as Go has it.
        found.iter().find(|address| address.is_ipv4()).or(found.first()).copied()
    }
}
