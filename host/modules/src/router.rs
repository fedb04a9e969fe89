//! [`Router`]: IP routes.

use std::net::IpAddr;
use std::sync::Arc;

use drawspan_wit::router::{Route, RouteRequest};
use drawspan_wit::{BoxPlugin, Plugin};

/// A table of IP routes. Cheap to clone.
#[derive(Clone)]
pub struct Router {
    plugin: BoxPlugin<RouteRequest>,
}

impl Router {
    /// Asks `plugin`.
    #[must_use]
    pub fn new(plugin: BoxPlugin<RouteRequest>) -> Self {
        Self { plugin }
    }

    /// Where packets to `destination` go; `None`: they are dropped. A route without a gateway is none.
    pub async fn route(&self, destination: IpAddr, router_id: Option<&str>) -> Option<Route> {
        let request = RouteRequest { destination: destination.to_string(), router_id: router_id.map(str::to_owned) };
        self.plugin.call(Arc::new(request)).await.ok().flatten().filter(|route| !route.gateway.is_empty())
    }
}
