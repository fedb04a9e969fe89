//! Services that forward datagrams, over real sockets.

use std::net::SocketAddr;
use std::sync::Mutex;

use drawspan_modules::{Bypass, ConnLimiter, LimitRules, Rates};
use drawspan_wit::admission::{AdmissionRequest, Verdict};
use drawspan_wit::bypass::{BypassRequest, Match};
use drawspan_wit::{CallError, Plugin, boxed};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::connector::{Connector, Http, Socks4, Socks5};
use crate::dialer::Dialer;
use crate::handler::{self, Handler, Socks5Settings};
use crate::listener::{Listener, TcpListener, UdpListener, UdpSettings};
use crate::router::{Chain, Node, NodeHop, Route, Router, Seen, Selector, Strategy};
use crate::{Layer, LimitSource, Service, ServiceScope, Shaper};

/// Sends back each datagram, the other way round, and tells where it came from.
struct Mirror {
    address: SocketAddr,
    sources: Arc<Mutex<Vec<SocketAddr>>>,
}

impl Mirror {
    async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, sources) = (socket.local_addr().unwrap(), Arc::<Mutex<Vec<_>>>::default());
        let seen = Arc::clone(&sources);
        tokio::spawn(async move {
            let mut buffer = vec![0; 65536];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                seen.lock().unwrap().push(from);
                buffer[..length].reverse();
                let _ = socket.send_to(&buffer[..length], from).await;
            }
        });
        Self { address, sources }
    }

    fn sources(&self) -> Vec<SocketAddr> {
        self.sources.lock().unwrap().clone()
    }
}

const SETTINGS: UdpSettings =
    UdpSettings { keepalive: true, ttl: Duration::from_secs(60), read_queue: 128, backlog: 128 };

fn hop(nodes: Vec<Node>) -> Arc<Hop> {
    let nodes = nodes.into_iter().map(Arc::new).collect();
    Arc::new(Hop::Nodes(NodeHop {
        name: "hop".to_owned(),
        bypass: None,
        nodes,
        selector: Selector::new(Strategy::Round),
    }))
}

fn node(address: SocketAddr, connector: Connector, dialer: Dialer) -> Node {
    let address = HostPort { host: address.ip().to_string(), port: address.port() };
    Node::new(NodeAddr::Inet(address), connector, dialer)
}

fn target(address: SocketAddr) -> Arc<Hop> {
    hop(vec![node(address, Connector::Forward, Dialer::Tcp)])
}

fn through(nodes: Vec<Node>) -> HandlerParts {
    let hops = nodes.into_iter().map(|node| hop(vec![node])).collect();
    let route = Route::Chain(Arc::new(Chain::new("chain".to_owned(), hops)));
    HandlerParts { router: Router { route, ..Router::default() }, ..HandlerParts::default() }
}

fn service(handler: Handler) -> Service {
    Service {
        name: "service-0".into(),
        accept_proxy: false,
        admission: None,
        conn_limiter: None,
        rate_limiter: None,
        shaper: None,
        client_recorder: None,
        counters: Some(Arc::default()),
        metrics: None,
        layer: Layer::Plain,
        mux: None,
        handshake_timeout: Duration::from_secs(15),
        handler,
    }
}

fn forwarder(hop: Arc<Hop>, parts: HandlerParts) -> Service {
    service(Handler::Udp(Udp::new(parts, hop, None)))
}

/// A service that listens until it is dropped.
struct Running {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Running {
    async fn udp(service: Service, settings: UdpSettings) -> Self {
        Self::start(service, Listener::Udp(UdpListener::bind("127.0.0.1:0", settings).await.unwrap()))
    }

    async fn tcp(service: Service) -> Self {
        Self::start(service, Listener::Tcp(TcpListener::bind("127.0.0.1:0").await.unwrap()))
    }

    fn start(service: Service, listener: Listener) -> Self {
        let address = listener.address().parse().unwrap();
        let service = Arc::new(service);
        let task = tokio::spawn(async move {
            loop {
                let (service, network) = (Arc::clone(&service), listener.network());
                let accepted = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    service.serve(accepted, network, &|| "sid".into(), CancellationToken::new()).await;
                });
            }
        });
        Self { address, task }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn client(of: &Running) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(of.address).await.unwrap();
    socket
}

async fn receive(socket: &UdpSocket) -> Vec<u8> {
    let mut buffer = vec![0; 65536];
    let length = socket.recv(&mut buffer).await.unwrap();
    buffer.truncate(length);
    buffer
}

async fn assert_mirrors(socket: &UdpSocket, sizes: &[usize]) {
    for &size in sizes {
        let data: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        socket.send(&data).await.unwrap();
        let back: Vec<u8> = data.into_iter().rev().collect();
        assert!(receive(socket).await == back, "{size} bytes");
    }
}

#[tokio::test]
async fn each_client_has_its_own_session() {
    let mirror = Mirror::start().await;
    let running = Running::udp(forwarder(target(mirror.address), HandlerParts::default()), SETTINGS).await;
    let (one, other) = (client(&running).await, client(&running).await);
    for socket in [&one, &other, &one, &other] {
        assert_mirrors(socket, &[0, 1, 1400, 65507]).await;
    }
    let mut sources = mirror.sources();
    assert_eq!(sources.len(), 16);
    sources.sort();
    sources.dedup();
    assert_eq!(sources.len(), 2);
}

#[tokio::test]
async fn without_keepalive_a_session_ends_when_all_is_answered() {
    let mirror = Mirror::start().await;
    let service = forwarder(target(mirror.address), HandlerParts::default());
    let counters = service.counters.clone().unwrap();
    let running = Running::udp(service, UdpSettings { keepalive: false, ..SETTINGS }).await;
    let socket = client(&running).await;
    // As resolvers ask for addresses of both families.
    socket.send(b"ab").await.unwrap();
    socket.send(b"cd").await.unwrap();
    let mut both = [receive(&socket).await, receive(&socket).await];
    both.sort();
    assert_eq!(both, [b"ba", b"dc"]);
    while counters.current_conns.load(Relaxed) > 0 {
        tokio::task::yield_now().await;
    }
    assert_mirrors(&socket, &[3]).await;
    let sources = mirror.sources();
    assert_ne!(sources[1], sources[2]);
}

#[tokio::test]
async fn what_comes_while_a_session_ends_is_not_lost() {
    let mirror = Mirror::start().await;
    // After each answer the session lasts on for a while.
    let rates = Rates { upload: None, download: Some(2000) };
    let rules = LimitRules { service: Some(rates), ..LimitRules::default() };
    let shaper = Shaper::new(LimitSource::Rules(rules), Duration::from_secs(60), ServiceScope::Both);
    let service = Service { shaper: Some(shaper), ..forwarder(target(mirror.address), HandlerParts::default()) };
    let running = Running::udp(service, UdpSettings { keepalive: false, ..SETTINGS }).await;
    let socket = client(&running).await;
    let asking = assert_mirrors(&socket, &[300, 301, 302]);
    tokio::time::timeout(Duration::from_secs(20), asking).await.expect("a datagram is lost");
    let mut sources = mirror.sources();
    sources.sort();
    sources.dedup();
    assert_eq!(sources.len(), 3, "what comes after the last answer is another session");
}

#[tokio::test]
async fn a_silent_session_ends() {
    let mirror = Mirror::start().await;
    let service = forwarder(target(mirror.address), HandlerParts::default());
    let counters = service.counters.clone().unwrap();
    let running = Running::udp(service, UdpSettings { ttl: Duration::from_millis(50), ..SETTINGS }).await;
    let socket = client(&running).await;
    assert_mirrors(&socket, &[1]).await;
    while counters.current_conns.load(Relaxed) > 0 {
        tokio::task::yield_now().await;
    }
    assert_mirrors(&socket, &[1]).await;
    assert_eq!(counters.total_conns.load(Relaxed), 2);
    assert_eq!((counters.input.load(Relaxed), counters.output.load(Relaxed)), (2, 2));
}

/// Admits the first `admitted` that are asked about.
#[derive(Clone)]
struct First(usize, Arc<Mutex<Vec<AdmissionRequest>>>);

impl Plugin<AdmissionRequest> for First {
    async fn call(&self, call: Arc<AdmissionRequest>) -> Result<Verdict, CallError> {
        let mut asked = self.1.lock().unwrap();
        asked.push((*call).clone());
        Ok(if asked.len() <= self.0 { Verdict::Admitted } else { Verdict::Denied })
    }
}

#[tokio::test]
async fn each_datagram_has_to_be_admitted() {
    let mirror = Mirror::start().await;
    let asked = Arc::<Mutex<Vec<_>>>::default();
    let admission = Admission::new(boxed(First(2, Arc::clone(&asked))));
    let service = Service { admission: Some(admission), ..forwarder(target(mirror.address), HandlerParts::default()) };
    let running = Running::udp(service, SETTINGS).await;
    let socket = client(&running).await;
    assert_mirrors(&socket, &[1, 2]).await;
    // Now nobody is let in any more, neither this client nor others.
    let other = client(&running).await;
    socket.send(b"later").await.unwrap();
    other.send(b"other").await.unwrap();
    while asked.lock().unwrap().len() < 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(mirror.sources().len(), 2);
    let (client, other) = (socket.local_addr().unwrap().to_string(), other.local_addr().unwrap().to_string());
    let mut asked: Vec<_> =
        asked.lock().unwrap().drain(..).map(|it| (it.client_address, it.network, it.service)).collect();
    asked[2..].sort();
    let mut expected = [(&client, None), (&client, Some("service-0")), (&client, None), (&other, Some("service-0"))]
        .map(|(client, service)| (client.clone(), "udp".to_owned(), service.map(str::to_owned)));
    expected.swap(0, 1);
    expected[2..].sort();
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn limits_count_for_datagrams() {
    let mirror = Mirror::start().await;
    let rates = Rates { upload: None, download: Some(0) };
    let rules = LimitRules { service: Some(rates), ..LimitRules::default() };
    let shaper = Shaper::new(LimitSource::Rules(rules), Duration::from_secs(60), ServiceScope::Both);
    let service = Service { shaper: Some(shaper), ..forwarder(target(mirror.address), HandlerParts::default()) };
    let counters = service.counters.clone().unwrap();
    let running = Running::udp(service, SETTINGS).await;
    let socket = client(&running).await;
    socket.send(b"one").await.unwrap();
    assert_eq!(receive(&socket).await, b"eno");
    socket.send(b"more").await.unwrap();
    // It arrives; its answer stays behind the limit.
    while mirror.sources().len() < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!((counters.input.load(Relaxed), counters.output.load(Relaxed)), (7, 3));
}

#[tokio::test]
async fn sessions_are_counted_as_connections() {
    let mirror = Mirror::start().await;
    let limits = LimitRules { service: Some(1), ..LimitRules::default() };
    let service = forwarder(target(mirror.address), HandlerParts::default());
    let service = Service { conn_limiter: Some(ConnLimiter::new(limits)), ..service };
    let counters = service.counters.clone().unwrap();
    let running = Running::udp(service, SETTINGS).await;
    let (one, other) = (client(&running).await, client(&running).await);
    assert_mirrors(&one, &[1]).await;
    other.send(b"one too many").await.unwrap();
    while counters.total_conns.load(Relaxed) < 2 || counters.current_conns.load(Relaxed) > 1 {
        tokio::task::yield_now().await;
    }
    assert_mirrors(&one, &[2]).await;
    assert_eq!(mirror.sources().len(), 2);
}

/// A proxy that relays datagrams.
async fn proxy(kind: &str) -> Running {
    let parts = HandlerParts::default();
    Running::tcp(service(match kind {
        "socks5" => {
            Handler::Socks5(handler::Socks5::new(parts, Socks5Settings { udp: true, ..Socks5Settings::default() }))
        }
        _ => {
            let settings = handler::http::Settings { udp: true, ..handler::http::Settings::default() };
            Handler::Http(handler::http::Http::new(parts, settings))
        }
    }))
    .await
}

#[tokio::test]
async fn through_proxies_of_every_kind() {
    let mirror = Mirror::start().await;
    let (socks, http) = (proxy("socks5").await, proxy("http").await);
    let relay = Running::udp(forwarder(target(mirror.address), HandlerParts::default()), SETTINGS).await;
    let tunnel = || Connector::Socks5(Socks5::default());
    let beside = || Connector::Socks5(Socks5 { udp_relay: true, ..Socks5::default() });
    let direct = || node(mirror.address, Connector::Direct { reject: false }, Dialer::Tcp);
    let at_relay = || node(relay.address, Connector::Forward, Dialer::Udp);
    for (way, nodes) in [
        ("a tunnel", vec![node(socks.address, tunnel(), Dialer::Tcp)]),
        ("a relay", vec![node(socks.address, beside(), Dialer::Tcp)]),
        ("http", vec![node(http.address, Connector::Http(Http::default()), Dialer::Tcp)]),
        (
            "two",
            vec![
                node(http.address, Connector::Http(Http::default()), Dialer::Tcp),
                node(socks.address, tunnel(), Dialer::Tcp),
            ],
        ),
        ("a udp node", vec![at_relay()]),
        ("a udp node behind a proxy", vec![node(socks.address, tunnel(), Dialer::Tcp), at_relay()]),
        ("nobody", vec![direct()]),
        ("nobody and a proxy", vec![direct(), node(socks.address, tunnel(), Dialer::Tcp)]),
    ] {
        // A target that only the udp node doesn't need.
        let running = Running::udp(forwarder(target(mirror.address), through(nodes)), SETTINGS).await;
        // Empty datagrams don't fit into frames; so large ones not into a datagram with a header.
        let sizes: &[usize] = if way == "nobody" || way == "a udp node" { &[0, 65507] } else { &[1, 1400, 60_000] };
        let socket = client(&running).await;
        tokio::time::timeout(Duration::from_secs(20), assert_mirrors(&socket, sizes)).await.expect(way);
    }
}

/// Has targets in it that begin so, and says what it was asked.
struct Beginning(&'static str, Arc<Mutex<Vec<(String, String)>>>);

impl Plugin<BypassRequest> for Beginning {
    async fn call(&self, call: Arc<BypassRequest>) -> Result<Match, CallError> {
        self.1.lock().unwrap().push((call.network.clone(), call.target_address.clone()));
        Ok(if call.target_address.starts_with(self.0) { Match::Matched } else { Match::Unmatched })
    }
}

#[tokio::test]
async fn an_http_proxy_judges_the_target_and_then_each_datagram() {
    let (mirror, asked) = (Mirror::start().await, Arc::<Mutex<Vec<_>>>::default());
    let bypass = Bypass::new(boxed(Beginning("127.0.0.9", Arc::clone(&asked))));
    let parts = HandlerParts { bypass: Some(bypass), ..HandlerParts::default() };
    let settings = handler::http::Settings { udp: true, ..handler::http::Settings::default() };
    let proxy = Running::tcp(service(Handler::Http(handler::http::Http::new(parts, settings)))).await;
    let way = || through(vec![node(proxy.address, Connector::Http(Http::default()), Dialer::Tcp)]);
    let running = Running::udp(forwarder(target(mirror.address), way()), SETTINGS).await;
    assert_mirrors(&client(&running).await, &[1]).await;
    // The CONNECT, the datagram, the answer.
    let there = ("udp".to_owned(), mirror.address.to_string());
    assert_eq!(*asked.lock().unwrap(), [there.clone(), there.clone(), there]);

    let blocked: SocketAddr = "127.0.0.9:9".parse().unwrap();
    let info = drawspan_modules::ConnInfo {
        certificate: None,
        service: "s".into(),
        sid: "".into(),
        client: blocked.into(),
        local: blocked.into(),
    };
    let error =
        way().router.forward_udp(&target(blocked), &info, &String::new().into()).await.err().unwrap().to_string();
    assert!(error.ends_with("refused: 403 Forbidden"), "{error}");
}

#[tokio::test]
async fn what_carries_no_datagrams_says_so() {
    let mirror = Mirror::start().await;
    let info = |client: SocketAddr| drawspan_modules::ConnInfo {
        certificate: None,
        service: "s".into(),
        sid: "".into(),
        client: client.into(),
        local: client.into(),
    };
    let http = proxy("http").await;
    let closed = Running::tcp(service(Handler::Http(handler::http::Http::new(
        HandlerParts::default(),
        handler::http::Settings::default(),
    ))))
    .await;
    for (nodes, expected) in [
        (
            vec![node(http.address, Connector::Socks4(Socks4::default()), Dialer::Tcp)],
            "datagrams can't be sent through such a node",
        ),
        (vec![node(http.address, Connector::Forward, Dialer::Tcp)], "datagrams can't be sent through such a node"),
        (vec![node(closed.address, Connector::Http(Http::default()), Dialer::Tcp)], "refused: 403 Forbidden"),
        (
            vec![
                node(http.address, Connector::Http(Http::default()), Dialer::Tcp),
                node(http.address, Connector::Direct { reject: false }, Dialer::Tcp),
            ],
            "no proxy may stand before a node with a direct connector",
        ),
    ] {
        let parts = through(nodes);
        let outcome =
            parts.router.forward_udp(&target(mirror.address), &info(mirror.address), &String::new().into()).await;
        let error = outcome.err().unwrap().to_string();
        assert!(error.ends_with(expected), "{error}");
    }
    let streams = through(vec![node(mirror.address, Connector::Forward, Dialer::Udp)]);
    let (hop, info_of) = (target(mirror.address), info(mirror.address));
    let chosen = streams.router.choose(&hop, &info_of, &String::new().into(), &Seen::default()).await.unwrap().unwrap();
    let outcome = streams.router.forward(&chosen, &info_of, &String::new().into(), 0).await;
    let error = outcome.err().unwrap().to_string();
    assert!(error.ends_with("a udp dialer carries only datagrams, and with a tcp or forward connector"), "{error}");
    // What rejects takes datagrams as it takes connections: to their end.
    let rejecting = through(vec![node(http.address, Connector::Direct { reject: true }, Dialer::Tcp)]);
    let outcome =
        rejecting.router.forward_udp(&target(mirror.address), &info(mirror.address), &String::new().into()).await;
    let (mut upstream, _) = outcome.unwrap();
    let (mut receiver, sender) = upstream.datagrams.split();
    assert!(receiver.receive(&mut Vec::new()).await.is_err());
    assert!(sender.send(&upstream.target, b"x").await.is_err());
    assert!(mirror.sources().is_empty());
}

#[tokio::test]
async fn a_session_costs_little() {
    let listener = UdpListener::bind("127.0.0.1:0", SETTINGS).await.unwrap();
    let service = Arc::new(forwarder(target(listener.local_addr()), HandlerParts::default()));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(b"x", listener.local_addr()).await.unwrap();
    let accepted = listener.accept().await.unwrap();
    let future = service.serve(accepted, "udp", &|| "".into(), CancellationToken::new());
    assert!(size_of_val(&future) < 6 * 1024, "{} bytes", size_of_val(&future));
}
