use drawspan_modules::{Addr, Resolver};
use drawspan_wire::http1::HostPort;
use drawspan_wire::socks::{Address, Datagram, Frame};
use drawspan_wit::resolver::ResolveRequest;
use tokio::net::UdpSocket;

use super::*;
use crate::dialer::Dialer;
use crate::net::{Buffered, Datagrams};
use crate::router::{Chain, Hop, Node, NodeAddr, NodeHop, Route, Selector, Strategy};
use crate::{Direct, Router};

/// Sends back each datagram, the other way round.
async fn mirror() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            buffer[..length].reverse();
            let _ = socket.send_to(&buffer[..length], from).await;
        }
    });
    address
}

fn settings() -> Socks5Settings {
    Socks5Settings { udp: true, bind: true, ..Socks5Settings::default() }
}

/// The connection of an association, a socket, and where the relay is.
async fn associated(proxy: &Proxy) -> (TcpStream, UdpSocket, SocketAddr) {
    let mut control = proxy.connect().await;
    control.write_all(b"\x05\x01\0\x05\x03\0\x01\0\0\0\0\0\0").await.unwrap();
    let answer = read::<12>(&mut control).await;
    assert_eq!(answer[..10], *b"\x05\0\x05\0\0\x01\x7f\0\0\x01");
    let relay = SocketAddr::new([127, 0, 0, 1].into(), u16::from_be_bytes([answer[10], answer[11]]));
    (control, UdpSocket::bind("127.0.0.1:0").await.unwrap(), relay)
}

fn datagram(address: &Address, data: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Datagram::put_header(&mut out, address).unwrap();
    out.extend(data);
    out
}

async fn receive(socket: &UdpSocket) -> (Address, Vec<u8>) {
    let mut buffer = vec![0; 65536];
    let (length, _) = socket.recv_from(&mut buffer).await.unwrap();
    let datagram = Datagram::parse(&buffer[..length]).unwrap();
    (datagram.address, datagram.data.to_vec())
}

#[tokio::test]
async fn beside_the_connection() {
    let (proxy, mirror) = (Proxy::v5(HandlerParts::default(), settings()).await, mirror().await);
    let (control, socket, relay) = associated(&proxy).await;
    let named = Address::Name(b"localhost".to_vec(), mirror.port());
    for (target, data) in
        [(mirror.into(), &b"abc"[..]), (named, b"xyz"), (mirror.into(), b""), (mirror.into(), &[7; 65_497])]
    {
        socket.send_to(&datagram(&target, data), relay).await.unwrap();
        let reversed = data.iter().rev().copied().collect();
        assert_eq!(receive(&socket).await, (mirror.into(), reversed));
    }
    // What can't be read, a fragment, and somebody else's: all are dropped, and nothing breaks.
    socket.send_to(b"\0\0\0\x09", relay).await.unwrap();
    let mut fragment = datagram(&mirror.into(), b"fragment");
    fragment[2] = 1;
    socket.send_to(&fragment, relay).await.unwrap();
    let stranger = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    stranger.send_to(&datagram(&mirror.into(), b"stranger"), relay).await.unwrap();
    socket.send_to(&datagram(&mirror.into(), b"last"), relay).await.unwrap();
    assert_eq!(receive(&socket).await.1, b"tsal");

    // It lasts as long as the connection: then the port is free again.
    drop(control);
    while UdpSocket::bind(("127.0.0.1", relay.port())).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_target_that_is_not_known_costs_its_datagram_and_no_more() {
    let resolver = Asked { calls: Calls::<ResolveRequest>::default(), answer: |_: &ResolveRequest| Vec::new() };
    let router = Router { resolver: Some(Resolver::new(boxed(resolver))), ..Router::default() };
    let proxy = Proxy::v5(HandlerParts { router, ..HandlerParts::default() }, settings()).await;
    let (mirror, (_control, socket, relay)) = (mirror().await, associated(&proxy).await);
    for (target, data) in [
        (Address::Name(b"nobody.test".to_vec(), 53), b"unknown"),
        (Address::Name(b"\xff".to_vec(), 53), b"no name"),
        (mirror.into(), b"forward"),
    ] {
        socket.send_to(&datagram(&target, data), relay).await.unwrap();
    }
    assert_eq!(receive(&socket).await, (mirror.into(), b"drawrof".to_vec()));
}

#[tokio::test]
async fn each_datagram_is_judged() {
    let ((bypass, judged), (allowed, blocked)) = (bypass("127.0.0.9"), (mirror().await, "127.0.0.9:9"));
    let proxy = Proxy::v5(HandlerParts { bypass: Some(bypass), ..HandlerParts::default() }, settings()).await;
    let (_control, socket, relay) = associated(&proxy).await;
    let blocked = Address::Ip(blocked.parse().unwrap());
    let named = Address::Name(b"localhost".to_vec(), allowed.port());
    for target in [blocked, named] {
        socket.send_to(&datagram(&target, b"data"), relay).await.unwrap();
    }
    assert_eq!(receive(&socket).await.1, b"atad");
    let call = |address: &str, host: Option<String>| BypassRequest {
        network: "udp".to_owned(),
        target_address: address.to_owned(),
        host,
        path: None,
        client_id: None,
        service: Some("service-0".to_owned()),
    };
    let (there, name) = (allowed.to_string(), format!("localhost:{}", allowed.port()));
    // Out, and back.
    let expected = [call("127.0.0.9:9", None), call(&there, Some(name)), call(&there, None)];
    assert_eq!(*judged.lock().unwrap(), expected);
}

/// A SOCKS5 proxy whose datagrams go through another one.
async fn chained(second: &Proxy, connector: connector::Connector) -> Proxy {
    let address = HostPort { host: "127.0.0.1".to_owned(), port: second.address.port() };
    let hop = Hop::Nodes(NodeHop {
        name: "hop-0".to_owned(),
        bypass: None,
        nodes: vec![Arc::new(Node::new(NodeAddr::Inet(address), connector, Dialer::Tcp))],
        selector: Selector::new(Strategy::Round),
    });
    let chain = Chain::new("chain-0".to_owned(), vec![Arc::new(hop)]);
    let router = Router { route: Route::Chain(Arc::new(chain)), ..Router::default() };
    Proxy::v5(HandlerParts { router, ..HandlerParts::default() }, settings()).await
}

#[tokio::test]
async fn through_another_proxy() {
    let mirror = mirror().await;
    let second = Proxy::v5(HandlerParts::default(), settings()).await;
    for udp_relay in [false, true] {
        let connector = connector::Socks5 { udp_relay, ..connector::Socks5::default() };
        let first = chained(&second, connector::Connector::Socks5(connector)).await;
        let (_control, socket, relay) = associated(&first).await;
        // Names go on to who knows them better.
        for target in [mirror.into(), Address::Name(b"localhost".to_vec(), mirror.port())] {
            socket.send_to(&datagram(&target, b"abc"), relay).await.unwrap();
            assert_eq!(receive(&socket).await, (mirror.into(), b"cba".to_vec()), "{udp_relay}");
        }
    }
}

#[tokio::test]
async fn a_tunnel_that_leads_nowhere_is_a_failure() {
    let second = Proxy::v4(HandlerParts::default()).await;
    let first = chained(&second, connector::Connector::Socks4(connector::Socks4::default())).await;
    let answer = first.ask(b"\x05\x01\0\x05\xf3\0\x01\0\0\0\0\0\0").await;
    assert_eq!(answer, b"\x05\0\x05\x01\0\x01\0\0\0\0\0\0");
}

/// A UDP tunnel by our own connector.
async fn tunnel(proxy: &Proxy) -> Datagrams {
    let connector = connector::Connector::Socks5(connector::Socks5::default());
    connector.associate(Buffered::new(proxy.connect().await), None, &Addr::unnamed(), &Direct::default()).await.unwrap()
}

#[tokio::test]
async fn within_the_connection() {
    let (proxy, mirror) = (Proxy::v5(HandlerParts::default(), settings()).await, mirror().await);
    let mut datagrams = tunnel(&proxy).await;
    let (mut receiver, sender) = datagrams.split();
    let mut data = Vec::new();
    for sent in [&b"abc"[..], &[7; 40_000], b"x"] {
        sender.send(&mirror.into(), sent).await.unwrap();
        assert_eq!(receiver.receive(&mut data).await.unwrap().0, mirror.into());
        assert_eq!(data, sent.iter().rev().copied().collect::<Vec<u8>>());
    }
    // One that has no length in a frame is not sent; the next one is.
    assert_eq!(sender.send(&mirror.into(), b"").await.unwrap(), 0);
    sender.send(&Address::Name(b"localhost".to_vec(), mirror.port()), b"abc").await.unwrap();
    receiver.receive(&mut data).await.unwrap();
    assert_eq!(data, b"cba");
}

#[tokio::test]
async fn frames_from_elsewhere() {
    let proxy = Proxy::v5(HandlerParts::default(), settings()).await;
    let free = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let mut client = proxy.connect().await;
    client.write_all(&message(b"\x05\x01\0\x05\xf3\0", free, b"")).await.unwrap();
    assert_eq!(read::<12>(&mut client).await[..], [&[5, 0], message(&[5, 0, 0], free, b"").as_slice()].concat());
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    peer.send_to(b"knock", free).await.unwrap();
    let mut frame = Vec::new();
    Frame { length: 5, address: peer.local_addr().unwrap().into() }.encode(&mut frame).unwrap();
    assert_eq!(read::<15>(&mut client).await[..], [frame.as_slice(), b"knock"].concat());
    client.write_all(&[frame.as_slice(), b"enter"].concat()).await.unwrap();
    let mut buffer = [0; 16];
    let (length, from) = peer.recv_from(&mut buffer).await.unwrap();
    assert_eq!((&buffer[..length], from), (&b"enter"[..], free));
    // A port that is taken can't be had.
    let answer = proxy.ask(&message(b"\x05\x01\0\x05\xf3\0", free, b"")).await;
    assert_eq!(answer, b"\x05\0\x05\x01\0\x01\0\0\0\0\0\0");
}
