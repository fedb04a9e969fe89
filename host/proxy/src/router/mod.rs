//! [`Router`]: from a target to a connection.

mod associate;
mod chain;
mod forward;
mod hop;
mod http;
mod marker;
mod names;
mod node;
mod rule;
mod selector;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use drawspan_modules::{ClientId, ConnInfo, Hosts, Recorder, Resolver};
use drawspan_wire::http1::HostPort;
use drawspan_wire::relay::Network;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

pub use self::associate::{Association, UdpUpstream};
pub use self::chain::{Chain, ChainGroup, Late, Route};
pub(crate) use self::hop::Seen;
pub use self::hop::{DecodeNode, Hop, NodeHop, PluginHop};
pub use self::http::{BodyRewrite, NodeHttp, Rewrite};
pub(crate) use self::marker::Attempt;
pub use self::marker::FailFilter;
pub(crate) use self::node::proxy_header;
pub use self::node::{Node, NodeAddr};
pub use self::rule::Rule;
pub(crate) use self::selector::weighted;
pub use self::selector::{Selector, Strategy};

use self::hop::Leg;
use self::names::resolve;
use crate::Direct;
use crate::listener::{BindError, Bound, UdpSettings};
use crate::net::Buffered;

/// Connects to targets: finds their addresses, and the nodes that the connection goes through.
#[derive(Clone)]
pub struct Router {
    /// Bounds one attempt: resolving, routing and connecting (`dialTimeout`).
    pub dial_timeout: Duration,
    /// Attempts after the first one; each resolves anew.
    pub retries: u32,
    /// How connections leave this machine.
    pub direct: Direct,
    /// Asked first for a target's address.
    pub hosts: Option<Hosts>,
    /// Asked for addresses that `hosts` doesn't have; what it doesn't have either isn't connected to.
    pub resolver: Option<Resolver>,
    /// The way to targets.
    pub route: Route,
    /// What the hash strategy goes by for anonymous clients.
    pub hash: HashSource,
    /// Told of each target's host (`recorder.service.router.dial.address`).
    pub dial_recorder: Option<Recorder>,
    /// Told of each target's host that can't be connected to (`recorder.service.router.dial.address.error`).
    pub dial_error_recorder: Option<Recorder>,
}

/// What is the same for connections that the hash strategy sends the same way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HashSource {
    /// The client's IP address.
    #[default]
    Client,
    /// The target (`hash: host`).
    Target,
}

/// What is to be connected to, and for whom.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// `tcp`, `udp`, `ip` for IP packets, or `unix`.
    pub network: &'a str,
    /// As the client named it; the host of a unix socket is its path.
    pub target: &'a HostPort,
    /// Whom it is for; empty for an anonymous client.
    pub client: &'a ClientId,
    /// The connection that it is for.
    pub info: &'a ConnInfo,
}

/// The network of unix sockets.
pub(crate) const UNIX: &str = Network::Unix.as_str();

impl Wanted<'_> {
    /// The path, if it is a unix socket.
    fn path(&self) -> Option<&Path> {
        (self.network == UNIX).then_some(Path::new(&self.target.host))
    }

    /// The target, or what it was resolved to, in a word.
    fn named(&self, target: &HostPort) -> String {
        if self.network == UNIX { target.host.clone() } else { target.to_string() }
    }
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
        Self {
            dial_timeout: Duration::from_secs(15),
            retries: 0,
            direct: Direct::default(),
            hosts: None,
            resolver: None,
            route: Route::Direct,
            hash: HashSource::Client,
            dial_recorder: None,
            dial_error_recorder: None,
        }
    }
}

/// Why there is no connection to a target.
#[derive(Debug, thiserror::Error)]
#[error("can't connect to {target}: {reason}")]
pub struct DialError {
    /// Where to.
    pub target: String,
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
    /// A unix socket can't be connected to.
    #[error("{path}: {error}", path = path.display())]
    Unix {
        /// The socket.
        path: PathBuf,
        /// The system's answer.
        #[source]
        error: io::Error,
    },
    /// A node of a chain can't be connected to, or doesn't connect further.
    #[error("node {node}: {reason}")]
    Node {
        /// `name@addr`.
        node: String,
        /// Why.
        reason: String,
    },
    /// Nobody can tell which node to go through. The connection isn't made without one.
    #[error("hop {hop}: {reason}")]
    Hop {
        /// The hop's name.
        hop: String,
        /// Why.
        reason: String,
    },
    /// From that interface there is no way.
    #[error("from {interface}: {reason}")]
    Interface {
        /// Its name or address.
        interface: String,
        /// Why.
        #[source]
        reason: Box<DialReason>,
    },
    /// Nothing is accepted there.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The chain rejects everything (`action: reject`).
    #[error("the chain rejects it")]
    Rejected,
    /// A connection that nobody answers can't be made.
    #[error("can't reject: {0}")]
    Reject(#[source] io::Error),
    /// There is no socket for datagrams.
    #[error("can't open a UDP socket: {0}")]
    Udp(#[source] io::Error),
    /// A node with a `udp` dialer is to carry something else.
    #[error("a udp dialer carries only datagrams, and with a tcp or forward connector")]
    OnlyDatagrams,
    /// IP packets are to go where no router is.
    #[error("IP packets to a target without a port need a chain whose last node has a router connector")]
    OnlyRouters,
    /// A forwarder's target is a unix socket.
    #[error("a unix socket takes no datagrams")]
    NoDatagrams,
    /// A forwarder has no target for the connection.
    #[error("there is no target for it")]
    NoNode,
    /// [`Router::dial_timeout`] is over.
    #[error("timed out")]
    TimedOut,
}

impl Router {
    /// Connects to a target by TCP, or to a unix socket. Takes at most `dial_timeout` for each of `retries + 1` attempts. Dropping
    /// the future closes what is half open.
    ///
    /// # Errors
    /// When all attempts fail; the error tells of the last.
    pub async fn dial(&self, wanted: &Wanted<'_>) -> Result<Upstream, DialError> {
        record(self.dial_recorder.as_ref(), wanted).await;
        let outcome = self.persist(wanted, |deadline| self.attempt(wanted, deadline)).await;
        if outcome.is_err() {
            record(self.dial_error_recorder.as_ref(), wanted).await;
        }
        outcome
    }

    /// Has connections accepted at the target by the last node of the chain, or by this machine if there is none; with `udp`,
    /// datagrams. Takes as long as [`dial`](Self::dial).
    ///
    /// # Errors
    /// When all attempts fail; the error tells of the last.
    pub(crate) async fn bind(&self, wanted: &Wanted<'_>, udp: Option<UdpSettings>) -> Result<Bound, DialError> {
        let key = self.key(wanted);
        let leg = Leg { wanted, address: wanted.target, key: &key, seen: None };
        self.persist(wanted, |deadline| self.route.bind(leg, &self.direct, udp, deadline)).await
    }

    /// Makes as many attempts as are allowed.
    async fn persist<T, F>(&self, wanted: &Wanted<'_>, attempt: impl Fn(Instant) -> F) -> Result<T, DialError>
    where
        F: Future<Output = Result<T, DialReason>>,
    {
        let mut retries = 0;
        loop {
            let deadline = Instant::now() + self.dial_timeout;
            match timeout(self.dial_timeout, attempt(deadline)).await.unwrap_or(Err(DialReason::TimedOut)) {
                Ok(made) => return Ok(made),
                Err(reason) if retries >= self.retries => {
                    return Err(DialError { target: wanted.named(wanted.target), reason });
                }
                Err(reason) => {
                    retries += 1;
                    let ConnInfo { service, sid, .. } = wanted.info;
                    tracing::debug!(%service, %sid, host = %wanted.target, retries, "retrying: {reason}");
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
        outcome.unwrap_or(Err(DialReason::TimedOut)).map_err(|reason| DialError { target: target.to_string(), reason })
    }

    async fn attempt(&self, wanted: &Wanted<'_>, deadline: Instant) -> Result<Upstream, DialReason> {
        let (hosts, resolver) = (self.hosts.as_ref(), self.resolver.as_ref());
        let address = match wanted.path() {
            Some(_) => wanted.target.clone(),
            None => resolve(hosts, resolver, wanted.target, Some(wanted.client)).await?,
        };
        let key = self.key(wanted);
        let leg = Leg { wanted, address: &address, key: &key, seen: None };
        self.route.connect(leg, &self.direct, deadline).await
    }

    /// What the hash strategy goes by.
    fn key(&self, wanted: &Wanted<'_>) -> String {
        match self.hash {
            _ if !wanted.client.as_str().is_empty() => wanted.client.as_str().to_owned(),
            HashSource::Client => wanted.info.client.host(),
            HashSource::Target => wanted.named(wanted.target),
        }
    }
}

/// Writes the target's host. A recorder that fails changes nothing.
async fn record(recorder: Option<&Recorder>, wanted: &Wanted<'_>) {
    if let Some(recorder) = recorder
        && let Err(error) = recorder.write(wanted.target.host.clone().into_bytes()).await
    {
        tracing::warn!(kind = "recorder", service = %wanted.info.service, sid = %wanted.info.sid, "{error}");
    }
}
