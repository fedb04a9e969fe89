//! [`AdmissionRules`]: an admission whose addresses stand in the config (GOST reference, modules 4.3).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use drawspan_wit::admission::{AdmissionRequest, Verdict};
use drawspan_wit::{CallError, Plugin};
use ipnet::IpNet;

use crate::IpTable;

/// Source addresses that are refused, or with `whitelist` the only ones that aren't.
#[derive(Debug, Default)]
pub struct AdmissionRules {
    whitelist: bool,
    ips: IpTable<()>,
}

impl AdmissionRules {
    /// With those networks.
    pub fn new(nets: impl IntoIterator<Item = IpNet>, whitelist: bool) -> Self {
        let mut ips = IpTable::default();
        for net in nets {
            ips.insert(net, ());
        }
        Self { whitelist, ips }
    }

    /// An address that isn't an IP address isn't in any network. GOST: an empty one is admitted.
    fn admits(&self, address: &str) -> bool {
        let ip = address.parse::<SocketAddr>().map(|address| address.ip()).or_else(|_| address.parse::<IpAddr>());
        ip.is_ok_and(|ip| self.ips.widest(ip).is_some()) == self.whitelist
    }
}

impl Plugin<AdmissionRequest> for AdmissionRules {
    async fn call(&self, call: Arc<AdmissionRequest>) -> Result<Verdict, CallError> {
        Ok(if self.admits(&call.client_address) { Verdict::Admitted } else { Verdict::Denied })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blacklists_and_whitelists() {
        let nets = || ["10.0.0.0/8".parse().unwrap(), IpNet::from("::1".parse::<IpAddr>().unwrap())];
        let (black, white) = (AdmissionRules::new(nets(), false), AdmissionRules::new(nets(), true));
        for (address, listed) in
            [("10.1.2.3:4", true), ("[::1]:5", true), ("10.1.2.3", true), ("11.1.2.3:4", false), ("@", false)]
        {
            assert_eq!(black.admits(address), !listed, "{address}");
            assert_eq!(white.admits(address), listed, "{address}");
        }
        assert!(AdmissionRules::new([], false).admits("10.0.0.1:1"));
        assert!(!AdmissionRules::new([], true).admits("10.0.0.1:1"));
    }
}
