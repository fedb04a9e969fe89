//! Routers of packets whose plugins fail.

use std::net::SocketAddr;
use std::time::Duration;

use drawspan_testkit::{Gateway, within};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::tunnels::{HANGING, failing};

const ROUTER: [u8; 16] = [7; 16];

/// A router with these keys, between the clients `a`, `b` and one that is elsewhere; these objects follow.
async fn router(keys: &str, objects: &str) -> (Gateway, SocketAddr) {
    let routes = ["192.0.2.0/24, gateway: a", "203.0.113.0/24, gateway: b", "198.51.100.0/24, gateway: elsewhere"];
    let routes = routes.map(|route| format!("{{dst: {route}}}")).join(", ");
    let mut gateway = Gateway::start(&format!(
        "services: [{{name: service-0, addr: '127.0.0.1:0', handler: {{type: router, metadata: {{{keys}}}}}}}]
routers:
- {{name: table, routes: [{routes}]}}
{objects}
"
    ))
    .await;
    let addr = gateway.proxy().await;
    (gateway, addr)
}

/// A client of that name, if the router takes it: its connection, or the answer's status.
async fn join(addr: SocketAddr, name: &str) -> Result<TcpStream, u8> {
    let mut features = b"\x04\x00\x02\x00\x02\x02\x00\x07\x01\x7f\x00\x00\x01\x00\x00".to_vec();
    let length = u8::try_from(name.len()).unwrap();
    features.extend([2, 0, length + 4, 3, length]);
    features.extend(name.as_bytes());
    features.extend([0, 0, 3, 0, 20]);
    features.extend(ROUTER);
    features.extend([0; 4]);
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = [&[1, 3, 0, u8::try_from(features.len()).unwrap()][..], &features].concat();
    stream.write_all(&request).await.unwrap();
    let mut head = [0; 4];
    within("an answer", stream.read_exact(&mut head)).await.unwrap();
    if head[1] != 0 {
        return Err(head[1]);
    }
    stream.read_exact(&mut vec![0; u16::from_be_bytes([head[2], head[3]]).into()]).await.unwrap();
    Ok(stream)
}

/// A packet to that address, in its frame: an IPv4 header alone.
fn packet(to: [u8; 4]) -> Vec<u8> {
    let header = [&[0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 2][..], &to].concat();
    [&[0, 20][..], &header].concat()
}

/// Waits until a packet comes from `a` to `b`: who joins is answered before it can be reached.
async fn passes(what: &str, a: &mut TcpStream, b: &mut TcpStream) {
    let packet = packet([203, 0, 113, 5]);
    let mut received = vec![0; packet.len()];
    let sending = async {
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        loop {
            pace.tick().await;
            a.write_all(&packet).await.unwrap();
        }
    };
    tokio::select! {
        () = sending => {}
        read = within(what, b.read_exact(&mut received)) => drop(read.unwrap()),
    }
    assert_eq!(received, packet);
}

#[tokio::test(flavor = "multi_thread")]
async fn service_discovery_that_fails_keeps_no_packet_from_who_is_here() {
    let (blocks, _http, _grpc) = failing().await;
    for (what, block) in blocks {
        println!("{what}: {block}");
        let sds = format!("sds: [{{name: s, plugin: {block}}}]");
        let (_gateway, addr) = router("router: table, sd: s, entrypoint: '127.0.0.1:0'", &sds).await;
        let (mut a, mut b) = (join(addr, "a").await.unwrap(), join(addr, "b").await.unwrap());
        if what != HANGING {
            // A client's packets wait for the answers about those before them.
            a.write_all(&packet([198, 51, 100, 5])).await.unwrap();
        }
        passes(what, &mut a, &mut b).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ingress_that_fails_lets_nobody_in_and_after_a_router_that_fails_the_next_is_asked() {
    let (blocks, _http, _grpc) = failing().await;
    for (what, block) in blocks.into_iter().filter(|(what, _)| *what != HANGING) {
        println!("{what}: {block}");
        let ingresses = format!("ingresses: [{{name: i, plugin: {block}}}]");
        let (_gateway, addr) = router("router: table, ingress: i", &ingresses).await;
        assert_eq!(join(addr, "a").await.unwrap_err(), 6);

        // Named by the id, it is asked first; then the table is.
        let id = "07070707-0707-0707-0707-070707070707";
        let (_gateway, addr) = router("router: table", &format!("- {{name: {id}, plugin: {block}}}")).await;
        let (mut a, mut b) = (join(addr, "a").await.unwrap(), join(addr, "b").await.unwrap());
        passes(what, &mut a, &mut b).await;
    }
}
