//! From the config's nameservers to a resolver.

use drawspan_config::{Diagnostic, Family, NameserverAddr, Ttl};
use drawspan_dns::{Nameserver, NameserverSettings, Nameservers, Prefer, Transport};

use crate::modules::unimplemented;

/// Connects to nothing.
pub(crate) fn load(nameservers: &[drawspan_config::Nameserver]) -> Result<Nameservers, Diagnostic> {
    nameservers.iter().map(nameserver).collect::<Result<_, _>>().map(Nameservers::new)
}

fn nameserver(of: &drawspan_config::Nameserver) -> Result<Nameserver, Diagnostic> {
    if let Some(chain) = &of.chain {
        return Err(unimplemented(chain, "a nameserver behind a `chain`"));
    }
    let (verify, addr) = (of.server_name.clone(), of.addr.value.clone());
    let settings = NameserverSettings {
        transport: match addr {
            NameserverAddr::Udp(at) => Transport::Udp { host: at.host, port: at.port },
            NameserverAddr::Tcp(at) => Transport::Tcp { host: at.host, port: at.port },
            NameserverAddr::Tls(at) => Transport::Tls { host: at.host, port: at.port, verify },
            NameserverAddr::Https(url) => Transport::Https { url: url.expose().clone(), verify },
        },
        prefer: match of.family {
            Family::PreferV4 => Prefer::V4,
            Family::PreferV6 => Prefer::V6,
            Family::OnlyV4 => Prefer::OnlyV4,
            Family::OnlyV6 => Prefer::OnlyV6,
        },
        client_ip: of.client_ip,
        ttl: match of.ttl {
            Ttl::Answer => drawspan_dns::Ttl::Answer,
            Ttl::Fixed(ttl) => drawspan_dns::Ttl::Fixed(ttl),
            Ttl::Uncached => drawspan_dns::Ttl::Uncached,
        },
        timeout: of.timeout,
        refresh_behind: of.refresh_behind,
    };
    Nameserver::new(settings).map_err(|error| Diagnostic::error(&of.addr.place, error.to_string()))
}
