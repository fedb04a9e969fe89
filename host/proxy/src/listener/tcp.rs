//! [`TcpListener`]: plain TCP.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use drawspan_modules::Addr;
use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::net::{TcpStream, lookup_host};

use super::{DnsQuestion, TunDevice, UdpSession};
use crate::net::{KEEPALIVE, Stream, tune};

/// Connections that wait to be accepted; the kernel lowers it to `net.core.somaxconn`, as Go asks for.
const BACKLOG: i32 = 4096;

/// Accepts TCP connections.
#[derive(Debug)]
pub struct TcpListener {
    inner: tokio::net::TcpListener,
    local: SocketAddr,
    keepalive: TcpKeepalive,
    /// Its connections are tuned one by one: Multipath TCP isn't sure to do that by itself.
    tunes: bool,
}

/// What a listening socket may be besides.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// It accepts Multipath TCP too; without any effect where the kernel doesn't know that, as in Go.
    pub mptcp: bool,
    /// Others may listen on the same address, and the kernel shares the connections out (`SO_REUSEPORT`).
    pub reuse_port: bool,
}

/// A connection as it was accepted.
#[derive(Debug)]
pub struct Accepted {
    /// The bytes, on TCP with `TCP_NODELAY` and keepalive; or the datagrams; or the question.
    pub transport: Transport,
    /// Where it comes from.
    pub client: Addr,
    /// The address that it was made to.
    pub local: Addr,
}

/// What was accepted.
#[derive(Debug)]
pub enum Transport {
    /// A connection.
    Stream(Stream),
    /// A client's datagrams.
    Udp(UdpSession),
    /// A question by DNS.
    Dns(DnsQuestion),
    /// Packets of a network interface.
    Tun(TunDevice),
}

/// Why an address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Not `host:port`, `:port` or `[ipv6]:port`.
    #[error("invalid listen address {0:?}")]
    Address(String),
    /// The host has no IPv4 address.
    #[error("can't resolve listen address {address:?}: {error}")]
    Resolve {
        /// As configured.
        address: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A unix socket can't be made.
    #[error("can't listen on {path}: {error}", path = path.display())]
    Unix {
        /// Its path.
        path: PathBuf,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// A network interface can't be made.
    #[error("interface {name}: {error}")]
    Tun {
        /// Its name, as far as it is known.
        name: String,
        /// Why.
        #[source]
        error: io::Error,
    },
    /// In use, not permitted, or not of this machine.
    #[error("can't listen on {address}: {error}")]
    Bind {
        /// The address as resolved.
        address: SocketAddr,
        /// Why.
        #[source]
        error: io::Error,
    },
}

/// Why a connection could not be accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// Out of file descriptors or memory: worth another try after a pause.
    #[error("can't accept for now: {0}")]
    Temporary(#[source] io::Error),
    /// The listener is of no more use.
    #[error("can't accept: {0}")]
    Fatal(#[source] io::Error),
}

impl TcpListener {
    /// Listens on `address` (GOST reference, config 3.1): `:8080` and `[::]:8080` on IPv4 and IPv6, `[::1]:8080` on that
    /// address, `host:8080` and `1.2.3.4:8080` on IPv4 only. Port 0 lets the kernel choose.
    ///
    /// # Errors
    /// If that is impossible.
    pub async fn bind(address: &str) -> Result<Self, BindError> {
        Self::bind_as(address, TcpOptions::default()).await
    }

    /// The same with those options.
    ///
    /// # Errors
    /// If that is impossible.
    pub async fn bind_as(address: &str, options: TcpOptions) -> Result<Self, BindError> {
        locate(address).await?.bind(|address| listen(address, options))
    }

    /// With other keepalive on its connections: silence before the first probe, between probes, and unanswered probes that
    /// end a connection.
    #[must_use]
    pub fn with_keepalive(self, idle: Duration, interval: Duration, count: u32) -> Self {
        let keepalive = TcpKeepalive::new().with_time(idle).with_interval(interval).with_retries(count);
        tune(&self.inner, &keepalive);
        Self { keepalive, ..self }
    }

    /// The address that is listened on, with the port that the kernel chose.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Waits for the next connection. Dropping the future loses none.
    ///
    /// # Errors
    /// The caller pauses after a [temporary](AcceptError::Temporary) one and ends after a fatal one.
    pub async fn accept(&self) -> Result<Accepted, AcceptError> {
        let (stream, client) = self.accept_tcp().await?;
        // A client that is gone already is found out when it is read from.
        let local = stream.local_addr().unwrap_or(self.local);
        let transport = Transport::Stream(stream.into());
        Ok(Accepted { transport, client: client.into(), local: local.into() })
    }

    /// As [`accept`](Self::accept): the connection, and where it comes from.
    pub(crate) async fn accept_tcp(&self) -> Result<(TcpStream, SocketAddr), AcceptError> {
        let (stream, client) = accepted(|| self.inner.accept()).await?;
        if self.tunes {
            tune(&stream, &self.keepalive);
        }
        Ok((stream, SocketAddr::new(client.ip().to_canonical(), client.port())))
    }
}

/// What is listened on.
pub(crate) enum Place {
    /// An address; the unspecified IPv6 address is all of this machine's, IPv4 and IPv6.
    At(SocketAddr),
    /// This port of all addresses that the kernel knows.
    Anywhere(u16),
}

/// Finds the place that a listen address stands for.
pub(crate) async fn locate(address: &str) -> Result<Place, BindError> {
    let invalid = || BindError::Address(address.to_owned());
    let (host, port) = address.rsplit_once(':').ok_or_else(invalid)?;
    let port: u16 = port.parse().map_err(|_| invalid())?;
    if host.is_empty() {
        return Ok(Place::Anywhere(port));
    }
    if let Some(host) = host.strip_prefix('[') {
        let ip: Ipv6Addr = host.strip_suffix(']').and_then(|host| host.parse().ok()).ok_or_else(invalid)?;
        return Ok(Place::At(SocketAddr::new(ip.into(), port)));
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return if ip.is_ipv4() { Ok(Place::At(SocketAddr::new(ip, port))) } else { Err(invalid()) };
    }
    let resolve = |error| BindError::Resolve { address: address.to_owned(), error };
    let mut found = lookup_host((host, port)).await.map_err(resolve)?;
    let none = || resolve(io::Error::new(io::ErrorKind::AddrNotAvailable, "the host has no IPv4 address"));
    found.find(SocketAddr::is_ipv4).map(Place::At).ok_or_else(none)
}

impl Place {
    /// What `open` makes there.
    pub(crate) fn bind<T>(self, open: impl Fn(SocketAddr) -> io::Result<T>) -> Result<T, BindError> {
        let bind = |address| open(address).map_err(|error| BindError::Bind { address, error });
        match self {
            Self::At(address) => bind(address),
            Self::Anywhere(port) => match bind(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port)) {
                // A kernel without IPv6.
                Err(BindError::Bind { error, .. }) if Errno::from_io_error(&error) == Some(Errno::AFNOSUPPORT) => {
                    bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port))
                }
                outcome => outcome,
            },
        }
    }
}

fn listen(address: SocketAddr, options: TcpOptions) -> io::Result<TcpListener> {
    let domain = Domain::for_address(address);
    let open = |protocol| Socket::new(domain, Type::STREAM.nonblocking(), Some(protocol));
    let multipath = if options.mptcp { open(Protocol::MPTCP).ok() } else { None };
    let socket = multipath.map_or_else(|| open(Protocol::TCP), Ok)?;
    if address.is_ipv6() {
        // Whatever the system's default: the wildcard means both families, another address its own.
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.set_reuse_address(true)?;
    if options.reuse_port {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let inner = tokio::net::TcpListener::from_std(socket.into())?;
    let local = inner.local_addr()?;
    tune(&inner, &KEEPALIVE);
    Ok(TcpListener { inner, local, keepalive: KEEPALIVE, tunes: options.mptcp })
}

/// What `accept` accepts. A connection that has failed before it was accepted is passed over.
pub(super) async fn accepted<T, F>(accept: impl Fn() -> F) -> Result<T, AcceptError>
where
    F: Future<Output = io::Result<T>>,
{
    loop {
        match accept().await {
            Ok(accepted) => return Ok(accepted),
            Err(error) if is_of_a_connection(&error) => tracing::debug!("a connection has failed already: {error}"),
            Err(error) => return Err(classify(error)),
        }
    }
}

/// accept(2): it reports errors of the connection too, which don't concern the listener.
fn is_of_a_connection(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(
            Errno::CONNABORTED
                | Errno::INTR
                | Errno::NETDOWN
                | Errno::PROTO
                | Errno::NOPROTOOPT
                | Errno::HOSTDOWN
                | Errno::NONET
                | Errno::HOSTUNREACH
                | Errno::NETUNREACH
        )
    )
}

/// Whether it is worth another try.
pub(super) fn classify(error: io::Error) -> AcceptError {
    match Errno::from_io_error(&error) {
        Some(Errno::BADF | Errno::FAULT | Errno::INVAL | Errno::NOTSOCK) => AcceptError::Fatal(error),
        _ => AcceptError::Temporary(error),
    }
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    #[tokio::test]
    async fn addresses_are_read_as_gost_reads_them() {
        for (address, ipv4) in
            [("127.0.0.1:0", true), ("localhost:0", true), ("0.0.0.0:0", true), (":0", false), ("[::1]:0", false)]
        {
            let local = TcpListener::bind(address).await.unwrap().local_addr();
            assert_eq!(local.is_ipv4(), ipv4, "{address}");
            assert_ne!(local.port(), 0);
        }
        for address in ["8080", "", ":", "a:b", ":70000", "::1:80", "[::1]", "[1.2.3.4]:0"] {
            assert!(matches!(TcpListener::bind(address).await, Err(BindError::Address(_))), "{address}");
        }
    }

    #[tokio::test]
    async fn a_wildcard_listens_on_both_families() {
        let second = Duration::from_secs(1);
        let listener = TcpListener::bind(":0").await.unwrap().with_keepalive(7 * second, second, 3);
        let port = listener.local_addr().port();
        for ip in ["127.0.0.1", "::1"] {
            let ip: IpAddr = ip.parse().unwrap();
            let client = TcpStream::connect((ip, port)).await.unwrap();
            let accepted = listener.accept().await.unwrap();
            assert_eq!(accepted.client, client.local_addr().unwrap().into());
            assert_eq!(accepted.local, SocketAddr::new(ip, port).into());
            let Transport::Stream(Stream::Tcp(stream)) = accepted.transport else { panic!("{accepted:?}") };
            assert!(stream.nodelay().unwrap());
            let socket = SockRef::from(&stream);
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(7));
        }
    }

    #[tokio::test]
    async fn two_may_share_an_address_if_both_want_to() {
        let options = TcpOptions { mptcp: true, reuse_port: true };
        let one = TcpListener::bind_as("127.0.0.1:0", options).await.unwrap();
        let address = one.local_addr().to_string();
        assert!(TcpListener::bind(&address).await.is_err());
        let other = TcpListener::bind_as(&address, options).await.unwrap();
        let client = TcpStream::connect(&address).await.unwrap();
        let accepted = tokio::select! {
            accepted = one.accept() => accepted,
            accepted = other.accept() => accepted,
        };
        assert_eq!(accepted.unwrap().client, client.local_addr().unwrap().into());
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().to_string();
        let error = TcpListener::bind(&address).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("can't listen on {address}: ")), "{error}");
    }

    #[test]
    fn shortages_pass() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM] {
            assert!(matches!(classify(errno.into()), AcceptError::Temporary(_)), "{errno}");
        }
        assert!(matches!(classify(Errno::BADF.into()), AcceptError::Fatal(_)));
    }

    #[tokio::test]
    async fn a_connection_that_failed_is_passed_over() {
        let left = std::cell::Cell::new(3);
        let accept = || async {
            left.set(left.get() - 1);
            match left.get() {
                2 => Err(Errno::CONNABORTED.into()),
                1 => Err(Errno::HOSTUNREACH.into()),
                _ => Ok(left.get()),
            }
        };
        assert!(matches!(accepted(accept).await, Ok(0)));
        let accept = || async { Err::<(), io::Error>(Errno::MFILE.into()) };
        assert!(matches!(accepted(accept).await, Err(AcceptError::Temporary(_))));
    }
}
