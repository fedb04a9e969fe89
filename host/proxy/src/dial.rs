//! [`Router`]: from a target to a connection.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use drawspan_wire::http1::HostPort;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use crate::net::tune;

/// With several addresses, none gets less than this, unless less is left altogether: as Go shares its time out.
const MIN_TIME_PER_ADDRESS: Duration = Duration::from_secs(2);

/// Connects to targets, directly so far.
#[derive(Debug, Clone)]
pub struct Router {
    /// Bounds one attempt: resolving and connecting (`dialTimeout`).
    pub dial_timeout: Duration,
    /// Attempts after the first one; each resolves anew.
    pub retries: u32,
}

impl Default for Router {
    /// 15 s, no retries (GOST reference, config 3.2).
    fn default() -> Self {
        Self { dial_timeout: Duration::from_secs(15), retries: 0 }
    }
}

/// Why there is no connection to a target.
#[derive(Debug, thiserror::Error)]
#[error("can't connect to {target}: {reason}")]
pub struct DialError {
    /// Where to.
    pub target: HostPort,
    /// Why the last attempt failed.
    #[source]
    pub reason: DialReason,
}

/// Why an attempt to connect failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialReason {
    /// The name isn't known, or nobody can tell.
    #[error("can't resolve the name: {0}")]
    Resolve(#[source] io::Error),
    /// The name is known and has no address.
    #[error("the name has no address")]
    NoAddress,
    /// No address accepted; this is what the last one said.
    #[error("{address}: {error}")]
    Connect {
        /// The last address tried.
        address: SocketAddr,
        /// Its answer.
        #[source]
        error: io::Error,
    },
    /// [`Router::dial_timeout`] is over.
    #[error("timed out")]
    TimedOut,
}

impl Router {
    /// Connects to `target`: names by the system's resolver, its addresses one after the other. Takes at most
    /// `dial_timeout` for each of `retries + 1` attempts. Dropping the future closes what is half open.
    ///
    /// # Errors
    /// When all attempts fail; the error tells of the last.
    pub async fn dial(&self, target: &HostPort) -> Result<TcpStream, DialError> {
        let mut attempt = 0;
        loop {
            let outcome = timeout(self.dial_timeout, self.attempt(target)).await;
            match outcome.unwrap_or(Err(DialReason::TimedOut)) {
                Ok(stream) => return Ok(stream),
                Err(reason) if attempt >= self.retries => return Err(DialError { target: target.clone(), reason }),
                Err(reason) => {
                    attempt += 1;
                    tracing::debug!(host = %target, attempt, "retrying: {reason}");
                }
            }
        }
    }

    async fn attempt(&self, target: &HostPort) -> Result<TcpStream, DialReason> {
        let deadline = Instant::now() + self.dial_timeout;
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
}

async fn connect(address: SocketAddr) -> Result<TcpStream, DialReason> {
    let stream = TcpStream::connect(address).await.map_err(|error| DialReason::Connect { address, error })?;
    tune(&stream);
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, port: u16) -> HostPort {
        HostPort { host: host.to_owned(), port }
    }

    #[tokio::test]
    async fn all_addresses_of_a_name_are_tried() {
        // `localhost` may stand for ::1 first, where nobody listens.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = Router::default().dial(&target("localhost", address.port())).await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_refusal_names_the_address() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = Router { retries: 2, ..Router::default() }.dial(&target("127.0.0.1", port)).await.unwrap_err();
        assert!(matches!(error.reason, DialReason::Connect { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("can't connect to 127.0.0.1:{port}: ")), "{error}");
    }

    #[tokio::test]
    async fn an_unknown_name_is_told_apart() {
        let error = Router::default().dial(&target("no..such..name", 1)).await.unwrap_err();
        assert!(matches!(error.reason, DialReason::Resolve(_) | DialReason::NoAddress), "{error}");
    }
}
