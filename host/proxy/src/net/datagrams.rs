//! [`Datagrams`]: datagrams with addresses, over whatever carries them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use drawspan_wire::relay;
use drawspan_wire::socks::{Address, Datagram, Frame, SocksError};
use tokio::time::timeout;

use super::{Buffered, Stream, Udp, eof};

/// Where datagrams go to and come from.
#[derive(Debug)]
pub enum Datagrams {
    /// A socket of our own: each datagram to and from its address.
    Plain(Udp),
    /// Frames within a connection (GOST's UDP over TCP).
    Framed(Buffered),
    /// The same to and from one address only, which the frames don't name (the relay protocol).
    Single(Buffered, Address),
    /// A socket to one peer, with the addresses in a SOCKS5 header.
    Relayed(Relayed),
}

/// One end of SOCKS5's UDP.
#[derive(Debug)]
pub struct Relayed {
    socket: Udp,
    /// Datagrams from elsewhere aren't ours.
    from: IpAddr,
    /// Where the last one came from.
    peer: Mutex<Option<SocketAddr>>,
    /// The TCP connection that the association lives as long as, where nobody else holds it.
    control: Option<Buffered>,
    /// How long the peer may be silent.
    patience: Option<Duration>,
}

/// What receives.
pub(crate) enum Receiver<'a> {
    Plain(&'a Udp),
    Framed { stream: &'a Stream, received: &'a mut BytesMut },
    Single { stream: &'a Stream, received: &'a mut BytesMut, peer: &'a Address },
    Relayed(&'a Relayed),
}

/// What sends.
pub(crate) enum Sender<'a> {
    Plain(&'a Udp),
    Framed(&'a Stream),
    Single(&'a Stream),
    Relayed(&'a Relayed),
}

impl Relayed {
    /// The server's end: a client at `from`, at whatever port its datagrams come from.
    pub(crate) fn server(socket: Udp, from: IpAddr) -> Self {
        Self { socket, from: from.to_canonical(), peer: Mutex::new(None), control: None, patience: None }
    }

    /// The client's end: a server at `peer`, which may be silent for as long as `patience`. `control` is kept open.
    pub(crate) fn client(socket: Udp, peer: SocketAddr, control: Buffered, patience: Option<Duration>) -> Self {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        Self { socket, from: peer.ip(), peer: Mutex::new(Some(peer)), control: Some(control), patience }
    }

    async fn receive(&self, data: &mut Vec<u8>) -> io::Result<(Address, usize)> {
        let receive = self.socket.receive(|bytes, from| {
            if from.ip() != self.from {
                return None;
            }
            // Fragments are dropped, as who can't put them together must (RFC 1928 §7). GOST: passes them on.
            let datagram = Datagram::parse(bytes).ok().filter(|datagram| datagram.fragment == 0)?;
            if self.control.is_none() {
                *self.peer.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
            }
            data.clear();
            data.extend_from_slice(datagram.data);
            Some((datagram.address, bytes.len()))
        });
        let receive = async {
            match self.patience {
                Some(patience) => timeout(patience, receive).await?,
                None => receive.await,
            }
        };
        match &self.control {
            Some(control) => tokio::select! {
                received = receive => received,
                error = ended(&control.stream) => Err(error),
            },
            None => receive.await,
        }
    }

    async fn send(&self, address: &Address, data: &[u8]) -> io::Result<usize> {
        let peer = *self.peer.lock().unwrap_or_else(PoisonError::into_inner);
        // There is nobody to send to before the first datagram has come.
        let Some(peer) = peer else { return Ok(0) };
        let mut out = Vec::with_capacity(data.len() + Frame::MAX_HEAD);
        Datagram::put_header(&mut out, address).map_err(broken)?;
        out.extend_from_slice(data);
        self.socket.send(&out, peer).await;
        Ok(out.len())
    }
}

impl Datagrams {
    /// Both directions, for use at the same time.
    pub(crate) fn split(&mut self) -> (Receiver<'_>, Sender<'_>) {
        match self {
            Self::Plain(socket) => (Receiver::Plain(socket), Sender::Plain(socket)),
            Self::Framed(conn) => {
                let Buffered { stream, received } = conn;
                (Receiver::Framed { stream, received }, Sender::Framed(stream))
            }
            Self::Single(conn, peer) => {
                let Buffered { stream, received } = conn;
                (Receiver::Single { stream, received, peer }, Sender::Single(stream))
            }
            Self::Relayed(relayed) => (Receiver::Relayed(relayed), Sender::Relayed(relayed)),
        }
    }

    /// From now on receiving fails when a datagram found nobody, where that becomes known.
    pub(crate) fn heed_errors(&mut self) {
        if let Self::Plain(socket) = self {
            socket.heed_errors();
        }
    }

    /// Our end and the other one of what carries them, for records.
    pub(crate) fn ends(&self) -> (String, String) {
        match self {
            Self::Plain(socket) | Self::Relayed(Relayed { socket, .. }) => socket.ends(),
            Self::Framed(conn) | Self::Single(conn, _) => {
                (conn.stream.local_addr().to_string(), conn.stream.peer_addr().to_string())
            }
        }
    }

    /// Whether names can be sent to; where they can't, they must be resolved before.
    pub(crate) fn takes_names(&self) -> bool {
        !matches!(self, Self::Plain(_))
    }
}

impl Receiver<'_> {
    /// The next datagram: its data goes to `data`, which is emptied first. Its address, and how many bytes came for it.
    /// What isn't understood is skipped. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When no more can come.
    pub(crate) async fn receive(&mut self, data: &mut Vec<u8>) -> io::Result<(Address, usize)> {
        match self {
            Self::Plain(socket) => {
                let read = |bytes: &[u8], from: SocketAddr| {
                    data.clear();
                    data.extend_from_slice(bytes);
                    Some((from.into(), bytes.len()))
                };
                socket.receive(read).await
            }
            Self::Relayed(relayed) => relayed.receive(data).await,
            Self::Framed { stream, received } => loop {
                if let Some((frame, head)) = Frame::parse(received).map_err(broken)?
                    && received.len() >= head + usize::from(frame.length)
                {
                    received.advance(head);
                    data.clear();
                    data.extend_from_slice(&received.split_to(frame.length.into()));
                    return Ok((frame.address, head + data.len()));
                }
                if super::fill(stream, received).await? == 0 {
                    return Err(eof());
                }
            },
            Self::Single { stream, received, peer } => loop {
                if let Some((length, head)) = relay::datagram(received)
                    && received.len() >= head + length
                {
                    received.advance(head);
                    data.clear();
                    data.extend_from_slice(&received.split_to(length));
                    return Ok((peer.clone(), head + length));
                }
                if super::fill(stream, received).await? == 0 {
                    return Err(eof());
                }
            },
        }
    }
}

impl Sender<'_> {
    /// Sends a datagram, and says how many bytes that took. One that can't be sent is lost, as datagrams are.
    ///
    /// # Errors
    /// When none can be sent any more.
    pub(crate) async fn send(&self, address: &Address, data: &[u8]) -> io::Result<usize> {
        match (self, address) {
            (Self::Plain(socket), Address::Ip(target)) => {
                socket.send(data, *target).await;
                Ok(data.len())
            }
            (Self::Plain(_), Address::Name(..)) => Ok(0),
            (Self::Relayed(relayed), address) => relayed.send(address, data).await,
            (Self::Framed(stream), address) => {
                let length = u16::try_from(data.len()).unwrap_or(0);
                // To GOST, a length of zero is a datagram that goes on to the end of the stream.
                if length == 0 {
                    return Ok(0);
                }
                let mut out = Vec::with_capacity(data.len() + Frame::MAX_HEAD);
                Frame { length, address: address.clone() }.encode(&mut out).map_err(broken)?;
                out.extend_from_slice(data);
                stream.write_all(&out).await?;
                Ok(out.len())
            }
            (Self::Single(stream), _) => {
                // Longer than any datagram that there is.
                let Ok(length) = u16::try_from(data.len()) else { return Ok(0) };
                let out = [&length.to_be_bytes(), data].concat();
                stream.write_all(&out).await?;
                Ok(out.len())
            }
        }
    }
}

/// Resolves when there is nobody any more at the other end of the connection that an association lives as long as.
pub(crate) async fn ended(control: &Stream) -> io::Error {
    loop {
        match control.read(usize::MAX).await {
            Ok(chunk) if !chunk.is_empty() => {}
            Ok(_) => return eof(),
            Err(error) => return error,
        }
    }
}

fn broken(error: SocksError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
