//! [`Server`]: an accept loop that ends, with all its connections, when it is dropped.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// How a server speaks TLS; `None` where it doesn't.
pub type Tls = Option<Arc<ServerConfig>>;

/// A running server.
pub struct Server {
    addr: Option<SocketAddr>,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    /// Where it listens.
    ///
    /// # Panics
    /// If it listens on a unix socket.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr.expect("a TCP server")
    }

    /// How many connections it accepted so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Ends the server and its connections; when this returns, its port is free.
    pub async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    /// Serves TCP connections.
    pub(crate) async fn tcp<F>(addr: SocketAddr, on_connection: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(addr).await.unwrap_or_else(|error| panic!("{addr}: {error}"));
        let addr = listener.local_addr().expect("a bound listener has an address");
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                stream.set_nodelay(true).expect("a TCP option");
                connections.spawn(on_connection(stream));
            }
        });
        Self { addr: Some(addr), accepted, task }
    }

    /// Serves connections to a unix socket.
    pub(crate) fn unix<F>(path: &Path, on_connection: impl Fn(BoxStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = UnixListener::bind(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                connections.spawn(on_connection(Box::new(stream)));
            }
        });
        Self { addr: None, accepted, task }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A byte stream of any kind.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}
pub(crate) type BoxStream = Box<dyn Stream>;

/// Does the server's part of the TLS handshake, if there is one. `None`: the client didn't agree.
pub(crate) async fn accept_tls(stream: TcpStream, tls: Tls) -> Option<BoxStream> {
    match tls {
        None => Some(Box::new(stream)),
        Some(config) => match TlsAcceptor::from(config).accept(stream).await {
            Ok(stream) => Some(Box::new(stream)),
            Err(_) => None,
        },
    }
}

/// Any free port of 127.0.0.1.
pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
