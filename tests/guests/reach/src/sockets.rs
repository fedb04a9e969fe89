//! What can be reached through sockets.

use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};

use wasip2::io::streams::{InputStream, OutputStream};
use wasip2::sockets::{
    instance_network::instance_network,
    ip_name_lookup::resolve_addresses,
    network::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress},
    tcp::TcpSocket,
    tcp_create_socket::create_tcp_socket,
    udp::OutgoingDatagram,
    udp_create_socket::create_udp_socket,
};

use crate::{Outcome, drain, put};

fn address(text: &str) -> Result<(IpAddressFamily, IpSocketAddress), String> {
    Ok(match text.parse().map_err(|_| "no address")? {
        SocketAddr::V4(v4) => (IpAddressFamily::Ipv4, IpSocketAddress::Ipv4(four(v4))),
        SocketAddr::V6(v6) => (IpAddressFamily::Ipv6, IpSocketAddress::Ipv6(six(v6))),
    })
}

fn four(v4: SocketAddrV4) -> Ipv4SocketAddress {
    let [a, b, c, d] = v4.ip().octets();
    Ipv4SocketAddress { port: v4.port(), address: (a, b, c, d) }
}

fn six(v6: SocketAddrV6) -> Ipv6SocketAddress {
    let [a, b, c, d, e, f, g, h] = v6.ip().segments();
    Ipv6SocketAddress { port: v6.port(), flow_info: 0, address: (a, b, c, d, e, f, g, h), scope_id: 0 }
}

fn connect(text: &str) -> Result<(TcpSocket, InputStream, OutputStream), String> {
    let (family, address) = address(text)?;
    let socket = create_tcp_socket(family).map_err(named)?;
    socket.start_connect(&instance_network(), address).map_err(named)?;
    socket.subscribe().block();
    let (input, output) = socket.finish_connect().map_err(named)?;
    Ok((socket, input, output))
}

/// Says `ping` and answers with what comes back until the end.
pub(crate) fn tcp(text: &str) -> Outcome {
    let (_socket, input, output) = connect(text)?;
    put(&output, b"ping")?;
    Ok(drain(&input))
}

/// Keeps connections open until there can't be any more; answers how many there were, and why.
pub(crate) fn tcp_many(text: &str) -> Outcome {
    let mut open = Vec::new();
    loop {
        match connect(text) {
            Ok(connection) => open.push(connection),
            Err(error) => {
                let count = open.len();
                for (socket, input, output) in open {
                    drop((input, output));
                    drop(socket);
                }
                return Ok(format!("{count} {error}"));
            }
        }
    }
}

/// Waits for what never comes.
pub(crate) fn wait(text: &str) -> Outcome {
    let (_socket, input, _output) = connect(text)?;
    input.subscribe().block();
    Ok("something came".into())
}

/// Sends a datagram and waits for another.
pub(crate) fn udp(text: &str) -> Outcome {
    let (family, remote) = address(text)?;
    let socket = create_udp_socket(family).map_err(named)?;
    let any = if matches!(family, IpAddressFamily::Ipv4) { "0.0.0.0:0" } else { "[::]:0" };
    socket.start_bind(&instance_network(), address(any)?.1).map_err(named)?;
    socket.subscribe().block();
    socket.finish_bind().map_err(named)?;
    let (incoming, outgoing) = socket.stream(None).map_err(named)?;
    outgoing.subscribe().block();
    outgoing.check_send().map_err(named)?;
    outgoing.send(&[OutgoingDatagram { data: b"ping".into(), remote_address: Some(remote) }]).map_err(named)?;
    // An error may come later than the call that caused it.
    outgoing.subscribe().block();
    outgoing.check_send().map_err(named)?;
    outgoing.send(&[]).map_err(named)?;
    loop {
        incoming.subscribe().block();
        if let Some(datagram) = incoming.receive(1).map_err(named)?.pop() {
            return Ok(String::from_utf8_lossy(&datagram.data).into_owned());
        }
    }
}

pub(crate) fn listen(text: &str) -> Outcome {
    let (family, address) = address(text)?;
    let socket = create_tcp_socket(family).map_err(named)?;
    socket.start_bind(&instance_network(), address).map_err(|error| format!("bind: {}", error.name()))?;
    socket.finish_bind().map_err(|error| format!("bind: {}", error.name()))?;
    socket.start_listen().map_err(|error| format!("listen: {}", error.name()))?;
    socket.finish_listen().map_err(|error| format!("listen: {}", error.name()))?;
    Ok("listening".into())
}

pub(crate) fn bind_udp(text: &str) -> Outcome {
    let (family, address) = address(text)?;
    let socket = create_udp_socket(family).map_err(named)?;
    socket.start_bind(&instance_network(), address).map_err(named)?;
    socket.finish_bind().map_err(named)?;
    Ok("bound".into())
}

pub(crate) fn resolve(name: &str) -> Outcome {
    let addresses = resolve_addresses(&instance_network(), name).map_err(named)?;
    addresses.subscribe().block();
    addresses.resolve_next_address().map(|address| format!("{address:?}")).map_err(named)
}

/// Opens sockets until there can't be any more; answers how many there were, and why.
pub(crate) fn hoard() -> Outcome {
    let mut open = Vec::new();
    loop {
        match create_tcp_socket(IpAddressFamily::Ipv4) {
            Ok(socket) => open.push(socket),
            Err(error) => return Ok(format!("{} {}", open.len(), error.name())),
        }
    }
}

fn named(error: ErrorCode) -> String {
    error.name().into()
}
