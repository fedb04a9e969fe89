//! The router over real sockets, with proxies of our own as nodes.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use drawspan_modules::{Addr, Bypass, Hosts, Resolver};
use drawspan_wit::bypass::{BypassRequest, Match};
use drawspan_wit::hop::HopRequest;
use drawspan_wit::host_mapper::LookupRequest;
use drawspan_wit::resolver::ResolveRequest;
use drawspan_wit::{Call, CallError, ErrorKind, Plugin, boxed};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::Conn;
use crate::connector::{self, Connector};
use crate::dialer::Dialer;
use crate::handler::{Handler, HandlerParts, http};
use crate::net::Stream;

fn target(host: &str, port: u16) -> HostPort {
    HostPort { host: host.to_owned(), port }
}

fn at(address: SocketAddr) -> HostPort {
    target(&address.ip().to_string(), address.port())
}

async fn dial(router: &Router, target: &HostPort) -> Result<Upstream, DialError> {
    let anywhere: Addr = "192.0.2.7:1".parse::<SocketAddr>().unwrap().into();
    let info =
        ConnInfo { certificate: None, service: "s".into(), sid: "".into(), client: anywhere.clone(), local: anywhere };
    let client = ClientId::from("alice".to_owned());
    router.dial(&Wanted { network: "tcp", target, client: &client, info: &info }).await
}

/// Answers calls with a function.
struct Answers<F>(F);

impl<C: Call, F: Fn(&C) -> Result<C::Reply, CallError> + Send + Sync> Plugin<C> for Answers<F> {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        (self.0)(&call)
    }
}

fn broken() -> CallError {
    CallError::new(ErrorKind::Unavailable, "on purpose")
}

fn bypass(answer: impl Fn(&BypassRequest) -> Result<Match, CallError> + Send + Sync + 'static) -> Bypass {
    Bypass::new(boxed(Answers(answer)))
}

/// An HTTP proxy, and how many connections it carried.
struct Proxy {
    address: SocketAddr,
    carried: Arc<AtomicUsize>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let carried = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&carried);
        let handler = Handler::Http(http::Http::new(HandlerParts::default(), http::Settings::default()));
        let handler = Arc::new(handler);
        tokio::spawn(async move {
            while let Ok((stream, client)) = listener.accept().await {
                counter.fetch_add(1, Relaxed);
                let info = ConnInfo {
                    certificate: None,
                    service: "p".into(),
                    sid: "".into(),
                    client: client.into(),
                    local: address.into(),
                };
                let handler = Arc::clone(&handler);
                tokio::spawn(async move { handler.handle(Conn::new(stream, info), CancellationToken::new()).await });
            }
        });
        Self { address, carried }
    }

    fn node(&self) -> Node {
        node(self.address)
    }

    fn carried(&self) -> usize {
        self.carried.load(Relaxed)
    }
}

fn node(address: SocketAddr) -> Node {
    let connector = Connector::Http(connector::Http::default());
    let node = Node::new(NodeAddr::Inet(at(address)), connector, Dialer::Tcp);
    Node { name: "n".to_owned(), ..node }
}

fn hop(nodes: Vec<Node>, bypass: Option<Bypass>) -> Arc<Hop> {
    let nodes = nodes.into_iter().map(Arc::new).collect();
    Arc::new(Hop::Nodes(NodeHop { name: "h".to_owned(), bypass, nodes, selector: Selector::new(Strategy::Fifo) }))
}

fn through(hops: Vec<Arc<Hop>>) -> Router {
    Router { route: Route::Chain(Arc::new(Chain::new("c".to_owned(), hops))), ..Router::default() }
}

/// Echoes on every connection.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut read, mut write) = stream.split();
                tokio::io::copy(&mut read, &mut write).await
            });
        }
    });
    address
}

async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

async fn echoes(upstream: Upstream) {
    let mut stream = upstream.conn.into_stream();
    stream.write_all(b"hello").await.unwrap();
    let mut back = [0; 5];
    stream.read_exact(&mut back).await.unwrap();
    assert_eq!(&back, b"hello");
}

#[tokio::test]
async fn all_addresses_of_a_name_are_tried() {
    // `localhost` may stand for ::1 first, where nobody listens.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = dial(&Router::default(), &target("localhost", address.port())).await.unwrap();
    assert_eq!(upstream.conn.stream.peer_addr(), address.into());
    let Stream::Tcp(stream) = upstream.conn.stream else { panic!() };
    assert!(stream.nodelay().unwrap());
}

#[tokio::test]
async fn a_refusal_names_the_address() {
    let port = nobody().await.port();
    let router = Router { retries: 2, ..Router::default() };
    let error = dial(&router, &target("127.0.0.1", port)).await.unwrap_err();
    assert!(matches!(error.reason, DialReason::Connect { .. }), "{error}");
    assert!(error.to_string().starts_with(&format!("can't connect to 127.0.0.1:{port}: ")), "{error}");
}

#[tokio::test]
async fn an_unknown_name_is_told_apart() {
    let error = dial(&Router::default(), &target("no..such..name", 1)).await.unwrap_err();
    assert!(matches!(error.reason, DialReason::Resolve(_) | DialReason::NoAddress), "{error}");
}

#[tokio::test]
async fn a_chain_leads_through_all_its_hops() {
    let (first, second, echo) = (Proxy::start().await, Proxy::start().await, echo().await);
    let router = through(vec![hop(vec![first.node()], None), hop(vec![second.node()], None)]);
    let upstream = dial(&router, &at(echo)).await.unwrap();
    assert_eq!(upstream.route, format!("n@{} > n@{} > {echo}", first.address, second.address));
    echoes(upstream).await;
    assert_eq!((first.carried(), second.carried()), (1, 1));
}

#[tokio::test]
async fn a_bypassed_hop_ends_the_chain_and_one_that_cant_tell_fails_the_dial() {
    let (proxy, echo) = (Proxy::start().await, echo().await);
    let matched = bypass(|request| {
        assert_eq!((request.service.as_deref(), request.client_id.as_deref()), (None, Some("alice")));
        assert_eq!(request.host.as_ref(), Some(&request.target_address));
        Ok(Match::Matched)
    });
    let router = through(vec![hop(vec![proxy.node()], Some(matched))]);
    echoes(dial(&router, &at(echo)).await.unwrap()).await;
    assert_eq!(proxy.carried(), 0);

    let router = through(vec![hop(vec![proxy.node()], Some(bypass(|_| Err(broken()))))]);
    let error = dial(&router, &at(echo)).await.unwrap_err();
    assert!(matches!(error.reason, DialReason::Hop { .. }), "{error}");

    let unsure = Node { bypass: Some(bypass(|_| Err(broken()))), ..proxy.node() };
    let router = through(vec![hop(vec![unsure], None)]);
    let error = dial(&router, &at(echo)).await.unwrap_err();
    assert!(matches!(error.reason, DialReason::Hop { .. }), "{error}");

    // A node that can be judged carries it.
    let unsure = Node { bypass: Some(bypass(|_| Err(broken()))), ..node(nobody().await) };
    let router = through(vec![hop(vec![unsure, proxy.node()], None)]);
    echoes(dial(&router, &at(echo)).await.unwrap()).await;
    assert_eq!(proxy.carried(), 1);
}

#[tokio::test]
async fn failed_nodes_are_avoided_and_never_passed_by() {
    let (proxy, echo) = (Proxy::start().await, echo().await);
    let router = Router { retries: 1, ..through(vec![hop(vec![node(nobody().await), proxy.node()], None)]) };
    // The first node fails, the retry takes the second.
    echoes(dial(&router, &at(echo)).await.unwrap()).await;
    echoes(dial(&router, &at(echo)).await.unwrap()).await;
    assert_eq!(proxy.carried(), 2);

    let dead = vec![node(nobody().await), node(nobody().await)];
    let router = Router { retries: 3, ..through(vec![hop(dead, None)]) };
    let error = dial(&router, &at(echo)).await.unwrap_err();
    assert!(matches!(error.reason, DialReason::Node { .. }), "{error}");
}

#[tokio::test]
async fn a_node_that_refuses_says_why() {
    let proxy = Proxy::start().await;
    let error = dial(&through(vec![hop(vec![proxy.node()], None)]), &at(nobody().await)).await.unwrap_err();
    let expected = format!("node n@{}: refused: 503 Service Unavailable", proxy.address);
    assert!(error.to_string().ends_with(&expected), "{error}");
}

#[tokio::test]
async fn a_hop_plugin_names_the_node() {
    let (proxy, echo) = (Proxy::start().await, echo().await);
    let (address, asked) = (proxy.address, Arc::new(Mutex::new(Vec::new())));
    let log = Arc::clone(&asked);
    let plugin = |answer: Result<Option<&'static str>, ()>| {
        let log = Arc::clone(&log);
        let answers = Answers(move |request: &HopRequest| {
            log.lock().unwrap().push(request.clone());
            answer.map(|node| node.map(str::to_owned)).map_err(|()| broken())
        });
        let decode: DecodeNode = Arc::new(move |json| match json {
            "good" => Ok(node(address)),
            _ => Err("no node".to_owned()),
        });
        let hop = PluginHop { name: "p".to_owned(), plugin: drawspan_modules::Hop::new(boxed(answers)), decode };
        through(vec![Arc::new(Hop::Plugin(hop))])
    };
    echoes(dial(&plugin(Ok(Some("good"))), &at(echo)).await.unwrap()).await;
    assert_eq!(proxy.carried(), 1);
    let request = asked.lock().unwrap().pop().unwrap();
    assert_eq!(request.target_address, Some(echo.to_string()));
    assert_eq!(request.source_address.as_deref(), Some("192.0.2.7:1"));
    assert_eq!((request.client_id.as_deref(), request.path), (Some("alice"), None));

    // An honest "no node" means directly; anything else that isn't a node fails.
    echoes(dial(&plugin(Ok(None)), &at(echo)).await.unwrap()).await;
    for answer in [Ok(Some("bad")), Err(())] {
        let error = dial(&plugin(answer), &at(echo)).await.unwrap_err();
        assert!(matches!(error.reason, DialReason::Hop { .. }), "{error}");
    }
    assert_eq!(proxy.carried(), 1);
}

#[tokio::test]
async fn hosts_are_asked_before_the_resolver_and_the_first_address_counts() {
    let echo = echo().await;
    let hosts = Hosts::new(boxed(Answers(|request: &LookupRequest| {
        Ok(if request.host == "mapped.test" { vec!["127.0.0.1".to_owned()] } else { vec![] })
    })));
    let resolver = Resolver::new(boxed(Answers(|request: &ResolveRequest| match request.host.as_str() {
        "known.test" => Ok(vec!["127.0.0.1".to_owned(), "192.0.2.1".to_owned()]),
        "unknown.test" => Ok(vec![]),
        other => Err(CallError::new(ErrorKind::Refused, other.to_owned())),
    })));
    let router = Router { hosts: Some(hosts), resolver: Some(resolver), ..Router::default() };
    for name in ["mapped.test", "known.test"] {
        let upstream = dial(&router, &target(name, echo.port())).await.unwrap();
        assert_eq!(upstream.route, echo.to_string());
        echoes(upstream).await;
    }
    let error = dial(&router, &target("unknown.test", 1)).await.unwrap_err();
    assert!(matches!(error.reason, DialReason::NoAddress), "{error}");
    // A failed resolver fails the dial: the system isn't asked instead.
    let error = dial(&router, &target("localhost", echo.port())).await.unwrap_err();
    assert!(matches!(error.reason, DialReason::Resolve(_)), "{error}");
}
