//! The kernel is a socket, and what is behind the handler is real.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use drawspan_modules::{Addr, Admission, Authenticator, ConnInfo, RouteTable};
use drawspan_wire::http1::HostPort;
use drawspan_wire::tun::{Keepalive, Seen};
use drawspan_wit::admission::{AdmissionRequest, Verdict};
use drawspan_wit::authenticator::{AuthenticationRequest, Identity};
use drawspan_wit::router::{Route, RouteRequest};
use drawspan_wit::{Call, CallError, ErrorKind, Plugin, boxed};
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::connector::Connector;
use crate::dialer::Dialer;
use crate::net::Udp;
use crate::router::{Node, NodeAddr, NodeHop, Selector, Strategy};

const LONG: Duration = Duration::from_secs(20);

fn settings() -> TunHandlerSettings {
    TunHandlerSettings { keepalive: false, ttl: Duration::from_secs(10), passphrase: Vec::new(), p2p: false }
}

/// A handler at work. It ends when this is dropped.
struct Running {
    kernel: UnixDatagram,
    server: Option<SocketAddr>,
    drain: CancellationToken,
    task: JoinHandle<Result<(), HandlerError>>,
}

impl Running {
    fn start(tun: Tun, nets: &[&str], admission: Option<Admission>) -> Self {
        let (kernel, device) = UnixDatagram::pair().unwrap();
        let file = File::from(OwnedFd::from(device.into_std().unwrap()));
        let socket = tun.hop.is_none().then(|| Arc::new(Udp::bind("127.0.0.1:0".parse().unwrap()).unwrap()));
        let server = socket.as_ref().map(|socket| socket.local_addr().unwrap());
        let device = TunDevice::over(file, nets, socket);
        let info = ConnInfo {
            service: "service-0".into(),
            sid: "sid".into(),
            client: Addr::unnamed(),
            local: Addr::unnamed(),
            certificate: None,
        };
        let drain = CancellationToken::new();
        let over = drain.clone();
        let task = tokio::spawn(async move {
            let conn = Conn { stream: device, info, limits: Vec::new(), counters: Box::default() };
            tun.handle(conn, admission.as_ref(), over).await
        });
        Self { kernel, server, drain, task }
    }

    /// A server at 10.0.0.1.
    fn serve(parts: HandlerParts, router: Option<Router>, settings: TunHandlerSettings) -> Self {
        Self::start(Tun::new(parts, None, router, settings), &["10.0.0.1/24"], None)
    }

    async fn client(&self) -> Client {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        socket.connect(self.server.unwrap()).await.unwrap();
        Client(socket)
    }

    /// The next packet that arrives at this machine.
    async fn arrives(&self) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        let length = timeout(LONG, self.kernel.recv(&mut buffer)).await.unwrap().unwrap();
        buffer.truncate(length);
        buffer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client of the server.
struct Client(UdpSocket);

impl Client {
    async fn send(&self, bytes: &[u8]) {
        self.0.send(bytes).await.unwrap();
    }

    async fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; 65_536];
        let length = timeout(LONG, self.0.recv(&mut buffer)).await.unwrap().unwrap();
        buffer.truncate(length);
        buffer
    }

    /// Tells the server that it has those addresses.
    async fn tell(&self, key: &str, addresses: &[&str]) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.send(&Keepalive { key: key.as_bytes().to_vec(), addresses }.encode()).await;
    }

    /// The same, and is let in.
    async fn join(&self, key: &str, addresses: &[&str]) {
        self.tell(key, addresses).await;
        assert_eq!(Seen::parse(&self.receive().await), Some(Seen(IpAddr::from([127, 0, 0, 1]))));
    }
}

/// A packet with nothing in it.
fn packet(source: &str, destination: &str) -> Vec<u8> {
    let octets = |ip: &str| match ip.parse().unwrap() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let head: &[u8] = match source.parse().unwrap() {
        IpAddr::V4(_) => &[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0],
        IpAddr::V6(_) => &[0x60, 0, 0, 0, 0, 0, 59, 64],
    };
    [head, &octets(source), &octets(destination)].concat()
}

/// Answers calls with a function, and keeps them; while it is stopped it doesn't.
struct Asked<C, F> {
    calls: Arc<Mutex<Vec<C>>>,
    stopped: Option<Arc<Notify>>,
    answer: F,
}

impl<C: Call + Clone, F: Fn(&C) -> Result<C::Reply, CallError> + Send + Sync> Plugin<C> for Asked<C, F> {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        self.calls.lock().unwrap().push((*call).clone());
        if let Some(stopped) = &self.stopped {
            stopped.notified().await;
        }
        (self.answer)(&call)
    }
}

fn guarded(stopped: Option<Arc<Notify>>) -> (HandlerParts, Arc<Mutex<Vec<AuthenticationRequest>>>) {
    let calls = Arc::<Mutex<Vec<_>>>::default();
    let knows = |call: &AuthenticationRequest| {
        let known = call.username != "10.0.0.9" && call.password == "secret";
        Ok(known.then(|| Identity { client_id: "id".to_owned() }))
    };
    let authenticator = Authenticator::new(boxed(Asked { calls: Arc::clone(&calls), stopped, answer: knows }));
    (HandlerParts { authenticator: Some(authenticator), ..HandlerParts::default() }, calls)
}

fn table(routes: &[(&str, &str)]) -> Router {
    let routes = routes.iter().map(|(net, gateway)| (net.parse().unwrap(), (*gateway).to_owned()));
    Router::new(boxed(RouteTable::new(routes)))
}

#[tokio::test]
async fn packets_go_to_and_fro_between_clients_and_the_interface() {
    let server = Running::serve(HandlerParts::default(), None, settings());
    let (first, second) = (server.client().await, server.client().await);
    first.join("", &["10.0.0.2", "fd00::2"]).await;
    second.join("", &["10.0.0.3"]).await;
    for there in [packet("10.0.0.2", "10.0.0.1"), packet("fd00::2", "2001:db8::1")] {
        first.send(&there).await;
        assert_eq!(server.arrives().await, there);
    }
    for back in [packet("10.0.0.1", "10.0.0.2"), packet("2001:db8::1", "fd00::2")] {
        server.kernel.send(&back).await.unwrap();
        assert_eq!(first.receive().await, back);
    }
    let across = packet("10.0.0.2", "10.0.0.3");
    first.send(&across).await;
    assert_eq!(second.receive().await, across);
    // Large ones too.
    let large = [packet("10.0.0.2", "10.0.0.1"), vec![7; 60_000]].concat();
    first.send(&large).await;
    assert_eq!(server.arrives().await, large);
}

#[tokio::test]
async fn what_is_no_clients_own_is_dropped() {
    let server = Running::serve(HandlerParts::default(), Some(table(&[("10.8.0.0/16", "10.0.0.2")])), settings());
    let (client, stranger) = (server.client().await, server.client().await);
    client.join("", &["10.0.0.2"]).await;
    stranger.send(&packet("10.0.0.2", "10.0.0.1")).await;
    // Addresses of the server's can't be had, nor none at all.
    stranger.tell("", &["10.0.0.7", "10.0.0.1"]).await;
    stranger.tell("", &[]).await;
    stranger.send(&packet("10.0.0.7", "10.0.0.1")).await;
    let good = packet("10.8.1.1", "10.0.0.1");
    for bytes in [
        &packet("10.0.0.3", "10.0.0.1")[..],
        &packet("10.0.0.1", "10.0.0.1"),
        &packet("10.9.0.1", "10.0.0.1"),
        &packet("fe80::1", "ff02::1"),
        // Back to where it comes from.
        &packet("10.0.0.2", "10.8.0.1"),
        b"",
        b"\x45",
        b"GOST",
        b"GOSTkey4567890123456half an address",
        &[0x45; 19],
        &[0xff; 2000],
        &good,
    ] {
        client.send(bytes).await;
    }
    assert_eq!(server.arrives().await, good);
    // And what leads nowhere.
    server.kernel.send(&packet("10.0.0.1", "10.0.0.77")).await.unwrap();
    server.kernel.send(b"no packet").await.unwrap();
    let back = packet("10.0.0.1", "10.8.3.3");
    server.kernel.send(&back).await.unwrap();
    assert_eq!(client.receive().await, back);
}

#[tokio::test]
async fn each_address_is_a_user_and_the_key_its_password() {
    let (parts, asked) = guarded(None);
    let server = Running::serve(parts, None, settings());
    let (client, other) = (server.client().await, server.client().await);
    client.tell("wrong", &["10.0.0.2"]).await;
    client.tell("secret", &["10.0.0.2", "10.0.0.9"]).await;
    client.tell("no UTF-8 \u{0}\u{0}", &["10.0.0.2"]).await;
    client.join("secret", &["10.0.0.2", "fd00::2"]).await;
    // Who isn't let in has none of what others have.
    other.tell("wrong", &["10.0.0.2"]).await;
    other.join("secret", &["10.0.0.4"]).await;
    let back = packet("10.0.0.1", "10.0.0.2");
    server.kernel.send(&back).await.unwrap();
    assert_eq!(client.receive().await, back);
    let calls = asked.lock().unwrap();
    let first = &calls[0];
    assert_eq!(
        (first.username.as_str(), first.password.as_str(), first.service.as_str()),
        ("10.0.0.2", "wrong", "service-0")
    );
    assert_eq!(first.client_address, Some(client.0.local_addr().unwrap().to_string()));
    let users: Vec<_> = calls.iter().map(|call| call.username.as_str()).collect();
    for user in ["10.0.0.9", "fd00::2"] {
        assert_eq!(users.iter().filter(|other| **other == user).count(), 1, "{users:?}");
    }
}

#[tokio::test]
async fn a_slow_authenticator_keeps_no_packet_waiting() {
    let gate = Arc::new(Notify::new());
    let (parts, asked) = guarded(Some(Arc::clone(&gate)));
    let server = Running::serve(parts, None, settings());
    let client = server.client().await;
    client.tell("secret", &["10.0.0.2"]).await;
    gate.notify_one();
    assert!(Seen::parse(&client.receive().await).is_some());
    // From now on it hangs, for more clients than may wait.
    let strangers = server.client().await;
    for _ in 0..100 {
        strangers.tell("secret", &["10.0.0.3"]).await;
    }
    let there = packet("10.0.0.2", "10.0.0.1");
    client.send(&there).await;
    assert_eq!(server.arrives().await, there);
    assert!(asked.lock().unwrap().len() <= 65);
}

#[tokio::test]
async fn without_an_auther_a_servers_passphrase_counts() {
    let passphrase = TunHandlerSettings { passphrase: b"open sesame".to_vec(), ..settings() };
    let server = Running::serve(HandlerParts::default(), None, passphrase);
    let client = server.client().await;
    for wrong in ["", "open sesam", "open sesame!"] {
        client.tell(wrong, &["10.0.0.2"]).await;
        client.send(&packet("10.0.0.2", "10.0.0.1")).await;
    }
    client.join("open sesame", &["10.0.0.2"]).await;
    let there = packet("10.0.0.2", "10.0.0.5");
    client.send(&there).await;
    assert_eq!(server.arrives().await, there);
}

#[tokio::test]
async fn the_admission_is_asked_about_clients() {
    let calls = Arc::<Mutex<Vec<AdmissionRequest>>>::default();
    let denies = |_: &AdmissionRequest| Ok(Verdict::Denied);
    let admission = Admission::new(boxed(Asked { calls: Arc::clone(&calls), stopped: None, answer: denies }));
    let tun = Tun::new(HandlerParts::default(), None, None, settings());
    let server = Running::start(tun, &["10.0.0.1/24"], Some(admission));
    let client = server.client().await;
    client.tell("", &["10.0.0.2"]).await;
    timeout(LONG, async {
        while calls.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let call = calls.lock().unwrap()[0].clone();
    assert_eq!((call.network.as_str(), call.client_address), ("udp", client.0.local_addr().unwrap().to_string()));
}

#[tokio::test]
async fn one_client_has_everything() {
    let p2p = TunHandlerSettings { p2p: true, ..settings() };
    let server = Running::serve(HandlerParts::default(), None, p2p);
    let (client, stranger) = (server.client().await, server.client().await);
    stranger.send(&packet("10.9.9.9", "10.0.0.1")).await;
    client.join("", &["10.0.0.2"]).await;
    let there = packet("172.16.0.1", "10.8.8.8");
    client.send(&there).await;
    assert_eq!(server.arrives().await, there);
    let back = packet("10.8.8.8", "172.16.0.1");
    server.kernel.send(&back).await.unwrap();
    assert_eq!(client.receive().await, back);
    // The last one.
    stranger.join("", &["10.0.0.3"]).await;
    server.kernel.send(&back).await.unwrap();
    assert_eq!(stranger.receive().await, back);
}

#[tokio::test]
async fn a_router_is_asked_for_gateways() {
    let calls = Arc::<Mutex<Vec<RouteRequest>>>::default();
    let answer = |call: &RouteRequest| {
        let gateway = match call.destination.as_str() {
            "10.8.0.1" => "10.0.0.2",
            "10.8.0.2" => "10.0.0.99",
            "10.8.0.3" => "not an address",
            "10.8.0.4" => return Err(CallError::new(ErrorKind::Unavailable, "dead")),
            _ => return Ok(None),
        };
        Ok(Some(Route { destination: "10.8.0.0/16".to_owned(), gateway: gateway.to_owned() }))
    };
    let router = Router::new(boxed(Asked { calls: Arc::clone(&calls), stopped: None, answer }));
    let server = Running::serve(HandlerParts::default(), Some(router), settings());
    let client = server.client().await;
    client.join("", &["10.0.0.2"]).await;
    for destination in ["10.8.0.2", "10.8.0.3", "10.8.0.4", "10.8.0.5", "10.8.0.1"] {
        server.kernel.send(&packet("10.0.0.1", destination)).await.unwrap();
    }
    assert_eq!(client.receive().await, packet("10.0.0.1", "10.8.0.1"));
    let asked: Vec<_> =
        calls.lock().unwrap().iter().map(|call| (call.destination.clone(), call.router_id.clone())).collect();
    let expected = ["10.8.0.2", "10.8.0.3", "10.8.0.4", "10.8.0.5", "10.8.0.1"].map(|ip| (ip.to_owned(), None));
    assert_eq!(asked, expected);
}

/// A client at 10.0.0.2, of a server that the test plays.
async fn visit(settings: TunHandlerSettings) -> (Running, UdpSocket) {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = server.local_addr().unwrap();
    let target = NodeAddr::Inet(HostPort { host: at.ip().to_string(), port: at.port() });
    let node = Arc::new(Node::new(target, Connector::Forward, Dialer::Tcp));
    let selector = Selector::new(Strategy::Round);
    let hop = Hop::Nodes(NodeHop { name: "hop".to_owned(), bypass: None, nodes: vec![node], selector });
    let tun = Tun::new(HandlerParts::default(), Some(Arc::new(hop)), None, settings);
    (Running::start(tun, &["10.0.0.2/24", "fd00::2/64"], None), server)
}

async fn hears(server: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_536];
    let (length, from) = timeout(LONG, server.recv_from(&mut buffer)).await.unwrap().unwrap();
    buffer.truncate(length);
    (buffer, from)
}

#[tokio::test]
async fn a_client_tells_who_it_is_and_carries_packets() {
    let (client, server) = visit(TunHandlerSettings { passphrase: b"secret".to_vec(), ..settings() }).await;
    let (hello, from) = hears(&server).await;
    let addresses = vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
    assert_eq!(Keepalive::parse(&hello), Some(Keepalive { key: b"secret".to_vec(), addresses }));
    for bytes in [&Seen(from.ip()).encode()[..], b"", b"nonsense", &packet("10.0.0.1", "10.0.0.2")] {
        server.send_to(bytes, from).await.unwrap();
    }
    assert_eq!(client.arrives().await, packet("10.0.0.1", "10.0.0.2"));
    let there = packet("10.0.0.2", "8.8.8.8");
    client.kernel.send(b"nonsense").await.unwrap();
    client.kernel.send(&there).await.unwrap();
    assert_eq!(hears(&server).await.0, there);
}

#[tokio::test(start_paused = true)]
async fn a_client_keeps_alive_and_looks_for_a_silent_server_anew() {
    let (_client, server) = visit(TunHandlerSettings { keepalive: true, ..settings() }).await;
    let (hello, from) = hears(&server).await;
    // While it is answered it stays where it is.
    for _ in 0..5 {
        server.send_to(&Seen(from.ip()).encode(), from).await.unwrap();
        assert_eq!(hears(&server).await, (hello.clone(), from));
    }
    // Without answers it comes from elsewhere.
    loop {
        let (again, other) = hears(&server).await;
        assert_eq!(again, hello);
        if other != from {
            break;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_keepalive_a_client_that_hears_nothing_tells_again() {
    let (client, server) = visit(settings()).await;
    let (hello, from) = hears(&server).await;
    client.kernel.send(&packet("10.0.0.2", "8.8.8.8")).await.unwrap();
    assert_eq!(hears(&server).await.0, packet("10.0.0.2", "8.8.8.8"));
    assert_eq!(hears(&server).await, (hello, from));
}

#[tokio::test]
async fn it_ends_with_the_gateway_and_with_the_interface() {
    let server = Running::serve(HandlerParts::default(), None, settings());
    let (client, _server) = visit(settings()).await;
    for mut running in [server, client] {
        running.drain.cancel();
        timeout(LONG, &mut running.task).await.unwrap().unwrap().unwrap();
    }
}
