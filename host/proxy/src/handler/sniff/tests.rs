//! Tunnels that are looked into, over real sockets.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drawspan_modules::{Bypass, ConnInfo, Recorder};
use drawspan_wit::bypass::{BypassRequest, Match};
use drawspan_wit::recorder::WriteRequest;
use drawspan_wit::{CallError, Plugin, boxed};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Conn;
use crate::handler::{Handler, HandlerParts, HandlerRecorder, Sniffing, Socks5, Socks5Settings, http};
use crate::net::{Buffered, Stream};
use crate::tls::{Certificate, ClientSettings, Generated, Options, ServerSettings, TlsClient, TlsServer};

/// A service that looks into what it carries, and what its modules were told.
pub(in crate::handler) struct Service {
    pub(in crate::handler) address: SocketAddr,
    /// Of the bypass.
    asked: Arc<Mutex<Vec<Question>>>,
    records: mpsc::UnboundedReceiver<Value>,
    task: tokio::task::JoinHandle<()>,
}

/// Host and path of a question to the bypass.
type Question = (String, Option<String>);

/// Matches whatever has `blocked` in it.
struct Blocked(Arc<Mutex<Vec<Question>>>);

impl Plugin<BypassRequest> for Blocked {
    async fn call(&self, call: Arc<BypassRequest>) -> Result<Match, CallError> {
        assert_eq!((call.network.as_str(), call.service.as_deref()), ("tcp", Some("service-0")));
        self.0.lock().unwrap().push((call.target_address.clone(), call.path.clone()));
        let text = format!("{}{}", call.target_address, call.path.as_deref().unwrap_or_default());
        Ok(if text.contains("blocked") { Match::Matched } else { Match::Unmatched })
    }
}

struct Keeps(mpsc::UnboundedSender<Value>);

impl Plugin<WriteRequest> for Keeps {
    async fn call(&self, call: Arc<WriteRequest>) -> Result<(), CallError> {
        let _ = self.0.send(serde_json::from_slice(&call.data).unwrap());
        Ok(())
    }
}

impl Service {
    pub(in crate::handler) async fn start(
        timeout: Option<Duration>,
        handler: impl FnOnce(HandlerParts) -> Handler,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::default();
        let (sender, records) = mpsc::unbounded_channel();
        let recorder = HandlerRecorder {
            recorder: Recorder::new(boxed(Keeps(sender)), None),
            tasks: TaskTracker::new(),
            http_body: Some(64),
        };
        let handler = Arc::new(handler(HandlerParts {
            bypass: Some(Bypass::new(boxed(Blocked(Arc::clone(&asked))))),
            recorder: Some(recorder),
            sniffing: Some(Sniffing { timeout, read_timeout: Duration::from_secs(15) }),
            ..HandlerParts::default()
        }));
        let task = tokio::spawn(async move {
            while let Ok((stream, client)) = listener.accept().await {
                let info = ConnInfo {
                    certificate: None,
                    service: "service-0".into(),
                    sid: "sid".into(),
                    client: client.into(),
                    local: address.into(),
                };
                let handler = Arc::clone(&handler);
                tokio::spawn(async move { handler.handle(Conn::new(stream, info), CancellationToken::new()).await });
            }
        });
        Self { address, asked, records, task }
    }

    async fn http_proxy() -> Self {
        Self::start(None, |parts| Handler::Http(http::Http::new(parts, http::Settings::default()))).await
    }

    async fn socks5() -> Self {
        Self::start(None, |parts| Handler::Socks5(Socks5::new(parts, Socks5Settings::default()))).await
    }

    pub(in crate::handler) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// A tunnel of an HTTP proxy, and its other end.
    async fn tunnel(&self, origin: &TcpListener) -> (TcpStream, TcpStream) {
        let mut client = self.connect().await;
        let request = format!("CONNECT {} HTTP/1.1\r\n\r\n", origin.local_addr().unwrap());
        client.write_all(request.as_bytes()).await.unwrap();
        let (target, _) = origin.accept().await.unwrap();
        assert!(read_head(&mut client).await.starts_with("HTTP/1.1 200 "));
        (client, target)
    }

    pub(in crate::handler) fn asked(&self) -> Vec<Question> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }

    pub(in crate::handler) async fn record(&mut self) -> Value {
        self.records.recv().await.unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(in crate::handler) async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

pub(in crate::handler) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

pub(in crate::handler) async fn read_all(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    String::from_utf8(bytes).unwrap()
}

pub(in crate::handler) async fn expect(stream: &mut TcpStream, expected: &str) {
    let mut bytes = vec![0; expected.len()];
    stream.read_exact(&mut bytes).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&bytes), expected);
}

pub(in crate::handler) fn tls_server() -> TlsServer {
    let generated = Generated {
        validity: Duration::from_secs(86_400),
        common_name: "test".to_owned(),
        organization: "test".to_owned(),
    };
    let certificate = Certificate::Generated(generated);
    TlsServer::new(&ServerSettings { certificate, client_ca: None, options: Options::default() }).unwrap()
}

pub(in crate::handler) fn tls_client(name: &str) -> TlsClient {
    let options = Options { alpn: vec!["h2".to_owned()], ..Options::default() };
    let settings = ClientSettings { server_name: Some(name.to_owned()), options, ..ClientSettings::default() };
    TlsClient::new(&settings).unwrap()
}

/// Speaks TLS for `name` over `client` with a server at `target`, each way a word.
pub(in crate::handler) async fn speak_tls(client: TcpStream, target: TcpStream, name: &str) {
    let (server, connector) = (tls_server(), tls_client(name));
    let serving = async {
        let (mut stream, _): (Stream, _) = server.accept(Buffered::new(target)).await.unwrap();
        let mut question = [0; 8];
        stream.read_exact(&mut question).await.unwrap();
        assert_eq!(&question, b"question");
        stream.write_all(b"answer").await.unwrap();
        stream.close_write().await.unwrap();
    };
    let asking = async {
        let mut stream = connector.connect(Buffered::new(client)).await.unwrap();
        stream.write_all(b"question").await.unwrap();
        let mut answer = [0; 6];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"answer");
    };
    tokio::join!(serving, asking);
}

fn of(hosts: &[&str]) -> Vec<Question> {
    hosts.iter().map(|&host| (host.to_owned(), None)).collect()
}

#[tokio::test]
async fn http_in_a_tunnel_passes_as_it_is_and_each_host_is_asked_about() {
    let (origin, mut proxy) = (listener().await, Service::http_proxy().await);
    let (mut client, mut target) = proxy.tunnel(&origin).await;
    let there = origin.local_addr().unwrap().to_string();
    let request = "POST /a?b HTTP/1.1\r\nhOST: one.test\r\nX-Forwarded-For: 192.0.2.1, x\r\nConnection: keep-alive\r\n\
                   Content-Length: 5\r\n\r\nhello";
    let response = "HTTP/1.1 200 Fine\r\nx: y\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    expect(&mut target, request).await;
    target.write_all(response.as_bytes()).await.unwrap();
    expect(&mut client, response).await;
    let record = proxy.record().await;
    assert_eq!((&record["host"], &record["dst"]), (&"one.test:80".into(), &there.as_str().into()));
    assert_eq!((&record["clientIP"], &record["proto"]), (&"192.0.2.1".into(), &"http".into()));
    let http = &record["http"];
    assert_eq!((&http["method"], &http["uri"], &http["statusCode"]), (&"POST".into(), &"/a?b".into(), &200.into()));
    assert_eq!(http["request"]["body"], STANDARD.encode("hello"));
    assert_eq!(
        (&http["response"]["body"], &http["response"]["contentLength"]),
        (&STANDARD.encode("abc").into(), &3.into())
    );
    assert_eq!(
        (record["inputBytes"].as_u64(), record["outputBytes"].as_u64()),
        (Some(request.len() as u64), Some(response.len() as u64))
    );

    // The same host again, another, and one that may not be.
    for (host, passes) in [("one.test", true), ("two.test:81", true), ("blocked.test", false)] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        client.write_all(request.as_bytes()).await.unwrap();
        if passes {
            expect(&mut target, &request).await;
            target.write_all(b"HTTP/1.1 204 No\r\n\r\n").await.unwrap();
            expect(&mut client, "HTTP/1.1 204 No\r\n\r\n").await;
        }
    }
    assert_eq!(read_all(&mut client).await, "");
    assert_eq!(read_all(&mut target).await, "", "it never sees what is refused");
    assert_eq!(proxy.asked(), of(&[&there, "one.test:80", "two.test:81", "blocked.test:80"]));
    for host in ["one.test:80", "two.test:81"] {
        assert_eq!(proxy.record().await["host"], host);
    }
}

#[tokio::test]
async fn a_refused_host_is_closed_and_recorded() {
    let (origin, mut proxy) = (listener().await, Service::http_proxy().await);
    let (mut client, mut target) = proxy.tunnel(&origin).await;
    client.write_all(b"GET http://blocked.test/ HTTP/1.1\r\nHost: fine.test\r\n\r\n").await.unwrap();
    assert_eq!(read_all(&mut client).await, "");
    assert_eq!(read_all(&mut target).await, "");
    let record = proxy.record().await;
    assert_eq!((&record["host"], &record["err"]), (&"blocked.test:80".into(), &"bypass".into()));
}

#[tokio::test]
async fn tls_is_known_by_its_hello_and_stays_closed() {
    let (origin, mut proxy) = (listener().await, Service::http_proxy().await);
    let there = origin.local_addr().unwrap().to_string();
    let (client, target) = proxy.tunnel(&origin).await;
    speak_tls(client, target, "secret.test").await;
    assert_eq!(proxy.asked(), of(&[&there, "secret.test:443"]));
    let record = proxy.record().await;
    assert_eq!((&record["host"], &record["proto"]), (&"secret.test:443".into(), &"tls".into()));
    let tls = &record["tls"];
    assert_eq!((&tls["serverName"], &tls["version"]), (&"secret.test".into(), &"tls1.3".into()));
    assert_eq!((&tls["proto"], &tls["compressionMethod"]), (&"h2".into(), &0.into()));
    assert!(tls["cipherSuite"].as_str().unwrap().starts_with("TLS_AES_"), "{tls}");
    assert!(tls["clientHello"].as_str().unwrap().starts_with("1603"), "{tls}");
    assert!(tls["serverHello"].as_str().unwrap().starts_with("160303"), "{tls}");

    let (client, mut target) = proxy.tunnel(&origin).await;
    let refused = tls_client("blocked.test").connect(Buffered::new(client)).await;
    assert!(refused.is_err());
    assert_eq!(read_all(&mut target).await, "");
    assert_eq!(proxy.record().await["err"], "bypass");
}

#[tokio::test]
async fn whoever_speaks_first_is_heard() {
    let (origin, mut proxy) = (listener().await, Service::socks5().await);
    let mut client = proxy.connect().await;
    let port = origin.local_addr().unwrap().port().to_be_bytes();
    client.write_all(&[5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, port[0], port[1]]).await.unwrap();
    let (mut target, _) = origin.accept().await.unwrap();
    client.read_exact(&mut [0; 12]).await.unwrap();
    target.write_all(b"220 hello\r\n").await.unwrap();
    expect(&mut client, "220 hello\r\n").await;
    client.write_all(b"GET blocked\r\n").await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(read_all(&mut target).await, "GET blocked\r\n");
    drop(target);
    assert_eq!(read_all(&mut client).await, "");
    assert_eq!(proxy.record().await.get("proto"), None);
}

#[tokio::test]
async fn what_is_not_understood_passes() {
    for (bytes, proto) in [
        (&b"SSH-2.0-x\r\n"[..], "ssh"),
        (b"*1\r\n$4\r\nPING\r\n", "redis"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0", "http"),
        (b"\x16\x03\x09", ""),
        (b"GE", ""),
        (b"", ""),
    ] {
        let (origin, mut proxy) = (listener().await, Service::http_proxy().await);
        let (mut client, mut target) = proxy.tunnel(&origin).await;
        client.write_all(bytes).await.unwrap();
        client.shutdown().await.unwrap();
        let mut seen = Vec::new();
        target.read_to_end(&mut seen).await.unwrap();
        assert_eq!(seen, bytes);
        target.write_all(b"back").await.unwrap();
        drop(target);
        assert_eq!(read_all(&mut client).await, "back");
        assert_eq!(proxy.record().await["proto"].as_str().unwrap_or_default(), proto);
    }
}

#[tokio::test]
async fn what_http_becomes_is_passed_on() {
    for (request, response) in [
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
            "HTTP/1.1 101 Now\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
        ),
        ("CONNECT b:1 HTTP/1.1\r\nHost: b:1\r\n\r\n", "HTTP/1.1 200 Yes\r\n\r\n"),
    ] {
        let (origin, proxy) = (listener().await, Service::http_proxy().await);
        let (mut client, mut target) = proxy.tunnel(&origin).await;
        client.write_all(request.as_bytes()).await.unwrap();
        expect(&mut target, request).await;
        target.write_all(response.as_bytes()).await.unwrap();
        expect(&mut client, response).await;
        client.write_all(b"\0up").await.unwrap();
        expect(&mut target, "\0up").await;
        target.write_all(b"\0down").await.unwrap();
        drop(target);
        assert_eq!(read_all(&mut client).await, "\0down");
    }
}

#[tokio::test]
async fn an_origin_that_ends_between_requests_ends_the_tunnel() {
    let (origin, proxy) = (listener().await, Service::http_proxy().await);
    let (mut client, mut target) = proxy.tunnel(&origin).await;
    client.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    read_head(&mut target).await;
    target.write_all(b"HTTP/1.1 204 No\r\n\r\n").await.unwrap();
    read_head(&mut client).await;
    target.write_all(b"HTTP/1.1 408 Too late\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    drop(target);
    assert_eq!(read_all(&mut client).await, "HTTP/1.1 408 Too late\r\nContent-Length: 0\r\n\r\n");
}

#[tokio::test]
async fn broken_http_and_broken_hellos_are_closed() {
    for bytes in [
        &b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"[..],
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /\n\n",
        b"\x16\x03\x01\0\x05\x01\0\0\x01x",
    ] {
        let (origin, proxy) = (listener().await, Service::http_proxy().await);
        let (mut client, mut target) = proxy.tunnel(&origin).await;
        client.write_all(bytes).await.unwrap();
        let mut back = Vec::new();
        // A reset is a close too.
        let _ = client.read_to_end(&mut back).await;
        assert!(back.is_empty(), "{back:?}");
        assert_eq!(read_all(&mut target).await, "", "{bytes:?}");
    }
}
