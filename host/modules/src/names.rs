//! [`Hosts`] and [`Resolver`]: from names to addresses.

use std::net::IpAddr;
use std::sync::Arc;

use drawspan_wit::host_mapper::LookupRequest;
use drawspan_wit::resolver::ResolveRequest;
use drawspan_wit::{BoxPlugin, CallError, Plugin};

use crate::ClientId;

pub use drawspan_wit::types::AddressFamily as Family;

/// A hosts table, asked before any resolver. Cheap to clone.
#[derive(Clone)]
pub struct Hosts {
    plugin: BoxPlugin<LookupRequest>,
}

impl Hosts {
    /// Asks `plugin`.
    #[must_use]
    pub fn new(plugin: BoxPlugin<LookupRequest>) -> Self {
        Self { plugin }
    }

    /// The addresses of `host`, of the family asked for; empty if it isn't in the table.
    ///
    /// # Errors
    /// Only if the operator wants a failure to be one (`onError: deny`).
    pub async fn lookup(
        &self,
        family: Family,
        host: &str,
        client: Option<&ClientId>,
    ) -> Result<Vec<IpAddr>, CallError> {
        let client_id = client.and_then(ClientId::known);
        let request = LookupRequest { family, host: host.to_owned(), client_id };
        Ok(addresses("hosts", family, &self.plugin.call(Arc::new(request)).await?))
    }
}

/// Resolves names. Cheap to clone.
#[derive(Clone)]
pub struct Resolver {
    plugin: BoxPlugin<ResolveRequest>,
}

impl Resolver {
    /// Asks `plugin`.
    #[must_use]
    pub fn new(plugin: BoxPlugin<ResolveRequest>) -> Self {
        Self { plugin }
    }

    /// The addresses of `host`, of the family asked for; empty if it doesn't exist.
    ///
    /// # Errors
    /// When nobody can tell: the dial fails.
    pub async fn resolve(
        &self,
        family: Family,
        host: &str,
        client: Option<&ClientId>,
    ) -> Result<Vec<IpAddr>, CallError> {
        let client_id = client.and_then(ClientId::known);
        let request = ResolveRequest { family, host: host.to_owned(), client_id };
        Ok(addresses("resolver", family, &self.plugin.call(Arc::new(request)).await?))
    }
}

/// What isn't an address, or not of the family, is left out: plugins are asked for a family and may not know of it.
fn addresses(kind: &str, family: Family, texts: &[String]) -> Vec<IpAddr> {
    let fits = |address: &IpAddr| match family {
        Family::Any => true,
        Family::Ipv4 => address.is_ipv4(),
        Family::Ipv6 => address.is_ipv6(),
    };
    let read = |text: &String| {
        let address = text.parse::<IpAddr>();
        if address.is_err() {
            tracing::debug!(kind, "{text:?} is not an address; left out");
        }
        address.ok()
    };
    texts.iter().filter_map(read).filter(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out() {
        let texts = ["192.0.2.1", "2001:db8::1", "example.org", "", "192.0.2.1:53"].map(String::from);
        let of = |family| addresses("hosts", family, &texts).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(of(Family::Any), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(of(Family::Ipv4), ["192.0.2.1"]);
        assert_eq!(of(Family::Ipv6), ["2001:db8::1"]);
    }
}
