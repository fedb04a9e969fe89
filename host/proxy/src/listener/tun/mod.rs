//! [`TunListener`]: a network interface of our own, whose packets are a connection (GOST reference, dataplane 9).

mod netlink;
mod open;

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{coop::consume_budget, spawn_blocking};
use tokio::time::sleep;

use self::netlink::Netlink;
use self::open::{open, watched};
use super::tcp::locate;
use super::{AcceptError, Accepted, BindError, Transport};
use crate::net::Udp;

/// Between an interface's end and the next one.
const PAUSE: Duration = Duration::from_secs(1);

/// What an interface is like (GOST reference, config 7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunSettings {
    /// `name`; `None`: `tun` and a number.
    pub name: Option<String>,
    /// `net`: its addresses, with their networks.
    pub nets: Vec<IpNet>,
    /// `mtu`: bytes of its longest packet.
    pub mtu: u16,
    /// `route`, `routes`, and those of its router: networks that are behind it, with the gateway to them if there is one.
    /// Packets to all of them leave by this interface. GOST: those with a gateway by whichever leads to it, and the routes of
    /// every router in the config, whether or not it has to do with an interface.
    pub routes: Vec<(IpNet, Option<IpAddr>)>,
    /// `dns`: servers that are behind it; systemd-resolved is told.
    pub dns: Vec<IpAddr>,
    /// It has clients, whose datagrams are received at the service's address.
    pub serves: bool,
}

/// Makes an interface, and another one when that is gone.
#[derive(Debug)]
pub struct TunListener {
    settings: TunSettings,
    /// Where clients' datagrams are received.
    socket: Option<Arc<Udp>>,
    local: SocketAddr,
    first: Mutex<Option<AsyncFd<File>>>,
    /// Held by the interface that there is.
    turn: Arc<Semaphore>,
}

/// An interface. It ends when it is dropped.
#[derive(Debug)]
pub struct TunDevice {
    device: AsyncFd<File>,
    nets: Vec<IpNet>,
    socket: Option<Arc<Udp>>,
    _turn: OwnedSemaphorePermit,
}

impl TunListener {
    /// Makes the interface, and receives at `address`, written as for [`TcpListener::bind`](super::TcpListener::bind), if
    /// it serves.
    ///
    /// # Errors
    /// If that is impossible; the interface needs `CAP_NET_ADMIN` and `/dev/net/tun`.
    pub async fn bind(address: &str, settings: TunSettings) -> Result<Self, BindError> {
        let (socket, local) = if settings.serves {
            let open = |address| {
                let socket = Udp::open(address, |_| Ok(()))?;
                let local = socket.local_addr()?;
                Ok((Some(Arc::new(socket)), local))
            };
            locate(address).await?.bind(open)?
        } else {
            (None, SocketAddr::from(([0, 0, 0, 0], 0)))
        };
        let failed = |error| BindError::Tun { name: settings.name.clone().unwrap_or_else(|| "tun".to_owned()), error };
        let first = create_aside(settings.clone()).await.map_err(failed)?;
        Ok(Self { settings, socket, local, first: Mutex::new(Some(first)), turn: Arc::new(Semaphore::new(1)) })
    }

    /// Where clients' datagrams are received, with the port that the kernel chose; unspecified without clients.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Waits until the interface before is gone, and makes another one.
    ///
    /// # Errors
    /// As [`Listener::accept`](super::Listener::accept); what can't be made now may be possible later.
    pub async fn accept(&self) -> Result<Accepted, AcceptError> {
        let closed = |_| AcceptError::Fatal(io::ErrorKind::NotConnected.into());
        let turn = Arc::clone(&self.turn).acquire_owned().await.map_err(closed)?;
        let first = self.first.lock().unwrap_or_else(PoisonError::into_inner).take();
        let device = match first {
            Some(device) => device,
            None => {
                sleep(PAUSE).await;
                create_aside(self.settings.clone()).await.map_err(AcceptError::Temporary)?
            }
        };
        let nets = self.settings.nets.clone();
        let client = SocketAddr::new(nets.first().map_or(IpAddr::from([0, 0, 0, 0]), IpNet::addr), 0).into();
        let transport = Transport::Tun(TunDevice { device, nets, socket: self.socket.clone(), _turn: turn });
        Ok(Accepted { transport, client, local: self.local.into() })
    }
}

impl TunDevice {
    /// Its addresses.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.nets.iter().map(IpNet::addr)
    }

    /// Where its clients' datagrams are received.
    pub(crate) fn socket(&self) -> Option<&Arc<Udp>> {
        self.socket.as_ref()
    }

    /// The next packet that leaves this machine by the interface, and its length in `buffer`, which should have room for
    /// [`MAX_PACKET`](drawspan_wire::tun::MAX_PACKET) bytes. Dropping the future loses none.
    ///
    /// # Errors
    /// When the interface is gone.
    pub(crate) async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.device.readable().await?;
            if let Ok(received) = ready.try_io(|device| device.get_ref().read(buffer)) {
                consume_budget().await;
                return received;
            }
        }
    }

    /// Lets a packet arrive at this machine by the interface. One that the kernel doesn't want is lost.
    ///
    /// # Errors
    /// When the interface is gone.
    pub(crate) async fn send(&self, packet: &[u8]) -> io::Result<()> {
        let sent = loop {
            let mut ready = self.device.writable().await?;
            if let Ok(sent) = ready.try_io(|device| device.get_ref().write(packet)) {
                break sent;
            }
        };
        match sent {
            Ok(_) => Ok(()),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::INVAL | Errno::NOBUFS | Errno::NOMEM) => {
                    tracing::debug!("a packet is lost: {error}");
                    Ok(())
                }
                _ => Err(error),
            },
        }
    }
}

/// As [`create`], without keeping others waiting.
async fn create_aside(settings: TunSettings) -> io::Result<AsyncFd<File>> {
    // The file needs the runtime to become one that can be waited for.
    spawn_blocking(move || create(&settings)).await.map_err(io::Error::other)?.and_then(watched)
}

fn create(settings: &TunSettings) -> io::Result<File> {
    let (file, name) = open(settings.name.as_deref().unwrap_or_default())?;
    let told = |what: String, outcome: io::Result<()>| {
        outcome.map_err(|error| io::Error::new(error.kind(), format!("{what}: {error}")))
    };
    let netlink = Netlink::open(&name)?;
    for net in &settings.nets {
        told(format!("can't have the address {net}"), netlink.address(*net))?;
    }
    told("can't be set up".to_owned(), netlink.up(settings.mtu))?;
    for (net, gateway) in &settings.routes {
        let via = gateway.map_or_else(String::new, |gateway| format!(" via {gateway}"));
        told(format!("can't have the route to {net}{via}"), netlink.route(*net, *gateway))?;
    }
    if !settings.dns.is_empty() {
        told("can't set `dns` by resolvectl".to_owned(), resolve_by(&name, &settings.dns))?;
    }
    tracing::info!(kind = "listener", listener = "tun", name, mtu = settings.mtu, "the interface is up");
    Ok(file)
}

/// As GOST: by the tool of systemd-resolved.
fn resolve_by(name: &str, servers: &[IpAddr]) -> io::Result<()> {
    let mut command = Command::new("resolvectl");
    let output = command.arg("dns").arg(name).args(servers.iter().map(ToString::to_string)).output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

#[cfg(test)]
impl TunDevice {
    /// An interface of nobody's: who has the other end of `file` is the kernel.
    pub(crate) fn over(file: File, nets: &[&str], socket: Option<Arc<Udp>>) -> Self {
        let nets = nets.iter().map(|net| net.parse().unwrap()).collect();
        let turn = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        Self { device: watched(file).unwrap(), nets, socket, _turn: turn }
    }
}
