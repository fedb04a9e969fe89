//! Over real sockets: a node that accepts, its handler, and who is served by it, in one process.

use std::net::SocketAddr;

use drawspan_smux::Version;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::connector::{self, Connector};
use crate::dialer::{self, Dialer};
use crate::handler::{Handler, HandlerParts, Relay, RelaySettings, Socks5, Socks5Settings};
use crate::router::{Chain, Hop, Node, NodeAddr, NodeHop, Route, Selector, Strategy};

/// Accepts connections for others until it is dropped.
struct Server {
    address: SocketAddr,
    serving: tokio_util::task::AbortOnDropHandle<()>,
}

impl Server {
    /// At `address`, whose connections carry many each if there is a config for that.
    async fn start(address: &str, handler: Handler, carrier: Option<Config>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr();
        let service = Arc::new(crate::Service {
            name: "node".into(),
            accept_proxy: false,
            admission: None,
            conn_limiter: None,
            rate_limiter: None,
            shaper: None,
            client_recorder: None,
            counters: None,
            metrics: None,
            layer: crate::Layer::Plain,
            mux: carrier,
            handshake_timeout: GREETING_TIME,
            handler,
        });
        let serving = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok(accepted) = listener.accept().await {
                let service = Arc::clone(&service);
                let drain = CancellationToken::new();
                connections.spawn(async move { service.serve(accepted, "tcp", &|| "sid".into(), drain).await });
            }
        });
        Self { address, serving: tokio_util::task::AbortOnDropHandle::new(serving) }
    }
}

fn relay(mux: Config) -> Handler {
    let settings = RelaySettings { bind: true, mux, ..RelaySettings::default() };
    Handler::Relay(Relay::new(HandlerParts::default(), None, settings))
}

fn socks(mux: Config, compatible: bool) -> Handler {
    let settings = Socks5Settings { bind: true, mux, compatible, ..Socks5Settings::default() };
    Handler::Socks5(Socks5::new(HandlerParts::default(), settings))
}

fn connectors(mux: Config) -> [Connector; 2] {
    [
        Connector::Relay(connector::Relay { mux, ..connector::Relay::default() }),
        Connector::Socks5(connector::Socks5 { mux, ..connector::Socks5::default() }),
    ]
}

const UDP: UdpSettings = UdpSettings { keepalive: true, ttl: Duration::from_secs(5), read_queue: 128, backlog: 128 };

/// What the node at `address` accepts at a port of its choice.
fn listener(address: SocketAddr, connector: Connector, dialer: Dialer, udp: Option<UdpSettings>) -> RemoteListener {
    let node = NodeAddr::Inet(HostPort { host: address.ip().to_string(), port: address.port() });
    let nodes = vec![Arc::new(Node::new(node, connector, dialer))];
    let selector = Selector::new(Strategy::Round);
    let hop = Arc::new(Hop::Nodes(NodeHop { name: "hop".to_owned(), bypass: None, nodes, selector }));
    let route = Route::Chain(Arc::new(Chain::new("chain".to_owned(), vec![hop])));
    let router = Router { route, ..Router::default() };
    let address = HostPort { host: "127.0.0.1".to_owned(), port: 0 };
    RemoteListener { router, service: "service".into(), address, udp, bound: Mutex::default() }
}

/// Has the node asked, and says where connections come in.
async fn port(listener: &RemoteListener) -> u16 {
    let bound = listener.bind().await.unwrap();
    let port = match &bound {
        Bound::Tcp(tcp) => tcp.local_addr().port(),
        Bound::Udp(udp) => udp.local_addr().port(),
        Bound::Streams(Streams { local: Addr::Inet(local), .. }) => local.port(),
        Bound::Streams(_) => panic!("nowhere"),
    };
    *listener.bound.lock().await = Some(bound);
    port
}

fn stream(accepted: Accepted) -> Stream {
    match accepted.transport {
        Transport::Stream(stream) => stream,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_node_passes_connections_on() {
    for version in [Version::V1, Version::V2] {
        let config = Config::new(version);
        for (connector, handler) in connectors(config).into_iter().zip([relay(config), socks(config, false)]) {
            let server = Server::start("127.0.0.1:0", handler, None).await;
            let listener = listener(server.address, connector, Dialer::Tcp, None);
            let port = port(&listener).await;
            let mut clients = Vec::new();
            for number in 0..50_u8 {
                let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                client.write_all(&[number]).await.unwrap();
                clients.push(client);
            }
            let mut served = Vec::new();
            for _ in &clients {
                let accepted = listener.accept().await.unwrap();
                assert_eq!(accepted.local.to_string(), format!("127.0.0.1:{port}"));
                let client = accepted.client.clone();
                let mut stream = stream(accepted);
                let number = stream.read_u8().await.unwrap();
                assert_eq!(client, clients[usize::from(number)].local_addr().unwrap().into());
                stream.write_all(&vec![number; 100_000]).await.unwrap();
                stream.shutdown().await.unwrap();
                served.push(stream);
            }
            for (number, client) in clients.iter_mut().enumerate() {
                let mut got = Vec::new();
                client.read_to_end(&mut got).await.unwrap();
                assert!(got == vec![number as u8; 100_000]);
            }
        }
    }
}

#[tokio::test]
async fn servers_may_speak_first() {
    let config = Config::new(Version::V1);
    let server = Server::start("127.0.0.1:0", relay(config), None).await;
    let [connector, _] = connectors(config);
    let listener = listener(server.address, connector, Dialer::Tcp, None);
    let mut client = TcpStream::connect(("127.0.0.1", port(&listener).await)).await.unwrap();
    let served = stream(listener.accept().await.unwrap());
    served.write_all(b"220 ready").await.unwrap();
    client.read_exact(&mut [0; 9]).await.unwrap();
}

/// GOST's `comp`: its streams begin with what the client says.
#[tokio::test]
async fn addresses_may_be_left_out() {
    let config = Config::new(Version::V1);
    let server = Server::start("127.0.0.1:0", socks(config, true), None).await;
    let mut conn = TcpStream::connect(server.address).await.unwrap();
    conn.write_all(b"\x05\x01\0\x05\xf2\0\x01\x7f\0\0\x01\0\0").await.unwrap();
    let mut answer = [0; 12];
    conn.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer[..10], *b"\x05\0\x05\0\0\x01\x7f\0\0\x01");
    let port = u16::from_be_bytes([answer[10], answer[11]]);
    let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    client.write_all(b"hello").await.unwrap();
    let mut frames = [0; 21];
    conn.read_exact(&mut frames).await.unwrap();
    assert_eq!(frames, *b"\x01\0\0\0\x03\0\0\0\x01\x02\x05\0\x03\0\0\0hello");
}

#[tokio::test]
async fn a_node_passes_datagrams_on() {
    let config = Config::new(Version::V1);
    for (connector, handler) in connectors(config).into_iter().zip([relay(config), socks(config, false)]) {
        let server = Server::start("127.0.0.1:0", handler, None).await;
        // A port of the node's choice would stand for no port: datagrams to anywhere.
        let free = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let mut listener = listener(server.address, connector, Dialer::Tcp, Some(UDP));
        listener.address.port = free;
        assert_eq!(port(&listener).await, free);
        let clients = [UdpSocket::bind("127.0.0.1:0").await.unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap()];
        for client in &clients {
            for size in [1, 1_500, 60_000] {
                client.connect(("127.0.0.1", free)).await.unwrap();
                client.send(&vec![7; size]).await.unwrap();
            }
            let accepted = listener.accept().await.unwrap();
            assert_eq!(accepted.client, client.local_addr().unwrap().into());
            let Transport::Udp(mut session) = accepted.transport else { panic!("a stream") };
            let (received, replies) = session.split();
            for size in [1, 1_500, 60_000] {
                assert_eq!(received.receive().await.unwrap().len(), size);
                replies.send(&vec![8; size]).await;
                assert_eq!(client.recv(&mut vec![0; 65_536]).await.unwrap(), size);
            }
        }
    }
}

#[tokio::test]
async fn without_a_chain_this_machine_accepts() {
    for udp in [None, Some(UDP)] {
        let address = HostPort { host: "127.0.0.1".to_owned(), port: 0 };
        let router = Router::default();
        let listener = RemoteListener { router, service: "service".into(), address, udp, bound: Mutex::default() };
        let port = port(&listener).await;
        if udp.is_some() {
            let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
            client.send_to(b"hello", ("127.0.0.1", port)).await.unwrap();
            assert_eq!(listener.accept().await.unwrap().client, client.local_addr().unwrap().into());
        } else {
            let client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            assert_eq!(listener.accept().await.unwrap().client, client.local_addr().unwrap().into());
        }
    }
}

#[tokio::test]
async fn a_node_that_comes_back_is_asked_again() {
    let config = Config::new(Version::V1);
    let [connector, _] = connectors(config);
    let mut server = Server::start("127.0.0.1:0", relay(config), None).await;
    let address = server.address;
    let mut listener = listener(address, connector, Dialer::Tcp, None);
    listener.address.port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().port();
    let port = port(&listener).await;
    let _client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut served = stream(listener.accept().await.unwrap());
    server.serving.abort();
    assert!((&mut server.serving).await.is_err());
    assert!(matches!(listener.accept().await, Err(AcceptError::Temporary(_))));
    // What the lost connection carried isn't taken for complete.
    assert!(served.read_u8().await.is_err());
    let error = listener.accept().await.unwrap_err().to_string();
    assert!(error.contains(&format!("can't have tcp accepted at 127.0.0.1:{port}")), "{error}");
    let _server = Server::start(&address.to_string(), relay(config), None).await;
    let connecting = async {
        loop {
            match TcpStream::connect(("127.0.0.1", port)).await {
                Ok(client) => return client,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    let (_client, accepted) = tokio::join!(connecting, listener.accept());
    accepted.unwrap();
}

#[tokio::test]
async fn what_was_accepted_outlives_the_listener() {
    let config = Config::new(Version::V1);
    let server = Server::start("127.0.0.1:0", relay(config), None).await;
    let [connector, _] = connectors(config);
    let listener = listener(server.address, connector, Dialer::Tcp, None);
    let mut client = TcpStream::connect(("127.0.0.1", port(&listener).await)).await.unwrap();
    let served = stream(listener.accept().await.unwrap());
    drop(listener);
    served.write_all(b"still here").await.unwrap();
    client.read_exact(&mut [0; 10]).await.unwrap();
}

#[tokio::test]
async fn other_nodes_accept_nothing() {
    let server = Server::start("127.0.0.1:0", relay(Config::new(Version::V1)), None).await;
    let listener = listener(server.address, Connector::Forward, Dialer::Tcp, None);
    let error = listener.accept().await.unwrap_err().to_string();
    assert!(error.contains("relay, socks5 and tunnel do"), "{error}");
}

/// A node over a transport that carries many connections: one BIND, and what else goes there, share one.
#[tokio::test]
async fn many_share_one_connection_to_a_node() {
    for version in [Version::V1, Version::V2] {
        let config = Config::new(version);
        let server = Server::start("127.0.0.1:0", relay(config), Some(config)).await;
        let [connector, _] = connectors(config);
        let mux = dialer::Mux::new(dialer::Layered::default(), config);
        let listener = listener(server.address, connector, Dialer::Mux(mux), None);
        let port = port(&listener).await;
        let target = HostPort { host: "127.0.0.1".to_owned(), port };
        let client = ClientId::from(String::new());
        let info = ConnInfo {
            service: "service".into(),
            sid: "".into(),
            client: Addr::unnamed(),
            local: Addr::unnamed(),
            certificate: None,
        };
        let wanted = Wanted { network: "tcp", target: &target, client: &client, info: &info };
        let mut ends = std::collections::HashSet::new();
        for _ in 0..30 {
            let upstream = listener.router.dial(&wanted).await.unwrap();
            ends.insert(upstream.conn.stream.local_addr());
            let mut near = upstream.conn.into_stream();
            near.write_all(b"x").await.unwrap();
            let mut far = stream(listener.accept().await.unwrap());
            assert_eq!(far.read_u8().await.unwrap(), b'x');
            far.write_all(b"y").await.unwrap();
            assert_eq!(near.read_u8().await.unwrap(), b'y');
        }
        assert_eq!(ends.len(), 1);
    }
}
