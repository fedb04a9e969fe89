//! UDP, interfaces and listeners in a whole gateway.

use std::net::SocketAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drawspan_testkit::{
    Dir, Gateway, HttpAnswer, HttpCall, HttpPlugin, PATIENCE, Signal, connect, eventually, run, tcp_echo, within,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

/// Sends back each datagram, the other way round.
async fn mirror() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65536];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            buffer[..length].reverse();
            let _ = socket.send_to(&buffer[..length], from).await;
        }
    });
    address
}

async fn client(address: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(address).await.unwrap();
    socket
}

async fn assert_mirrors(socket: &UdpSocket, data: &[u8]) {
    socket.send(data).await.unwrap();
    let mut buffer = vec![0; 65536];
    let length = within("a datagram", socket.recv(&mut buffer)).await.unwrap();
    assert!(buffer[..length].iter().rev().eq(data), "{} bytes", data.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_forwards_datagrams() {
    let mirror = mirror().await;
    let proxy = "socks5://127.0.0.1:0?udp=true";
    let mut onward = Gateway::start_with(Dir::new(), &["-L", proxy]).await;
    let listen = format!("udp://127.0.0.1:0/{mirror}?keepalive=true&ttl=30s");
    let node = format!("socks5://{}", onward.proxy().await);
    for args in [&["-L", &listen][..], &["-L", &listen, "-F", &node]] {
        let mut gateway = Gateway::start_with(Dir::new(), args).await;
        let socket = client(gateway.proxy().await).await;
        for data in [&b"one"[..], &[7; 1400], &[9; 60_000]] {
            assert_mirrors(&socket, data).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_modules_are_asked_in_order() {
    let mirror = mirror().await;
    let answer = r#"{"ok":true,"ips":["127.0.0.1"],"in":0,"out":0}"#;
    let plugin = HttpPlugin::start(HttpAnswer::reply(200, answer)).await;
    let yaml = "
services:
- name: service-0
  addr: 127.0.0.1:0
  admission: a
  limiter: l
  hosts: h
  recorders:
  - {name: r, record: recorder.service.client.address}
  - {name: r, record: recorder.service.router.dial.address}
  - {name: r, record: recorder.service.handler}
  handler: {type: udp}
  listener: {type: udp}
  forwarder: {nodes: [{name: target-0, addr: 'mirror.test:PORT'}]}
admissions: [{name: a, plugin: {type: http, addr: 'http://PLUGIN/admission'}}]
limiters: [{name: l, plugin: {type: http, addr: 'http://PLUGIN/limiter'}}]
hosts: [{name: h, plugin: {type: http, addr: 'http://PLUGIN/hosts'}}]
recorders: [{name: r, plugin: {type: http, addr: 'http://PLUGIN/recorder'}}]
";
    let yaml = yaml.replace("PORT", &mirror.port().to_string()).replace("PLUGIN", &plugin.addr().to_string());
    let mut gateway = Gateway::start(&yaml).await;
    let socket = client(gateway.proxy().await).await;
    assert_mirrors(&socket, b"hello").await;
    eventually("the session's record", PATIENCE, async || (plugin.calls().len() == 7).then_some(())).await;
    let calls = plugin.calls();
    let asked: Vec<_> = calls.iter().map(|call| call.path.as_str()).collect();
    assert_eq!(asked, ["/admission", "/recorder", "/limiter", "/limiter", "/recorder", "/hosts", "/recorder"]);
    let local = socket.local_addr().unwrap().to_string();
    let admission = &calls[0].body;
    assert_eq!((&admission["service"], &admission["addr"]), (&"service-0".into(), &local.as_str().into()));
    for (call, scope) in calls[2..4].iter().zip(["conn", "service"]) {
        assert_eq!((&call.body["scope"], &call.body["network"]), (&scope.into(), &"udp".into()), "{call:?}");
    }
    let record = STANDARD.decode(calls[6].body["data"].as_str().unwrap()).unwrap();
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    let name = format!("mirror.test:{}", mirror.port());
    assert_eq!(record["network"], "udp");
    assert_eq!((&record["host"], &record["node"]), (&name.as_str().into(), &"target-0".into()));
    assert_eq!((&record["client"], &record["dst"]), (&local.into(), &mirror.to_string().into()));
    assert_eq!((&record["inputBytes"], &record["outputBytes"]), (&5.into(), &5.into()));
    assert_eq!(record["route"], mirror.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_leave_from_the_interface_that_is_named() {
    let sees = tcp_source().await;
    let yaml = "
services:
- {name: service-0, addr: '127.0.0.1:0', metadata: {interface: '192.0.2.1,127.0.0.2'}, handler: {type: http}}
- {name: by-node, addr: '127.0.0.1:0', interface: 127.0.0.2, handler: {type: http, chain: direct}}
- {name: by-hop, addr: '127.0.0.1:0', handler: {type: http, chain: hop}}
- {name: by-service, addr: '127.0.0.1:0', interface: 127.0.0.6, handler: {type: http, chain: plain}}
- {name: strict, addr: '127.0.0.1:0', metadata: {interface: '192.0.2.1!,127.0.0.2'}, handler: {type: http}}
- name: forward
  addr: 127.0.0.1:0
  handler: {type: tcp}
  forwarder: {nodes: [{name: n, addr: 'TARGET', metadata: {interface: 127.0.0.5}}]}
- {name: rejecting, addr: '127.0.0.1:0', handler: {type: http, chain: reject}}
chains:
- {name: plain, hops: [{name: h, nodes: [{name: n, addr: 'TARGET', connector: {type: tcp}}]}]}
- name: direct
  hops: [{name: h, nodes: [{name: n, interface: 127.0.0.3, connector: {type: direct}, dialer: {type: direct}}]}]
- name: hop
  hops: [{name: h, interface: 127.0.0.4, nodes: [{name: n, connector: {type: virtual}, dialer: {type: virtual}}]}]
- name: reject
  hops: [{name: h, nodes: [{name: n, connector: {type: direct, metadata: {action: reject}}, dialer: {type: direct}}]}]
";
    let mut gateway = Gateway::start(&yaml.replace("TARGET", &sees.to_string())).await;
    for (service, source) in
        [("service-0", "127.0.0.2"), ("by-node", "127.0.0.3"), ("by-hop", "127.0.0.4"), ("by-service", "127.0.0.6")]
    {
        let proxy = gateway.addr(service).await;
        let request = format!("CONNECT {sees} HTTP/1.1\r\n\r\n");
        let answer = ask(proxy, request.as_bytes()).await;
        assert!(answer.ends_with(&format!("\r\n\r\n{source}")), "{service}: {answer}");
    }
    assert_eq!(ask(gateway.addr("forward").await, b"").await, "127.0.0.5");
    let request = format!("CONNECT {sees} HTTP/1.1\r\n\r\n");
    let strict = ask(gateway.addr("strict").await, request.as_bytes()).await;
    assert!(strict.starts_with("HTTP/1.1 503 "), "{strict}");
    eventually("the reason", PATIENCE, async || gateway.log_text().contains("from 192.0.2.1: ").then_some(())).await;
    // As GOST has it: what is rejected is a connection that ends at once.
    let rejected = ask(gateway.addr("rejecting").await, request.as_bytes()).await;
    assert_eq!(rejected, "HTTP/1.1 200 Connection established\r\nProxy-Agent: gost/3.0\r\n\r\n");
}

/// Tells each client its IP address.
async fn tcp_source() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, from)) = listener.accept().await {
            let _ = stream.write_all(from.ip().to_string().as_bytes()).await;
        }
    });
    address
}

/// All that comes back.
async fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    within("an answer", stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_out_of_file_descriptors_pauses_and_goes_on() {
    let (echo, observer) = (tcp_echo().await, HttpPlugin::start(HttpAnswer::reply(200, r#"{"ok":true}"#)).await);
    let yaml = format!(
        "services: [{{name: service-0, addr: '127.0.0.1:0', observer: o, handler: {{type: http}}}}]
observers: [{{name: o, plugin: {{type: http, addr: 'http://{}/'}}}}]",
        observer.addr()
    );
    let mut gateway = Gateway::start(&yaml).await;
    let proxy = gateway.proxy().await;
    let told = async |states: &[&str]| {
        let state = |call: &HttpCall| call.body["events"][0]["status"]["state"].as_str().map(str::to_owned);
        eventually("the states", PATIENCE, async || {
            let told: Vec<_> = observer.calls().iter().filter_map(state).collect();
            (told == states).then_some(())
        })
        .await;
    };
    told(&["running", "ready"]).await;
    gateway.allow_files(8);
    let mut clients = Vec::new();
    for _ in 0..16 {
        clients.push(TcpStream::connect(proxy).await.unwrap());
    }
    // It would be thousands of lines if it tried again at once.
    let pauses = |gateway: &Gateway| -> Vec<String> {
        let logs = gateway.logs_matching(|line| line.field("msg").starts_with("can't accept"));
        logs.iter().map(|line| line.field("msg").to_owned()).collect()
    };
    eventually("two pauses", PATIENCE, async || (pauses(&gateway).len() >= 2).then_some(())).await;
    assert_eq!(pauses(&gateway)[..2], ["can't accept; trying again in 1s", "can't accept; trying again in 2s"]);
    told(&["running", "ready", "failed"]).await;
    // Enough for those that still wait to be accepted beside those that aren't closed yet.
    gateway.allow_files(64);
    drop(clients);
    connect(proxy, "", echo.addr()).await.unwrap().echo(b"hello").await;
    told(&["running", "ready", "failed", "ready"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_while_the_gateway_ends() {
    let target = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let listen = format!("udp://127.0.0.1:0/{}", target.local_addr().unwrap());
    let mut gateway = Gateway::start_with(Dir::new(), &["-L", &listen]).await;
    let socket = client(gateway.proxy().await).await;
    socket.send(b"question").await.unwrap();
    let (mut buffer, from) = ([0; 16], within("the question", target.recv_from(&mut [0; 16])).await.unwrap().1);
    gateway.signal(Signal::TERM);
    eventually("the end to begin", PATIENCE, async || gateway.log_text().contains("shutting down").then_some(())).await;
    target.send_to(b"answer", from).await.unwrap();
    assert_eq!(within("the answer", socket.recv(&mut buffer)).await.unwrap(), 6);
    assert_eq!(gateway.finish().await.code, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_in_use_is_named() {
    let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), client("127.0.0.1:9".parse().unwrap()).await);
    let forward = "handler: {type: udp}, listener: {type: udp}, forwarder: {nodes: [{name: n, addr: '127.0.0.1:9'}]}";
    for (addr, service) in [(tcp.local_addr().unwrap(), "handler: {type: http}"), (udp.local_addr().unwrap(), forward)]
    {
        let dir = Dir::new();
        dir.write("gateway.yaml", format!("services: [{{name: s, addr: '{addr}', {service}}}]"));
        let finished = run(dir.path(), &["-C", "gateway.yaml"]).await;
        assert_eq!(finished.code, Some(1), "{}", finished.stderr);
        let expected = format!("service `s`: can't listen on {addr}: Address already in use");
        assert!(finished.stderr.contains(&expected), "{}", finished.stderr);
    }
}
