//! The handler over real sockets: a proxy, its clients and its origins in one process.

mod decoys;
mod ends;
mod exchanges;
mod refusals;
mod tunnels;

use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drawspan_modules::{Authenticator, ConnInfo, UserTable};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::super::{HandlerError, HandlerParts};
use super::{Http, Settings};
use crate::Conn;

/// A proxy that serves connections until it is dropped.
struct Proxy {
    address: SocketAddr,
    drain: CancellationToken,
    /// How each connection ended, in that order.
    outcomes: mpsc::UnboundedReceiver<Result<(), HandlerError>>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    async fn open() -> Self {
        Self::start(Settings::default(), None).await
    }

    /// With a user `gost`, password `secret`, and another, `other`, password `pass`.
    async fn closed(settings: Settings) -> Self {
        let users = [("gost", "secret"), ("other", "pass")].map(|(name, word)| (name.to_owned(), word.to_owned()));
        Self::start(settings, Some(Authenticator::new(drawspan_wit::boxed(UserTable::new(users))))).await
    }

    async fn start(settings: Settings, authenticator: Option<Authenticator>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let handler = Arc::new(Http::new(HandlerParts { authenticator, ..HandlerParts::default() }, settings));
        let drain = CancellationToken::new();
        let (report, outcomes) = mpsc::unbounded_channel();
        let draining = drain.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, client) = listener.accept().await.unwrap();
                let info = ConnInfo {
                    certificate: None,
                    service: "test".into(),
                    sid: "sid".into(),
                    client: client.into(),
                    local: address.into(),
                };
                let (handler, drain, report) = (Arc::clone(&handler), draining.clone(), report.clone());
                tokio::spawn(async move {
                    let outcome = handler.handle(Conn::new(stream, info), drain).await;
                    let _ = report.send(outcome);
                });
            }
        });
        Self { address, drain, outcomes, task }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `request` on a connection of its own and reads until the proxy closes it.
    async fn ask(&self, request: impl AsRef<[u8]>) -> String {
        let mut client = self.connect().await;
        client.write_all(request.as_ref()).await.unwrap();
        read_all(&mut client).await
    }

    /// How the next connection ended.
    async fn outcome(&mut self) -> Result<(), HandlerError> {
        self.outcomes.recv().await.unwrap()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A server whose side of each exchange the test plays itself.
struct Origin(TcpListener);

impl Origin {
    async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.unwrap())
    }

    fn address(&self) -> SocketAddr {
        self.0.local_addr().unwrap()
    }

    async fn accept(&self) -> TcpStream {
        self.0.accept().await.unwrap().0
    }

    /// Accepts, reads one head and answers; returns the head.
    async fn answer(&self, response: impl AsRef<[u8]>) -> String {
        let mut stream = self.accept().await;
        let head = read_head(&mut stream).await;
        stream.write_all(response.as_ref()).await.unwrap();
        head
    }
}

/// An address where nobody listens.
async fn nobody() -> SocketAddr {
    Origin::start().await.address()
}

async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// Up to and including the first empty line, and no byte more.
async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn read_exactly(stream: &mut TcpStream, length: usize) -> String {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

/// A `Proxy-Authorization` line.
fn authorization(credentials: &str) -> String {
    format!("Proxy-Authorization: Basic {}\r\n", STANDARD.encode(credentials))
}
