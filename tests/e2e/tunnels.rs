//! Tunnels whose ingress and service discovery are plugins, well-behaved or not, and whose clients come and go.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use drawspan_testkit::{
    Dir, Gateway, GrpcAnswer, GrpcPlugin, HttpAnswer, HttpPlugin, LogLine, Misbehaviour, PATIENCE, Signal,
    endless_origin, eventually, exchange, http_origin, misbehaving, reset, tcp_echo, unused_addr, within,
};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const INGRESS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples/ingress-rust/ingress.wasm");
const SD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples/sd-rust/sd.wasm");
const SCRIPTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guests/prebuilt/scripted.wasm");
const TUNNEL: &str = "4d21094e-b74c-4916-86c1-d9fa36ea677b";

/// A tunnel server with these keys and these objects beside it; its address, and its entry point's.
async fn server(keys: &str, objects: &str) -> (Gateway, SocketAddr, SocketAddr) {
    server_of("", keys, objects).await
}

/// The same with these keys of the service, each with a comma behind it.
async fn server_of(service: &str, keys: &str, objects: &str) -> (Gateway, SocketAddr, SocketAddr) {
    let handler = format!("{{type: tunnel, metadata: {{entrypoint: \"127.0.0.2:0\", tunnel.ttl: 1s, {keys}}}}}");
    let yaml = format!(
        "services: [{{name: service-0, addr: \"127.0.0.1:0\", {service} listener: {{type: tcp}}, handler: {handler}, metadata: {{dialTimeout: 2s}}}}]\n{objects}"
    );
    let gateway = Gateway::start(&yaml).await;
    // Both are listened on in the service's name, in any order.
    let listening = async |ip: &str| {
        eventually("both to be listened on", PATIENCE, async || {
            let log = gateway.log();
            log.iter().filter_map(LogLine::listening).map(|(_, address)| address).find(|it| it.ip().to_string() == ip)
        })
        .await
    };
    let (address, entrypoint) = (listening("127.0.0.1").await, listening("127.0.0.2").await);
    (gateway, address, entrypoint)
}

/// A gateway that serves `target` in the tunnel, as `host` if that can be.
fn client(server: SocketAddr, host: &str, target: SocketAddr) -> Gateway {
    let dir = Dir::new();
    let connector = format!("{{type: tunnel, metadata: {{tunnel.id: {TUNNEL}}}}}");
    dir.write(
        "gateway.yaml",
        format!(
            "services:\n- {{name: service-0, addr: \"{host}:80\", handler: {{type: rtcp}}, listener: {{type: rtcp, chain: c}}, \
             forwarder: {{nodes: [{{name: n, addr: \"{target}\"}}]}}}}\n\
             chains: [{{name: c, hops: [{{name: h, nodes: [{{name: n, addr: \"{server}\", connector: {connector}, dialer: {{type: tcp}}}}]}}]}}]"
        ),
    );
    Gateway::spawn(dir, &["-C", "gateway.yaml"])
}

/// The status that a request for `host` gets.
async fn status(entrypoint: SocketAddr, host: &str) -> u16 {
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let answer = exchange(entrypoint, request.as_bytes()).await;
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

/// Waits until somebody serves a tunnel.
async fn is_bound(gateway: &Gateway) {
    let served = async || (!gateway.logs_matching(|line| line.text().contains("served")).is_empty()).then_some(());
    eventually("the client to bind", PATIENCE, served).await;
}

async fn is_served(entrypoint: SocketAddr, host: &str) {
    let served = async || (status(entrypoint, host).await == 200).then_some(());
    eventually("the tunnel to be served", PATIENCE, served).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_gets_its_host_by_components() {
    let keyvalue = "keyvalue: {default: {type: memory}}";
    let objects = format!(
        "ingresses: [{{name: i, plugin: {{type: wasm, addr: {INGRESS}, {keyvalue}}}}}]\n\
         sds: [{{name: s, plugin: {{type: wasm, addr: {SD}, {keyvalue}}}}}]"
    );
    let (gateway, address, entrypoint) = server("ingress: i, sd: s", &objects).await;
    assert_eq!(status(entrypoint, "mine.test").await, 502);
    let origin = http_origin().await;
    let client = client(address, "mine.test", origin.addr());
    is_served(entrypoint, "mine.test").await;
    is_served(entrypoint, "a6265c6d9847a4be").await;
    client.terminate().await;
    let gone = async || (status(entrypoint, "mine.test").await == 503).then_some(());
    eventually("the tunnel to be given up", PATIENCE, gone).await;
    assert!(gateway.logs_matching(LogLine::is_problem).is_empty(), "{}", gateway.log_text());
}

/// Blocks of plugins that answer no question as they should, over each backing, and what keeps them running.
pub(crate) async fn failing() -> (Vec<(&'static str, String)>, Vec<HttpPlugin>, Vec<GrpcPlugin>) {
    let mut blocks = Vec::new();
    let (mut http, mut grpc) = (Vec::new(), Vec::new());
    for (what, timeout, answer) in [
        ("slow", "200ms", HttpAnswer::Never),
        (HANGING, "60s", HttpAnswer::Never),
        ("wrong", "10s", HttpAnswer::reply(200, "nonsense")),
        ("broken", "10s", HttpAnswer::Hangup),
        ("refusing", "10s", HttpAnswer::reply(500, "{}")),
    ] {
        let plugin = HttpPlugin::start(answer).await;
        blocks.push((what, format!("{{type: http, addr: 'http://{}', timeout: {timeout}}}", plugin.addr())));
        http.push(plugin);
    }
    for (what, timeout, answer) in [
        ("slow", "200ms", GrpcAnswer::Never),
        (HANGING, "60s", GrpcAnswer::Never),
        // A field that ends beyond the message.
        ("wrong", "10s", GrpcAnswer::Message(b"\x0a\x7f")),
        ("broken", "10s", GrpcAnswer::Hangup),
        ("refusing", "10s", GrpcAnswer::Status(13)),
    ] {
        let plugin = GrpcPlugin::start(answer).await;
        blocks.push((what, format!("{{type: grpc, addr: '{}', timeout: {timeout}}}", plugin.addr())));
        grpc.push(plugin);
    }
    let elsewhere = json!([{"id": "", "name": "", "node": "n", "network": "tcp", "address": "not an address"}]);
    let nonsense = [json!({"Reply": "nonsense"}), json!({"Reply": elsewhere}), json!({"Reply": null})];
    let all = |answer: serde_json::Value| [answer.clone(), answer.clone(), answer];
    for (what, timeout, [rule, services, others]) in [
        ("slow", "200ms", all(json!("Spin"))),
        ("wrong", "10s", nonsense),
        ("broken", "10s", all(json!("Trap"))),
        ("refusing", "10s", all(json!({"Error": {"Failed": "on purpose"}}))),
    ] {
        let [rule, services, others] = [rule, services, others].map(|answer| json!({"answer": answer}).to_string());
        let script = json!({
            "ingress.get-rule": rule, "ingress.set-rule": others, "router.get-route": others,
            "service-discovery.get-services": services, "service-discovery.register": others,
            "service-discovery.renew": others, "service-discovery.deregister": others,
        });
        blocks.push((what, format!("{{type: wasm, addr: {SCRIPTED}, timeout: {timeout}, config: {script}}}")));
    }
    blocks.push(("dead", format!("{{type: http, addr: 'http://{}'}}", unused_addr())));
    blocks.push(("dead", format!("{{type: grpc, addr: '{}'}}", unused_addr())));
    (blocks, http, grpc)
}

pub(crate) const HANGING: &str = "hanging";

#[tokio::test(flavor = "multi_thread")]
async fn plugins_that_fail_keep_nobody_from_a_tunnel() {
    let origin = http_origin().await;
    let (blocks, _http, _grpc) = failing().await;
    for (what, block) in blocks {
        println!("{what}: {block}");
        if what != HANGING {
            let objects = format!("ingresses: [{{name: i, plugin: {block}}}]");
            let (gateway, address, entrypoint) = server("ingress: i", &objects).await;
            assert_eq!(status(entrypoint, "srv.test").await, 502);
            // Who knows it can come all the same.
            let _client = client(address, "srv.test", origin.addr());
            is_bound(&gateway).await;
        }
        let keys = format!("tunnel: \"srv.test:{TUNNEL}\", sd: s");
        let (gateway, address, entrypoint) = server(&keys, &format!("sds: [{{name: s, plugin: {block}}}]")).await;
        if what != HANGING {
            assert_eq!(status(entrypoint, "srv.test").await, 503);
        }
        let _client = client(address, "srv.test", origin.addr());
        if what == HANGING {
            // It is asked who else has the tunnel, as long as nobody serves it here.
            is_bound(&gateway).await;
        }
        is_served(entrypoint, "srv.test").await;
    }
}

/// The answer to who serves a tunnel: its host and its id.
const GRANTED: &[u8] = b"\x01\x00\x00\x1e\x02\x00\x04\x03\x00\x00\x00\x03\x00\x14\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\0\0\0\0";

/// A visitor from 192.0.2.7:41806, for nowhere.
const VISITOR: &[u8] = b"\x01\x00\x00\x11\x02\x00\x07\x01\xc0\x00\x02\x07\xa3\x4e\x02\x00\x04\x03\x00\x00\x00";

/// A frame of smux, version 2.
fn frame(command: u8, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap().to_le_bytes();
    [&[2, command][..], &length, &3_u32.to_le_bytes(), data].concat()
}

/// Reads the request of who wants to serve a tunnel.
async fn asked(stream: &mut TcpStream) {
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.unwrap();
    stream.read_exact(&mut vec![0; u16::from_be_bytes([head[2], head[3]]).into()]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_break_off_at_each_step_are_asked_again() {
    let echo = tcp_echo().await;
    let opened = [GRANTED, &frame(0, b"")].concat();
    let visited = [&opened[..], &frame(2, VISITOR)].concat();
    let steps = [
        ("a half of the answer", GRANTED[..20].to_vec()),
        ("nothing", Vec::new()),
        ("a refusal", b"\x01\x02\x00\x00".to_vec()),
        ("garbage", b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()),
        ("the answer", GRANTED.to_vec()),
        ("garbage for frames", [GRANTED, b"HTTP/1.1 400 Bad Request\r\n\r\n"].concat()),
        ("a half of a frame", opened[..opened.len() - 4].to_vec()),
        ("a stream", opened.clone()),
        ("a half of a visitor", [&opened[..], &frame(2, &VISITOR[..9])].concat()),
        ("garbage for a visitor", [&opened[..], &frame(2, b"HTTP/1.1 400 Bad Request\r\n\r\n")].concat()),
        ("a visitor", visited.clone()),
        ("a visitor that speaks", [&visited[..], &frame(2, b"hello")].concat()),
    ];
    let (mut services, mut chains) = ("services:\n".to_owned(), "chains:\n".to_owned());
    let mut servers = JoinSet::new();
    for (number, (step, says)) in steps.into_iter().enumerate() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        services += &format!(
            "- {{name: s{number}, addr: ':0', handler: {{type: rtcp}}, listener: {{type: rtcp, chain: c{number}}}, \
             forwarder: {{nodes: [{{name: n, addr: '{}'}}]}}}}\n",
            echo.addr()
        );
        let connector = format!("{{type: tunnel, metadata: {{tunnel.id: {TUNNEL}}}}}");
        chains += &format!(
            "- {{name: c{number}, hops: [{{name: h, nodes: [{{name: n, addr: '{addr}', connector: {connector}}}]}}]}}\n"
        );
        let visited = visited.clone();
        servers.spawn(async move {
            let (mut first, _) = listener.accept().await.unwrap();
            asked(&mut first).await;
            first.write_all(&says).await.unwrap();
            reset(first);
            let (mut second, _) = within(step, listener.accept()).await.unwrap();
            asked(&mut second).await;
            second.write_all(&[&visited[..], &frame(2, b"hello")].concat()).await.unwrap();
            let mut heard = Vec::new();
            while !heard.ends_with(&frame(2, b"hello")) {
                assert!(within(step, second.read_buf(&mut heard)).await.unwrap() > 0, "after {step}: {heard:?}");
            }
        });
    }
    let dir = Dir::new();
    dir.write("gateway.yaml", services + &chains);
    let gateway = Gateway::spawn(dir, &["-C", "gateway.yaml"]);
    while let Some(served) = servers.join_next().await {
        assert!(served.is_ok(), "{}", gateway.log_text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_that_are_none_keep_nobody_from_one_that_is() {
    let origin = http_origin().await;
    let keys = format!("tunnel: \"srv.test:{TUNNEL}\"");
    let (_far, address, real) = server(&keys, "").await;
    let _client = client(address, "srv.test", origin.addr());
    is_served(real, "srv.test").await;
    let mut others = Vec::new();
    for how in [Misbehaviour::Hold, Misbehaviour::Garbage, Misbehaviour::Reset, Misbehaviour::ResetAtOnce] {
        others.push(misbehaving(how).await);
    }
    let others: Vec<_> = others.iter().map(|server| server.addr()).chain([unused_addr()]).collect();
    for (all, expected) in
        others.iter().map(|other| (vec![*other], 503)).chain([([&others[..], &[real]].concat(), 200)])
    {
        let service = |address: &SocketAddr| json!({"id": address, "name": TUNNEL, "node": address, "network": "tcp", "address": address});
        let services = json!({"ok": true, "services": all.iter().map(service).collect::<Vec<_>>()});
        let plugin = HttpPlugin::start(HttpAnswer::reply(200, services.to_string())).await;
        let sd = format!("sds: [{{name: s, plugin: {{type: http, addr: \"http://{}\"}}}}]", plugin.addr());
        let (gateway, _, entrypoint) = server(&format!("{keys}, sd: s"), &sd).await;
        assert_eq!(status(entrypoint, "srv.test").await, expected, "{services}");
        assert!(!plugin.calls().is_empty(), "it is asked");
        drop(gateway);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_lost_in_the_middle_of_a_transfer() {
    let keys = format!("tunnel: \"srv.test:{TUNNEL}\", mux.keepaliveInterval: 100ms, mux.keepaliveTimeout: 1s");
    let (sends, takes, origin) = (endless_origin().await, misbehaving(Misbehaviour::Hold).await, http_origin().await);
    // A stopped one keeps its connection, and says nothing any more.
    for signal in [Signal::KILL, Signal::STOP] {
        for is_upload in [false, true] {
            println!("{signal:?}, upload: {is_upload}");
            let (gateway, address, entrypoint) = server(&keys, "").await;
            let files = gateway.open_files();
            let lost = client(address, "srv.test", if is_upload { takes.addr() } else { sends.addr() });
            is_bound(&gateway).await;
            let mut visitor = TcpStream::connect(entrypoint).await.unwrap();
            visitor
                .write_all(b"POST / HTTP/1.1\r\nHost: srv.test\r\nContent-Length: 1000000000000\r\n\r\n")
                .await
                .unwrap();
            // Some of it has passed.
            let mut block = vec![7; 1 << 20];
            if is_upload {
                for _ in 0..16 {
                    within("the upload", visitor.write_all(&block)).await.unwrap();
                }
            } else {
                within("the download", visitor.read_exact(&mut block)).await.unwrap();
                assert!(block.starts_with(b"HTTP/1.1 200 "));
            }
            lost.signal(signal);
            within("the end of the transfer", async {
                if is_upload {
                    while visitor.write_all(&block).await.is_ok() {}
                } else {
                    while visitor.read(&mut block).await.is_ok_and(|read| read > 0) {}
                }
            })
            .await;
            drop(visitor);
            let _other = client(address, "srv.test", origin.addr());
            is_served(entrypoint, "srv.test").await;
            gateway.rests_with(files + 1).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_services_limit_counts_for_who_serves_a_tunnel() {
    let keys = format!("tunnel: \"srv.test:{TUNNEL}\"");
    let limiter = "limiters: [{name: l, limits: [\"$$ 20KB\"]}]";
    let (_gateway, address, entrypoint) = server_of("limiter: l,", &keys, limiter).await;
    let origin = http_origin().await;
    let _client = client(address, "srv.test", origin.addr());
    is_served(entrypoint, "srv.test").await;
    // The visitor's connection has no limit: an entry point is for everyone.
    let body = "x".repeat(40_000);
    let head =
        format!("POST / HTTP/1.1\r\nHost: srv.test\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let started = Instant::now();
    let answer = exchange(entrypoint, (head + &body).as_bytes()).await;
    assert!(answer.ends_with(&body), "{} bytes", answer.len());
    assert!(started.elapsed() > Duration::from_secs(1), "{:?}", started.elapsed());
}
