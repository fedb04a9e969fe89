//! Forwarders that look into what they pass on, over real sockets.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use drawspan_modules::{Authenticator, Rewriter, UserTable};
use drawspan_wire::http1::HostPort;
use drawspan_wit::hop::HopRequest;
use drawspan_wit::rewriter::RewriteRequest;
use drawspan_wit::{CallError, Plugin, boxed};
use regex::{Regex, bytes};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::{Forward, ForwardSettings};
use crate::connector::Connector;
use crate::dialer::Dialer;
use crate::handler::Handler;
use crate::handler::sniff::tests::{Service, expect, listener, read_all, read_head, tls_client, tls_server};
use crate::net::Buffered;
use crate::router::{BodyRewrite, Hop, Node, NodeAddr, NodeHop, NodeHttp, PluginHop, Rewrite, Rule, Selector};

const NO_CONTENT: &str = "HTTP/1.1 204 No\r\n\r\n";

fn node(name: &str, addr: SocketAddr, rule: Option<Rule>) -> Node {
    let addr = NodeAddr::Inet(HostPort { host: addr.ip().to_string(), port: addr.port() });
    Node { name: name.to_owned(), rule, ..Node::new(addr, Connector::Forward, Dialer::Tcp) }
}

fn host(name: &str) -> Option<Rule> {
    Some(Rule::Host { name: name.to_owned(), subdomains: false })
}

async fn start(nodes: Vec<Node>, settings: ForwardSettings) -> Service {
    let nodes = nodes.into_iter().map(Arc::new).collect();
    let hop = NodeHop { name: "h".to_owned(), bypass: None, nodes, selector: Selector::default() };
    to(Hop::Nodes(hop), None, settings).await
}

async fn to(hop: Hop, timeout: Option<Duration>, settings: ForwardSettings) -> Service {
    Service::start(timeout, |parts| Handler::Forward(Forward::new(parts, Arc::new(hop), settings))).await
}

/// Sends a request on a connection of its own; then the target's connection, if it is to get one.
async fn ask(service: &Service, request: &str, target: Option<&TcpListener>) -> (TcpStream, Option<TcpStream>) {
    let mut client = service.connect().await;
    client.write_all(request.as_bytes()).await.unwrap();
    let target = match target {
        Some(target) => Some(target.accept().await.unwrap().0),
        None => None,
    };
    (client, target)
}

#[tokio::test]
async fn requests_go_where_they_say() {
    let (one, two) = (listener().await, listener().await);
    let rule = |rules| Some(Rule::All(rules));
    let nodes = vec![
        node("one", one.local_addr().unwrap(), host("one.test")),
        node(
            "two",
            two.local_addr().unwrap(),
            rule(vec![
                Rule::Protocol("http".to_owned()),
                Rule::PathPrefix("/two".to_owned()),
                Rule::Method("POST".to_owned()),
                Rule::Header("x-to".to_owned(), Some("2".to_owned())),
                Rule::Query("q".to_owned(), Some("a b".to_owned())),
            ]),
        ),
        node("dead", listener().await.local_addr().unwrap(), host("dead.test")),
    ];
    let mut service = start(nodes, ForwardSettings::default()).await;
    for (request, target) in [
        ("GET /x HTTP/1.1\r\nHost: ONE.test:8080\r\n\r\n", &one),
        ("POST /two?q=a+b HTTP/1.1\r\nhost: x\r\nX-To: 2\r\nContent-Length: 0\r\n\r\n", &two),
    ] {
        let (mut client, target) = ask(&service, request, Some(target)).await;
        let mut target = target.unwrap();
        expect(&mut target, request).await;
        target.write_all(b"HTTP/1.1 200 Fine\r\nContent-Length: 2\r\n\r\nhi").await.unwrap();
        let answer = "HTTP/1.1 200 Fine\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
        assert_eq!(read_all(&mut client).await, answer);
    }
    assert_eq!(service.record().await["node"], "one");
    let record = service.record().await;
    assert_eq!((&record["node"], &record["host"]), (&"two".into(), &two.local_addr().unwrap().to_string().into()));
    assert_eq!(record["route"], two.local_addr().unwrap().to_string());
    for (request, status) in [
        ("GET /two?q=a+b HTTP/1.1\r\nHost: x\r\nX-To: 2\r\n\r\n", 502),
        ("GET / HTTP/1.1\r\nHost: dead.test\r\n\r\n", 503),
        ("GET /blocked HTTP/1.1\r\nHost: one.test\r\n\r\n", 403),
    ] {
        let (mut client, _) = ask(&service, request, None).await;
        let answer = read_all(&mut client).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.ends_with("\r\nContent-Length: 0\r\n\r\n"), "{answer}");
        let record = service.record().await;
        assert_eq!(record["http"]["statusCode"], status);
        assert!(!record["err"].as_str().unwrap().is_empty(), "{record}");
    }
    let asked: Vec<_> = service.asked().into_iter().map(|(host, path)| format!("{host} {}", path.unwrap())).collect();
    let expected = ["ONE.test:8080 /x", "x:80 /two?q=a+b", "x:80 /two?q=a+b", "dead.test:80 /", "one.test:80 /blocked"];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn a_kept_connection_stays_with_its_target_while_that_would_do() {
    let (one, two) = (listener().await, listener().await);
    let nodes = vec![
        node("one", one.local_addr().unwrap(), Some(Rule::PathPrefix("/one".to_owned()))),
        node("two", two.local_addr().unwrap(), Some(Rule::PathPrefix("/two".to_owned()))),
    ];
    let service = start(nodes, ForwardSettings { http_keepalive: true, ..ForwardSettings::default() }).await;
    let request = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let (mut client, target) = ask(&service, &request("/one"), Some(&one)).await;
    let mut first = target.unwrap();
    for path in ["/one", "/one/more"] {
        if path != "/one" {
            client.write_all(request(path).as_bytes()).await.unwrap();
        }
        expect(&mut first, &request(path)).await;
        first.write_all(NO_CONTENT.as_bytes()).await.unwrap();
        expect(&mut client, NO_CONTENT).await;
    }
    client.write_all(request("/two").as_bytes()).await.unwrap();
    let (mut second, _) = two.accept().await.unwrap();
    assert_eq!(read_all(&mut first).await, "");
    read_head(&mut second).await;
    second.write_all(NO_CONTENT.as_bytes()).await.unwrap();
    expect(&mut client, NO_CONTENT).await;
    // A target that has left is connected to again.
    drop(second);
    client.write_all(request("/two").as_bytes()).await.unwrap();
    let (mut second, _) = two.accept().await.unwrap();
    read_head(&mut second).await;
    second.write_all(NO_CONTENT.as_bytes()).await.unwrap();
    expect(&mut client, NO_CONTENT).await;
}

#[tokio::test]
async fn a_node_changes_messages_and_knows_its_users() {
    let target = listener().await;
    let own = |pairs: &[(&str, &str)]| pairs.iter().map(|&(n, v)| (n.to_owned(), v.to_owned())).collect();
    let users = UserTable::new([("u".to_owned(), "p".to_owned())]);
    let http = NodeHttp {
        host: Some("inner.test".to_owned()),
        request_headers: own(&[("X-New", "1"), ("X-Old", "")]),
        response_headers: own(&[("Server", ""), ("X-By", "us")]),
        rewrite_url: vec![(Regex::new("^/a/(.*)").unwrap(), "/b/$1".to_owned())],
        auth: Some(Authenticator::new(boxed(users))),
        ..NodeHttp::default()
    };
    let service = start(
        vec![Node { http: Some(http), ..node("n", target.local_addr().unwrap(), None) }],
        ForwardSettings::default(),
    )
    .await;
    let (mut client, _) = ask(&service, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", None).await;
    let refused = "HTTP/1.1 401 Unauthorized\r\nWww-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(read_all(&mut client).await, refused);

    let request = "GET http://a.test/a/x?y HTTP/1.1\r\nHost: b.test\r\nX-Old: 0\r\nAuthorization: Basic dTpw\r\n\r\n";
    let (mut client, there) = ask(&service, request, Some(&target)).await;
    let mut there = there.unwrap();
    let changed = "GET /b/x?y HTTP/1.1\r\nHost: inner.test\r\nAuthorization: Basic dTpw\r\nX-New: 1\r\n\r\n";
    assert_eq!(read_head(&mut there).await, changed);
    there.write_all(b"HTTP/1.1 200 Fine\r\nServer: x\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    let changed = "HTTP/1.1 200 Fine\r\nContent-Length: 0\r\nX-By: us\r\nConnection: close\r\n\r\n";
    assert_eq!(read_all(&mut client).await, changed);
}

#[tokio::test]
async fn tls_goes_where_its_hello_says_and_is_spoken_with_a_node_that_wants_it() {
    let (one, plain) = (listener().await, listener().await);
    let tls = Some(tls_client("origin.test"));
    let nodes = vec![
        node(
            "one",
            one.local_addr().unwrap(),
            Some(Rule::All(vec![Rule::Protocol("tls".to_owned()), host("one.test").unwrap()])),
        ),
        Node { tls, ..node("plain", plain.local_addr().unwrap(), Some(Rule::Protocol("http".to_owned()))) },
    ];
    let mut service = start(nodes, ForwardSettings::default()).await;
    let client = service.connect().await;
    let asking = async {
        let stream = tls_client("one.test").connect(Buffered::new(client)).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
    };
    let serving = async {
        let there = one.accept().await.unwrap().0;
        let (mut stream, _) = tls_server().accept(Buffered::new(there)).await.unwrap();
        let mut said = [0; 5];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut said).await.unwrap();
        assert_eq!(&said, b"hello");
    };
    tokio::join!(asking, serving);
    let record = service.record().await;
    assert_eq!((&record["node"], &record["tls"]["serverName"]), (&"one".into(), &"one.test".into()));
    for name in ["blocked.test", "two.test"] {
        assert!(tls_client(name).connect(Buffered::new(service.connect().await)).await.is_err(), "{name}");
    }
    let hosts: Vec<_> = service.asked().into_iter().map(|(host, _)| host).collect();
    assert_eq!(hosts, ["one.test:443", "blocked.test:443", "two.test:443"]);

    let (mut client, there) = ask(&service, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", Some(&plain)).await;
    let (there, _) = tls_server().accept(Buffered::new(there.unwrap())).await.unwrap();
    there.write_all(b"HTTP/1.1 204 No\r\n\r\n").await.unwrap();
    assert_eq!(read_all(&mut client).await, "HTTP/1.1 204 No\r\nConnection: close\r\n\r\n");
}

#[tokio::test]
async fn a_client_that_waits_is_passed_on_after_the_timeout() {
    let target = listener().await;
    let nodes = vec![Arc::new(node("n", target.local_addr().unwrap(), None))];
    let hop = Hop::Nodes(NodeHop { name: "h".to_owned(), bypass: None, nodes, selector: Selector::default() });
    let service = to(hop, Some(Duration::from_millis(10)), ForwardSettings::default()).await;
    let mut client = service.connect().await;
    let (mut there, _) = target.accept().await.unwrap();
    there.write_all(b"220 hello\r\n").await.unwrap();
    expect(&mut client, "220 hello\r\n").await;
}

/// Sends everybody to one node, and keeps what it was asked.
struct Leads(SocketAddr, Arc<Mutex<Vec<HopRequest>>>);

impl Plugin<HopRequest> for Leads {
    async fn call(&self, call: Arc<HopRequest>) -> Result<Option<String>, CallError> {
        self.1.lock().unwrap().push((*call).clone());
        Ok(Some(self.0.to_string()))
    }
}

#[tokio::test]
async fn a_hop_plugin_is_told_what_was_seen() {
    let target = listener().await;
    let asked = Arc::default();
    let plugin = drawspan_modules::Hop::new(boxed(Leads(target.local_addr().unwrap(), Arc::clone(&asked))));
    let decode = Arc::new(|json: &str| Ok(node("n", json.parse().unwrap(), None)));
    let hop = Hop::Plugin(PluginHop { name: "h".to_owned(), plugin, decode });
    let service = to(hop, None, ForwardSettings::default()).await;
    for bytes in ["GET /p?q HTTP/1.1\r\nHost: a.test\r\n\r\n", "SSH-2.0-x\r\n"] {
        let (_client, _there) = ask(&service, bytes, Some(&target)).await;
    }
    let asked = asked.lock().unwrap().clone();
    let known = |request: &HopRequest| {
        let HopRequest { network, target_address, host, path, .. } = request.clone();
        (network, target_address, host, path)
    };
    assert_eq!(known(&asked[0]), (None, None, Some("a.test:80".to_owned()), Some("/p".to_owned())));
    assert_eq!(known(&asked[1]), (None, None, None, None));
}

/// Puts text around what it gets, and keeps what it was told.
struct Wraps(Arc<Mutex<Vec<String>>>);

impl Plugin<RewriteRequest> for Wraps {
    async fn call(&self, call: Arc<RewriteRequest>) -> Result<Option<Vec<u8>>, CallError> {
        self.0.lock().unwrap().push(call.metadata.clone().unwrap());
        if call.data.starts_with(b"keep") {
            return Ok(None);
        }
        Ok(Some([b"<", &call.data[..], b">"].concat()))
    }
}

fn asks(told: &Arc<Mutex<Vec<String>>>) -> BodyRewrite {
    let rewriter = Rewriter::new(boxed(Wraps(Arc::clone(told))));
    BodyRewrite { types: None, pattern: None, rewrite: Rewrite::Ask(rewriter), max_size: 100 }
}

async fn rewriting(target: &TcpListener, http: NodeHttp) -> Service {
    let node = Node { http: Some(http), ..node("n", target.local_addr().unwrap(), None) };
    start(vec![node], ForwardSettings { http_keepalive: true, ..ForwardSettings::default() }).await
}

#[tokio::test]
async fn request_bodies_are_rewritten() {
    let (target, told) = (listener().await, Arc::default());
    let http = NodeHttp { rewrite_request_body: vec![asks(&told)], ..NodeHttp::default() };
    let mut service = rewriting(&target, http).await;
    let long = "x".repeat(101);
    for (head, body, expected) in [
        ("Content-Length: 2\r\n", "hi", "Content-Length: 4\r\n\r\n<hi>"),
        ("Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n", "Content-Length: 4\r\n\r\n<hi>"),
        ("", "", "Content-Length: 2\r\n\r\n<>"),
        ("Content-Length: 4\r\n", "keep", "Content-Length: 4\r\n\r\nkeep"),
        ("Content-Length: 101\r\n", &long, &format!("Content-Length: 101\r\n\r\n{long}")),
        (
            "Transfer-Encoding: chunked\r\n",
            &format!("65\r\n{long}\r\n0\r\n\r\n"),
            &format!("Transfer-Encoding: chunked\r\n\r\n65\r\n{long}\r\n0\r\n\r\n"),
        ),
    ] {
        let request = format!("PUT /p?q HTTP/1.1\r\nHost: a\r\n{head}\r\n{body}");
        let (mut client, there) = ask(&service, &request, Some(&target)).await;
        let mut there = there.unwrap();
        expect(&mut there, &format!("PUT /p?q HTTP/1.1\r\nHost: a\r\n{expected}")).await;
        there.write_all(NO_CONTENT.as_bytes()).await.unwrap();
        expect(&mut client, NO_CONTENT).await;
    }
    assert_eq!(told.lock().unwrap()[0], r#"{"direction":"request","sid":"sid","uri":"/p?q"}"#);
    assert_eq!(told.lock().unwrap().len(), 4, "what is too long is nobody's business");
    assert_eq!(service.record().await["http"]["request"]["contentLength"], 4);

    // A client that waits for leave gets it.
    let request = "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    let (mut client, there) = ask(&service, request, Some(&target)).await;
    expect(&mut client, "HTTP/1.1 100 Continue\r\n\r\n").await;
    client.write_all(b"hi").await.unwrap();
    expect(&mut there.unwrap(), "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n<hi>").await;
}

#[tokio::test]
async fn response_bodies_are_rewritten() {
    let (target, told) = (listener().await, Arc::default());
    let replace = BodyRewrite {
        types: Some(vec!["text/plain".to_owned()]),
        pattern: Some(bytes::Regex::new("h(.)").unwrap()),
        rewrite: Rewrite::Replace("H${1}!".to_owned()),
        max_size: 100,
    };
    let http = NodeHttp { rewrite_response_body: vec![asks(&told), replace], ..NodeHttp::default() };
    let mut service = rewriting(&target, http).await;
    let long = "x".repeat(101);
    for (head, body, expected) in [
        ("Content-Length: 2\r\n", "hi", "Content-Length: 4\r\n\r\n<hi>"),
        (
            "Content-Type: Text/Plain; a=b\r\nContent-Length: 2\r\n",
            "hi",
            "Content-Type: Text/Plain; a=b\r\nContent-Length: 5\r\n\r\n<Hi!>",
        ),
        ("Transfer-Encoding: chunked\r\n", "2\r\nhi\r\n0\r\n\r\n", "Content-Length: 4\r\n\r\n<hi>"),
        (
            "Content-Encoding: compress\r\nContent-Length: 2\r\n",
            "hi",
            "Content-Encoding: compress\r\nContent-Length: 2\r\n\r\nhi",
        ),
        ("Content-Length: 4\r\n", "keep", "Content-Length: 4\r\n\r\nkeep"),
        ("Content-Length: 101\r\n", &long, &format!("Content-Length: 101\r\n\r\n{long}")),
        (
            "Transfer-Encoding: chunked\r\n",
            &format!("65\r\n{long}\r\n0\r\n\r\n"),
            &format!("Transfer-Encoding: chunked\r\n\r\n65\r\n{long}\r\n0\r\n\r\n"),
        ),
    ] {
        let (mut client, there) = ask(&service, "GET /p HTTP/1.1\r\nHost: a\r\n\r\n", Some(&target)).await;
        let mut there = there.unwrap();
        read_head(&mut there).await;
        there.write_all(format!("HTTP/1.1 200 Fine\r\n{head}\r\n{body}").as_bytes()).await.unwrap();
        expect(&mut client, &format!("HTTP/1.1 200 Fine\r\n{expected}")).await;
        drop(client);
        service.record().await;
    }
    assert_eq!(told.lock().unwrap()[0], r#"{"direction":"response","sid":"sid","uri":"/p"}"#);

    // Until the origin closes: then its length is known.
    let (mut client, there) = ask(&service, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", Some(&target)).await;
    let mut there = there.unwrap();
    read_head(&mut there).await;
    there.write_all(b"HTTP/1.1 200 Fine\r\n\r\nhi").await.unwrap();
    drop(there);
    let closed = "HTTP/1.1 200 Fine\r\nConnection: close\r\nContent-Length: 4\r\n\r\n<hi>";
    assert_eq!(read_all(&mut client).await, closed);

    let gzip = |body: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    };
    let (mut client, there) = ask(&service, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", Some(&target)).await;
    let mut there = there.unwrap();
    read_head(&mut there).await;
    let body = gzip(b"hi");
    there
        .write_all(
            format!("HTTP/1.1 200 Fine\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes(),
        )
        .await
        .unwrap();
    there.write_all(&body).await.unwrap();
    let head = read_head(&mut client).await;
    let length = head.split("Content-Length: ").nth(1).unwrap().trim().parse().unwrap();
    let mut body = vec![0; length];
    tokio::io::AsyncReadExt::read_exact(&mut client, &mut body).await.unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, "<hi>");
}

#[tokio::test]
async fn events_are_rewritten_one_by_one() {
    let (target, told) = (listener().await, Arc::default());
    let http = NodeHttp { rewrite_response_body: vec![asks(&told)], ..NodeHttp::default() };
    let service = rewriting(&target, http).await;
    let (mut client, there) = ask(&service, "GET /e HTTP/1.1\r\nHost: a\r\n\r\n", Some(&target)).await;
    let mut there = there.unwrap();
    read_head(&mut there).await;
    there.write_all(b"HTTP/1.1 200 Fine\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\nda").await.unwrap();
    let head = "HTTP/1.1 200 Fine\r\nContent-Type: text/event-stream\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    expect(&mut client, head).await;
    // Each when it is there.
    expect(&mut client, "b\r\n<data: 1>\n\n\r\n").await;
    there.write_all(b"ta: 2\r\n\r\nkeep\n\nrest").await.unwrap();
    expect(&mut client, "b\r\n<data: 2>\n\n\r\n6\r\nkeep\n\n\r\n").await;
    drop(there);
    assert_eq!(read_all(&mut client).await, "8\r\n<rest>\n\n\r\n4\r\n<>\n\n\r\n0\r\n\r\n");
    let told = told.lock().unwrap();
    let phase = |name, index| {
        format!(r#"{{"direction":"response","event_index":{index},"sid":"sid","sse_phase":"{name}","uri":"/e"}}"#)
    };
    let expected = [phase("start", 0), phase("event", 1), phase("event", 2), phase("event", 3), phase("end", 4)];
    assert_eq!(told[..], expected);
}
