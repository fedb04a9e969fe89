//! A web server for the guests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A server that gives every request the same answer.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    /// Those that ended before an answer was sent, where none is.
    abandoned: Arc<tokio::sync::Semaphore>,
}

impl Origin {
    /// Answers with these bytes, or never.
    pub(crate) async fn start(answer: Option<String>) -> Self {
        Self::with(answer, None).await
    }

    /// The same, with a body of this text.
    pub(crate) async fn saying(text: &str) -> Self {
        Self::start(Some(format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len()))).await
    }

    /// The same over TLS.
    pub(crate) async fn with(answer: Option<String>, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, abandoned) = (Arc::<AtomicUsize>::default(), Arc::new(tokio::sync::Semaphore::new(0)));
        let (count, ends) = (Arc::clone(&connections), Arc::clone(&abandoned));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let (answer, tls, ends) = (answer.clone(), tls.clone(), Arc::clone(&ends));
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, answer, &ends).await,
                        // A client that doesn't like the certificate goes away.
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, answer, &ends).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, connections, abandoned }
    }

    /// How many connections it accepted.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits for a client that goes away without an answer.
    pub(crate) async fn abandoned(&self) {
        self.abandoned.acquire().await.unwrap().forget();
    }
}

async fn serve(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: Option<String>, ends: &tokio::sync::Semaphore) {
    let mut head = Vec::new();
    loop {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => {
                return if answer.is_none() {
                    ends.add_permits(1)
                };
            }
        }
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            if let Some(answer) = &answer {
                // A client may have heard enough before the end.
                drop(stream.write_all(answer.as_bytes()).await);
            }
        }
    }
}
