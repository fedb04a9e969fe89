//! [`Udp`]: a socket for datagrams.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::task::coop::consume_budget;

use super::Buffer;

/// A socket for datagrams.
#[derive(Debug)]
pub struct Udp {
    socket: UdpSocket,
    /// IPv4 addresses have to be mapped.
    v6: bool,
    heeds_errors: bool,
}

impl Udp {
    /// A socket at `address`; the unspecified IPv6 address is all of this machine's, IPv4 and IPv6. Port 0 lets the kernel
    /// choose. `prepare` is done before it has the address.
    ///
    /// # Errors
    /// If that address can't be had, or `prepare` fails.
    pub(crate) fn open(address: SocketAddr, prepare: impl FnOnce(&Socket) -> io::Result<()>) -> io::Result<Self> {
        let kind = Type::DGRAM.nonblocking().cloexec();
        let socket = Socket::new(Domain::for_address(address), kind, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        prepare(&socket)?;
        socket.bind(&address.into())?;
        Ok(Self { socket: UdpSocket::from_std(socket.into())?, v6: address.is_ipv6(), heeds_errors: false })
    }

    /// As [`open`](Self::open), at all of this machine's addresses.
    ///
    /// # Errors
    /// If that port can't be had, or `prepare` fails.
    pub(crate) fn open_anywhere(port: u16, prepare: impl Fn(&Socket) -> io::Result<()>) -> io::Result<Self> {
        match Self::open(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port), &prepare) {
            // A kernel without IPv6.
            Err(error) if Errno::from_io_error(&error) == Some(Errno::AFNOSUPPORT) => {
                Self::open(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port), &prepare)
            }
            outcome => outcome,
        }
    }

    /// A socket at `address`; an unspecified address is all of this machine's, IPv4 and IPv6.
    ///
    /// # Errors
    /// If that address can't be had.
    pub(crate) fn bind(address: SocketAddr) -> io::Result<Self> {
        if address.ip().is_unspecified() {
            Self::open_anywhere(address.port(), |_| Ok(()))
        } else {
            Self::open(address, |_| Ok(()))
        }
    }

    /// From now on receives datagrams from `peer` only.
    ///
    /// # Errors
    /// If there is no way to it.
    pub(crate) async fn connect(&self, peer: SocketAddr) -> io::Result<()> {
        self.socket.connect(self.mapped(peer)).await
    }

    /// From now on [`receive`](Self::receive) fails when a datagram found nobody: for a socket that is connected, and of no
    /// use then.
    pub(crate) fn heed_errors(&mut self) {
        self.heeds_errors = true;
    }

    /// Where the socket is.
    ///
    /// # Errors
    /// Never on a bound socket, as far as is known.
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr().map(canonical)
    }

    /// Where the socket is and what it is connected to, as text; nothing for what isn't known.
    pub(crate) fn ends(&self) -> (String, String) {
        let text =
            |address: io::Result<SocketAddr>| address.map_or_else(|_| String::new(), |it| canonical(it).to_string());
        (text(self.socket.local_addr()), text(self.socket.peer_addr()))
    }

    /// Waits for a datagram that `read` can make use of. While it waits it holds no buffer.
    pub(crate) async fn receive<T>(&self, mut read: impl FnMut(&[u8], SocketAddr) -> Option<T>) -> io::Result<T> {
        loop {
            match self.heeds_errors {
                true => self.readable_or_failed().await?,
                false => self.socket.readable().await?,
            }
            let mut buffer = Buffer::take();
            match self.socket.try_recv_from(&mut buffer) {
                Ok((length, from)) => {
                    if let Some(value) = read(&buffer[..length], canonical(from)) {
                        return Ok(value);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if is_passing(&error) && !self.heeds_errors => {}
                Err(error) => return Err(error),
            }
            drop(buffer);
            consume_budget().await;
        }
    }

    /// An error alone doesn't make a socket readable.
    async fn readable_or_failed(&self) -> io::Result<()> {
        if !self.socket.ready(Interest::READABLE | Interest::ERROR).await?.is_error() {
            return Ok(());
        }
        // Looked at now, so that it isn't seen again.
        let _ = self.socket.try_io(Interest::ERROR, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
        self.socket.take_error()?.map_or(Ok(()), Err)
    }

    /// Sends a datagram. One that can't be sent is lost, as datagrams are.
    pub(crate) async fn send(&self, data: &[u8], target: SocketAddr) {
        if let Err(error) = self.socket.send_to(data, self.mapped(target)).await {
            tracing::debug!("a datagram to {target} is lost: {error}");
        }
    }

    /// The address as the socket takes it.
    fn mapped(&self, address: SocketAddr) -> SocketAddr {
        match address.ip() {
            IpAddr::V4(ip) if self.v6 => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
            _ => address,
        }
    }
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// An earlier datagram found nobody (ICMP): of no consequence for those to others.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable};
    matches!(error.kind(), ConnectionRefused | ConnectionReset | HostUnreachable | NetworkUnreachable)
}
