//! Datagrams: [`Router::associate`] to any target, [`Router::connect_udp`] to one.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use drawspan_modules::{ClientId, ConnInfo};
use drawspan_wire::http1::HostPort;
use drawspan_wire::socks::Address;
use tokio::net::lookup_host;
use tokio::time::{Instant, timeout};

use super::hop::{Hop, Leg, Seen};
use super::marker::Attempt;
use super::names::resolve;
use super::node::{Node, NodeAddr};
use super::{DialError, DialReason, Router, Wanted, record};
use crate::net::Datagrams;

/// A way for datagrams to any target.
#[derive(Debug)]
pub struct Association {
    /// Sends and receives them.
    pub datagrams: Datagrams,
    /// How they go, for records: `node@addr > `.
    pub route: String,
}

/// A way for datagrams to one target.
#[derive(Debug)]
pub struct UdpUpstream {
    /// Sends and receives them.
    pub datagrams: Datagrams,
    /// What they are sent to.
    pub target: Address,
    /// How they go, for records: `node@addr > target`.
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

    /// Makes a way for datagrams to the target, as [`Router::dial`] makes a connection.
    ///
    /// # Errors
    /// When all attempts fail; the error tells of the last.
    pub async fn connect_udp(&self, wanted: &Wanted<'_>) -> Result<UdpUpstream, DialError> {
        record(self.dial_recorder.as_ref(), wanted).await;
        let outcome = self.persist(wanted, |deadline| self.attempt_udp(wanted, deadline)).await;
        if outcome.is_err() {
            record(self.dial_error_recorder.as_ref(), wanted).await;
        }
        outcome
    }

    /// Makes a way for datagrams to one of a forwarder's targets.
    ///
    /// # Errors
    /// When there is no target, or no way to it.
    pub(crate) async fn forward_udp(
        &self,
        hop: &Hop,
        info: &ConnInfo,
        client: &ClientId,
    ) -> Result<(UdpUpstream, Arc<Node>), DialError> {
        self.forward_by(|_| "udp", hop, info, client).await
    }

    /// Makes a way for IP packets to one of a forwarder's targets: in datagrams to its port, or, where it has none, by a
    /// router's connector.
    ///
    /// # Errors
    /// When there is no target, or no way to it.
    pub(crate) async fn forward_packets(
        &self,
        hop: &Hop,
        info: &ConnInfo,
        client: &ClientId,
    ) -> Result<UdpUpstream, DialError> {
        let network = |target: &HostPort| if target.port == 0 { "ip" } else { "udp" };
        self.forward_by(network, hop, info, client).await.map(|(upstream, _)| upstream)
    }

    async fn forward_by(
        &self,
        network: impl Fn(&HostPort) -> &'static str,
        hop: &Hop,
        info: &ConnInfo,
        client: &ClientId,
    ) -> Result<(UdpUpstream, Arc<Node>), DialError> {
        let nowhere = |reason| DialError { target: HostPort { host: String::new(), port: 0 }.to_string(), reason };
        let node =
            self.choose(hop, info, client, &Seen::default()).await?.ok_or_else(|| nowhere(DialReason::NoNode))?;
        let attempt = Attempt::of(&node.marker);
        let NodeAddr::Inet(target) = &node.addr else { return Err(nowhere(DialReason::NoDatagrams)) };
        let wanted = Wanted { network: network(target), target, client, info };
        let upstream = self.towards(&node).connect_udp(&wanted).await?;
        attempt.succeeded();
        Ok((upstream, node))
    }

    async fn attempt_udp(&self, wanted: &Wanted<'_>, deadline: Instant) -> Result<UdpUpstream, DialReason> {
        let (hosts, resolver) = (self.hosts.as_ref(), self.resolver.as_ref());
        let address = resolve(hosts, resolver, wanted.target, Some(wanted.client)).await?;
        let key = self.key(wanted);
        let leg = Leg { wanted, address: &address, key: &key, seen: None };
        self.route.connect_udp(leg, &self.direct, deadline).await
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
