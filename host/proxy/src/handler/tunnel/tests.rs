//! A server, its entry points, connectors and visitors over real sockets, in one process.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;

use drawspan_modules::{Bypass, ConnInfo, Endpoint, IngressRules, Service};
use drawspan_smux::Version;
use drawspan_wire::http1::HostPort;
use drawspan_wire::relay::{Features, TunnelId};
use drawspan_wire::socks::Address;
use drawspan_wit::bypass::{BypassRequest, Match};
use drawspan_wit::ingress::{GetRuleRequest, SetRuleRequest};
use drawspan_wit::service_discovery::{DeregisterRequest, GetServicesRequest, RegisterRequest, RenewRequest};
use drawspan_wit::{CallError, ErrorKind, Plugin, boxed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::*;
use crate::Wanted;
use crate::connector::{self, Connector};
use crate::dialer::Dialer;
use crate::handler::Handler;
use crate::handler::sniff::tests::{Service as Sniffed, read_all, speak_tls};
use crate::listener::{Listener, RemoteListener, Transport, UdpSettings};
use crate::router::{Chain, Hop, Node, NodeAddr, NodeHop, Route, Router, Selector, Strategy};

const TUNNEL: Uuid = Uuid::from_u128(0x4d21094e_b74c_4916_86c1_d9fa36ea677b);
const OTHER: Uuid = Uuid::from_u128(2);
const PRIVATE: Uuid = Uuid::from_u128(3);
const PUBLIC: Uuid = Uuid::from_u128(4);
const OWN_HOST: &str = "a6265c6d9847a4be";

fn rules() -> Ingress {
    let rule = |host: &str, tunnel, private| (host.to_owned(), Endpoint { tunnel, private });
    let rules =
        [rule("srv.test", TUNNEL, false), rule("other.test", OTHER, false), rule("private.test", PRIVATE, true)];
    Ingress::new(Arc::new(IngressRules::new(rules)))
}

/// What a listener leads to, until it is dropped.
struct Running {
    address: SocketAddr,
    drain: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(handler: Handler) -> Self {
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

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends a request on a connection of its own, and reads the answer's status.
    async fn ask(&self, request: &Request) -> u8 {
        let mut client = self.connect().await;
        client.write_all(&request.encode().unwrap()).await.unwrap();
        let mut answer = [0; 4];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!((answer[0], &answer[2..]), (1, &[0, 0][..]));
        answer[1]
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A server and an entry point of it.
struct Gateway {
    server: Running,
    entrypoint: Running,
}

impl Gateway {
    async fn start(ingress: Option<Ingress>, sd: Option<ServiceDiscovery>, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        change(&mut settings);
        let tunnels = Arc::new(Tunnels::new(sd));
        let entrypoint =
            Entrypoint::new(HandlerParts::default(), Arc::clone(&tunnels), ingress.clone(), settings.entrypoint);
        let entrypoint = Running::start(Handler::Entrypoint(entrypoint)).await;
        settings.server.address = entrypoint.address.to_string();
        let server = TunnelServer::new(settings.parts, tunnels, ingress, settings.server);
        Self { server: Running::start(Handler::Tunnel(server)).await, entrypoint }
    }

    async fn open() -> Self {
        Self::start(Some(rules()), None, |_| {}).await
    }
}

struct Settings {
    parts: HandlerParts,
    server: TunnelSettings,
    entrypoint: EntrypointSettings,
}

impl Default for Settings {
    fn default() -> Self {
        let (read_timeout, idle_timeout) = (Duration::from_secs(15), None);
        let server = TunnelSettings {
            public_id: Some(PUBLIC),
            direct: false,
            ttl: Duration::from_millis(20),
            address: String::new(),
            read_timeout,
            idle_timeout,
            mux: smux::Config::new(Version::V2),
        };
        let entrypoint = EntrypointSettings { keepalive: false, read_timeout, idle_timeout };
        Self { parts: HandlerParts::default(), server, entrypoint }
    }
}

fn name(host: &str, port: u16) -> Address {
    Address::Name(host.as_bytes().to_vec(), port)
}

fn request(command: Command, tunnel: Uuid, host: &str) -> Request {
    let source = Address::Ip("192.0.2.7:41806".parse().unwrap());
    let tunnel = TunnelId { id: tunnel.into_bytes(), udp: false, weight: 0 };
    let features =
        Features { source: Some(source), address: Some(name(host, 0)), tunnel: Some(tunnel), ..Features::default() };
    Request { command, udp: false, features }
}

async fn response(from: &mut (impl tokio::io::AsyncRead + Unpin)) -> Response {
    let mut bytes = vec![0; 4];
    from.read_exact(&mut bytes).await.unwrap();
    let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    bytes.resize(4 + length, 0);
    from.read_exact(&mut bytes[4..]).await.unwrap();
    Response::parse(&bytes).unwrap().unwrap().0
}

/// A client that serves a tunnel.
struct Served {
    session: smux::Session,
    /// What it was answered.
    features: Features,
}

impl Served {
    async fn bind(gateway: &Gateway, host: &str, change: impl FnOnce(&mut TunnelId)) -> Self {
        let mut request = request(Command::Bind, TUNNEL, host);
        change(request.features.tunnel.as_mut().unwrap());
        let mut conn = gateway.server.connect().await;
        conn.write_all(&request.encode().unwrap()).await.unwrap();
        let answer = response(&mut conn).await;
        assert_eq!(answer.status, Status::OK);
        let session = smux::Session::server(conn, smux::Config::new(Version::V2)).unwrap();
        Self { session, features: answer.features }
    }

    /// The next visitor: who it is, what it wants, and its bytes.
    async fn visitor(&self) -> (Address, Address, smux::Stream) {
        let mut stream = self.session.accept().await.unwrap();
        let Response { status, features } = response(&mut stream).await;
        assert_eq!(status, Status::OK);
        (features.source.unwrap(), features.address.unwrap(), stream)
    }
}

/// Both ends of a visit say something.
async fn talk(visitor: &mut (impl AsyncReadWrite + Unpin), stream: &mut smux::Stream) {
    visitor.write_all(b"question").await.unwrap();
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"question");
    stream.write_all(b"answer").await.unwrap();
    let mut bytes = [0; 6];
    visitor.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"answer");
}

trait AsyncReadWrite: tokio::io::AsyncRead + tokio::io::AsyncWrite {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite> AsyncReadWrite for T {}

/// A visitor that was let in.
async fn visit(gateway: &Gateway, tunnel: Uuid, host: &str) -> TcpStream {
    let mut visitor = gateway.server.connect().await;
    visitor.write_all(&request(Command::Connect, tunnel, host).encode().unwrap()).await.unwrap();
    assert_eq!(response(&mut visitor).await, Response { status: Status::OK, features: Features::default() });
    visitor
}

#[tokio::test]
async fn visitors_reach_who_serves_their_tunnel() {
    let gateway = Gateway::open().await;
    let served = Served::bind(&gateway, "", |tunnel| tunnel.weight = 7).await;
    let connector = served.features.tunnel.unwrap();
    assert_eq!(
        (served.features.address.as_ref(), connector.weight, connector.udp),
        (Some(&name(OWN_HOST, 0)), 7, false)
    );
    for (tunnel, host) in [(TUNNEL, "srv.test"), (PUBLIC, "srv.test")] {
        let mut visitor = visit(&gateway, tunnel, host).await;
        let (source, target, mut stream) = served.visitor().await;
        assert_eq!((source, target), (Address::Ip("192.0.2.7:41806".parse().unwrap()), name(host, 0)));
        talk(&mut visitor, &mut stream).await;
    }
}

struct Blocks;

impl Plugin<BypassRequest> for Blocks {
    async fn call(&self, call: Arc<BypassRequest>) -> Result<Match, CallError> {
        assert_eq!((call.network.as_str(), call.service.as_deref()), ("tcp", Some("service-0")));
        Ok(if call.target_address.starts_with("blocked") { Match::Matched } else { Match::Unmatched })
    }
}

#[tokio::test]
async fn what_visitors_are_refused() {
    let bypass = Some(Bypass::new(boxed(Blocks)));
    let parts = HandlerParts { bypass, ..HandlerParts::default() };
    let gateway = Gateway::start(Some(rules()), None, |settings| settings.parts = parts).await;
    for (tunnel, host, status) in [
        (TUNNEL, "srv.test", 5),
        (TUNNEL, "other.test", 6),
        (TUNNEL, "unknown.test", 6),
        (TUNNEL, "", 6),
        (PRIVATE, "private.test", 5),
        (PUBLIC, "srv.test", 5),
        (PUBLIC, "private.test", 6),
        (PUBLIC, "unknown.test", 7),
        (TUNNEL, "blocked.test", 3),
        (Uuid::nil(), "srv.test", 1),
    ] {
        assert_eq!(gateway.server.ask(&request(Command::Connect, tunnel, host)).await, status, "{tunnel} {host}");
    }
    assert_eq!(gateway.server.ask(&request(Command::Associate, TUNNEL, "srv.test")).await, 1);
    let mut nameless = request(Command::Connect, TUNNEL, "srv.test");
    nameless.features.tunnel = None;
    assert_eq!(gateway.server.ask(&nameless).await, 1);

    let direct = Gateway::start(None, None, |settings| settings.server.direct = true).await;
    assert_eq!(direct.server.ask(&request(Command::Connect, TUNNEL, "any.test")).await, 5);
    let served = Served::bind(&direct, "mine.test", |_| {}).await;
    assert_eq!(served.features.address, Some(name(OWN_HOST, 0)), "without an ingress nobody gets another host");
    let mut visitor = visit(&direct, TUNNEL, "any.test").await;
    talk(&mut visitor, &mut served.visitor().await.2).await;
}

/// An ingress and service discovery that say what they are asked.
#[derive(Default)]
struct Registry {
    rules: Mutex<HashMap<String, String>>,
    services: Mutex<Vec<Service>>,
    /// How many registrations fail.
    failures: Mutex<u32>,
    told: Mutex<Option<mpsc::UnboundedSender<String>>>,
}

impl Registry {
    fn new() -> (Arc<Self>, mpsc::UnboundedReceiver<String>) {
        let (sender, told) = mpsc::unbounded_channel();
        (Arc::new(Self { told: Mutex::new(Some(sender)), ..Self::default() }), told)
    }

    fn tell(&self, what: String) {
        let _ = self.told.lock().unwrap().as_ref().unwrap().send(what);
    }
}

impl Plugin<GetRuleRequest> for Registry {
    async fn call(&self, call: Arc<GetRuleRequest>) -> Result<Option<String>, CallError> {
        assert_eq!(call.service.as_deref(), Some("service-0"));
        self.tell(format!("get {}", call.host));
        Ok(self.rules.lock().unwrap().get(&call.host).cloned())
    }
}

impl Plugin<SetRuleRequest> for Registry {
    async fn call(&self, call: Arc<SetRuleRequest>) -> Result<(), CallError> {
        self.tell(format!("set {} {}", call.host, call.endpoint));
        self.rules.lock().unwrap().insert(call.host.clone(), call.endpoint.clone());
        Ok(())
    }
}

impl Plugin<RegisterRequest> for Registry {
    async fn call(&self, call: Arc<RegisterRequest>) -> Result<(), CallError> {
        let RegisterRequest { id, name, node, network, address } = (*call).clone();
        self.tell(format!("register {name} {network}"));
        let mut failures = self.failures.lock().unwrap();
        if *failures > 0 {
            *failures -= 1;
            return Err(CallError::new(ErrorKind::Unavailable, "on purpose"));
        }
        self.services.lock().unwrap().push(Service { id, name, node, network, address });
        Ok(())
    }
}

impl Plugin<RenewRequest> for Registry {
    async fn call(&self, call: Arc<RenewRequest>) -> Result<(), CallError> {
        assert!(self.services.lock().unwrap().iter().any(|service| service.id == call.id && service.node == call.node));
        self.tell("renew".to_owned());
        Ok(())
    }
}

impl Plugin<DeregisterRequest> for Registry {
    async fn call(&self, call: Arc<DeregisterRequest>) -> Result<(), CallError> {
        self.services.lock().unwrap().retain(|service| service.id != call.id);
        self.tell("deregister".to_owned());
        Ok(())
    }
}

impl Plugin<GetServicesRequest> for Registry {
    async fn call(&self, call: Arc<GetServicesRequest>) -> Result<Vec<Service>, CallError> {
        self.tell(format!("services {}", call.name));
        Ok(self.services.lock().unwrap().iter().filter(|service| service.name == call.name).cloned().collect())
    }
}

#[tokio::test]
async fn the_ingress_and_service_discovery_are_told() {
    let (registry, mut told) = Registry::new();
    *registry.failures.lock().unwrap() = 1;
    registry.rules.lock().unwrap().insert("taken.test".to_owned(), OTHER.to_string());
    let ingress = Some(Ingress::new(Arc::clone(&registry)));
    let sd = Some(ServiceDiscovery::new(Arc::clone(&registry)));
    let gateway = Gateway::start(ingress, sd, |_| {}).await;
    let served = Served::bind(&gateway, "mine.test", |_| {}).await;
    assert_eq!(served.features.address, Some(name("mine.test", 0)));
    let register = format!("register {TUNNEL} tcp");
    for expected in [
        "get mine.test",
        &*format!("set {OWN_HOST} {TUNNEL}"),
        &*format!("set mine.test {TUNNEL}"),
        // The first one fails.
        &*register,
        &*register,
        "renew",
        "renew",
    ] {
        assert_eq!(told.recv().await.unwrap(), expected);
    }
    drop(served);
    while told.recv().await.unwrap() != "deregister" {}
    assert!(registry.services.lock().unwrap().is_empty());
    assert_eq!(gateway.server.ask(&request(Command::Connect, TUNNEL, "mine.test")).await, 5);
    let served = Served::bind(&gateway, "taken.test", |_| {}).await;
    assert_eq!(served.features.address, Some(name(OWN_HOST, 0)));
    // A shutdown takes it off the registry, too.
    gateway.server.drain.cancel();
    while told.recv().await.unwrap() != "deregister" {}
    assert!(served.session.accept().await.is_none());
}

#[tokio::test]
async fn gateways_find_each_others_tunnels() {
    let (registry, mut told) = Registry::new();
    let start = || {
        let sd = ServiceDiscovery::new(Arc::clone(&registry));
        Gateway::start(Some(rules()), Some(sd), |settings| settings.server.ttl = Duration::from_secs(60))
    };
    let (here, there) = (start().await, start().await);
    let served = Served::bind(&there, "", |_| {}).await;
    assert!(told.recv().await.unwrap().starts_with("register"));
    let mut visitor = visit(&here, TUNNEL, "srv.test").await;
    let (source, target, mut stream) = served.visitor().await;
    assert_eq!((source, target), (Address::Ip("192.0.2.7:41806".parse().unwrap()), name("srv.test", 0)));
    talk(&mut visitor, &mut stream).await;
    assert_eq!(told.recv().await.unwrap(), format!("services {TUNNEL}"));

    let mut visitor = here.entrypoint.connect().await;
    visitor.write_all(b"GET /a HTTP/1.1\r\nHost: srv.test\r\n\r\n").await.unwrap();
    let (source, target, mut stream) = served.visitor().await;
    assert_eq!((source, target), (visitor.local_addr().unwrap().into(), name("srv.test", 80)));
    answer(&mut stream, "GET /a HTTP/1.1").await;
    assert!(read_head(&mut visitor).await.starts_with("HTTP/1.1 204 "));

    // Nobody there any more: who was found is asked, and says so.
    let stale = registry.services.lock().unwrap().clone();
    drop((served, stream));
    while told.recv().await.unwrap() != "deregister" {}
    *registry.services.lock().unwrap() = stale;
    assert_eq!(here.server.ask(&request(Command::Connect, TUNNEL, "srv.test")).await, 5);
    let mut visitor = here.entrypoint.connect().await;
    visitor.write_all(b"GET / HTTP/1.1\r\nHost: srv.test\r\n\r\n").await.unwrap();
    assert_eq!(read_all(&mut visitor).await, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
}

async fn read_head(from: &mut (impl tokio::io::AsyncRead + Unpin)) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(from.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

/// Reads a request's head and answers it.
async fn answer(stream: &mut smux::Stream, line: &str) -> String {
    let head = read_head(stream).await;
    assert!(head.starts_with(line), "{head}");
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    head
}

#[tokio::test]
async fn each_request_finds_its_tunnel() {
    let gateway = Gateway::open().await;
    let served = Served::bind(&gateway, "", |_| {}).await;
    let mut visitor = gateway.entrypoint.connect().await;
    for _ in 0..2 {
        visitor.write_all(b"GET / HTTP/1.1\r\nHost: srv.test\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n").await.unwrap();
        let (source, target, mut stream) = served.visitor().await;
        assert_eq!((source, target), (Address::Ip("192.0.2.9:0".parse().unwrap()), name("srv.test", 80)));
        let head = answer(&mut stream, "GET / HTTP/1.1\r\nHost: srv.test\r\nX-Forwarded-For").await;
        assert!(head.contains("\r\nGost-Sid: sid\r\nGost-Forwarded-Node: "), "{head}");
        assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
        assert!(read_head(&mut visitor).await.starts_with("HTTP/1.1 204 "));
    }
    // The connection stays open for others' tunnels as well.
    visitor.write_all(b"GET / HTTP/1.1\r\nHost: private.test\r\n\r\n").await.unwrap();
    assert_eq!(read_all(&mut visitor).await, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
    for (host, status) in [("unknown.test", "502 Bad Gateway"), ("other.test", "503 Service Unavailable")] {
        let mut visitor = gateway.entrypoint.connect().await;
        visitor.write_all(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes()).await.unwrap();
        assert_eq!(read_all(&mut visitor).await, format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
    }
}

#[tokio::test]
async fn kept_connections_are_shared_by_requests_for_one_tunnel() {
    let gateway = Gateway::start(Some(rules()), None, |settings| settings.entrypoint.keepalive = true).await;
    let served = Served::bind(&gateway, "", |_| {}).await;
    let mut visitor = gateway.entrypoint.connect().await;
    visitor.write_all(b"GET /1 HTTP/1.1\r\nHost: srv.test\r\n\r\n").await.unwrap();
    let (_, _, mut stream) = served.visitor().await;
    let head = answer(&mut stream, "GET /1 ").await;
    assert!(!head.contains("Connection"), "{head}");
    read_head(&mut visitor).await;
    visitor.write_all(b"GET /2 HTTP/1.1\r\nHost: srv.test\r\n\r\n").await.unwrap();
    let head = answer(&mut stream, "GET /2 ").await;
    read_head(&mut visitor).await;
    // A request that was here already goes no further.
    let node = head.split("Gost-Forwarded-Node: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let again = format!("GET /3 HTTP/1.1\r\nHost: srv.test\r\nGost-Forwarded-Node: x, {node}\r\n\r\n");
    visitor.write_all(again.as_bytes()).await.unwrap();
    assert_eq!(read_all(&mut visitor).await, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
}

#[tokio::test]
async fn upgrades_pass_through() {
    let gateway = Gateway::open().await;
    let served = Served::bind(&gateway, "", |_| {}).await;
    let mut visitor = gateway.entrypoint.connect().await;
    let request = "GET / HTTP/1.1\r\nHost: srv.test\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
    visitor.write_all(request.as_bytes()).await.unwrap();
    let (_, _, mut stream) = served.visitor().await;
    assert!(read_head(&mut stream).await.contains("\r\nConnection: Upgrade\r\nUpgrade: x\r\n"));
    let upgraded = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n";
    stream.write_all(upgraded).await.unwrap();
    assert!(read_head(&mut visitor).await.starts_with("HTTP/1.1 101 "));
    talk(&mut visitor, &mut stream).await;
}

#[tokio::test]
async fn tls_is_led_by_its_name() {
    let (tunnels, settings) = (Arc::new(Tunnels::new(None)), Settings::default());
    let entrypoint =
        |parts| Handler::Entrypoint(Entrypoint::new(parts, Arc::clone(&tunnels), Some(rules()), settings.entrypoint));
    let mut sniffed = Sniffed::start(None, entrypoint).await;
    let entrypoint = Running::start(entrypoint(HandlerParts::default())).await;
    let server = TunnelServer::new(HandlerParts::default(), Arc::clone(&tunnels), Some(rules()), settings.server);
    let gateway = Gateway { server: Running::start(Handler::Tunnel(server)).await, entrypoint };
    let served = Served::bind(&gateway, "", |_| {}).await;
    let client = sniffed.connect().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let leading = async {
        let (_, target, mut stream) = served.visitor().await;
        assert_eq!(target, name("srv.test", 443));
        let (mut conn, _) = listener.accept().await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut conn).await;
    };
    tokio::join!(speak_tls(client, target, "srv.test"), leading);
    let record = sniffed.record().await;
    assert_eq!((&record["host"], &record["clientID"]), (&"srv.test:443".into(), &TUNNEL.to_string().into()));
    assert_eq!(record["tls"]["serverName"], "srv.test");
    assert!(record["node"].as_str().is_some_and(|node| node.parse::<Uuid>().is_ok()), "{record}");
    assert!(sniffed.asked().is_empty(), "a bypass is for those who know a tunnel");
}

#[tokio::test]
async fn a_lost_connector_ends_its_visits_and_no_others() {
    let gateway = Gateway::open().await;
    let lost = Served::bind(&gateway, "", |_| {}).await;
    let mut visitor = visit(&gateway, TUNNEL, "srv.test").await;
    let (_, _, mut stream) = lost.visitor().await;
    talk(&mut visitor, &mut stream).await;
    let other = Served::bind(&gateway, "", |tunnel| tunnel.weight = 255).await;
    let mut second = visit(&gateway, TUNNEL, "srv.test").await;
    let (_, _, mut second_stream) = other.visitor().await;
    drop((lost, stream));
    // However it is closed.
    let _ = visitor.read_to_end(&mut Vec::new()).await;
    talk(&mut second, &mut second_stream).await;
    let mut third = visit(&gateway, TUNNEL, "srv.test").await;
    talk(&mut third, &mut other.visitor().await.2).await;
}

#[tokio::test]
async fn garbage_at_an_entry_point_is_closed() {
    let gateway = Gateway::open().await;
    for bytes in [
        &b"\x00\x01\x02\r\n\r\n"[..],
        b"\x01\x01\xff\xff",
        b"\x16\x03\x01\x00\x05\x01\x00\x00\x01x",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut visitor = gateway.entrypoint.connect().await;
        visitor.write_all(bytes).await.unwrap();
        visitor.shutdown().await.unwrap();
        let mut answer = Vec::new();
        // A reset is a close too.
        let _ = visitor.read_to_end(&mut answer).await;
        assert!(answer.is_empty(), "{answer:?} to {bytes:?}");
    }
    let mut nameless = request(Command::Connect, TUNNEL, "srv.test");
    assert_eq!(gateway.entrypoint.ask(&nameless).await, 5);
    nameless.features.tunnel = None;
    assert_eq!(gateway.entrypoint.ask(&nameless).await, 1);
}

/// The way through the tunnel.
fn router(gateway: &Gateway) -> Router {
    let tunnel =
        connector::Tunnel { id: TUNNEL, weight: 0, mux: smux::Config::new(Version::V2), auth: None, timeout: None };
    let address = gateway.server.address;
    let address = NodeAddr::Inet(HostPort { host: address.ip().to_string(), port: address.port() });
    let node = Arc::new(Node::new(address, Connector::Tunnel(tunnel), Dialer::Tcp));
    let selector = Selector::new(Strategy::Round);
    let hop = Hop::Nodes(NodeHop { name: "hop".to_owned(), bypass: None, nodes: vec![node], selector });
    let chain = Chain::new("chain".to_owned(), vec![Arc::new(hop)]);
    Router { route: Route::Chain(Arc::new(chain)), ..Router::default() }
}

fn listener(gateway: &Gateway, udp: Option<UdpSettings>) -> Listener {
    let address = HostPort { host: String::new(), port: 0 };
    let (router, service) = (router(gateway), "client".into());
    Listener::Remote(Box::new(RemoteListener { router, service, address, udp, bound: Default::default() }))
}

fn visitor() -> ConnInfo {
    let client: SocketAddr = "192.0.2.7:41806".parse().unwrap();
    let (service, sid) = ("visitor".into(), "sid".into());
    ConnInfo { certificate: None, service, sid, client: client.into(), local: client.into() }
}

#[tokio::test]
async fn connectors_bind_and_visit() {
    let gateway = Gateway::open().await;
    let (listener, info) = (listener(&gateway, None), visitor());
    let (target, client) = (HostPort { host: "srv.test".to_owned(), port: 80 }, String::new().into());
    let accepting = tokio::spawn(async move {
        let accepted = listener.accept().await.unwrap();
        let again = tokio::spawn(async move { listener.accept().await.map(|_| ()) });
        (accepted, again)
    });
    let wanted = Wanted { network: "tcp", target: &target, client: &client, info: &info };
    let upstream = loop {
        // Until the tunnel is served.
        match router(&gateway).dial(&wanted).await {
            Ok(upstream) => break upstream,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    upstream.conn.stream.write_all(b"question").await.unwrap();
    let (accepted, again) = accepting.await.unwrap();
    assert_eq!(accepted.client, info.client);
    let Transport::Stream(mut stream) = accepted.transport else { panic!() };
    let mut bytes = [0; 8];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"question");
    stream.write_all(b"answer").await.unwrap();
    assert_eq!(Buffered::read_exactly(&mut { upstream.conn }, 6).await.unwrap(), "answer");
    // Not for ever: a server that goes away is an error, after which it is asked again.
    gateway.server.drain.cancel();
    drop(stream);
    assert!(again.await.unwrap().is_err());
}

#[tokio::test]
async fn datagrams_of_visitors() {
    let gateway = Gateway::open().await;
    let settings = UdpSettings { keepalive: true, ttl: Duration::from_secs(60), read_queue: 16, backlog: 16 };
    let (listener, info) = (listener(&gateway, Some(settings)), visitor());
    let (target, client) = (HostPort { host: "srv.test".to_owned(), port: 53 }, String::new().into());
    let accepting = tokio::spawn(async move { (listener.accept().await.unwrap(), listener) });
    let wanted = Wanted { network: "udp", target: &target, client: &client, info: &info };
    let mut upstream = loop {
        match router(&gateway).connect_udp(&wanted).await {
            Ok(upstream) => break upstream,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let (mut receiver, sender) = upstream.datagrams.split();
    let large = vec![7; 60_000];
    sender.send(&upstream.target, &large).await.unwrap();
    let (accepted, _listener) = accepting.await.unwrap();
    assert_eq!(accepted.client, info.client);
    let Transport::Udp(mut session) = accepted.transport else { panic!() };
    session.admitted();
    let (received, replies) = session.split();
    assert!(received.receive().await.unwrap() == large);
    replies.send(b"answer").await;
    let mut data = Vec::new();
    receiver.receive(&mut data).await.unwrap();
    assert_eq!(data, b"answer");
}
