//! [`Direct`]: connections that nobody carries for us.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use drawspan_wire::http1::HostPort;
use socket2::{SockRef, Socket};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

use crate::net::{KEEPALIVE, Udp, tune};
use crate::router::DialReason;

/// With several addresses, none gets less than this, unless less is left altogether: as Go shares its time out.
const MIN_TIME_PER_ADDRESS: Duration = Duration::from_secs(2);

/// Makes connections from this machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Direct {
    /// Where they start, tried in order; empty leaves it to the system. When none of them will do there is no connection.
    pub interfaces: Vec<Interface>,
    /// `SO_MARK` of their sockets.
    ///
    /// GOST: where it can't be set, goes without.
    pub mark: Option<u32>,
}

/// Where a connection starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    /// Name or address.
    pub source: Source,
    /// After this one no other is tried, unless it has no address of the target's family.
    pub strict: bool,
}

/// The forms of an [`Interface`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A network interface, by name: sockets are bound to the device (`SO_BINDTODEVICE`), unless the target is one that no
    /// other machine has, such as a loopback address.
    Device(String),
    /// An address of this machine.
    Address(IpAddr),
}

/// Addresses and where to start from, as they are tried.
struct Attempts<'d> {
    direct: &'d Direct,
    addresses: Vec<SocketAddr>,
}

impl Direct {
    /// Connects to `target`: names by the system's resolver, from each interface to one address after the other, all before
    /// `deadline`. Dropping the future closes what is half open.
    ///
    /// # Errors
    /// When no address accepts; the error tells of the last.
    pub async fn connect(&self, target: &HostPort, deadline: Instant) -> Result<TcpStream, DialReason> {
        self.attempts(target).await?.run(deadline, |source, address| self.connect_from(source, address)).await
    }

    /// A socket for datagrams to and from `target`, and its address, found as [`connect`](Self::connect) does.
    ///
    /// # Errors
    /// When there is no way to it.
    pub(crate) async fn connect_udp(
        &self,
        target: &HostPort,
        deadline: Instant,
    ) -> Result<(Udp, SocketAddr), DialReason> {
        self.attempts(target).await?.run(deadline, |source, address| self.udp_from(source, address)).await
    }

    /// A socket for datagrams to any target.
    ///
    /// # Errors
    /// When there is none to be had.
    pub(crate) fn associate(&self) -> Result<Udp, DialReason> {
        let open = |source: Option<&Source>| match source {
            Some(Source::Address(ip)) => Udp::open(SocketAddr::new(*ip, 0), |socket| self.prepare(socket, None)),
            Some(Source::Device(name)) => Udp::open_anywhere(0, |socket| self.prepare(socket, Some(name))),
            None => Udp::open_anywhere(0, |socket| self.prepare(socket, None)),
        };
        let mut last = None;
        for (source, strict) in self.sources() {
            match open(source) {
                Ok(socket) => return Ok(socket),
                Err(error) => last = Some(from(source, DialReason::Udp(error))),
            }
            if strict {
                break;
            }
        }
        Err(last.unwrap_or(DialReason::NoAddress))
    }

    async fn attempts(&self, target: &HostPort) -> Result<Attempts<'_>, DialReason> {
        let addresses = match target.host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, target.port)],
            Err(_) => {
                let found = lookup_host((target.host.as_str(), target.port)).await;
                found.map_err(DialReason::Resolve)?.collect()
            }
        };
        Ok(Attempts { direct: self, addresses })
    }

    /// At least one.
    fn sources(&self) -> impl Iterator<Item = (Option<&Source>, bool)> {
        let anywhere = self.interfaces.is_empty().then_some((None, false));
        self.interfaces.iter().map(|interface| (Some(&interface.source), interface.strict)).chain(anywhere)
    }

    async fn connect_from(&self, source: Option<&Source>, address: SocketAddr) -> Result<TcpStream, DialReason> {
        let connect = async {
            let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
            self.prepare(&SockRef::from(&socket), device(source, address))?;
            if let Some(Source::Address(ip)) = source {
                socket.bind(SocketAddr::new(*ip, 0))?;
            }
            socket.connect(address).await
        };
        let stream = connect.await.map_err(|error| from(source, DialReason::Connect { address, error }))?;
        tune(&stream, &KEEPALIVE);
        Ok(stream)
    }

    async fn udp_from(&self, source: Option<&Source>, address: SocketAddr) -> Result<(Udp, SocketAddr), DialReason> {
        let connect = async {
            let ip = match source {
                Some(Source::Address(ip)) => *ip,
                _ if address.is_ipv4() => [0, 0, 0, 0].into(),
                _ => [0_u16; 8].into(),
            };
            let prepare = |socket: &Socket| self.prepare(socket, device(source, address));
            let socket = Udp::open(SocketAddr::new(ip, 0), prepare)?;
            socket.connect(address).await?;
            Ok(socket)
        };
        let socket = connect.await.map_err(|error| from(source, DialReason::Connect { address, error }))?;
        Ok((socket, address))
    }

    /// Sets what is to be set before the socket has an address.
    fn prepare(&self, socket: &Socket, device: Option<&str>) -> io::Result<()> {
        if let Some(mark) = self.mark {
            socket.set_mark(mark).map_err(|error| named(&format!("can't set so_mark {mark}"), error))?;
        }
        if let Some(device) = device {
            let bound = socket.bind_device(Some(device.as_bytes()));
            bound.map_err(|error| named("can't bind to the device", error))?;
        }
        Ok(())
    }
}

impl Attempts<'_> {
    /// Makes one attempt after the other until one succeeds.
    async fn run<'s, T, F>(
        &'s self,
        deadline: Instant,
        attempt: impl Fn(Option<&'s Source>, SocketAddr) -> F,
    ) -> Result<T, DialReason>
    where
        F: Future<Output = Result<T, DialReason>>,
    {
        let mut last = DialReason::NoAddress;
        let sources = self.direct.sources().count();
        for (behind, (source, strict)) in self.direct.sources().enumerate() {
            let fitting: Vec<_> = self.addresses.iter().filter(|address| fits(source, address)).collect();
            let left_over = (sources - behind - 1) * self.addresses.len();
            for (tried, &&address) in fitting.iter().enumerate() {
                let left = deadline.saturating_duration_since(Instant::now());
                // Not one black hole may eat the time of the addresses behind it.
                let share = left / u32::try_from(fitting.len() - tried + left_over).unwrap_or(u32::MAX);
                let outcome = timeout(share.max(MIN_TIME_PER_ADDRESS), attempt(source, address)).await;
                match outcome.unwrap_or_else(|_| Err(from(source, DialReason::TimedOut))) {
                    Ok(made) => return Ok(made),
                    Err(reason) => last = reason,
                }
            }
            if strict && !fitting.is_empty() {
                break;
            }
        }
        Err(last)
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Device(name) => name.fmt(f),
            Self::Address(ip) => ip.fmt(f),
        }
    }
}

/// Whether there can be a connection from the one to the other.
fn fits(source: Option<&Source>, address: &SocketAddr) -> bool {
    match source {
        Some(Source::Address(ip)) => ip.is_ipv4() == address.is_ipv4(),
        Some(Source::Device(_)) | None => true,
    }
}

/// The device that a socket to `address` is bound to.
fn device(source: Option<&Source>, address: SocketAddr) -> Option<&str> {
    let is_of_this_link = match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_multicast() || ip.is_link_local() || ip.is_unspecified(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_multicast() || ip.is_unicast_link_local() || ip.is_unspecified(),
    };
    match source {
        Some(Source::Device(name)) if !is_of_this_link => Some(name),
        _ => None,
    }
}

fn from(source: Option<&Source>, reason: DialReason) -> DialReason {
    match source {
        Some(source) => DialReason::Interface { interface: source.to_string(), reason: Box::new(reason) },
        None => reason,
    }
}

fn named(what: &str, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn to(interfaces: &[&str]) -> Direct {
        let interface = |name: &&str| {
            let (name, strict) = name.strip_suffix('!').map_or((*name, false), |name| (name, true));
            let source = name.parse().map_or_else(|_| Source::Device(name.to_owned()), Source::Address);
            Interface { source, strict }
        };
        Direct { interfaces: interfaces.iter().map(interface).collect(), mark: None }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(15)
    }

    #[tokio::test]
    async fn interfaces_are_tried_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let target = HostPort { host: "127.0.0.1".to_owned(), port };
        // An address of nobody's, one of another family, and two that will do.
        for (interfaces, expected) in [
            (&["127.0.0.3"][..], Some("127.0.0.3")),
            (&["192.0.2.1", "::1!", "127.0.0.4", "127.0.0.5"], Some("127.0.0.4")),
            (&["192.0.2.1!", "127.0.0.4"], None),
            (&["192.0.2.1"], None),
            (&["::1"], None),
            (&[], Some("127.0.0.1")),
        ] {
            let direct = to(interfaces);
            let (tcp, udp) = (direct.connect(&target, soon()).await, direct.connect_udp(&target, soon()).await);
            let Some(ip) = expected else {
                let (tcp, udp) = (tcp.unwrap_err().to_string(), udp.unwrap_err().to_string());
                assert!(
                    tcp == udp
                        && interfaces.iter().all(|it| tcp.contains(it.trim_end_matches('!')) || *it != "192.0.2.1!"),
                    "{tcp}"
                );
                continue;
            };
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(tcp.unwrap().local_addr().unwrap().ip(), ip, "{interfaces:?}");
            assert_eq!(udp.unwrap().0.local_addr().unwrap().ip(), ip, "{interfaces:?}");
        }
        let associated = to(&["192.0.2.1", "127.0.0.6"]).associate().unwrap();
        assert_eq!(associated.local_addr().unwrap().ip(), IpAddr::from([127, 0, 0, 6]));
    }

    #[test]
    fn sockets_are_bound_to_a_device_only_on_the_way_to_other_machines() {
        let lo = Source::Device("lo".to_owned());
        for (address, bound) in [
            ("192.0.2.1:1", true),
            ("10.0.0.1:1", true),
            ("[2001:db8::1]:1", true),
            ("127.0.0.1:1", false),
            ("[::1]:1", false),
            ("[fe80::1]:1", false),
            ("169.254.0.1:1", false),
        ] {
            assert_eq!(device(Some(&lo), address.parse().unwrap()), bound.then_some("lo"), "{address}");
        }
    }

    #[test]
    fn a_socket_gets_its_device() {
        let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        Direct::default().prepare(&socket, Some("lo")).unwrap();
        assert_eq!(socket.device().unwrap().as_deref(), Some(&b"lo"[..]));
        let error = Direct::default().prepare(&socket, Some("no-such-device")).unwrap_err();
        assert!(error.to_string().starts_with("can't bind to the device: "), "{error}");
    }

    #[test]
    fn a_mark_is_set_or_there_is_no_connection() {
        let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
        match (Direct { mark: Some(7), ..Direct::default() }).prepare(&socket, None) {
            Ok(()) => assert_eq!(socket.mark().unwrap(), 7),
            // Not everybody may.
            Err(error) => assert!(error.to_string().starts_with("can't set so_mark 7: "), "{error}"),
        }
    }
}
