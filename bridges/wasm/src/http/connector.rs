//! [`Connector`]: connections to listed hosts, at addresses that were looked at.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use drawspan_bridge_transport::{Stream, native_roots};
use http::Uri;
use http::uri::Scheme;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;
use tower_service::Service;
use wasmtime_wasi_http::Error;

use super::hosts::{Hosts, address, bare};

/// Makes connections for one plugin. A name is resolved once per connection, and what is connected to is the address that
/// was checked.
#[derive(Clone)]
pub(super) struct Connector {
    hosts: Arc<Hosts>,
    /// None on a machine without root certificates; then there is no https.
    tls: Option<TlsConnector>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("no address for the name")]
    Name,
    #[error("all its addresses are private")]
    Private,
    #[error(transparent)]
    Tcp(io::Error),
    #[error(transparent)]
    Tls(io::Error),
}

impl From<&ConnectError> for Error {
    fn from(error: &ConnectError) -> Self {
        match error {
            ConnectError::Name => Self::DnsError { rcode: None, info_code: None },
            ConnectError::Private => Self::DestinationIpProhibited,
            ConnectError::Tcp(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => Self::ConnectionRefused,
                io::ErrorKind::TimedOut => Self::ConnectionTimeout,
                _ => Self::DestinationUnavailable,
            },
            ConnectError::Tls(error) => match error.get_ref().and_then(|error| error.downcast_ref()) {
                Some(rustls::Error::InvalidCertificate(_)) => Self::TlsCertificateError,
                _ => Self::TlsProtocolError,
            },
        }
    }
}

impl Connector {
    pub(super) fn new(hosts: &Arc<Hosts>) -> Self {
        let tls = tls().inspect_err(|error| {
            tracing::warn!(%error, "components can't send requests over https");
        });
        Self { hosts: Arc::clone(hosts), tls: tls.ok() }
    }

    async fn connect(self, uri: Uri) -> Result<Stream, ConnectError> {
        let (host, is_tls) = (uri.host().unwrap_or_default(), uri.scheme() == Some(&Scheme::HTTPS));
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = self.dial(host, port, is_tls).await?;
        stream.set_nodelay(true).map_err(ConnectError::Tcp)?;
        if !is_tls {
            return Ok(Stream::new(stream));
        }
        let other = |reason: &'static str| ConnectError::Tls(io::Error::other(reason));
        let tls = self.tls.ok_or_else(|| other("no root certificates"))?;
        let name = match address(host) {
            Some(address) => ServerName::from(address),
            None => ServerName::try_from(bare(host).to_owned()).map_err(|_| other("not a name"))?,
        };
        tls.connect(name, stream).await.map(Stream::new).map_err(ConnectError::Tls)
    }

    /// Tries the addresses that may be connected to, in the resolver's order.
    async fn dial(&self, host: &str, port: u16, is_tls: bool) -> Result<TcpStream, ConnectError> {
        let addresses: Vec<SocketAddr> = match address(host) {
            Some(address) => vec![(address, port).into()],
            None => lookup_host((host, port)).await.map_err(|_| ConnectError::Name)?.collect(),
        };
        if addresses.is_empty() {
            return Err(ConnectError::Name);
        }
        let mut failure = ConnectError::Private;
        for address in addresses {
            if !self.hosts.may_lead_to(address.ip(), port, is_tls) {
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = ConnectError::Tcp(error),
            }
        }
        Err(failure)
    }
}

fn tls() -> Result<TlsConnector, Box<dyn std::error::Error>> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(native_roots()?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config).into())
}

/// For hyper's pool.
impl Service<Uri> for Connector {
    type Response = Stream;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, ConnectError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}
