//! `wasi:sockets`: the connections that a component may make.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use tracing::Level;
use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p2::bindings::sockets::network::{self, ErrorCode, IpAddressFamily};
use wasmtime_wasi::p2::bindings::sockets::{tcp_create_socket, udp_create_socket};
use wasmtime_wasi::p2::{SocketError, SocketResult, TcpSocket, UdpSocket};
use wasmtime_wasi::sockets::{SocketAddrUse, WasiSocketsCtxView, WasiSocketsView};

use crate::host::Host;
use crate::log::GuestLog;

/// How many sockets an instance may have open at a time, TCP and UDP together.
pub(crate) const SOCKETS: usize = 32;

/// Addresses that a component may connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The hosts.
    pub net: IpNet,
    /// Their ports.
    pub ports: RangeInclusive<u16>,
}

impl Addresses {
    pub(crate) fn contains(&self, address: SocketAddr) -> bool {
        self.net.contains(&address.ip()) && self.ports.contains(&address.port())
    }
}

/// Lets the instance connect to `granted`, and do nothing else with sockets. Names are never resolved.
pub(crate) fn grant(wasi: &mut WasiCtxBuilder, granted: &Arc<[Addresses]>, log: &Arc<GuestLog>) {
    let (granted, log) = (Arc::clone(granted), Arc::clone(log));
    wasi.allow_tcp(true).allow_udp(true).socket_addr_check(move |address, purpose| {
        let may = match purpose {
            // What `connect` and `send` do by themselves first.
            SocketAddrUse::TcpBind | SocketAddrUse::UdpBind => address.ip().is_unspecified() && address.port() == 0,
            SocketAddrUse::TcpListen | SocketAddrUse::TcpAccept => false,
            SocketAddrUse::TcpConnect | SocketAddrUse::UdpSend | SocketAddrUse::UdpReceive => {
                granted.iter().any(|granted| granted.contains(address))
            }
        };
        // Datagrams from elsewhere are dropped silently: strangers send them.
        if !may && !matches!(purpose, SocketAddrUse::UdpReceive) {
            log.line(Level::WARN, &format!("{purpose:?} of {address} is refused: `connect` doesn't grant it"));
        }
        Box::pin(std::future::ready(may))
    });
}

/// Puts functions that count the instance's sockets in place of WASI's.
pub(crate) fn count(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    tcp_create_socket::add_to_linker::<Host, Counted<'static>>(linker, |host| Counted(host.sockets()))?;
    udp_create_socket::add_to_linker::<Host, Counted<'static>>(linker, |host| Counted(host.sockets()))?;
    linker.allow_shadowing(false);
    Ok(())
}

struct Counted<'a>(WasiSocketsCtxView<'a>);

impl HasData for Counted<'static> {
    type Data<'a> = Counted<'a>;
}

impl Counted<'_> {
    fn room(&mut self) -> SocketResult<()> {
        // The table is small: its size is bounded.
        let open = self.0.table.iter_mut().filter(|entry| entry.is::<TcpSocket>() || entry.is::<UdpSocket>()).count();
        if open < SOCKETS { Ok(()) } else { Err(ErrorCode::NewSocketLimit.into()) }
    }
}

// What the two functions need of their neighbours.
impl network::Host for Counted<'_> {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        network::Host::convert_error_code(&mut self.0, error)
    }

    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        network::Host::network_error_code(&mut self.0, error)
    }
}

impl network::HostNetwork for Counted<'_> {
    fn drop(&mut self, network: Resource<network::Network>) -> wasmtime::Result<()> {
        network::HostNetwork::drop(&mut self.0, network)
    }
}

impl tcp_create_socket::Host for Counted<'_> {
    fn create_tcp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        self.room()?;
        tcp_create_socket::Host::create_tcp_socket(&mut self.0, family)
    }
}

impl udp_create_socket::Host for Counted<'_> {
    async fn create_udp_socket(&mut self, family: IpAddressFamily) -> SocketResult<Resource<UdpSocket>> {
        self.room()?;
        udp_create_socket::Host::create_udp_socket(&mut self.0, family).await
    }
}
