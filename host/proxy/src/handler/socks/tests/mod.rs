//! The handlers over real sockets: proxies, clients and origins in one process.

mod auto;
mod bind;
mod udp;
mod v4;
mod v5;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drawspan_modules::{Addr, Authenticator, Bypass, ConnInfo};
use drawspan_wit::authenticator::{AuthenticationRequest, Identity};
use drawspan_wit::bypass::{BypassRequest, Match};
use drawspan_wit::{Call, CallError, Plugin, boxed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::{Socks4, Socks5, Socks5Settings};
use crate::Conn;
use crate::connector;
use crate::handler::{Handler, HandlerParts};
use crate::net::Stream;
use crate::tls::{Certificate, ClientSettings, Generated, Options, ServerSettings, TlsClient, TlsServer};

/// A proxy that serves connections until it is dropped.
struct Proxy {
    address: SocketAddr,
    drain: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    async fn start(handler: Handler) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let drain = CancellationToken::new();
        let (handler, draining) = (Arc::new(handler), drain.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, client)) = listener.accept().await {
                let info = ConnInfo {
                    certificate: None,
                    service: "service-0".into(),
                    sid: "sid".into(),
                    client: client.into(),
                    local: address.into(),
                };
                let (handler, drain) = (Arc::clone(&handler), draining.clone());
                tokio::spawn(async move { handler.handle(Conn::new(stream, info), drain).await });
            }
        });
        Self { address, drain, task }
    }

    async fn v4(parts: HandlerParts) -> Self {
        Self::start(Handler::Socks4(Socks4::new(parts, Duration::from_secs(15)))).await
    }

    async fn v5(parts: HandlerParts, settings: Socks5Settings) -> Self {
        Self::start(Handler::Socks5(Socks5::new(parts, settings))).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `bytes` on a connection of its own and reads until the proxy closes it.
    async fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        let mut client = self.connect().await;
        client.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        answer
    }

    /// A connection through this proxy by a connector of our own.
    async fn through(
        &self,
        connector: &connector::Connector,
        target: SocketAddr,
    ) -> Result<Stream, connector::ConnectError> {
        let conn = crate::net::Buffered::new(self.connect().await);
        let target = drawspan_wire::http1::HostPort { host: target.ip().to_string(), port: target.port() };
        Ok(connector.connect(conn, &target, &Addr::unnamed()).await?.into_stream())
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A server that greets first and then sends back whatever it is sent, to the end.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(b"hello ").await.unwrap();
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
    address
}

/// Checks that there is such a server at the other end.
async fn assert_echoes(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin) {
    let sent: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let (mut from, mut to) = tokio::io::split(&mut stream);
    let mut received = Vec::new();
    let send = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let (_, read) = tokio::join!(send, from.read_to_end(&mut received));
    read.unwrap();
    assert!(received == [b"hello ", sent.as_slice()].concat(), "{} bytes came back", received.len());
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

async fn read<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

/// `start`, the address as type (for SOCKS5) or not, host and port, and `end`.
fn message(start: &[u8], address: SocketAddr, end: &[u8]) -> Vec<u8> {
    let SocketAddr::V4(address) = address else { panic!("not IPv4") };
    let (ip, port) = (address.ip().octets(), address.port().to_be_bytes());
    match start.first() {
        Some(4) => [start, &port, &ip, end].concat(),
        _ => [start, &[1], &ip, &port, end].concat(),
    }
}

/// Answers calls with a function, and keeps them.
struct Asked<C, F> {
    calls: Arc<Mutex<Vec<C>>>,
    answer: F,
}

impl<C: Call + Clone, F: Fn(&C) -> C::Reply + Send + Sync> Plugin<C> for Asked<C, F> {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        self.calls.lock().unwrap().push((*call).clone());
        Ok((self.answer)(&call))
    }
}

type Calls<C> = Arc<Mutex<Vec<C>>>;

/// Knows `gost` with password `secret`, and `plain` with none, as `id-` and the name.
fn authenticator() -> (Authenticator, Calls<AuthenticationRequest>) {
    let calls = Calls::default();
    let answer = |call: &AuthenticationRequest| {
        let known = [("gost", "secret"), ("plain", "")].contains(&(call.username.as_str(), call.password.as_str()));
        known.then(|| Identity { client_id: format!("id-{}", call.username) })
    };
    (Authenticator::new(boxed(Asked { calls: Arc::clone(&calls), answer })), calls)
}

/// Has targets in it whose address begins so.
fn bypass(beginning: &'static str) -> (Bypass, Calls<BypassRequest>) {
    let calls = Calls::default();
    let answer = move |call: &BypassRequest| {
        if call.target_address.starts_with(beginning) { Match::Matched } else { Match::Unmatched }
    };
    (Bypass::new(boxed(Asked { calls: Arc::clone(&calls), answer })), calls)
}

/// Both ends of TLS, as two peers of GOST have it: a certificate that is made now, and isn't verified.
fn tls() -> (TlsServer, TlsClient) {
    let made = Generated {
        validity: Duration::from_secs(3600),
        common_name: "gost.run".to_owned(),
        organization: "GOST".to_owned(),
    };
    let settings =
        ServerSettings { certificate: Certificate::Generated(made), client_ca: None, options: Options::default() };
    (TlsServer::new(&settings).unwrap(), TlsClient::new(&ClientSettings::default()).unwrap())
}

fn client_of(stream: &TcpStream) -> String {
    Addr::from(stream.local_addr().unwrap()).to_string()
}
