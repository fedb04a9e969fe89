//! [`Connector`]: makes connections to one plugin server.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use drawspan_wit::{ErrorKind, Module};
use http::Uri;
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tower_service::Service;

use crate::stream::Io;
use crate::tls::Tls;
use crate::{Stream, Target, TlsError, TlsSettings};

/// Makes connections to one plugin server. Cheap to clone.
#[derive(Clone)]
pub struct Connector(Arc<Inner>);

struct Inner {
    target: Target,
    tls: Option<Tls>,
    timeout: Duration,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name doesn't resolve, or nothing listens; or this machine lacks what a connection takes.
    #[error("{}", drawspan_wit::chain(.0))]
    Io(#[from] io::Error),
    /// The TLS handshake failed.
    #[error("TLS handshake failed: {}", explained(.0))]
    Tls(io::Error),
    /// The server selected no protocol, or another one.
    #[error("the server did not select `{0}` (ALPN); is it a gRPC server with TLS?")]
    Alpn(String),
    /// It broke before anything could be asked.
    #[error("connection lost: {0}")]
    Lost(String),
    /// It took too long.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
}

impl ConnectError {
    /// What it is to the policies of `module`: a server that can't be reached. Not so to one that lets clients in, unless no client
    /// can have brought it about: a server that is stuck, or that has more to do than it can, doesn't finish a handshake, and drops
    /// connections or doesn't take them, which looks the same as no server; and who opens many connections to this gateway uses up
    /// its files.
    #[must_use]
    pub fn kind(&self, module: Module) -> ErrorKind {
        let brought_about = match self {
            Self::Io(error) => suspicion(error),
            // What rustls doesn't like is invalid data; the rest is the connection's end.
            Self::Tls(error) => (error.kind() != io::ErrorKind::InvalidData).then_some(ErrorKind::BadReply),
            Self::Alpn(_) => None,
            Self::Lost(_) => Some(ErrorKind::BadReply),
            Self::Timeout(_) => Some(ErrorKind::Deadline),
        };
        brought_about.filter(|_| module.lets_in()).unwrap_or(ErrorKind::Unavailable)
    }
}

/// What `openssl req -x509` makes is an authority's certificate, which others take for a server's too.
fn explained(error: &io::Error) -> String {
    match error.to_string() {
        text if text.contains("CaUsedAsEndEntity") => {
            "the server's certificate is an authority's (CA:TRUE); give it one with CA:FALSE".into()
        }
        text => text,
    }
}

/// What an error may be that a client has brought about: no more files, ports or memory here, no more room in the queue of a unix
/// socket, no answer, or a connection that is dropped as soon as it is there.
fn suspicion(error: &io::Error) -> Option<ErrorKind> {
    use libc::{EADDRNOTAVAIL, EAGAIN, ECONNABORTED, ECONNRESET, EMFILE, ENFILE, ENOBUFS, ENOMEM, ETIMEDOUT};
    match error.raw_os_error()? {
        EADDRNOTAVAIL | EAGAIN | EMFILE | ENFILE | ENOBUFS | ENOMEM => Some(ErrorKind::Overloaded),
        ECONNABORTED | ECONNRESET => Some(ErrorKind::BadReply),
        ETIMEDOUT => Some(ErrorKind::Deadline),
        _ => None,
    }
}

/// The one that says more, of errors of a host's addresses. A machine without IPv6 has no address to connect to `::1` from, which looks
/// like a lack of ports; anything else is more than that.
fn more_telling(one: io::Error, other: io::Error) -> io::Error {
    let weight = |error: &io::Error| match suspicion(error) {
        Some(_) if error.raw_os_error() == Some(libc::EADDRNOTAVAIL) => 0,
        None => 1,
        Some(_) => 2,
    };
    if weight(&other) > weight(&one) { other } else { one }
}

impl Connector {
    /// Connects to `target`, with TLS if `tls` is given, each time within `timeout`. `alpn` is the protocol to offer; with
    /// `must_select` the server has to select it.
    ///
    /// # Errors
    /// When TLS can't be set up.
    pub fn new(
        target: Target,
        tls: Option<&TlsSettings>,
        alpn: &'static [u8],
        must_select: bool,
        timeout: Duration,
    ) -> Result<Self, TlsError> {
        let host = target.host().unwrap_or("localhost");
        let tls = tls.map(|settings| settings.build(host, alpn, must_select)).transpose()?;
        Ok(Self(Arc::new(Inner { target, tls, timeout })))
    }

    /// Connects once.
    ///
    /// # Errors
    /// When there is no connection.
    pub async fn connect(&self) -> Result<Stream, ConnectError> {
        let Inner { target, tls, timeout } = &*self.0;
        let connect = async {
            match target {
                Target::Tcp(host, port) => secure(dial(host, *port).await?, tls.as_ref()).await,
                Target::Unix(path) => secure(UnixStream::connect(path).await?, tls.as_ref()).await,
            }
        };
        tokio::time::timeout(*timeout, connect).await.unwrap_or(Err(ConnectError::Timeout(*timeout)))
    }
}

/// Tries the host's addresses in the resolver's order.
async fn dial(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut failure = None;
    // The system's resolver doesn't say when it failed for want of a file; another attempt to open one does.
    let spare = || Socket::new(Domain::IPV4, Type::STREAM, None);
    let found = tokio::net::lookup_host((host, port)).await;
    for address in found.map_err(|error| spare().err().unwrap_or(error))? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                // A server that vanished without a word is noticed within half a minute, between calls and under one.
                let keepalive =
                    TcpKeepalive::new().with_time(Duration::from_secs(15)).with_interval(Duration::from_secs(5));
                let socket = SockRef::from(&stream);
                socket.set_tcp_keepalive(&keepalive.with_retries(3))?;
                #[cfg(target_os = "linux")]
                socket.set_tcp_user_timeout(Some(Duration::from_secs(20)))?;
                return Ok(stream);
            }
            Err(error) => {
                failure = Some(match failure {
                    Some(before) => more_telling(before, error),
                    None => error,
                });
            }
        }
    }
    Err(failure.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
}

async fn secure(io: impl Io + 'static, tls: Option<&Tls>) -> Result<Stream, ConnectError> {
    let Some(tls) = tls else {
        return Ok(Stream::new(io));
    };
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    let stream = connector.connect(tls.server_name.clone(), io).await.map_err(ConnectError::Tls)?;
    match tls.must_select {
        Some(alpn) if stream.get_ref().1.alpn_protocol() != Some(alpn) => {
            Err(ConnectError::Alpn(String::from_utf8_lossy(alpn).into_owned()))
        }
        _ => Ok(Stream::new(stream)),
    }
}

/// For hyper's pool. The URI is ignored: a connector has one target.
impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.connect().await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_may_bring_about_is_no_absence_to_those_who_let_in() {
        let os = |code| ConnectError::Io(io::Error::from_raw_os_error(code));
        let tls = |kind: io::ErrorKind| ConnectError::Tls(kind.into());
        for (error, kind) in [
            (os(libc::ECONNREFUSED), ErrorKind::Unavailable),
            (os(libc::EHOSTUNREACH), ErrorKind::Unavailable),
            (os(libc::ENOENT), ErrorKind::Unavailable),
            (ConnectError::Io(io::Error::other("no such name")), ErrorKind::Unavailable),
            (tls(io::ErrorKind::InvalidData), ErrorKind::Unavailable),
            (ConnectError::Alpn("h2".into()), ErrorKind::Unavailable),
            (os(libc::EMFILE), ErrorKind::Overloaded),
            (os(libc::EADDRNOTAVAIL), ErrorKind::Overloaded),
            (os(libc::EAGAIN), ErrorKind::Overloaded),
            (os(libc::ECONNRESET), ErrorKind::BadReply),
            (os(libc::ETIMEDOUT), ErrorKind::Deadline),
            (tls(io::ErrorKind::UnexpectedEof), ErrorKind::BadReply),
            (tls(io::ErrorKind::ConnectionReset), ErrorKind::BadReply),
            (ConnectError::Lost("gone".into()), ErrorKind::BadReply),
            (ConnectError::Timeout(Duration::from_secs(1)), ErrorKind::Deadline),
        ] {
            for module in Module::ALL {
                let expected =
                    if matches!(module, Module::Auther | Module::Admission) { kind } else { ErrorKind::Unavailable };
                assert_eq!(error.kind(module), expected, "{module:?}: {error}");
            }
        }
    }

    #[test]
    fn of_a_hosts_addresses_the_one_counts_that_says_more() {
        use libc::{EADDRNOTAVAIL, ECONNREFUSED, ECONNRESET, EHOSTUNREACH, EMFILE};
        for (one, other, more) in [
            (ECONNREFUSED, EADDRNOTAVAIL, ECONNREFUSED),
            (EADDRNOTAVAIL, ECONNREFUSED, ECONNREFUSED),
            (EADDRNOTAVAIL, EADDRNOTAVAIL, EADDRNOTAVAIL),
            (ECONNREFUSED, EMFILE, EMFILE),
            (ECONNRESET, ECONNREFUSED, ECONNRESET),
            (ECONNREFUSED, EHOSTUNREACH, ECONNREFUSED),
        ] {
            let told = more_telling(io::Error::from_raw_os_error(one), io::Error::from_raw_os_error(other));
            assert_eq!(told.raw_os_error(), Some(more), "{one} {other}");
        }
    }
}
