//! The servers as callers meet them. What each call looks like is in `bridges/client/tests/conformance.rs`; here is all
//! that is the same for every call: tokens, TLS, limits, nonsense, failures, the end.

#![allow(clippy::unwrap_used, reason = "a test stops by panicking")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drawspan_bridge_grpc::{GrpcBridge, GrpcSettings};
use drawspan_bridge_http::{HttpBridge, HttpSettings};
use drawspan_bridge_transport::{Target, TlsSettings};
use drawspan_plugin_serve::{Options, Server};
use drawspan_testkit::{Authority, PATIENCE, eventually, within};
use drawspan_wit::authenticator::{AuthenticationRequest, Identity};
use drawspan_wit::bypass::{BypassRequest, Match};
use drawspan_wit::hop::HopRequest;
use drawspan_wit::recorder::WriteRequest;
use drawspan_wit::resolver::ResolveRequest;
use drawspan_wit::rewriter::RewriteRequest;
use drawspan_wit::types::AddressFamily;
use drawspan_wit::{Call, CallError, ErrorKind, Module, Plugin, Refusal};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Answers `authenticate` with the user's name; fails all else in the way that it was told.
struct Scripted(CallError);

impl Scripted {
    fn failing() -> Self {
        Self(CallError::new(ErrorKind::Refused, "on purpose"))
    }
}

impl<C: Call> Plugin<C> for Scripted {
    async fn call(&self, call: Arc<C>) -> Result<C::Reply, CallError> {
        let call: Box<dyn std::any::Any> = Box::new(call);
        if let Ok(call) = call.downcast::<Arc<AuthenticationRequest>>() {
            let identity = Some(Identity { client_id: call.username.clone() });
            let reply: Box<dyn std::any::Any> = Box::new(identity);
            return Ok(*reply.downcast::<C::Reply>().unwrap());
        }
        Err(self.0.clone())
    }
}

/// Both servers of a plugin.
struct Served {
    grpc: u16,
    http: u16,
    shutdown: CancellationToken,
    tasks: [JoinHandle<()>; 2],
}

impl Served {
    async fn start<P: drawspan_plugin_serve::AnyPlugin>(plugin: P, modules: &[Module], options: Options) -> Self {
        let server = Server::new(plugin, modules.iter().copied(), options);
        let shutdown = CancellationToken::new();
        let [a, b] = [TcpListener::bind("127.0.0.1:0").await.unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap()];
        let (grpc, http) = (a.local_addr().unwrap().port(), b.local_addr().unwrap().port());
        let tasks = [
            tokio::spawn(Arc::clone(&server).serve_grpc(a, shutdown.clone())),
            tokio::spawn(server.serve_http(b, shutdown.clone())),
        ];
        Self { grpc, http, shutdown, tasks }
    }

    async fn all(options: Options) -> Self {
        Self::start(Scripted::failing(), &Module::ALL, options).await
    }

    fn grpc_bridge(&self, token: Option<&str>, tls: Option<TlsSettings>) -> GrpcBridge {
        GrpcBridge::new(GrpcSettings {
            target: Target::Tcp("127.0.0.1".into(), self.grpc),
            tls,
            token: token.map(Into::into),
            timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            max_reply: 1 << 20,
        })
        .unwrap()
    }

    fn http_bridge(&self, module: Module, token: Option<&str>, tls: Option<TlsSettings>) -> HttpBridge {
        let scheme = if tls.is_some() { "https" } else { "http" };
        HttpBridge::new(HttpSettings {
            url: format!("{scheme}://127.0.0.1:{}/{}", self.http, module.as_str()).parse().unwrap(),
            tls,
            token: token.map(Into::into),
            connect_timeout: Duration::from_secs(5),
            max_reply: 1 << 20,
        })
        .unwrap()
    }

    async fn end(self) {
        self.shutdown.cancel();
        for task in self.tasks {
            within("the server's end", task).await.unwrap();
        }
    }
}

fn alice() -> Arc<AuthenticationRequest> {
    Arc::new(AuthenticationRequest {
        username: "alice".into(),
        password: "wonder".into(),
        client_address: None,
        service: "service-0".into(),
        certificate: None,
    })
}

fn is_alice(reply: Result<Option<Identity>, CallError>) -> bool {
    reply.unwrap().is_some_and(|identity| identity.client_id == "alice")
}

/// One request by hand over HTTP/1.1.
async fn http(port: u16, request: Request<Full<Bytes>>) -> Response<Incoming> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender.send_request(request).await.unwrap()
}

/// One request by hand over HTTP/2; the gRPC status with its message.
async fn grpc(port: u16, request: Request<Full<Bytes>>) -> (StatusCode, HeaderMap) {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let response = sender.send_request(request).await.unwrap();
    let (head, body) = response.into_parts();
    let trailers = body.collect().await.unwrap().trailers().cloned().unwrap_or_default();
    let mut headers = head.headers;
    headers.extend(trailers);
    (head.status, headers)
}

fn grpc_request(path: &str, body: &'static [u8]) -> Request<Full<Bytes>> {
    Request::post(format!("http://a{path}"))
        .header("content-type", "application/grpc+proto")
        .body(Full::new(Bytes::from_static(body)))
        .unwrap()
}

#[tokio::test]
async fn a_token_that_is_asked_for_must_be_right() {
    let served = Served::all(Options { token: Some("secret".into()), ..Options::default() }).await;
    for token in [None, Some("secret2"), Some("secre"), Some("SECRET")] {
        let error = served.grpc_bridge(token, None).call(alice()).await.unwrap_err();
        assert_eq!(error.to_string(), "the server answered Unauthenticated: the token is missing or wrong");
        let error = served.http_bridge(Module::Auther, token, None).call(alice()).await.unwrap_err();
        assert_eq!(error.to_string(), "the server answered 401 Unauthorized");
    }
    assert!(is_alice(served.grpc_bridge(Some("secret"), None).call(alice()).await));
    assert!(is_alice(served.http_bridge(Module::Auther, Some("secret"), None).call(alice()).await));
    for (authorization, status) in [("bearer secret", 200), ("Basic secret", 401), ("Bearer", 401), ("secret", 401)] {
        let body = Full::new(Bytes::from_static(b"{}"));
        let request = Request::post("/auther").header("authorization", authorization).body(body).unwrap();
        assert_eq!(http(served.http, request).await.status(), status, "{authorization}");
    }
    served.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_arrives_though_the_server_reads_no_more() {
    let served = Served::all(Options { token: Some("secret".into()), ..Options::default() }).await;
    let bridge = served.grpc_bridge(None, None);
    // The server's answer may come before all is sent, which takes luck.
    for _ in 0..5000 {
        let error = bridge.call(alice()).await.unwrap_err();
        assert_eq!(error.to_string(), "the server answered Unauthenticated: the token is missing or wrong");
    }
    served.end().await;
}

#[tokio::test]
async fn both_speak_tls() {
    let authority = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let tls = || Some(TlsSettings { ca_file: Some(ca.clone()), ..TlsSettings::default() });
    let config = authority.issue("127.0.0.1").server(&["nonsense"]);
    let served = Served::all(Options { tls: Some(config), ..Options::default() }).await;
    assert!(is_alice(served.grpc_bridge(None, tls()).call(alice()).await));
    assert!(is_alice(served.http_bridge(Module::Auther, None, tls()).call(alice()).await));
    assert!(Plugin::<AuthenticationRequest>::call(&served.grpc_bridge(None, None), alice()).await.is_err());
    assert!(served.http_bridge(Module::Auther, None, None).call(alice()).await.is_err());
    served.end().await;
}

#[tokio::test]
async fn modules_that_a_plugin_lacks_are_not_there() {
    let served = Served::start(Scripted::failing(), &[Module::Auther, Module::Sd], Options::default()).await;
    let write = Arc::new(WriteRequest { data: b"d".into(), metadata: None });
    let error = served.grpc_bridge(None, None).call(Arc::clone(&write)).await.unwrap_err();
    assert_eq!(error.to_string(), "the server answered Unimplemented: this plugin has no such method");
    let error = served.http_bridge(Module::Recorder, None, None).call(write).await.unwrap_err();
    assert_eq!(error.to_string(), "the server answered 404 Not Found");
    for path in ["/", "/auth", "/auther/x", "//"] {
        let request = Request::post(path).body(Full::default()).unwrap();
        assert_eq!(http(served.http, request).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    served.end().await;
}

#[tokio::test]
async fn the_only_module_is_at_every_path_but_those_of_others() {
    let served = Served::start(Scripted::failing(), &[Module::Auther], Options::default()).await;
    for path in ["/", "/auth", "/auther", "/auther/", "/x?y"] {
        let request = Request::post(path).body(Full::new(Bytes::from_static(b"{\"username\":\"bob\"}"))).unwrap();
        let reply = http(served.http, request).await;
        assert_eq!(reply.status(), StatusCode::OK, "{path}");
        assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), r#"{"ok":true,"id":"bob"}"#);
    }
    // Whoever asks for another module would misunderstand the answer: to a bypass, `ok: false` means that all may pass.
    let request = Request::post("/bypass").body(Full::new(Bytes::from_static(b"{}"))).unwrap();
    assert_eq!(http(served.http, request).await.status(), StatusCode::NOT_FOUND);
    served.end().await;
}

#[tokio::test]
async fn nonsense_over_http_is_told_so() {
    let served = Served::all(Options { max_request: 100, ..Options::default() }).await;
    for (method, path, body, status) in [
        ("GET", "/auther", "", 405),
        ("DELETE", "/ingress", "", 405),
        ("PATCH", "/sd", "{}", 405),
        ("POST", "/auther", "", 400),
        ("POST", "/auther", "[]", 400),
        ("POST", "/auther", r#"{"username":1}"#, 400),
        ("POST", "/auther", "\u{0}\u{1}", 400),
        ("POST", "/limiter", r#"{"scope":"galaxy"}"#, 400),
        ("POST", "/observer", r#"{"events":[{}]}"#, 400),
        ("POST", "/auther", &" ".repeat(101), 413),
        ("POST", "/%00", "{}", 404),
        ("GET", "/router?%ff=%zz&dst", "", 500),
    ] {
        let body = Full::new(Bytes::from(body.to_owned()));
        let reply = http(served.http, Request::builder().method(method).uri(path).body(body).unwrap()).await;
        assert_eq!(reply.status(), status, "{method} {path}");
        assert_eq!(reply.headers()["content-type"], "application/json");
        if status == 405 {
            assert!(!reply.headers()["allow"].is_empty());
        }
    }
    let mut stream = TcpStream::connect(("127.0.0.1", served.http)).await.unwrap();
    stream.write_all(b"\x16\x03\x01 no http at all\r\n\r\n").await.unwrap();
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply).await;
    assert!(reply.starts_with(b"HTTP/1.1 400"), "{}", reply.escape_ascii());
    assert!(is_alice(served.http_bridge(Module::Auther, None, None).call(alice()).await));
    served.end().await;
}

#[tokio::test]
async fn nonsense_over_grpc_is_told_so() {
    let served = Served::all(Options { max_request: 20, ..Options::default() }).await;
    let path = "/proto.Authenticator/Authenticate";
    for (path, body, code) in [
        ("/proto.Authenticator/Nothing", &b"\0\0\0\0\0"[..], "12"),
        ("/", b"\0\0\0\0\0", "12"),
        (path, b"", "3"),
        (path, b"\0\0\0\0", "3"),
        (path, b"\0\0\0\0\x01", "3"),
        (path, b"\0\0\0\0\0\0\0\0\0\0", "3"),
        (path, b"\0\xff\xff\xff\xff", "3"),
        (path, b"\x01\0\0\0\0", "12"),
        (path, b"\0\0\0\0\x01\xff", "3"),
        (path, b"\0\0\0\0\x04\x0a\x02\xff\xff", "3"),
        (path, b"\0\0\0\0\x16\x0a\x14aaaaaaaaaaaaaaaaaaaa", "8"),
        ("/proto.Limiter/Limit", b"\0\0\0\0\0", "3"),
        ("/proto.SD/Register", b"\0\0\0\0\0", "3"),
        (path, b"\0\0\0\0\0", "0"),
    ] {
        let (status, headers) = grpc(served.grpc, grpc_request(path, body)).await;
        assert_eq!((status, &headers["grpc-status"]), (StatusCode::OK, &code.parse().unwrap()), "{path} {body:?}");
    }
    for request in [
        Request::get(format!("http://a{path}")).header("content-type", "application/grpc"),
        Request::post(format!("http://a{path}")).header("content-type", "text/plain"),
        Request::post(format!("http://a{path}")),
    ] {
        let (status, _) = grpc(served.grpc, request.body(Full::default()).unwrap()).await;
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    served.end().await;
}

#[tokio::test]
async fn failures_are_told_by_kind() {
    let refused = |refusal| CallError::refused(refusal, "on purpose");
    let failed = |kind| CallError::new(kind, "on purpose");
    for (error, code, status) in [
        (refused(Refusal::InvalidRequest), "InvalidArgument", "400 Bad Request"),
        (refused(Refusal::Unavailable), "Unavailable", "503 Service Unavailable"),
        (refused(Refusal::Failed), "Unknown", "500 Internal Server Error"),
        (failed(ErrorKind::Refused), "Unknown", "500 Internal Server Error"),
        (failed(ErrorKind::Trapped), "Internal", "500 Internal Server Error"),
        (failed(ErrorKind::BadReply), "Internal", "500 Internal Server Error"),
        (failed(ErrorKind::Unavailable), "Unavailable", "503 Service Unavailable"),
        (failed(ErrorKind::Overloaded), "ResourceExhausted", "503 Service Unavailable"),
        (failed(ErrorKind::Deadline), "DeadlineExceeded", "504 Gateway Timeout"),
    ] {
        let served = Served::start(Scripted(error), &Module::ALL, Options::default()).await;
        let resolve =
            Arc::new(ResolveRequest { family: AddressFamily::Any, host: "example.org".into(), client_id: None });
        let error = served.grpc_bridge(None, None).call(Arc::clone(&resolve)).await.unwrap_err();
        assert_eq!(error.to_string(), format!("the server answered {code}: on purpose"));
        // A plugin behind a server must not pass for a server that can't be reached, which may open a door.
        assert_ne!(error.kind(), ErrorKind::Unavailable);
        let error = served.http_bridge(Module::Resolver, None, None).call(resolve).await.unwrap_err();
        assert_eq!(error.to_string(), format!("the server answered {status}"));
        served.end().await;
    }
}

#[tokio::test]
async fn where_gost_would_do_worse_a_failure_is_an_answer() {
    let served = Served::all(Options::default()).await;
    let rewrite = Arc::new(RewriteRequest { data: b"d".into(), metadata: None });
    assert_eq!(served.grpc_bridge(None, None).call(Arc::clone(&rewrite)).await.unwrap(), None);
    assert_eq!(served.http_bridge(Module::Rewriter, None, None).call(rewrite).await.unwrap(), None);
    let bypass = Arc::new(BypassRequest {
        network: "tcp".into(),
        target_address: "example.org:443".into(),
        host: None,
        path: None,
        client_id: None,
        service: None,
    });
    assert!(served.grpc_bridge(None, None).call(Arc::clone(&bypass)).await.is_err());
    assert_eq!(served.http_bridge(Module::Bypass, None, None).call(bypass).await.unwrap(), Match::Matched);
    let hop = Arc::new(HopRequest {
        network: None,
        target_address: None,
        host: None,
        path: None,
        client_id: None,
        source_address: None,
    });
    let error = served.grpc_bridge(None, None).call(Arc::clone(&hop)).await.unwrap_err();
    assert_eq!(error.to_string(), "the node has no addr");
    let error = served.http_bridge(Module::Hop, None, None).call(hop).await.unwrap_err();
    assert_eq!(error.to_string(), "the node has no addr");

    // Also when the plugin isn't even asked: a client of GOST's may choose how long its question is.
    for (path, answer) in [("/bypass", r#"{"ok":true}"#), ("/hop", "{}"), ("/rewriter", r#"{"ok":false,"data":null}"#)]
    {
        for body in ["no JSON".to_owned(), format!(r#"{{"path":"{}"}}"#, "x".repeat(5 << 20))] {
            let reply = http(served.http, Request::post(path).body(Full::new(body.into())).unwrap()).await;
            assert_eq!(reply.status(), StatusCode::OK, "{path}");
            assert_eq!(reply.into_body().collect().await.unwrap().to_bytes(), answer, "{path}");
        }
    }
    for path in ["/proto.Hop/Select", "/proto.Rewriter/Rewrite"] {
        let (_, headers) = grpc(served.grpc, grpc_request(path, b"\0\0\0\0\x01\xff")).await;
        assert_eq!(headers["grpc-status"], "0", "{path}");
    }
    served.end().await;
}

/// Says when it is asked, and answers when it is told to.
#[derive(Clone, Default)]
struct Gated {
    asked: Arc<Notify>,
    answer: Arc<Notify>,
}

impl<C: Call> Plugin<C> for Gated {
    async fn call(&self, _: Arc<C>) -> Result<C::Reply, CallError> {
        self.asked.notify_one();
        self.answer.notified().await;
        Err(CallError::new(ErrorKind::Refused, "at last"))
    }
}

#[tokio::test]
async fn calls_that_have_begun_are_answered_at_the_end() {
    let plugin = Gated::default();
    let served = Served::start(plugin.clone(), &Module::ALL, Options::default()).await;
    let (grpc, http) = (served.grpc_bridge(None, None), served.http_bridge(Module::Auther, None, None));
    let grpc = tokio::spawn(async move { Plugin::<AuthenticationRequest>::call(&grpc, alice()).await });
    within("the gRPC call", plugin.asked.notified()).await;
    let http = tokio::spawn(async move { http.call(alice()).await });
    within("the HTTP call", plugin.asked.notified()).await;

    served.shutdown.cancel();
    let port = served.http;
    eventually("nobody to listen", PATIENCE, async || TcpStream::connect(("127.0.0.1", port)).await.err()).await;
    plugin.answer.notify_one();
    tokio::task::yield_now().await;
    plugin.answer.notify_one();
    let error = within("the gRPC reply", grpc).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the server answered Unknown: at last");
    let error = within("the HTTP reply", http).await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the server answered 500 Internal Server Error");
    served.end().await;
}

#[tokio::test]
async fn the_end_does_not_wait_for_ever() {
    let plugin = Gated::default();
    let options = Options { drain_timeout: Duration::from_millis(10), ..Options::default() };
    let served = Served::start(plugin.clone(), &Module::ALL, options).await;
    let grpc = served.grpc_bridge(None, None);
    let call = tokio::spawn(async move { Plugin::<AuthenticationRequest>::call(&grpc, alice()).await });
    within("the gRPC call", plugin.asked.notified()).await;
    served.end().await;
    assert_eq!(within("the call's failure", call).await.unwrap().unwrap_err().kind(), ErrorKind::BadReply);
}

#[tokio::test]
async fn whoever_only_connects_is_sent_away() {
    let short = Duration::from_millis(20);
    let options = Options { idle_timeout: short, read_timeout: short, drain_timeout: short, ..Options::default() };
    let plain = Served::all(options.clone()).await;
    let tls = Some(Authority::new().issue("127.0.0.1").server(&[]));
    let tls = Served::all(Options { tls, ..options }).await;
    for (port, said) in [
        (plain.http, &b""[..]),
        (plain.http, b"POST /auther HTTP/1.1\r\nHost:"),
        (plain.http, b"POST /auther HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{"),
        (plain.grpc, b""),
        (plain.grpc, b"PRI * HTTP/2.0"),
        (tls.http, b""),
        (tls.grpc, b"\x16\x03\x01"),
    ] {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut rest = Vec::new();
        // Closed or reset: over either way.
        let _ = within("the connection's end", stream.read_to_end(&mut rest)).await;
    }
    plain.end().await;
    tls.end().await;
}
