//! [`Connector`]: makes connections to one plugin server.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use socket2::{SockRef, TcpKeepalive};
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
    /// The name doesn't resolve, or nothing listens.
    #[error("{}", drawspan_wit::chain(.0))]
    Io(#[from] io::Error),
    /// The TLS handshake failed.
    #[error("TLS handshake failed: {0}")]
    Tls(io::Error),
    /// The server selected no protocol, or another one.
    #[error("the server did not select `{0}` (ALPN); is it a gRPC server with TLS?")]
    Alpn(String),
    /// It took too long.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
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
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in tokio::net::lookup_host((host, port)).await? {
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
            Err(error) => last = error,
        }
    }
    Err(last)
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
