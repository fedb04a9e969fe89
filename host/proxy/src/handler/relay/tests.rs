//! The handler and the connector over real sockets: relays, clients and targets in one process.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use drawspan_modules::{Addr, Authenticator, Bypass, ConnInfo};
use drawspan_wire::http1::HostPort;
use drawspan_wire::socks::Address;
use drawspan_wit::authenticator::{AuthenticationRequest, Identity};
use drawspan_wit::bypass::{BypassRequest, Match};
use drawspan_wit::{Call, CallError, Plugin, boxed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::*;
use crate::connector::{self, ConnectError, Connector};
use crate::dialer::Dialer;
use crate::handler::Handler;
use crate::handler::forward::{Forward, ForwardSettings};
use crate::net::{Datagrams, Stream};
use crate::router::{Chain, Node, NodeAddr, NodeHop, Route, Router, Selector, Strategy};

/// A relay that serves connections until it is dropped.
struct Running {
    address: SocketAddr,
    drain: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(relay: Relay) -> Self {
        Self::serve(Handler::Relay(relay)).await
    }

    async fn serve(handler: Handler) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (handler, drain) = (Arc::new(handler), CancellationToken::new());
        let draining = drain.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, client)) = listener.accept().await {
                let (service, sid) = ("service-0".into(), "sid".into());
                let local = address.into();
                let info = ConnInfo { certificate: None, service, sid, client: client.into(), local };
                let (handler, drain) = (Arc::clone(&handler), draining.clone());
                tokio::spawn(async move { handler.handle(Conn::new(stream, info), drain).await });
            }
        });
        Self { address, drain, task }
    }

    async fn open(parts: HandlerParts) -> Self {
        let settings = RelaySettings { bind: true, ..RelaySettings::default() };
        Self::start(Relay::new(parts, None, settings)).await
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends `bytes` on a connection of its own and reads until the relay closes it.
    async fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        let mut client = self.connect().await;
        client.write_all(bytes).await.unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        answer
    }

    /// A connection through this relay.
    async fn through(&self, relay: connector::Relay, target: SocketAddr) -> Result<Stream, ConnectError> {
        let conn = Buffered::new(self.connect().await);
        Ok(Connector::Relay(relay).connect(conn, &host_port(target), &Addr::unnamed()).await?.into_stream())
    }

    /// Goes through this relay.
    fn route(&self, connector: connector::Relay) -> HandlerParts {
        let node = Node::new(NodeAddr::Inet(host_port(self.address)), Connector::Relay(connector), Dialer::Tcp);
        let chain = Chain::new("chain".to_owned(), vec![hop(node)]);
        let router = Router { route: Route::Chain(Arc::new(chain)), ..Router::default() };
        HandlerParts { router, ..HandlerParts::default() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn hop(node: Node) -> Arc<Hop> {
    let selector = Selector::new(Strategy::Round);
    Arc::new(Hop::Nodes(NodeHop { name: "hop".to_owned(), bypass: None, nodes: vec![Arc::new(node)], selector }))
}

fn host_port(address: SocketAddr) -> HostPort {
    HostPort { host: address.ip().to_string(), port: address.port() }
}

fn no_delay() -> connector::Relay {
    connector::Relay { no_delay: true, ..connector::Relay::default() }
}

/// A server that greets first and then sends back whatever it is sent, to the end.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                stream.write_all(b"hello ").await.unwrap();
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
                let _ = to.shutdown().await;
            });
        }
    });
    address
}

/// Checks that there is such a server at the other end.
async fn assert_echoes(mut stream: Stream) {
    let mut greeting = [0; 6];
    stream.read_exact(&mut greeting).await.unwrap();
    assert_eq!(greeting, *b"hello ");
    let sent: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    let (mut from, mut to) = tokio::io::split(&mut stream);
    let mut received = Vec::new();
    let send = async {
        to.write_all(&sent).await.unwrap();
        to.shutdown().await.unwrap();
    };
    let (_, read) = tokio::join!(send, from.read_to_end(&mut received));
    read.unwrap();
    assert!(received == sent, "{} bytes came back", received.len());
}

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

async fn assert_mirrors(datagrams: &mut Datagrams, mirror: SocketAddr, sizes: &[usize]) {
    let (mut receiver, sender) = datagrams.split();
    for size in sizes {
        let sent: Vec<u8> = (0..*size).map(|number| number.to_le_bytes()[0]).collect();
        sender.send(&mirror.into(), &sent).await.unwrap();
        let mut data = Vec::new();
        let (from, _) = receiver.receive(&mut data).await.unwrap();
        data.reverse();
        assert!((from, &data) == (mirror.into(), &sent), "{size} bytes: {} came back", data.len());
    }
}

/// Answers calls with a function, and keeps them.
struct Asked<C, F> {
    calls: Arc<Mutex<Vec<C>>>,
    answer: F,
}

impl<C: Call + Clone, F: Fn(&C) -> C::Reply + Send + Sync> Plugin<C> for Asked<C, F> {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        self.calls.lock().unwrap().push((*call).clone());
        Ok((self.answer)(&call))
    }
}

fn guarded() -> (HandlerParts, Arc<Mutex<Vec<BypassRequest>>>) {
    let calls = Arc::<Mutex<Vec<_>>>::default();
    let knows = |call: &AuthenticationRequest| {
        let known = (call.username.as_str(), call.password.as_str()) == ("gost", "secret");
        known.then(|| Identity { client_id: "id-gost".to_owned() })
    };
    let has = |call: &BypassRequest| {
        if call.target_address.contains("blocked") { Match::Matched } else { Match::Unmatched }
    };
    let authenticator = Authenticator::new(boxed(Asked { calls: Arc::default(), answer: knows }));
    let bypass = Bypass::new(boxed(Asked { calls: Arc::clone(&calls), answer: has }));
    (HandlerParts { authenticator: Some(authenticator), bypass: Some(bypass), ..HandlerParts::default() }, calls)
}

#[tokio::test]
async fn servers_may_speak_first_with_and_without_delay() {
    let (relay, echo) = (Running::open(HandlerParts::default()).await, echo().await);
    for connector in [connector::Relay::default(), no_delay()] {
        assert_echoes(relay.through(connector.clone(), echo).await.unwrap()).await;
        // And through another relay.
        let first = Running::open(relay.route(connector.clone())).await;
        assert_echoes(first.through(connector, echo).await.unwrap()).await;
    }
}

#[tokio::test]
async fn without_delay_a_refusal_is_an_error_and_else_a_connection_that_ends() {
    let (parts, asked) = guarded();
    let (relay, echo) = (Running::open(parts).await, echo().await);
    let auth = |password: &str| Some(("gost".to_owned(), password.to_owned()));
    let right = connector::Relay { auth: auth("secret"), ..no_delay() };
    let wrong = connector::Relay { auth: auth("wrong"), ..no_delay() };
    assert_echoes(relay.through(right.clone(), echo).await.unwrap()).await;
    let ours = asked.lock().unwrap()[0].clone();
    let client = ours.client_id.as_deref();
    assert_eq!((ours.network.as_str(), &ours.target_address, client), ("tcp", &echo.to_string(), Some("id-gost")));
    let error = relay.through(wrong.clone(), echo).await.err().unwrap().to_string();
    assert_eq!(error, "refused: wrong user name or password");
    let mut stream = relay.through(connector::Relay { no_delay: false, ..wrong }, echo).await.unwrap();
    let error = stream.read_u8().await.unwrap_err().to_string();
    assert_eq!(error, "refused: wrong user name or password");

    let conn = Buffered::new(relay.connect().await);
    let blocked = HostPort { host: "blocked.example".to_owned(), port: 80 };
    let error = Connector::Relay(right).connect(conn, &blocked, &Addr::unnamed()).await.unwrap_err().to_string();
    assert_eq!(error, "refused: forbidden");
}

#[tokio::test]
async fn the_first_bytes_go_with_the_request_and_the_answer_comes_in_pieces() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let conn = Buffered::new(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
    let target = HostPort { host: "a.example".to_owned(), port: 80 };
    let mut stream = Connector::Relay(connector::Relay::default())
        .connect(conn, &target, &Addr::unnamed())
        .await
        .unwrap()
        .into_stream();
    let (mut relay, _) = listener.accept().await.unwrap();
    stream.write_all(b"question").await.unwrap();
    let mut request = [0; 28];
    // One write, so one segment.
    assert_eq!(relay.read(&mut request).await.unwrap(), 28);
    assert_eq!(request, *b"\x01\x01\x00\x10\x02\x00\x0d\x03\x09a.example\x00\x50question");
    let mut answer = [0; 6];
    let pieces = async {
        for byte in b"\x01\x00\x00\x03\x63\x00\x00answer" {
            relay.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    };
    let (_, read) = tokio::join!(pieces, stream.read_exact(&mut answer));
    read.unwrap();
    assert_eq!(answer, *b"answer");
    drop(relay);
    assert!(stream.read(1).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_that_is_none_is_an_error() {
    for (answer, expected) in [
        (&b"\x05"[..], "relay version 5, which isn't known"),
        (b"\x01\x00\xff\xff", "65535 bytes of relay features; at most 16384 are read"),
        (b"\x01\x06\x00\x00", "refused: host unreachable"),
        (b"\x01\x00", "connection closed too early"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let conn = Buffered::new(TcpStream::connect(listener.local_addr().unwrap()).await.unwrap());
        let target = HostPort { host: "a.example".to_owned(), port: 80 };
        let asked =
            Connector::Relay(connector::Relay::default()).connect(conn, &target, &Addr::unnamed()).await.unwrap();
        let (mut relay, _) = listener.accept().await.unwrap();
        relay.write_all(answer).await.unwrap();
        relay.shutdown().await.unwrap();
        assert_eq!(asked.into_stream().read_u8().await.unwrap_err().to_string(), expected);
    }
}

#[tokio::test]
async fn datagrams_to_one_target() {
    let (relay, mirror) = (Running::open(HandlerParts::default()).await, mirror().await);
    for connector in [connector::Relay::default(), no_delay()] {
        let conn = Buffered::new(relay.connect().await);
        let connector = Connector::Relay(connector);
        let associated =
            connector.associate(conn, Some(&host_port(mirror)), &Addr::unnamed(), &crate::Direct::default()).await;
        assert_mirrors(&mut associated.unwrap(), mirror, &[1, 0, 1400, 65_507]).await;
    }
    // Through another relay.
    let first = Running::open(relay.route(connector::Relay::default())).await;
    let conn = Buffered::new(first.connect().await);
    let connector = Connector::Relay(connector::Relay::default());
    let associated =
        connector.associate(conn, Some(&host_port(mirror)), &Addr::unnamed(), &crate::Direct::default()).await;
    assert_mirrors(&mut associated.unwrap(), mirror, &[1, 0, 65_507]).await;
}

#[tokio::test]
async fn datagrams_to_any_target_follow_the_chain() {
    let (parts, asked) = guarded();
    let last = Running::open(HandlerParts { authenticator: None, ..parts }).await;
    let (first, mirror) = (Running::open(last.route(connector::Relay::default())).await, mirror().await);
    let conn = Buffered::new(first.connect().await);
    let connector = Connector::Relay(connector::Relay::default());
    let mut associated = connector.associate(conn, None, &Addr::unnamed(), &crate::Direct::default()).await.unwrap();
    assert_mirrors(&mut associated, mirror, &[1, 1400, 65_507]).await;
    assert!(
        asked.lock().unwrap().iter().all(|call| call.network == "udp" && call.target_address == mirror.to_string())
    );
    assert!(!asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn datagrams_from_elsewhere() {
    let relay = Running::open(HandlerParts::default()).await;
    let mut client = relay.connect().await;
    let port = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port().to_be_bytes();
    let request = [&b"\x01\x82\x00\x0f\x04\x00\x02\x00\x01\x02\x00\x07\x01\x7f\x00\x00\x01"[..], &port].concat();
    client.write_all(&request).await.unwrap();
    let mut answer = [0; 14];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, *[&b"\x01\x00\x00\x0a\x02\x00\x07\x01\x7f\x00\x00\x01"[..], &port].concat());
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    peer.send_to(b"hello", ("127.0.0.1", u16::from_be_bytes(port))).await.unwrap();
    let mut datagrams = Datagrams::Framed(Buffered::new(client));
    let (mut receiver, sender) = datagrams.split();
    let mut data = Vec::new();
    let (from, _) = receiver.receive(&mut data).await.unwrap();
    assert_eq!((&from, data.as_slice()), (&Address::from(peer.local_addr().unwrap()), &b"hello"[..]));
    sender.send(&from, b"bye").await.unwrap();
    let mut buffer = [0; 8];
    assert_eq!(peer.recv(&mut buffer).await.unwrap(), 3);
}

#[tokio::test]
async fn a_unix_socket_is_the_relays() {
    let (parts, asked) = guarded();
    let relay = Running::open(HandlerParts { authenticator: None, ..parts }).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("u");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    for connector in [connector::Relay::default(), no_delay()] {
        let parts = relay.route(connector);
        let node = Node::new(NodeAddr::Unix(path.clone()), Connector::Forward, Dialer::Tcp);
        let forward = Forward::new(parts, hop(node), ForwardSettings::default());
        let forward = Running::serve(Handler::Forward(forward)).await;
        let mut client = forward.connect().await;
        client.write_all(b"hello").await.unwrap();
        let (mut served, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 5];
        served.read_exact(&mut bytes).await.unwrap();
        served.write_all(&bytes).await.unwrap();
        client.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"hello");
        let call = asked.lock().unwrap().pop().unwrap();
        assert_eq!((call.network, call.target_address), ("unix".to_owned(), path.display().to_string()));
    }
    // By another protocol there is no way, and none past the chain.
    let conn = Buffered::new(relay.connect().await);
    let error = Connector::Http(connector::Http::default()).connect_unix(conn, &path).await.unwrap_err();
    assert!(error.to_string().contains("a relay connector can"), "{error}");
}

#[tokio::test]
async fn a_forwarder_leads_to_its_targets_only() {
    let (echo, mirror) = (echo().await, mirror().await);
    let to = |address: SocketAddr| hop(Node::new(NodeAddr::Inet(host_port(address)), Connector::Forward, Dialer::Tcp));
    let relay = |hop| Relay::new(HandlerParts::default(), Some(hop), RelaySettings::default());
    let running = Running::start(relay(to(echo))).await;
    let elsewhere = "192.0.2.1:1".parse().unwrap();
    assert_echoes(running.through(connector::Relay::default(), elsewhere).await.unwrap()).await;
    let running = Running::start(relay(to(mirror))).await;
    let mut client = running.connect().await;
    client.write_all(b"\x01\x81\x00\x00\x00\x03abc").await.unwrap();
    let mut answer = [0; 9];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, *b"\x01\x00\x00\x00\x00\x03cba");
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let running = Running::start(relay(to(nobody))).await;
    assert_eq!(running.ask(b"\x01\x01\x00\x00").await, [1, 6, 0, 0]);
    let none = NodeHop { name: "h".to_owned(), bypass: None, nodes: vec![], selector: Selector::new(Strategy::Round) };
    let running = Running::start(relay(Arc::new(Hop::Nodes(none)))).await;
    for request in [&b"\x01\x01\x00\x00"[..], b"\x01\x81\x00\x00"] {
        assert_eq!(running.ask(request).await, [1, 5, 0, 0]);
    }
}

#[tokio::test]
async fn what_is_not_supported_is_answered() {
    let relay = Running::open(HandlerParts::default()).await;
    for (request, status) in [
        // Connections at another machine's address, and IP packets from elsewhere.
        (&b"\x01\x02\x00\x0a\x02\x00\x07\x01\xc0\x00\x02\x01\x00\x00"[..], 5),
        (b"\x01\x02\x00\x0f\x04\x00\x02\x00\x02\x02\x00\x07\x01\x7f\x00\x00\x01\x00\x00", 1),
        // A serial line, IP packets, and no name.
        (b"\x01\x01\x00\x0d\x04\x00\x02\x00\x11\x02\x00\x05\x03\x01a\x00\x00", 7),
        (b"\x01\x01\x00\x0d\x04\x00\x02\x00\x02\x02\x00\x05\x03\x01a\x00\x00", 7),
        (b"\x01\x01\x00\x08\x02\x00\x05\x03\x01 \x00\x50", 7),
    ] {
        assert_eq!(relay.ask(request).await, [1, status, 0, 0], "{request:?}");
    }
    assert_eq!(relay.ask(b"\x01\x01\xff\xff").await, b"");
}

#[tokio::test(start_paused = true)]
async fn a_client_has_some_time_for_its_request() {
    let relay = Running::open(HandlerParts::default()).await;
    assert_eq!(relay.ask(b"").await, b"");
    assert_eq!(relay.ask(b"\x01\x01\x00").await, b"");
}

#[tokio::test]
async fn who_only_waits_is_sent_away_before_the_end() {
    let relay = Running::open(HandlerParts::default()).await;
    let mut client = relay.connect().await;
    relay.drain.cancel();
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}
