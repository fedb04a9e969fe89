//! From the config's nameservers to DNS servers and resolvers.

use std::time::Duration;

use drawspan_bridge_transport::basic;
use drawspan_config::{At, ClientTls, Diagnostic, Family, HostAndPort, NameserverAddr, TlsOptions, Ttl};
use drawspan_dns::{Nameserver, NameserverSettings, Nameservers, Prefer};
use drawspan_proxy::dns::{HttpsTarget, Server, Transport};
use drawspan_proxy::router::{Late, Route, Router};
use drawspan_wire::http1::HostPort;
use url::Position;

use crate::tls;

/// Connects to nothing. Chains that lead to nameservers are given to `late`.
pub(crate) fn load(
    nameservers: &[drawspan_config::Nameserver],
    late: &mut Vec<(String, Late)>,
) -> Result<Nameservers, Diagnostic> {
    let nameservers = nameservers.iter().map(|of| nameserver(of, late));
    nameservers.collect::<Result<_, _>>().map(Nameservers::new)
}

fn nameserver(of: &drawspan_config::Nameserver, late: &mut Vec<(String, Late)>) -> Result<Nameserver, Diagnostic> {
    let mut router = Router::default();
    if let Some(chain) = &of.chain {
        let way = Late::default();
        router.route = Route::Late(way.clone());
        late.push((chain.value.clone(), way));
    }
    let secure = of.server_name.is_some() || of.addr.value.is_verified();
    let tls = ClientTls { secure, server_name: of.server_name.clone(), ..ClientTls::default() };
    Ok(Nameserver::new(NameserverSettings {
        server: server(&of.addr, &tls, of.timeout, router)?,
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
        refresh_behind: of.refresh_behind,
    }))
}

/// A DNS server that `router` leads to.
pub(crate) fn server(
    addr: &At<NameserverAddr>,
    tls: &ClientTls,
    timeout: Duration,
    router: Router,
) -> Result<Server, Diagnostic> {
    let refused = |reason: String| Diagnostic::error(&addr.place, reason);
    let HostAndPort { host, port } = addr.value.at();
    let client = |alpn: &[&str]| {
        let alpn = alpn.iter().map(|protocol| (*protocol).to_owned()).collect();
        let options =
            if tls.options.alpn.is_empty() { TlsOptions { alpn, ..tls.options.clone() } } else { tls.options.clone() };
        let server_name = tls.server_name.clone().or_else(|| Some(host.clone()));
        let client = tls::client(&ClientTls { server_name, options, ..tls.clone() });
        client.map_err(|error| refused(format!("TLS can't be set up: {error}")))
    };
    let at = HostPort { host: host.clone(), port };
    let transport = match &addr.value {
        NameserverAddr::Udp(_) => Transport::Udp(at),
        NameserverAddr::Tcp(_) => Transport::Tcp(at),
        NameserverAddr::Tls(_) => Transport::Tls(at, client(&["dot"])?),
        NameserverAddr::Https(url) => {
            let (url, authorization) = (url.expose(), basic(url.expose()));
            // What stands before the host may be secret, and is in a header.
            let text = format!("https://{}", &url[Position::BeforeHost..Position::AfterQuery]);
            let invalid = |_| refused("not the URL of a server; write `https://host/dns-query`".to_owned());
            let uri = text.parse().map_err(invalid)?;
            Transport::Https(HttpsTarget { uri, authorization, at, tls: client(&["h2", "http/1.1"])? })
        }
    };
    Ok(Server::new(transport, timeout, router))
}
