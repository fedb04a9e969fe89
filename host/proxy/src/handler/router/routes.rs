//! [`Routes`]: from a packet's destination to a client's name; [`Discovery`]: and to the gateway where that client is.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use drawspan_modules::{Service, ServiceDiscovery};
use moka::sync::Cache;
use tokio::net::lookup_host;
use uuid::Uuid;

use super::Routers;
use crate::handler::announce::{announce, withdraw};

/// Answers that are kept.
const MOST: u64 = 64 * 1024;

/// Gateways of destinations, by router.
type Kept = Cache<(Uuid, IpAddr), Option<Arc<str>>>;

/// Who knows the gateway to a destination.
pub(super) struct Routes {
    routers: Routers,
    /// GOST: one router's answers are another's as well.
    cache: Option<Kept>,
}

impl Routes {
    pub(super) fn new(routers: Routers) -> Self {
        let cache = routers.cache.map(|ttl| Cache::builder().max_capacity(MOST).time_to_live(ttl).build());
        Self { routers, cache }
    }

    /// The name of the client that is the gateway to `destination`; `None` if there is no route.
    pub(super) async fn find(&self, id: Uuid, text: &str, destination: IpAddr) -> Option<Arc<str>> {
        let kept = self.cache.as_ref().and_then(|cache| cache.get(&(id, destination)));
        if let Some(kept) = kept {
            return kept;
        }
        let found = self.ask(id, text, destination).await;
        if let Some(cache) = &self.cache {
            cache.insert((id, destination), found.clone());
        }
        found
    }

    async fn ask(&self, id: Uuid, text: &str, destination: IpAddr) -> Option<Arc<str>> {
        for router in self.routers.by_id.get(&id).into_iter().chain(&self.routers.common) {
            if let Some(route) = router.route(destination, Some(text)).await {
                return Some(route.gateway.into());
            }
        }
        None
    }
}

/// Tells other gateways which clients are here, and finds those that are elsewhere (`sd`).
pub struct Discovery {
    sd: ServiceDiscovery,
    /// This gateway, among others.
    node: String,
    /// `entrypoint`: where others are told to send packets.
    address: String,
    /// `sd.renewInterval`.
    renew: Duration,
    /// `sd.cache.expiration`: answers are good for so long, also that there is none.
    cache: Cache<String, Option<SocketAddr>>,
}

impl Discovery {
    /// Others find the clients of this gateway at `address`, as long as they are told so every `renew`; what they say of
    /// theirs is good for `ttl`.
    #[must_use]
    pub fn new(sd: ServiceDiscovery, address: String, renew: Duration, ttl: Duration) -> Self {
        let cache = Cache::builder().max_capacity(MOST).time_to_live(ttl).build();
        Self { sd, node: Uuid::new_v4().to_string(), address, renew, cache }
    }

    /// The service that a client is, by `connector` and by the name that it has here.
    pub(super) fn service(&self, connector: Uuid, name: &str) -> Service {
        Service {
            id: connector.to_string(),
            name: name.to_owned(),
            node: self.node.clone(),
            network: "udp".to_owned(),
            address: self.address.clone(),
        }
    }

    /// Announces a service for as long as it is polled.
    pub(super) async fn announce(&self, service: &Service) {
        announce(&self.sd, service, self.renew).await;
    }

    /// Ends a service.
    pub(super) async fn withdraw(&self, service: &Service) {
        withdraw(&self.sd, service).await;
    }

    /// The entry point of the other gateway where the client of that name is.
    pub(super) async fn find(&self, name: &str) -> Option<SocketAddr> {
        if let Some(kept) = self.cache.get(name) {
            return kept;
        }
        let found = self.ask(name).await;
        self.cache.insert(name.to_owned(), found);
        found
    }

    async fn ask(&self, name: &str) -> Option<SocketAddr> {
        let services = self.sd.services(name).await;
        let services = services.inspect_err(|error| tracing::debug!(kind = "sd", "can't find {name}: {error}")).ok()?;
        let other = services.iter().find(|service| service.node != self.node)?;
        lookup_host(other.address.as_str()).await.ok()?.next()
    }
}
