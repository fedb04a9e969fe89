//! [`Direct`]: connections that nobody carries for us.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use drawspan_wire::http1::HostPort;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use crate::net::{Datagrams, KEEPALIVE, tune};
use crate::router::DialReason;

/// With several addresses, none gets less than this, unless less is left altogether: as Go shares its time out.
const MIN_TIME_PER_ADDRESS: Duration = Duration::from_secs(2);

/// Makes connections from this machine.
#[derive(Debug, Clone, Default)]
pub struct Direct {}

impl Direct {
    /// Connects to `target`: names by the system's resolver, its addresses one after the other, all before `deadline`.
    /// Dropping the future closes what is half open.
    ///
    /// # Errors
    /// When no address accepts; the error tells of the last.
    pub async fn connect(&self, target: &HostPort, deadline: Instant) -> Result<TcpStream, DialReason> {
        if let Ok(ip) = target.host.parse::<IpAddr>() {
            return connect(SocketAddr::new(ip, target.port)).await;
        }
        let addresses = lookup_host((target.host.as_str(), target.port)).await.map_err(DialReason::Resolve)?;
        let addresses: Vec<SocketAddr> = addresses.collect();
        let mut last = DialReason::NoAddress;
        for (tried, &address) in addresses.iter().enumerate() {
            let left = deadline.saturating_duration_since(Instant::now());
            // Not one black hole may eat the time of the addresses behind it.
            let share = left / u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            let outcome = timeout(share.max(MIN_TIME_PER_ADDRESS), connect(address)).await;
            match outcome.unwrap_or(Err(DialReason::TimedOut)) {
                Ok(stream) => return Ok(stream),
                Err(reason) => last = reason,
            }
        }
        Err(last)
    }

    /// A socket for datagrams to any target.
    ///
    /// # Errors
    /// When there is none to be had.
    pub fn associate(&self) -> Result<Datagrams, DialReason> {
        Datagrams::bind(SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 0)).map_err(DialReason::Udp)
    }
}

async fn connect(address: SocketAddr) -> Result<TcpStream, DialReason> {
    let refused = |error: io::Error| DialReason::Connect { address, error };
    let stream = TcpStream::connect(address).await.map_err(refused)?;
    tune(&stream, &KEEPALIVE);
    Ok(stream)
}
