//! Connections that break off, wait or are too many, at every step: each costs something while it is there, and nothing
//! afterwards.

use std::net::SocketAddr;
use std::time::Duration;

use drawspan_testkit::{
    Gateway, Misbehaviour, PATIENCE, Server, connect, endless_origin, eventually, misbehaving, most_files, reset,
    tcp_echo, unused_addr, within,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A service of each protocol. Clients have a second for what comes before the bytes.
const SERVICES: &str = "services:
- {name: service-0, addr: '127.0.0.1:0', handler: {type: http, metadata: {readTimeout: 1s}}}
- {name: socks4, addr: '127.0.0.1:0', handler: {type: socks4, metadata: {readTimeout: 1s}}}
- {name: socks5, addr: '127.0.0.1:0', handler: {type: socks5, metadata: {readTimeout: 1s, bind: true, udp: true}}}
- {name: auto, addr: '127.0.0.1:0', handler: {type: auto, metadata: {readTimeout: 1s}}}
- {name: relay, addr: '127.0.0.1:0', handler: {type: relay, metadata: {readTimeout: 1s}}}
- {name: tunnel, addr: '127.0.0.1:0', handler: {type: tunnel, metadata: {readTimeout: 1s}}}
- {name: mtcp, addr: '127.0.0.1:0', listener: {type: mtcp, metadata: {mux.version: 1}}, handler: {type: relay}}
- {name: tls, addr: '127.0.0.1:0', listener: {type: tls}, handler: {type: http, metadata: {readTimeout: 1s}}}
- name: ws
  addr: '127.0.0.1:0'
  listener: {type: ws, metadata: {handshakeTimeout: 1s}}
  handler: {type: http, metadata: {readTimeout: 1s}}
- {name: proxied, addr: '127.0.0.1:0', metadata: {proxyProtocol: 1}, handler: {type: http, metadata: {readTimeout: 1s}}}
- name: sniffed
  addr: '127.0.0.1:0'
  handler: {type: tcp, metadata: {readTimeout: 1s, sniffing: true, sniffing.timeout: 1s}}
  forwarder: {nodes: [{name: n, addr: '$ECHO'}]}
- {name: forward, addr: '127.0.0.1:0', handler: {type: tcp}, forwarder: {nodes: [{name: n, addr: '$ECHO'}]}}
";

const ESTABLISHED: &str = "HTTP/1.1 200 Connection established\r\nProxy-Agent: gost/3.0\r\n\r\n";

/// What a client sends, and how many bytes it waits for then.
type Step = (Vec<u8>, usize);

/// What a client sends to each service, step by step.
fn protocols(echo: SocketAddr) -> Vec<(&'static str, Vec<Step>)> {
    let SocketAddr::V4(v4) = echo else { panic!("{echo}") };
    let (ip, port) = (v4.ip().octets(), v4.port().to_be_bytes());
    let hello = || (b"hello".to_vec(), 5);
    let text = |text: &str, answer: usize| (text.as_bytes().to_vec(), answer);
    let http = || vec![text(&format!("CONNECT {echo} HTTP/1.1\r\nHost: {echo}\r\n\r\n"), ESTABLISHED.len()), hello()];
    let post = format!("POST http://{echo}/ HTTP/1.1\r\nHost: {echo}\r\nContent-Length: 9\r\n\r\nhalf");
    let socks5 = |command: u8, target: [&[u8]; 2]| {
        vec![(vec![5, 1, 0], 2), ([&[5, command, 0, 1], target[0], target[1]].concat(), 10), hello()]
    };
    let connect5 = || socks5(1, [&ip, &port]);
    let answered = |mut steps: Vec<Step>| {
        steps.pop();
        steps
    };
    let upgrade = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let relay = [&[1, 1, 0, 10, 2, 0, 7, 1][..], &ip, &port].concat();
    // A tunnel's id, and the features of an address.
    let bind = [&[1, 2, 0, 33, 2, 0, 7, 1, 0, 0, 0, 0, 0, 0, 3, 0, 20][..], &[7; 16], &[0; 4]].concat();
    vec![
        ("service-0", http()),
        ("service-0", vec![text(&post, 0)]),
        ("socks4", vec![([&[4, 1][..], &port, &ip, &[0]].concat(), 8), hello()]),
        ("socks5", connect5()),
        ("socks5", answered(socks5(2, [&[0; 4], &[0; 2]]))),
        ("socks5", answered(socks5(3, [&[0; 4], &[0; 2]]))),
        ("socks5", answered(socks5(0xf3, [&[0; 4], &[0; 2]]))),
        ("auto", http()),
        ("auto", connect5()),
        ("relay", vec![(relay.clone(), 4), hello()]),
        // Its answer names its host, and who it is.
        ("tunnel", vec![(bind, 50)]),
        ("mtcp", vec![(frame(0, b""), 0), (frame(2, &relay), 8 + 4), (frame(2, b"hello"), 8 + 5), (frame(1, b""), 8)]),
        ("tls", vec![(client_hello(), 1), (vec![20, 3, 3, 0, 1, 1], 0)]),
        ("ws", vec![text(upgrade, 1), (vec![0x82, 0x85, 1, 2, 3, 4, 5], 0)]),
        ("proxied", [vec![text("PROXY TCP4 192.0.2.7 127.0.0.1 1 2\r\n", 0)], http()].concat()),
        ("sniffed", vec![text("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1)]),
        ("sniffed", vec![(client_hello(), 1)]),
        ("forward", vec![hello()]),
    ]
}

fn client_hello() -> Vec<u8> {
    let config = rustls::ClientConfig::builder().with_root_certificates(rustls::RootCertStore::empty());
    let name = "x.test".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(config.with_no_client_auth().into(), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    hello
}

/// How far a client comes in its last step.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Until {
    Half,
    Sent,
    Answered,
}

/// Takes all steps up to `last`, and that as far as `until` says.
async fn play(addr: SocketAddr, steps: &[Step], last: usize, until: Until) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    for (at, (send, answer)) in steps[..=last].iter().enumerate() {
        let is_half = at == last && until == Until::Half;
        stream.write_all(&send[..if is_half { send.len() / 2 } else { send.len() }]).await.unwrap();
        if at < last || until == Until::Answered {
            within("an answer", stream.read_exact(&mut vec![0; *answer])).await.unwrap();
        }
    }
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_break_off_at_each_step_leave_nothing_behind() {
    let echo = tcp_echo().await;
    let mut gateway = Gateway::start(&SERVICES.replace("$ECHO", &echo.addr().to_string())).await;
    let protocols = protocols(echo.addr());
    let files = gateway.open_files();
    for (service, steps) in &protocols {
        let addr = gateway.addr(service).await;
        for last in 0..steps.len() {
            for until in [Until::Half, Until::Sent, Until::Answered] {
                println!("{service}, step {last}: {until:?}");
                reset(play(addr, steps, last, until).await);
                drop(play(addr, steps, last, until).await);
            }
        }
    }
    gateway.rests_with(files).await;
    assert_serves(&mut gateway, &echo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_take_too_long_are_closed() {
    let echo = tcp_echo().await;
    let mut gateway = Gateway::start(&SERVICES.replace("$ECHO", &echo.addr().to_string())).await;
    let files = gateway.open_files();
    let mut clients = JoinSet::new();
    for (service, steps) in protocols(echo.addr()) {
        // A header that is none in time is none, a forwarder has no time of its own, and who shares a connection has another.
        if ["proxied", "forward", "sniffed", "mtcp"].contains(&service) {
            continue;
        }
        let addr = gateway.addr(service).await;
        for is_silent in [true, false] {
            let steps = steps.clone();
            clients.spawn(async move {
                let half = steps[0].0.len() / 2;
                let (mut reader, mut writer) = TcpStream::connect(addr).await.unwrap().into_split();
                let sending = tokio::spawn(async move {
                    let mut pace = tokio::time::interval(Duration::from_millis(200));
                    // The last byte never comes.
                    for byte in &steps[0].0[..steps[0].0.len() - 1] {
                        if writer.write_all(&[*byte]).await.is_err() {
                            return;
                        }
                        if !is_silent || half == 0 {
                            pace.tick().await;
                        }
                    }
                    std::future::pending::<()>().await;
                });
                // It may be told why.
                let _ = within("the end", reader.read_to_end(&mut Vec::new())).await;
                sending.abort();
                println!("{service} has closed");
            });
        }
    }
    clients.join_all().await;
    gateway.rests_with(files).await;
    assert_serves(&mut gateway, &echo).await;
}

/// Answers the first bytes with `answer`, and resets the connection.
async fn resetting(answer: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream.write_all(answer).await;
                reset(stream);
            });
        }
    });
    addr
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_that_break_off_at_each_step_leave_nothing_behind() {
    let answers: [(&str, &[&[u8]]); 6] = [
        (
            "connector: {type: http}",
            &[b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nbytes"],
        ),
        ("connector: {type: socks4}", &[b"", b"\x00\x5a", b"\x00\x5a\0\0\0\0\0\0", b"\x00\x5a\0\0\0\0\0\0bytes"]),
        (
            "connector: {type: socks5, metadata: {notls: true}}",
            &[b"", b"\x05", b"\x05\x00", b"\x05\x00\x05\x00\x00\x01"],
        ),
        ("connector: {type: relay}", &[b"", b"\x01", b"\x01\x00\x00\x00", b"\x01\x00\x00\x00bytes"]),
        ("dialer: {type: tls}", &[b"", b"\x16\x03\x03", b"\x15\x03\x03\x00\x02\x02\x28"]),
        ("dialer: {type: ws}", &[b"", b"HTTP/1.1 101", b"HTTP/1.1 400 Bad Request\r\n\r\n"]),
    ];
    let (mut services, mut chains) = ("services:\n".to_owned(), "chains:\n".to_owned());
    let mut names = Vec::new();
    for (kind, answers) in answers {
        for answer in answers {
            let (name, addr) = (format!("service-{}", names.len()), resetting(answer).await);
            services += &format!("- {{name: {name}, addr: '127.0.0.1:0', handler: {{type: http, chain: {name}}}}}\n");
            chains +=
                &format!("- {{name: {name}, hops: [{{name: h, nodes: [{{name: n, addr: '{addr}', {kind}}}]}}]}}\n");
            names.push(name);
        }
    }
    let mut gateway = Gateway::start(&(services + &chains)).await;
    let echo = tcp_echo().await;
    let files = gateway.open_files();
    for name in &names {
        println!("{name}");
        let addr = gateway.addr(name).await;
        for request in [
            format!("CONNECT {0} HTTP/1.1\r\nHost: {0}\r\n\r\nhello", echo.addr()),
            format!("GET http://{0}/ HTTP/1.1\r\nHost: {0}\r\n\r\n", echo.addr()),
        ] {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut answer = Vec::new();
            let _ = within("the end", stream.read_to_end(&mut answer)).await;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            // A reset may overtake an answer; nothing else comes than one of these.
            let known = ["", "HTTP/1.1 200 Connection established", "HTTP/1.1 50"];
            assert!(known.iter().any(|known| answer.starts_with(known)), "{answer}");
        }
    }
    gateway.rests_with(files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_cost_nothing_when_they_are_gone() {
    // A tunnel has two connections, of the gateway's and of ours.
    const TUNNELS: u64 = 5000;
    let tunnels = TUNNELS.min(most_files().saturating_sub(1000) / 2);
    let echo = tcp_echo().await;
    let mut gateway = Gateway::start(&SERVICES.replace("$ECHO", &echo.addr().to_string())).await;
    let (forward, files, before) = (gateway.addr("forward").await, gateway.open_files(), gateway.resident());
    let mut resident = Vec::new();
    for round in 0..3 {
        let mut clients = JoinSet::new();
        for _ in 0..8 {
            clients.spawn(async move {
                let mut open = Vec::new();
                for _ in 0..tunnels / 8 {
                    let mut stream = TcpStream::connect(forward).await.unwrap();
                    stream.write_all(b"hello").await.unwrap();
                    within("the echo", stream.read_exact(&mut [0; 5])).await.unwrap();
                    open.push(stream);
                }
                open
            });
        }
        let open: Vec<_> = clients.join_all().await.into_iter().flatten().collect();
        let idle = files + 2 * open.len();
        gateway.rests_with(idle).await;
        assert!(gateway.open_files() >= idle, "{} of {idle}", gateway.open_files());
        resident.push(gateway.resident());
        assert_serves(&mut gateway, &echo).await;
        // Both ways to end.
        if round % 2 == 0 {
            open.into_iter().for_each(reset)
        } else {
            drop(open)
        }
        gateway.rests_with(files).await;
    }
    println!(
        "resident at first {before} KiB, with {tunnels} tunnels {resident:?} KiB, afterwards {} KiB",
        gateway.resident()
    );
    assert!(resident[2] < resident[0] + resident[0] / 10, "it grows: {resident:?} KiB");
    // What is left is the code that has run since, and what the threads keep at hand.
    let returned = async || (gateway.resident() < before + before / 3).then_some(());
    eventually("the memory to be given back", PATIENCE, returned).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_that_come_and_go_lose_nobody() {
    let (echo, comes_and_goes) = (tcp_echo().await, unused_addr());
    let mut node = Gateway::start("services: [{name: service-0, addr: '127.0.0.1:0', handler: {type: http}}]").await;
    let yaml = format!(
        "services: [{{name: service-0, addr: '127.0.0.1:0', handler: {{type: http, retries: 2, chain: c}}}}]
chains:
- name: c
  hops:
  - name: h
    selector: {{strategy: round, maxFails: 1, failTimeout: 1s}}
    nodes: [{{name: a, addr: '{}'}}, {{name: b, addr: '{comes_and_goes}'}}]
",
        node.addr("service-0").await
    );
    let mut gateway = Gateway::start(&yaml).await;
    let (proxy, files) = (gateway.proxy().await, gateway.open_files());
    for round in 0..6 {
        let up = if round % 2 == 0 {
            None
        } else {
            let listener = TcpListener::bind(comes_and_goes).await.unwrap();
            Some(tokio::spawn(async move {
                // There, and no proxy.
                while let Ok((stream, _)) = listener.accept().await {
                    reset(stream);
                }
            }))
        };
        for _ in 0..20 {
            connect(proxy, "", echo.addr()).await.unwrap().echo(b"hello").await;
        }
        if let Some(up) = up {
            up.abort();
            let _ = up.await;
        }
    }
    gateway.rests_with(files).await;
}

/// Settings of connections that carry many: whoever is silent for a second is dead.
const RESTLESS: &str = "metadata: {mux.version: 1, mux.keepaliveInterval: 100ms, mux.keepaliveTimeout: 1s}";

/// A frame of smux, version 1.
fn frame(command: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_le_bytes();
    [&[1, command][..], &length, &3_u32.to_le_bytes(), data].concat()
}

/// A relay behind connections that carry many.
async fn shared_relay() -> Gateway {
    Gateway::start(&format!(
        "services: [{{name: service-0, addr: '127.0.0.1:0', listener: {{type: mtcp, {RESTLESS}}}, handler: {{type: relay}}}}]"
    ))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_shared_connection_that_say_nothing_any_more_are_dead() {
    let (endless, mut gateway) = (endless_origin().await, shared_relay().await);
    let (addr, files) = (gateway.proxy().await, gateway.open_files());
    let SocketAddr::V4(target) = endless.addr() else { panic!() };
    let request = [&[1, 1, 0, 10, 2, 0, 7, 1][..], &target.ip().octets(), &target.port().to_be_bytes()].concat();
    let opened = [frame(0, b""), frame(2, &request)].concat();
    for said in [vec![], opened[..opened.len() / 2].to_vec(), opened.clone()] {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        stream.write_all(&said).await.unwrap();
        // It hears what it is told, and answers none of it.
        within("the end", stream.read_to_end(&mut Vec::new())).await.unwrap();
    }
    // What the target says to this one fills the connection: it doesn't even listen.
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&[opened, frame(2, b"hello")].concat()).await.unwrap();
    within("an answer", stream.read_exact(&mut [0; 4096])).await.unwrap();
    assert!(gateway.open_files() > files);
    gateway.rests_with(files).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_of_a_shared_connection_that_say_nothing_are_dead() {
    let (reads, echo, mut node) = (misbehaving(Misbehaviour::Hold).await, tcp_echo().await, shared_relay().await);
    // It accepts, and doesn't even read.
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nodes = [reads.addr(), deaf.local_addr().unwrap(), node.proxy().await].map(|addr| {
        format!("{{name: n, addr: '{addr}', connector: {{type: relay, metadata: {{nodelay: true}}}}, dialer: {{type: mtcp, {RESTLESS}}}}}")
    });
    let mut gateway = Gateway::start(&format!(
        "services: [{{name: service-0, addr: '127.0.0.1:0', handler: {{type: http, chain: c, retries: 3}}}}]
chains: [{{name: c, hops: [{{name: h, selector: {{strategy: round}}, nodes: [{}]}}]}}]
",
        nodes.join(", ")
    ))
    .await;
    let files = gateway.open_files();
    connect(gateway.proxy().await, "", echo.addr()).await.unwrap().echo(b"by the last one").await;
    // The connection to that one.
    gateway.rests_with(files + 1).await;
}

async fn assert_serves(gateway: &mut Gateway, echo: &Server) {
    connect(gateway.proxy().await, "", echo.addr()).await.unwrap().echo(b"still there").await;
}
