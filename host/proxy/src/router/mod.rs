//! [`Router`]: from a target to a connection.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use drawspan_modules::{ClientId, ConnInfo};
use drawspan_wire::http1::HostPort;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::Direct;
use crate::net::Buffered;

/// Connects to targets.
#[derive(Debug, Clone)]
pub struct Router {
    /// Bounds one attempt: resolving, routing and connecting (`dialTimeout`).
    pub dial_timeout: Duration,
    /// Attempts after the first one; each resolves anew.
    pub retries: u32,
    /// How connections leave this machine.
    pub direct: Direct,
}

/// What is to be connected to, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// `tcp` or `udp`.
    pub network: &'a str,
    /// As the client named it.
    pub target: &'a HostPort,
    /// Whom it is for; empty for an anonymous client.
    pub client: &'a ClientId,
    /// The connection that it is for.
    pub info: &'a ConnInfo,
}

/// A connection to a target.
#[derive(Debug)]
pub struct Upstream {
    /// The bytes, those included that came early.
    pub conn: Buffered,
    /// How it goes, for records: `node@addr > target`.
    pub route: String,
}

impl Default for Router {
    /// 15 s, no retries (GOST reference, config 3.2), directly.
    fn default() -> Self {
        Self { dial_timeout: Duration::from_secs(15), retries: 0, direct: Direct::default() }
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
    /// Connects to a target. Takes at most `dial_timeout` for each of `retries + 1` attempts. Dropping the future closes
    /// what is half open.
    ///
    /// # Errors
    /// When all attempts fail; the error tells of the last.
    pub async fn dial(&self, wanted: &Wanted<'_>) -> Result<Upstream, DialError> {
        let target = wanted.target;
        let mut attempt = 0;
        loop {
            let deadline = Instant::now() + self.dial_timeout;
            let outcome = timeout(self.dial_timeout, self.attempt(wanted, deadline)).await;
            match outcome.unwrap_or(Err(DialReason::TimedOut)) {
                Ok(upstream) => return Ok(upstream),
                Err(reason) if attempt >= self.retries => return Err(DialError { target: target.clone(), reason }),
                Err(reason) => {
                    attempt += 1;
                    tracing::debug!(service = %wanted.info.service, sid = %wanted.info.sid, host = %target, attempt,
                        "retrying: {reason}");
                }
            }
        }
    }

    /// Connects without asking anybody the way: for what is nobody's business up the chain.
    ///
    /// # Errors
    /// When no address accepts in time.
    pub async fn direct(&self, target: &HostPort) -> Result<TcpStream, DialError> {
        let outcome = timeout(self.dial_timeout, self.direct.connect(target, Instant::now() + self.dial_timeout)).await;
        outcome.unwrap_or(Err(DialReason::TimedOut)).map_err(|reason| DialError { target: target.clone(), reason })
    }

    async fn attempt(&self, wanted: &Wanted<'_>, deadline: Instant) -> Result<Upstream, DialReason> {
        let stream = self.direct.connect(wanted.target, deadline).await?;
        Ok(Upstream { conn: Buffered::new(stream), route: wanted.target.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, port: u16) -> HostPort {
        HostPort { host: host.to_owned(), port }
    }

    async fn dial(router: &Router, target: &HostPort) -> Result<Upstream, DialError> {
        let anywhere: drawspan_modules::Addr = "127.0.0.1:1".parse::<SocketAddr>().unwrap().into();
        let info = ConnInfo { service: "s".into(), sid: "".into(), client: anywhere.clone(), local: anywhere };
        let client = ClientId::from(String::new());
        router.dial(&Wanted { network: "tcp", target, client: &client, info: &info }).await
    }

    #[tokio::test]
    async fn all_addresses_of_a_name_are_tried() {
        // `localhost` may stand for ::1 first, where nobody listens.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let upstream = dial(&Router::default(), &target("localhost", address.port())).await.unwrap();
        assert_eq!(upstream.conn.stream.peer_addr(), address.into());
        let crate::net::Stream::Tcp(stream) = upstream.conn.stream else { panic!() };
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn a_refusal_names_the_address() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let router = Router { retries: 2, ..Router::default() };
        let error = dial(&router, &target("127.0.0.1", port)).await.unwrap_err();
        assert!(matches!(error.reason, DialReason::Connect { .. }), "{error}");
        assert!(error.to_string().starts_with(&format!("can't connect to 127.0.0.1:{port}: ")), "{error}");
    }

    #[tokio::test]
    async fn an_unknown_name_is_told_apart() {
        let error = dial(&Router::default(), &target("no..such..name", 1)).await.unwrap_err();
        assert!(matches!(error.reason, DialReason::Resolve(_) | DialReason::NoAddress), "{error}");
    }
}
