//! TCP servers that speak no protocol at all.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Server;
use crate::serve::loopback;

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
