//! [`RemoteListener`]: what the last node of a chain accepts (GOST's rtcp and rudp; GOST reference, dataplane 8).

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Buf as _;
use drawspan_modules::{Addr, ClientId, ConnInfo};
use drawspan_smux::{Config, Session};
use drawspan_wire::http1::HostPort;
use drawspan_wire::socks::Address;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{AcceptError, Accepted, TcpListener, Transport, UdpListener, UdpSettings};
use crate::net::{Buffered, Carried, Datagrams, Stream, eof};
use crate::{Router, Wanted};

/// For a connection's first message, which says where it comes from. GOST: for ever, and others wait for it.
const GREETING_TIME: Duration = Duration::from_secs(15);

/// Has connections, or datagrams, accepted by the last node of a chain; without one, by this machine.
///
/// The node is asked when the first is waited for, and again after it has failed.
pub struct RemoteListener {
    /// The way to the node.
    pub router: Router,
    /// Its service.
    pub service: Arc<str>,
    /// Where they are to be accepted; an empty host is all of the node's addresses.
    pub address: HostPort,
    /// There if it is about datagrams.
    pub udp: Option<UdpSettings>,
    /// What the node was asked for, while that lasts.
    pub bound: Mutex<Option<Bound>>,
}

/// Where connections, or datagrams, are accepted.
pub enum Bound {
    /// By this machine.
    Tcp(TcpListener),
    /// By this machine, or by a node that passes them on in one connection.
    Udp(UdpListener),
    /// By a node, which passes them on as streams of one connection.
    Streams(Streams),
}

/// Connections that a node accepts.
pub struct Streams {
    session: Arc<Session>,
    /// Where the node accepts them.
    local: Addr,
    greeting: Greeting,
    /// There if each carries datagrams.
    udp: Option<UdpSettings>,
    /// Clients whose datagrams they carry.
    clients: (mpsc::Sender<Accepted>, mpsc::Receiver<Accepted>),
    /// Those that haven't said yet where they come from.
    arriving: JoinSet<Option<Accepted>>,
}

/// Reads where a connection comes from off its first bytes, and says how many that were; `None` when more are needed.
pub(crate) type Greeting = fn(&[u8]) -> Result<Option<(Option<Address>, usize)>, String>;

impl RemoteListener {
    /// `tcp` or `udp`.
    pub(super) fn network(&self) -> &'static str {
        if self.udp.is_some() { "udp" } else { "tcp" }
    }

    /// Waits for the next connection, or client. Dropping the future loses none.
    pub(super) async fn accept(&self) -> Result<Accepted, AcceptError> {
        let mut bound = self.bound.lock().await;
        let listening = match bound.take() {
            Some(listening) => listening,
            None => self.bind().await?,
        };
        let accepted = match bound.insert(listening) {
            Bound::Tcp(listener) => return listener.accept().await,
            Bound::Udp(listener) => listener.accept().await,
            Bound::Streams(streams) => streams.accept().await,
        };
        if accepted.is_err() {
            *bound = None;
        }
        accepted
    }

    async fn bind(&self) -> Result<Bound, AcceptError> {
        let info = ConnInfo {
            service: Arc::clone(&self.service),
            sid: "".into(),
            client: Addr::unnamed(),
            local: Addr::unnamed(),
            certificate: None,
        };
        let client = ClientId::from(String::new());
        let wanted = Wanted { network: self.network(), target: &self.address, client: &client, info: &info };
        let network = self.network();
        let bound = self.router.bind(&wanted, self.udp).await.map_err(|error| {
            let reason = format!("can't have {network} accepted at {}: {}", error.target, error.reason);
            AcceptError::Temporary(io::Error::other(reason))
        })?;
        let here = match &bound {
            Bound::Tcp(listener) => listener.local_addr().into(),
            Bound::Udp(listener) => listener.local_addr().into(),
            Bound::Streams(streams) => streams.local.clone(),
        };
        tracing::info!(kind = "listener", service = %self.service, "accepting at {here}/{network}");
        Ok(bound)
    }
}

impl Streams {
    /// Those that come over `conn`; with `udp` each carries a client's datagrams, `length:u16 data`.
    ///
    /// # Errors
    /// If no session can be configured so.
    pub(crate) fn new(
        conn: Buffered,
        config: Config,
        local: Addr,
        greeting: Greeting,
        udp: Option<UdpSettings>,
    ) -> Result<Self, drawspan_smux::ConfigError> {
        let session = Arc::new(Session::server(conn.into_stream(), config)?);
        let clients = mpsc::channel(udp.map_or(1, |settings| settings.backlog));
        Ok(Self { session, local, greeting, udp, clients, arriving: JoinSet::new() })
    }

    async fn accept(&mut self) -> Result<Accepted, AcceptError> {
        loop {
            tokio::select! {
                Some(arrived) = self.arriving.join_next() => {
                    if let Ok(Some(accepted)) = arrived {
                        return Ok(accepted);
                    }
                }
                Some(client) = self.clients.1.recv() => return Ok(client),
                stream = self.session.accept() => match stream {
                    Some(stream) => {
                        let carried = Carried::new(stream, &self.session);
                        let arriving = arrive(carried, self.local.clone(), self.greeting);
                        match self.udp {
                            Some(settings) => {
                                let clients = self.clients.0.clone();
                                self.arriving.spawn(async move {
                                    pass_clients(arriving.await?, settings, clients).await;
                                    None
                                });
                            }
                            None => drop(self.arriving.spawn(arriving)),
                        }
                    }
                    None => return Err(AcceptError::Temporary(self.session.closed().await.into())),
                },
            }
        }
    }
}

/// A connection once it has said where it comes from; `None` if it doesn't.
async fn arrive(stream: Carried, local: Addr, greeting: Greeting) -> Option<Accepted> {
    let mut conn = Buffered::new(Stream::layered(stream, local.clone(), Addr::unnamed()));
    let reading = async {
        loop {
            if let Some((peer, length)) = greeting(&conn.received).map_err(io::Error::other)? {
                conn.received.advance(length);
                return Ok(peer);
            }
            if conn.fill().await? == 0 {
                return Err(eof());
            }
        }
    };
    let outcome = timeout(GREETING_TIME, reading).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    let client = match outcome {
        Ok(peer) => addr(peer),
        Err(error) => {
            tracing::debug!("a connection at {local} doesn't say where it comes from: {error}");
            return None;
        }
    };
    let stream = Stream::layered(conn.into_stream(), local.clone(), client.clone());
    Some(Accepted { transport: Transport::Stream(stream), client, local })
}

/// Passes on a client whose datagrams come in a connection, as often as it begins a session, until the connection ends.
async fn pass_clients(from: Accepted, settings: UdpSettings, to: mpsc::Sender<Accepted>) {
    let Accepted { transport: Transport::Stream(stream), client, local } = from else { return };
    let inet = |addr: &Addr| if let Addr::Inet(address) = addr { *address } else { ANYWHERE };
    let datagrams = Datagrams::Single(Buffered::new(stream), inet(&client).into());
    let listener = UdpListener::over(datagrams, inet(&local), settings);
    while let Ok(accepted) = listener.accept().await {
        if to.send(accepted).await.is_err() {
            return;
        }
    }
}

const ANYWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// An address as far as it is one.
pub(crate) fn addr(address: Option<Address>) -> Addr {
    match address.map(|address| address.host_port()) {
        Some(Ok(HostPort { host, port })) => {
            host.parse().map_or_else(|_| Addr::unnamed(), |ip| Addr::from(SocketAddr::new(ip, port)))
        }
        _ => Addr::unnamed(),
    }
}

impl std::fmt::Debug for RemoteListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteListener").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
