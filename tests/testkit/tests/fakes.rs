//! The fakes do what they say: a test that trusts a broken fake proves nothing.

#![allow(clippy::unwrap_used, reason = "a test stops by panicking")]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use drawspan_proto::{AuthenticateReply, AuthenticateRequest};
use drawspan_testkit::{
    Authority, Dir, GrpcAnswer, GrpcPlugin, HttpAnswer, HttpPlugin, Misbehaviour, connect, exchange, get, http_origin,
    misbehaving, tcp_echo, unused_addr,
};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

const USERS: &[(&str, &str)] = &[("gost", "secret")];

/// Calls Authenticate and returns the HTTP body, and the gRPC status from wherever it stands.
async fn call<S>(stream: S, password: &str, token: &str) -> Result<(Bytes, String), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let message = AuthenticateRequest { username: "gost".into(), password: password.into(), ..Default::default() };
    let message = message.encode_to_vec();
    let body = [&[0, 0, 0, 0, u8::try_from(message.len()).unwrap()], message.as_slice()].concat();
    let request = Request::post("http://plugin/proto.Authenticator/Authenticate")
        .header("content-type", "application/grpc")
        .header("token", token)
        .body(Full::new(Bytes::from(body)))
        .unwrap();
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned().unwrap_or_default();
    let status = trailers.get("grpc-status").or(head.headers.get("grpc-status")).unwrap().to_str().unwrap().to_owned();
    Ok((body.to_bytes(), status))
}

fn reply(bytes: &Bytes) -> AuthenticateReply {
    AuthenticateReply::decode(&bytes[5..]).unwrap()
}

async fn tcp(plugin: &GrpcPlugin) -> TcpStream {
    TcpStream::connect(plugin.addr()).await.unwrap()
}

#[tokio::test]
async fn the_grpc_server_knows_its_users_and_its_token() {
    let plugin = GrpcPlugin::start_at(([127, 0, 0, 1], 0).into(), GrpcAnswer::Users(USERS), Some("t0ken"), None).await;

    let (body, status) = call(tcp(&plugin).await, "secret", "t0ken").await.unwrap();
    assert_eq!((reply(&body), status.as_str()), (AuthenticateReply { ok: true, id: "gost".into() }, "0"));

    let (body, status) = call(tcp(&plugin).await, "wrong", "t0ken").await.unwrap();
    assert_eq!((reply(&body), status.as_str()), (AuthenticateReply::default(), "0"));

    let (body, status) = call(tcp(&plugin).await, "secret", "wrong").await.unwrap();
    assert_eq!((body, status.as_str()), (Bytes::new(), "16"));

    let passwords: Vec<_> = plugin.calls().into_iter().map(|call| call.request.password).collect();
    assert_eq!(passwords, ["secret", "wrong", "secret"]);
}

#[tokio::test]
async fn the_grpc_server_answers_wrongly_on_demand() {
    let plugin = GrpcPlugin::start(GrpcAnswer::Status(14)).await;
    assert_eq!(call(tcp(&plugin).await, "secret", "").await.unwrap().1, "14");

    let plugin = GrpcPlugin::start(GrpcAnswer::Message(b"\xff\xff")).await;
    assert_eq!(call(tcp(&plugin).await, "secret", "").await.unwrap().0[5..], *b"\xff\xff");

    let plugin = GrpcPlugin::start(GrpcAnswer::Id("x".repeat(5 << 20))).await;
    assert_eq!(reply(&call(tcp(&plugin).await, "secret", "").await.unwrap().0).id.len(), 5 << 20);

    let plugin = GrpcPlugin::start(GrpcAnswer::Hangup).await;
    call(tcp(&plugin).await, "secret", "").await.unwrap_err();

    let plugin = GrpcPlugin::start(GrpcAnswer::Never).await;
    let silence = tokio::time::timeout(Duration::from_millis(50), call(tcp(&plugin).await, "secret", "")).await;
    assert!(silence.is_err());
    assert_eq!(plugin.calls().len(), 1);
}

#[tokio::test]
async fn the_grpc_server_serves_a_unix_socket() {
    let dir = Dir::new();
    let path = dir.join("plugin.sock");
    let _plugin = GrpcPlugin::start_unix(&path, GrpcAnswer::Users(USERS));
    let (body, _) = call(UnixStream::connect(path).await.unwrap(), "secret", "").await.unwrap();
    assert!(reply(&body).ok);
}

#[tokio::test]
async fn the_grpc_server_serves_tls_to_whom_its_authority_knows() {
    let authority = Authority::new();
    let tls = authority.issue("127.0.0.1").server(&["h2"]);
    let plugin = GrpcPlugin::start_tls(tls, GrpcAnswer::Users(USERS)).await;

    for (trusted, right) in [(&authority, true), (&Authority::new(), false)] {
        let mut config =
            rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(trusted.roots())
                .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        let stream = connector.connect(ServerName::try_from("127.0.0.1").unwrap(), tcp(&plugin).await).await;
        assert_eq!(stream.is_ok(), right);
        if let Ok(stream) = stream {
            assert!(reply(&call(stream, "secret", "").await.unwrap().0).ok);
        }
    }
}

#[tokio::test]
async fn a_stopped_server_frees_its_port_and_drops_its_connections() {
    let plugin = GrpcPlugin::start(GrpcAnswer::Users(USERS)).await;
    let addr = plugin.addr();
    let mut open = tcp(&plugin).await;
    plugin.stop().await;
    TcpStream::connect(addr).await.unwrap_err();
    // The preface and settings of the server may still come, then the end.
    let _ = tokio::io::copy(&mut open, &mut tokio::io::sink()).await;

    let again = GrpcPlugin::start_at(addr, GrpcAnswer::Users(USERS), None, None).await;
    assert_eq!(again.addr(), addr);
}

#[tokio::test]
async fn the_http_server_answers_as_told() {
    const RIGHT: &str = r#"{"username":"gost","password":"secret"}"#;
    for (answer, path, body, expected) in [
        (HttpAnswer::Users(USERS), "/auth", RIGHT, r#""id":"gost""#),
        (HttpAnswer::Users(USERS), "/auth", r#"{"username":"gost","password":"wrong"}"#, r#""ok":false"#),
        (HttpAnswer::reply(201, r#"{"ok":true}"#), "/auth", RIGHT, "HTTP/1.1 201 Created"),
        (HttpAnswer::RedirectToYes(302), "/auth", RIGHT, "location: /yes"),
        (HttpAnswer::RedirectToYes(302), "/yes", "", r#"{"ok":true}"#),
    ] {
        let plugin = HttpPlugin::start(answer).await;
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: plugin\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let reply = exchange(plugin.addr(), request.as_bytes()).await;
        assert!(reply.contains(expected), "{reply}");
        assert_eq!(plugin.calls()[0].path, path);
    }

    let plugin = HttpPlugin::start(HttpAnswer::Hangup).await;
    assert_eq!(exchange(plugin.addr(), b"POST / HTTP/1.1\r\nHost: plugin\r\n\r\n").await, "");
}

#[tokio::test]
async fn misbehaving_servers_misbehave() {
    assert!(exchange(misbehaving(Misbehaviour::Reset).await.addr(), b"hello").await.is_empty());
    TcpStream::connect(unused_addr()).await.unwrap_err();
}

#[tokio::test]
async fn origins_tell_what_they_got() {
    let origin = http_origin().await;
    let reply = get(origin.addr(), "X-Test: 1\r\n", origin.addr()).await;
    assert_eq!(reply.head.status, 200);
    assert!(reply.body.contains("GET http://") && reply.body.contains("x-test: 1"), "{}", reply.body);

    let head = connect(origin.addr(), "Connection: close\r\n", tcp_echo().await.addr()).await;
    assert!(head.is_ok(), "the origin answers CONNECT with 200 like anything else");
}
