//! Names to addresses, by the config's hosts and resolver.

use std::io;

use drawspan_modules::{ClientId, Family, Hosts, Resolver};
use drawspan_wire::http1::HostPort;

use super::DialReason;

/// `target` with its host's first address, if anybody is there to say; else as it is, for whoever connects to it.
pub(super) async fn resolve(
    hosts: Option<&Hosts>,
    resolver: Option<&Resolver>,
    target: &HostPort,
    client: Option<&ClientId>,
) -> Result<HostPort, DialReason> {
    let unknown = |reason: &dyn ToString| DialReason::Resolve(io::Error::other(reason.to_string()));
    if let Some(hosts) = hosts {
        let found = hosts.lookup(Family::Any, &target.host, client).await.map_err(|error| unknown(&error))?;
        if let Some(ip) = found.first() {
            return Ok(HostPort { host: ip.to_string(), port: target.port });
        }
    }
    if let Some(resolver) = resolver {
        let found = resolver.resolve(Family::Any, &target.host, client).await.map_err(|error| unknown(&error))?;
        let ip = found.first().ok_or(DialReason::NoAddress)?;
        return Ok(HostPort { host: ip.to_string(), port: target.port });
    }
    Ok(target.clone())
}
