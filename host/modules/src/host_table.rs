//! [`HostTable`]: a hosts table that stands in the config (GOST reference, modules 4.7).

use std::net::IpAddr;
use std::sync::Arc;

use drawspan_wit::host_mapper::LookupRequest;
use drawspan_wit::types::AddressFamily;
use drawspan_wit::{CallError, Plugin};

use crate::name_table::NameTable;

/// Addresses of names. `.example.com` is the name and all below it; `.` is all that nothing else fits.
#[derive(Clone, Debug, Default)]
pub struct HostTable(NameTable<Vec<IpAddr>>);

impl HostTable {
    /// With those pairs; a name's addresses keep their order.
    pub fn new(mappings: impl IntoIterator<Item = (String, IpAddr)>) -> Self {
        let mut table: NameTable<Vec<IpAddr>> = NameTable::default();
        for (name, ip) in mappings {
            let addresses = table.entry(&name);
            if !addresses.contains(&ip) {
                addresses.push(ip);
            }
        }
        Self(table)
    }

    fn find(&self, host: &str) -> &[IpAddr] {
        self.0.find(host).map_or(&[], Vec::as_slice)
    }
}

impl Plugin<LookupRequest> for HostTable {
    async fn call(&self, call: Arc<LookupRequest>) -> Result<Vec<String>, CallError> {
        let fits = |ip: &&IpAddr| match call.family {
            AddressFamily::Any => true,
            AddressFamily::Ipv4 => ip.is_ipv4(),
            AddressFamily::Ipv6 => ip.is_ipv6(),
        };
        Ok(self.find(&call.host).iter().filter(fits).map(ToString::to_string).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_counts() {
        let mapping = |(name, ip): (&str, &str)| (name.to_owned(), ip.parse().unwrap());
        let table = HostTable::new(
            [("A.test", "192.0.2.1"), ("a.test", "192.0.2.2"), ("a.test", "192.0.2.1"), (".test", "192.0.2.3")]
                .map(mapping),
        );
        let of = |table: &HostTable, host| table.find(host).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(of(&table, "a.TEST"), ["192.0.2.1", "192.0.2.2"]);
        assert_eq!(of(&table, "b.a.test."), ["192.0.2.3"]);
        assert_eq!(of(&table, "test"), ["192.0.2.3"]);
        assert!(of(&table, "example.org").is_empty());
        let all = HostTable::new([(".", "192.0.2.9")].map(mapping));
        assert_eq!(of(&all, "example.org"), ["192.0.2.9"]);
    }
}
