//! Clients by hand, and by the connector.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use drawspan_modules::{Addr, Authenticator, ConnInfo, RouteTable, Router as Table, ServiceDiscovery, UserTable};
use drawspan_wire::http1::HostPort;
use drawspan_wire::relay::Response;
use drawspan_wire::socks::Address;
use drawspan_wit::ingress::{GetRuleRequest, SetRuleRequest};
use drawspan_wit::router::{Route, RouteRequest};
use drawspan_wit::service_discovery::{DeregisterRequest, GetServicesRequest, RegisterRequest, RenewRequest, Service};
use drawspan_wit::{CallError, ErrorKind, Plugin, boxed};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::connector::{self, Connector};
use crate::net::{Buffered, Datagrams};

const LONG: Duration = Duration::from_secs(20);
const ID: Uuid = Uuid::from_u128(0x4d21094e_b74c_4916_86c1_d9fa36ea677b);
const OTHER: Uuid = Uuid::from_u128(7);

/// A router that listens. It ends when this is dropped.
struct Running {
    address: SocketAddr,
    entrypoint: Option<SocketAddr>,
    drain: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    async fn start(router: PacketRouter, entrypoint: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let drain = CancellationToken::new();
        let mut tasks = Vec::new();
        let entry = router.entrypoint();
        let mut at = None;
        if entrypoint {
            at = Some(entry.bind("127.0.0.1:0").await.unwrap());
            tasks.push(tokio::spawn(entry.run()));
        }
        let (router, over) = (Arc::new(router), drain.clone());
        tasks.push(tokio::spawn(async move {
            while let Ok((stream, client)) = listener.accept().await {
                let (router, over) = (Arc::clone(&router), over.clone());
                let info = ConnInfo {
                    service: "service-0".into(),
                    sid: "sid".into(),
                    client: client.into(),
                    local: Addr::unnamed(),
                    certificate: None,
                };
                // How it ends is seen by the client.
                tokio::spawn(async move { router.handle(Conn::new(stream, info), over).await });
            }
        }));
        Self { address, entrypoint: at, drain, tasks }
    }

    /// What a client of that name gets, who sends the bytes of its own.
    async fn join(&self, id: Option<Uuid>, name: &str) -> Client {
        let router = connector::Router { id: id.map(Uuid::into_bytes), ..connector::Router::default() };
        self.join_by(router, name).await.unwrap()
    }

    async fn join_by(&self, router: connector::Router, name: &str) -> Result<Client, String> {
        let conn = Buffered::new(TcpStream::connect(self.address).await.unwrap());
        let target = HostPort { host: name.to_owned(), port: 0 };
        let asked =
            Connector::Router(router).associate(conn, Some(&target), &Addr::unnamed(), &crate::Direct::default()).await;
        asked.map(Client).map_err(|error| error.to_string())
    }

    /// The status of the answer to a request.
    async fn ask(&self, request: &[u8]) -> Vec<u8> {
        let mut client = TcpStream::connect(self.address).await.unwrap();
        client.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        timeout(LONG, client.read_to_end(&mut answer)).await.unwrap().unwrap();
        answer
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

struct Client(Datagrams);

impl Client {
    async fn send(&mut self, packet: &[u8]) {
        let (_, sender) = self.0.split();
        sender.send(&Address::UNSPECIFIED, packet).await.unwrap();
    }

    async fn receive(&mut self) -> Vec<u8> {
        let (mut receiver, _) = self.0.split();
        let mut data = Vec::new();
        timeout(LONG, receiver.receive(&mut data)).await.unwrap().unwrap();
        data
    }
}

fn packet(last: u8) -> Vec<u8> {
    [&[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0][..], &[10, 0, 0, 1], &[10, 0, last, 1]].concat()
}

/// 10.0.1.0/24 is behind `a`, and so on.
fn routers() -> Routers {
    let routes = [("10.0.1.0/24", "a"), ("10.0.2.0/24", "b"), ("10.0.3.0/24", "c"), ("10.0.4.0/24", "10.9.9.9")];
    let routes = routes.map(|(net, gateway)| (net.parse().unwrap(), gateway.to_owned()));
    Routers { common: Some(Table::new(boxed(RouteTable::new(routes)))), ..Routers::default() }
}

fn router(routers: Routers) -> PacketRouter {
    PacketRouter::new(HandlerParts::default(), None, routers, None, LONG)
}

#[tokio::test]
async fn packets_go_to_the_client_that_is_their_gateway() {
    let running = Running::start(router(routers()), false).await;
    let (mut a, mut b) = (running.join(Some(ID), "a").await, running.join(Some(ID), "b").await);
    let (mut ip, mut stranger) = (running.join(Some(ID), "10.9.9.9").await, running.join(Some(OTHER), "b").await);
    let large = [packet(2), vec![7; 60_000]].concat();
    // What is no packet, what has no route, and whose gateway isn't there.
    for sent in [b"", &b"nonsense"[..], &packet(9), &packet(3), &packet(2), &large, &packet(4)] {
        a.send(sent).await;
    }
    assert_eq!(b.receive().await, packet(2));
    assert_eq!(b.receive().await, large);
    assert_eq!(ip.receive().await, packet(4));
    // Each router's clients are among themselves.
    stranger.send(&packet(1)).await;
    stranger.send(&packet(2)).await;
    assert_eq!(stranger.receive().await, packet(2));
    b.send(&packet(1)).await;
    assert_eq!(a.receive().await, packet(1));
    // A client that is gone is no gateway any more, and another one may be.
    drop(b);
    let mut b = running.join(Some(ID), "b").await;
    a.send(&packet(2)).await;
    assert_eq!(b.receive().await, packet(2));
}

#[tokio::test]
async fn who_may_not_come_is_told() {
    let users = UserTable::new([("gost".to_owned(), "secret".to_owned())]);
    let parts = HandlerParts { authenticator: Some(Authenticator::new(boxed(users))), ..HandlerParts::default() };
    let rules = Arc::new(Rules);
    let ingress = Some(Ingress::new(rules));
    let running = Running::start(PacketRouter::new(parts, ingress, routers(), None, LONG), false).await;
    let auth = |password: &str| Some(("gost".to_owned(), password.to_owned()));
    let by = |password: &str, id: Option<Uuid>| connector::Router {
        auth: auth(password),
        id: id.map(Uuid::into_bytes),
        timeout: None,
    };
    assert!(running.join_by(by("secret", Some(ID)), "a").await.is_ok());
    for (router, name, error) in [
        (by("wrong", Some(ID)), "a", "refused: wrong user name or password"),
        (by("secret", Some(OTHER)), "a", "refused: host unreachable"),
        (by("secret", Some(ID)), "b", "refused: host unreachable"),
        (by("secret", None), "a", "refused: host unreachable"),
        (by("secret", None), "b", "refused: host unreachable"),
    ] {
        assert_eq!(running.join_by(router, name).await.err().as_deref(), Some(error), "{name}");
    }
    let user = b"\x01\x00\x0c\x04gost\x06secret";
    for command in [0, 1, 2, 4, 15] {
        let request = [&[1, command, 0, 15][..], user].concat();
        assert_eq!(running.ask(&request).await, [1, 1, 0, 0], "{command}");
    }
    assert_eq!(running.ask(b"\x01\x03\x00\x00").await, [1, 2, 0, 0]);
    assert_eq!(running.ask(b"\x05").await, b"");
}

/// `a` belongs to a router, `b` to none.
struct Rules;

impl Plugin<GetRuleRequest> for Rules {
    async fn call(&self, call: Arc<GetRuleRequest>) -> Result<Option<String>, CallError> {
        Ok((call.host == "a").then(|| ID.to_string()))
    }
}

impl Plugin<SetRuleRequest> for Rules {
    async fn call(&self, _: Arc<SetRuleRequest>) -> Result<(), CallError> {
        Ok(())
    }
}

#[tokio::test]
async fn the_answer_names_the_connector() {
    let running = Running::start(router(routers()), false).await;
    let mut client = TcpStream::connect(running.address).await.unwrap();
    client.write_all(b"\x01\x03\x00\x00").await.unwrap();
    let mut answer = [0; 27];
    client.read_exact(&mut answer).await.unwrap();
    let (response, length) = Response::parse(&answer).unwrap().unwrap();
    assert_eq!((response.status, length), (Status::OK, 27));
    assert_ne!(response.features.tunnel.unwrap().id, [0; 16]);
}

/// Answers and counts.
struct Counting(Arc<Mutex<Vec<RouteRequest>>>);

impl Plugin<RouteRequest> for Counting {
    async fn call(&self, call: Arc<RouteRequest>) -> Result<Option<Route>, CallError> {
        self.0.lock().unwrap().push((*call).clone());
        if call.destination == "10.0.5.1" {
            return Err(CallError::new(ErrorKind::Deadline, "slow"));
        }
        let route = Route { destination: "10.0.2.0/24".to_owned(), gateway: "b".to_owned() };
        Ok((call.destination == "10.0.2.1").then_some(route))
    }
}

#[tokio::test]
async fn a_router_with_the_clients_id_is_asked_first_and_answers_may_be_kept() {
    for cache in [None, Some(Duration::from_secs(3600))] {
        let (own, common) = (Arc::<Mutex<Vec<_>>>::default(), Arc::<Mutex<Vec<_>>>::default());
        let table = |calls: &Arc<_>| Table::new(boxed(Counting(Arc::clone(calls))));
        let routers = Routers { by_id: [(OTHER, table(&own))].into(), common: Some(table(&common)), cache };
        let running = Running::start(router(routers), false).await;
        let (mut a, mut b) = (running.join(Some(OTHER), "a").await, running.join(Some(OTHER), "b").await);
        for last in [5, 9, 5, 9, 2, 2] {
            a.send(&packet(last)).await;
        }
        assert_eq!((b.receive().await, b.receive().await), (packet(2), packet(2)));
        let destinations = |calls: &Arc<Mutex<Vec<RouteRequest>>>| {
            let calls = calls.lock().unwrap();
            assert!(calls.iter().all(|call| call.router_id == Some(OTHER.to_string())));
            calls.iter().map(|call| call.destination.clone()).collect::<Vec<_>>()
        };
        let (asked, then) = (destinations(&own), destinations(&common));
        if cache.is_some() {
            assert_eq!((asked.len(), then.len()), (3, 2), "{asked:?} {then:?}");
        } else {
            assert_eq!(asked, ["10.0.5.1", "10.0.9.1", "10.0.5.1", "10.0.9.1", "10.0.2.1", "10.0.2.1"]);
            assert_eq!(then, asked[..4]);
        }
    }
}

/// A registry that two gateways share.
#[derive(Default)]
struct Registry {
    services: Mutex<Vec<Service>>,
    told: Mutex<Option<mpsc::UnboundedSender<String>>>,
}

impl Registry {
    fn tell(&self, what: &str, name: &str) {
        if let Some(told) = &*self.told.lock().unwrap() {
            let _ = told.send(format!("{what} {name}"));
        }
    }
}

impl Plugin<RegisterRequest> for Registry {
    async fn call(&self, call: Arc<RegisterRequest>) -> Result<(), CallError> {
        let RegisterRequest { id, name, node, network, address } = (*call).clone();
        self.tell("register", &name);
        self.services.lock().unwrap().push(Service { id, name, node, network, address });
        Ok(())
    }
}

impl Plugin<RenewRequest> for Registry {
    async fn call(&self, call: Arc<RenewRequest>) -> Result<(), CallError> {
        self.tell("renew", &call.name);
        Ok(())
    }
}

impl Plugin<DeregisterRequest> for Registry {
    async fn call(&self, call: Arc<DeregisterRequest>) -> Result<(), CallError> {
        self.services.lock().unwrap().retain(|service| service.id != call.id);
        self.tell("deregister", &call.name);
        Ok(())
    }
}

impl Plugin<GetServicesRequest> for Registry {
    async fn call(&self, call: Arc<GetServicesRequest>) -> Result<Vec<Service>, CallError> {
        let services = self.services.lock().unwrap();
        Ok(services.iter().filter(|service| service.name == call.name).cloned().collect())
    }
}

async fn discovering(registry: &Arc<Registry>) -> Running {
    // Its address has to be known before it is a router's.
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    drop(socket);
    let sd = ServiceDiscovery::new(Arc::clone(registry));
    let discovery = Discovery::new(sd, address.to_string(), Duration::from_secs(1), Duration::from_millis(1));
    let router = PacketRouter::new(HandlerParts::default(), None, routers(), Some(discovery), LONG);
    let entry = router.entrypoint();
    entry.bind(&address.to_string()).await.unwrap();
    let task = tokio::spawn(entry.run());
    let mut running = Running::start(router, false).await;
    running.tasks.push(task);
    running.entrypoint = Some(address);
    running
}

#[tokio::test]
async fn clients_of_another_gateway_are_found_by_service_discovery() {
    let registry = Arc::new(Registry::default());
    let (sender, mut told) = mpsc::unbounded_channel();
    *registry.told.lock().unwrap() = Some(sender);
    let (here, there) = (discovering(&registry).await, discovering(&registry).await);
    let (mut a, mut b) = (here.join(Some(ID), "a").await, there.join(Some(ID), "b").await);
    for _ in 0..2 {
        let event = timeout(LONG, told.recv()).await.unwrap().unwrap();
        assert!(event.starts_with("register ") && event.ends_with(&format!("@{ID}")), "{event}");
    }
    a.send(&packet(2)).await;
    assert_eq!(b.receive().await, packet(2));
    b.send(&packet(1)).await;
    assert_eq!(a.receive().await, packet(1));
    let registered = registry.services.lock().unwrap()[0].clone();
    assert_eq!((registered.network.as_str(), registered.address), ("udp", here.entrypoint.unwrap().to_string()));
    // Nonsense at the entry point, and packets for who isn't there.
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let nobody = entrypoint::encode(ID, "nobody", &packet(2)).unwrap();
    let good = entrypoint::encode(ID, "b", &packet(2)).unwrap();
    for bytes in [&b""[..], b"\x01", &[0xff; 1000], &good[..good.len() - 1], &nobody, &good] {
        stranger.send_to(bytes, there.entrypoint.unwrap()).await.unwrap();
    }
    assert_eq!(b.receive().await, packet(2));
    // It is told as long as they are there, and then no more.
    assert!(timeout(LONG, told.recv()).await.unwrap().unwrap().starts_with("renew "));
    there.drain.cancel();
    loop {
        let event = timeout(LONG, told.recv()).await.unwrap().unwrap();
        if event.starts_with("deregister ") {
            break assert_eq!(event, format!("deregister b@{ID}"));
        }
    }
    assert_eq!(registry.services.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_client_that_takes_nothing_keeps_nobody_waiting() {
    let running = Running::start(router(routers()), false).await;
    let (mut a, _stuck) = (running.join(Some(ID), "a").await, running.join(Some(ID), "b").await);
    let mut c = running.join(Some(ID), "c").await;
    let large = [packet(2), vec![7; 60_000]].concat();
    for _ in 0..500 {
        a.send(&large).await;
    }
    a.send(&packet(3)).await;
    assert_eq!(c.receive().await, packet(3));
}
