//! TCP servers that speak no protocol at all.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::serve::loopback;
use crate::{Server, within};

/// What a server does instead of answering.
#[derive(Clone, Copy, Debug)]
pub enum Misbehaviour {
    /// Accepts, reads and never says a word.
    Hold,
    /// Answers the first bytes with nonsense and goes on reading.
    Garbage,
    /// Resets the connection as soon as the first bytes arrive.
    Reset,
    /// Resets the connection as soon as it is there.
    ResetAtOnce,
}

/// A server that misbehaves.
pub async fn misbehaving(misbehaviour: Misbehaviour) -> Server {
    Server::tcp(loopback(), move |mut stream| async move {
        let mut buffer = [0; 4096];
        if !matches!(misbehaviour, Misbehaviour::ResetAtOnce) {
            let Ok(1..) = stream.read(&mut buffer).await else { return };
        }
        match misbehaviour {
            Misbehaviour::Hold => {}
            Misbehaviour::Garbage => stream.write_all(b"\x7fnonsense\r\n\r\n\xff\xfe\0\x01").await.unwrap_or_default(),
            Misbehaviour::Reset | Misbehaviour::ResetAtOnce => return reset(stream),
        }
        while let Ok(1..) = stream.read(&mut buffer).await {}
    })
    .await
}

/// A server that is stuck: it accepts nothing, and has no room for another connection that waits to be.
pub struct Stuck {
    addr: SocketAddr,
    _listener: tokio::net::TcpListener,
    _waiting: Vec<TcpStream>,
}

impl Stuck {
    /// Whoever connects waits in vain.
    ///
    /// # Panics
    /// When there is no room for those who are to fill it.
    pub async fn start() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(loopback()).expect("a free port");
        let listener = socket.listen(1).expect("a bound socket listens");
        let addr = listener.local_addr().expect("a bound listener has an address");
        // Linux lets one more wait than it is told.
        let mut waiting = Vec::new();
        for _ in 0..2 {
            waiting.push(within("a place in the queue", TcpStream::connect(addr)).await.expect("a place in the queue"));
        }
        Self { addr, _listener: listener, _waiting: waiting }
    }

    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// Closes a connection by a reset.
pub fn reset(stream: TcpStream) {
    // One that is reset already refuses.
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

/// An address where nobody listens.
#[must_use]
pub fn unused_addr() -> SocketAddr {
    let listener = TcpListener::bind(loopback()).expect("a free port");
    listener.local_addr().expect("a bound listener has an address")
}
