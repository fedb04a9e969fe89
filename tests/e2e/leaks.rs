//! Streams, tunnels and ports opened for others, by the hundred and most of them broken off: when they are gone, nothing of them is
//! left.

use std::net::SocketAddr;
use std::sync::Arc;

use drawspan_testkit::{
    Gateway, Misbehaviour, PATIENCE, connect, eventually, exchange, misbehaving, most_files, reset, tcp_echo, within,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

/// How much is open at a time.
const MANY: u16 = 300;
/// How often until what is kept for the next ones has been made.
const WARM: usize = 10;
/// How often then.
const ROUNDS: usize = 20;
/// KiB by which a gateway may grow in those: half a kilobyte for each that is opened. Its allocator makes up to half of that.
const ALLOWED: u64 = 3072;

/// A gateway that tells how many connections it serves.
struct Watched {
    gateway: Gateway,
    metrics: SocketAddr,
    /// Connections that stay.
    standing: u64,
}

impl Watched {
    async fn start(yaml: &str) -> Self {
        assert!(most_files() > 8 * u64::from(MANY), "too few files may be open here");
        let mut gateway = Gateway::start_sparing(&format!("{yaml}metrics: {{addr: '127.0.0.1:0'}}\n")).await;
        let metrics = gateway.addr("@metrics").await;
        Self { gateway, metrics, standing: 0 }
    }

    /// Connections that are being served, other than for this question.
    async fn serves(&self) -> u64 {
        let answer = exchange(self.metrics, b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        let in_flight = answer.lines().filter(|line| line.starts_with("gost_service_requests_in_flight{"));
        let others = in_flight.filter(|line| !line.contains("\"@metrics\""));
        others.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64).sum()
    }

    /// Waits until there is nothing to do.
    async fn rests_with(&self, files: usize) {
        let idle = async || (self.serves().await == self.standing).then_some(());
        eventually("nobody else to be served", PATIENCE, idle).await;
        self.gateway.rests_with(files).await;
    }
}

/// Opens and breaks off, over and over: each time files, threads and memory are what they were before.
async fn leaves_nothing_behind(gateways: &[&Watched], round: impl AsyncFn()) {
    round().await;
    let mut before = Vec::new();
    for it in gateways {
        it.rests_with(usize::MAX).await;
        before.push((it.gateway.open_files(), it.gateway.threads()));
    }
    let mut resident = vec![Vec::new(); gateways.len()];
    for _ in 1..WARM + ROUNDS {
        round().await;
        for ((it, (files, threads)), resident) in gateways.iter().zip(&before).zip(&mut resident) {
            it.rests_with(*files).await;
            let fewer = async || (it.gateway.threads() <= *threads).then_some(());
            eventually("threads to end", PATIENCE, fewer).await;
            resident.push(it.gateway.resident());
        }
    }
    println!("files and threads: {before:?}; resident: {resident:?} KiB");
    for resident in resident {
        let grown = resident.last().unwrap().saturating_sub(resident[WARM - 2]);
        assert!(grown < ALLOWED, "it grows: {resident:?} KiB");
    }
}

/// As many at once as [`MANY`]; each goes on when all are there.
async fn at_once<F: Future<Output = ()> + Send + 'static>(each: impl Fn(u16, Arc<Barrier>) -> F) {
    let barrier = Arc::new(Barrier::new(MANY.into()));
    let all: JoinSet<()> = (0..MANY).map(|number| each(number, Arc::clone(&barrier))).collect();
    within("all to be over", all.join_all()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_in_one_connection() {
    let (echo, resets) = (tcp_echo().await, misbehaving(Misbehaviour::Reset).await);
    let (echo, resets) = (echo.addr(), resets.addr());
    let mut node = Watched::start(
        "services: [{name: service-0, addr: '127.0.0.1:0', handler: {type: relay}, listener: {type: mtls}}]\n",
    )
    .await;
    let node_addr = node.gateway.proxy().await;
    let mut first = Watched::start(&format!(
        "services: [{{name: service-0, addr: '127.0.0.1:0', handler: {{type: http, chain: c}}}}]
chains: [{{name: c, hops: [{{name: h, nodes: [{{name: n, addr: '{node_addr}', connector: {{type: relay}}, dialer: {{type: mtls}}}}]}}]}}]
"
    ))
    .await;
    let proxy = first.gateway.proxy().await;
    leaves_nothing_behind(&[&first, &node], async || {
        at_once(|number, barrier| async move {
            let mut stream = TcpStream::connect(proxy).await.unwrap();
            let target = if number % 4 == 1 { resets } else { echo };
            stream.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes()).await.unwrap();
            let mut answer = [0; 4096];
            let read = stream.read(&mut answer).await.unwrap();
            assert!(answer[..read].starts_with(b"HTTP/1.1 200 "), "{:?}", String::from_utf8_lossy(&answer[..read]));
            barrier.wait().await;
            match number % 4 {
                0 => {
                    stream.write_all(b"hello").await.unwrap();
                    stream.read_exact(&mut [0; 5]).await.unwrap();
                    stream.shutdown().await.unwrap();
                    stream.read_to_end(&mut Vec::new()).await.unwrap();
                }
                1 => {
                    stream.write_all(b"hello").await.unwrap();
                    let _ = stream.read_to_end(&mut Vec::new()).await;
                }
                // What is on its way is lost.
                2 => {
                    let _ = stream.write_all(&[7; 300_000]).await;
                    reset(stream);
                }
                _ => drop(stream),
            }
        })
        .await;
    })
    .await;
    connect(proxy, "", echo).await.unwrap().echo(b"still there").await;
}

/// A relay request with these features.
fn relay(command: u8, features: &[&[u8]]) -> Vec<u8> {
    let features = features.concat();
    let length = u16::try_from(features.len()).unwrap().to_be_bytes();
    [&[1, command][..], &length, &features].concat()
}

/// The features of 127.0.0.1:0, and of the id of one of many tunnels.
const ANYWHERE: [u8; 10] = [2, 0, 7, 1, 127, 0, 0, 1, 0, 0];
const FIRST_TUNNEL: &str = "07070707-0707-0707-0707-070707070000";
fn tunnel(number: u16) -> Vec<u8> {
    [&[3, 0, 20][..], &[7; 14], &number.to_be_bytes(), &[0; 4]].concat()
}

/// The features of the answer to a relay request, if it is granted.
async fn granted(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.unwrap();
    let mut features = vec![0; u16::from_be_bytes([head[2], head[3]]).into()];
    stream.read_exact(&mut features).await.unwrap();
    (head[..2] == [1, 0]).then_some(features)
}

/// A visitor of that tunnel. Who serves it is answered before it can be visited.
async fn visit(addr: SocketAddr, number: u16) -> TcpStream {
    eventually("a visit", PATIENCE, async || {
        let mut visitor = TcpStream::connect(addr).await.unwrap();
        visitor.write_all(&relay(1, &[&ANYWHERE, &tunnel(number)])).await.unwrap();
        granted(&mut visitor).await.map(|_| visitor)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_serve_tunnels_and_their_visitors() {
    let mut server = Watched::start(
        "services: [{name: service-0, addr: '127.0.0.1:0', handler: {type: tunnel, metadata: {tunnel.direct: true}}}]\n",
    )
    .await;
    let addr = server.gateway.proxy().await;
    leaves_nothing_behind(&[&server], async || {
        at_once(|number, barrier| async move {
            let bind = relay(2, &[&ANYWHERE, &tunnel(number)]);
            let mut serving = TcpStream::connect(addr).await.unwrap();
            if number % 5 == 0 {
                serving.write_all(&bind[..bind.len() / 2]).await.unwrap();
                barrier.wait().await;
                return reset(serving);
            }
            serving.write_all(&bind).await.unwrap();
            if number % 5 == 1 {
                barrier.wait().await;
                return reset(serving);
            }
            granted(&mut serving).await.unwrap();
            if number % 5 == 2 {
                barrier.wait().await;
                return drop(serving);
            }
            let mut visitor = visit(addr, number).await;
            visitor.write_all(&[7; 100_000]).await.unwrap();
            // A stream was opened.
            serving.read_exact(&mut [0; 8]).await.unwrap();
            barrier.wait().await;
            if number % 5 == 3 {
                reset(visitor);
                drop(serving);
            } else {
                reset(serving);
                let _ = visitor.read_to_end(&mut Vec::new()).await;
            }
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn visits_to_a_client_that_serves_a_tunnel() {
    let echo = tcp_echo().await;
    let mut server = Watched::start(
        "services: [{name: service-0, addr: '127.0.0.1:0', handler: {type: tunnel, metadata: {tunnel.direct: true}}}]\n",
    )
    .await;
    let addr = server.gateway.proxy().await;
    let client = Watched::start(&format!(
        "services:
- {{name: service-0, addr: '127.0.0.1:0', handler: {{type: http}}}}
- {{name: tunnel, addr: ':0', handler: {{type: rtcp}}, listener: {{type: rtcp, chain: c}}, forwarder: {{nodes: [{{name: n, addr: '{}'}}]}}}}
chains: [{{name: c, hops: [{{name: h, nodes: [{{name: n, addr: '{addr}', connector: {{type: tunnel, metadata: {{tunnel.id: {FIRST_TUNNEL}}}}}}}]}}]}}]
",
        echo.addr()
    ))
    .await;
    server.standing = 1;
    leaves_nothing_behind(&[&server, &client], async || {
        at_once(|number, barrier| async move {
            let mut visitor = visit(addr, 0).await;
            visitor.write_all(b"hello").await.unwrap();
            visitor.read_exact(&mut [0; 5]).await.unwrap();
            barrier.wait().await;
            match number % 3 {
                0 => {
                    visitor.shutdown().await.unwrap();
                    visitor.read_to_end(&mut Vec::new()).await.unwrap();
                }
                1 => {
                    let _ = visitor.write_all(&[7; 300_000]).await;
                    reset(visitor);
                }
                _ => drop(visitor),
            }
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_that_are_listened_on_for_others() {
    let mut server = Watched::start(
        "services: [{name: service-0, addr: '127.0.0.1:0', handler: {type: relay, metadata: {bind: true}}}]\n",
    )
    .await;
    let addr = server.gateway.proxy().await;
    leaves_nothing_behind(&[&server], async || {
        at_once(|number, barrier| async move {
            let mut bound = TcpStream::connect(addr).await.unwrap();
            bound.write_all(&relay(2, &[&ANYWHERE])).await.unwrap();
            if number % 3 == 0 {
                barrier.wait().await;
                return reset(bound);
            }
            let features = granted(&mut bound).await.unwrap();
            let port = u16::from_be_bytes([features[8], features[9]]);
            let mut peer = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            peer.write_all(&[7; 100_000]).await.unwrap();
            // A stream was opened.
            bound.read_exact(&mut [0; 8]).await.unwrap();
            barrier.wait().await;
            if number % 3 == 1 {
                reset(peer);
                drop(bound);
            } else {
                reset(bound);
                let _ = peer.read_to_end(&mut Vec::new()).await;
            }
        })
        .await;
    })
    .await;
}
