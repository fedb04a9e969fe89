//! `connect`.

use std::net::SocketAddr;
use std::time::Duration;

use drawspan_bridge_wasm::Addresses;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::timeout;

use crate::support::{Guest, PATIENCE, keep_log, logged};

/// A guest that may connect to `address`.
async fn guest(address: SocketAddr) -> Guest {
    let to = Addresses { net: address.ip().into(), ports: address.port()..=address.port() };
    Guest::start("reach.wasm", |settings| {
        settings.connect = vec![to];
        settings.instances = 1;
        settings.name = format!("connect-{address}").into();
    })
    .await
}

/// A server that answers `pong` to each connection and hangs up.
async fn pong(address: &str) -> SocketAddr {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut ping = [0; 4];
                stream.read_exact(&mut ping).await.unwrap();
                stream.write_all(if &ping == b"ping" { b"pong" } else { b"what" }).await.unwrap();
            });
        }
    });
    address
}

#[tokio::test]
async fn only_to_what_is_granted() {
    keep_log();
    for local in ["127.0.0.1:0", "[::1]:0"] {
        let (granted, other) = (pong(local).await, pong(local).await);
        let guest = guest(granted).await;
        assert_eq!(guest.ask("tcp", &granted.to_string()).await.unwrap(), "pong", "{local}");
        assert_eq!(guest.refusal("tcp", &other.to_string()).await, "access-denied", "{local}");
        let lines = logged(&format!("connect-{granted}"));
        let told = format!("TcpConnect of {other} is refused: `connect` doesn't grant it");
        assert_eq!(lines.iter().filter(|line| **line == told).count(), 1, "{lines:?}");
    }
}

#[tokio::test]
async fn datagrams_go_where_connections_may() {
    let server = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (granted, stranger) = (server.local_addr().unwrap(), UdpSocket::bind("127.0.0.1:0").await.unwrap());
    tokio::spawn(async move {
        let mut ping = [0; 16];
        let (length, client) = server.recv_from(&mut ping).await.unwrap();
        assert_eq!(&ping[..length], b"ping");
        // What comes from elsewhere isn't seen.
        stranger.send_to(b"strange", client).await.unwrap();
        server.send_to(b"pong", client).await.unwrap();
    });
    let guest = guest(granted).await;
    assert_eq!(guest.ask("udp", &granted.to_string()).await.unwrap(), "pong");
    assert_eq!(guest.refusal("udp", "127.0.0.1:9").await, "access-denied");
}

#[tokio::test]
async fn nobody_connects_to_a_guest_and_no_name_is_resolved() {
    let granted: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let guest = guest(granted).await;
    assert_eq!(guest.refusal("listen", "127.0.0.1:0").await, "bind: access-denied");
    assert_eq!(guest.refusal("listen", "0.0.0.0:8080").await, "bind: access-denied");
    assert_eq!(guest.refusal("listen", "0.0.0.0:0").await, "listen: access-denied");
    assert_eq!(guest.refusal("bind-udp", "0.0.0.0:5353").await, "access-denied");
    assert_eq!(guest.refusal("bind-udp", "127.0.0.1:0").await, "access-denied");
    assert!(
        ["access-denied", "permanent-resolver-failure"].contains(&guest.refusal("resolve", "localhost").await.as_str())
    );
}

#[tokio::test]
async fn without_a_grant_there_is_no_socket() {
    let guest = Guest::start("reach.wasm", |_| ()).await;
    for what in ["tcp", "udp", "listen", "bind-udp"] {
        assert!(guest.refusal(what, "127.0.0.1:80").await.contains("access-denied"), "{what}");
    }
    assert_eq!(guest.ask("sockets", "").await.unwrap(), "0 access-denied");
}

#[tokio::test]
async fn open_sockets_are_counted() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let guest = guest(server.local_addr().unwrap()).await;
    // Each time: what a call closes is there for the next.
    for _ in 0..3 {
        assert_eq!(guest.ask("sockets", "").await.unwrap(), "32 new-socket-limit");
        let address = server.local_addr().unwrap().to_string();
        assert_eq!(guest.ask("tcp-many", &address).await.unwrap(), "32 new-socket-limit");
    }
}

#[tokio::test]
async fn a_waiting_guest_is_stopped_and_its_connection_closed() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = server.local_addr().unwrap().to_string();
    let guest = guest(server.local_addr().unwrap()).await;
    let (accepted, ended) =
        tokio::join!(server.accept(), timeout(Duration::from_millis(200), guest.ask("wait", &address)));
    ended.unwrap_err();
    let (mut stream, _) = accepted.unwrap();
    assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 1])).await.unwrap().unwrap_or(0), 0, "it is open still");
    // There is one instance: the next call gets another in its place.
    assert_eq!(guest.ask("ok", "").await.unwrap(), "ok");
}
