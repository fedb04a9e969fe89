//! [`RouteTable`]: IP routes that stand in the config (GOST reference, modules 4.8).

use std::net::IpAddr;
use std::sync::Arc;

use drawspan_wit::router::{Route, RouteRequest};
use drawspan_wit::{CallError, Plugin};
use ipnet::IpNet;

use crate::IpTable;

/// Networks and their gateways. The first that has a destination in it counts, however wide it is.
#[derive(Clone, Debug, Default)]
pub struct RouteTable(IpTable<(usize, Route)>);

impl RouteTable {
    /// With those routes, in order.
    pub fn new(routes: impl IntoIterator<Item = (IpNet, String)>) -> Self {
        let mut table = IpTable::default();
        for (rank, (net, gateway)) in routes.into_iter().enumerate() {
            table.insert(net, (rank, Route { destination: net.to_string(), gateway }));
        }
        Self(table)
    }

    fn find(&self, destination: &str) -> Option<Route> {
        let ip: IpAddr = destination.parse().ok()?;
        self.0.all(ip).min_by_key(|(rank, _)| rank).map(|(_, route)| route.clone())
    }
}

impl Plugin<RouteRequest> for RouteTable {
    async fn call(&self, call: Arc<RouteRequest>) -> Result<Option<Route>, CallError> {
        Ok(self.find(&call.destination))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_counts() {
        let routes = [
            ("10.1.0.0/16", "first"),
            ("10.1.0.0/16", "again"),
            ("0.0.0.0/0", "wide"),
            ("10.2.0.0/16", "late"),
            ("fd00::/8", "v6"),
        ];
        let table = RouteTable::new(routes.map(|(net, gateway)| (net.parse().unwrap(), gateway.to_owned())));
        for (destination, gateway) in [
            ("10.1.2.3", Some("first")),
            ("10.2.2.3", Some("wide")),
            ("192.0.2.1", Some("wide")),
            ("::ffff:10.1.2.3", Some("first")),
            ("fd12::1", Some("v6")),
            ("2001:db8::1", None),
            ("example.org", None),
        ] {
            let found = table.find(destination).map(|route| route.gateway);
            assert_eq!(found.as_deref(), gateway, "{destination}");
        }
        assert_eq!(table.find("10.1.2.3").unwrap().destination, "10.1.0.0/16");
    }
}
