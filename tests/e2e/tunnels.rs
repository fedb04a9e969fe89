//! Tunnels whose ingress and service discovery are plugins, well-behaved or not.

use std::net::SocketAddr;

use drawspan_testkit::{
    Dir, Gateway, HttpAnswer, HttpPlugin, LogLine, PATIENCE, eventually, exchange, http_origin, unused_addr,
};

const INGRESS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples/ingress-rust/ingress.wasm");
const SD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../guest-examples/sd-rust/sd.wasm");
const TUNNEL: &str = "4d21094e-b74c-4916-86c1-d9fa36ea677b";

/// A tunnel server with these keys and these objects beside it; its address, and its entry point's.
async fn server(keys: &str, objects: &str) -> (Gateway, SocketAddr, SocketAddr) {
    let handler = format!("{{type: tunnel, metadata: {{entrypoint: \"127.0.0.2:0\", tunnel.ttl: 1s, {keys}}}}}");
    let yaml = format!(
        "services: [{{name: service-0, addr: \"127.0.0.1:0\", listener: {{type: tcp}}, handler: {handler}}}]\n{objects}"
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

#[tokio::test(flavor = "multi_thread")]
async fn plugins_that_fail_keep_nobody_from_a_tunnel() {
    let origin = http_origin().await;
    for (what, answer, timeout) in [
        ("slow", Some(HttpAnswer::Never), "200ms"),
        ("hanging", Some(HttpAnswer::Never), "60s"),
        ("wrong", Some(HttpAnswer::reply(200, "nonsense")), "10s"),
        ("broken", Some(HttpAnswer::Hangup), "10s"),
        ("refusing", Some(HttpAnswer::reply(500, "{}")), "10s"),
        ("dead", None, "10s"),
    ] {
        println!("{what}");
        let plugin = match answer {
            Some(answer) => Some(HttpPlugin::start(answer).await),
            None => None,
        };
        let addr = plugin.as_ref().map_or_else(unused_addr, HttpPlugin::addr);
        let block = format!("plugin: {{type: http, addr: \"http://{addr}\", timeout: {timeout}}}");
        if what != "hanging" {
            let objects = format!("ingresses: [{{name: i, {block}}}]");
            let (_gateway, _, entrypoint) = server("ingress: i", &objects).await;
            assert_eq!(status(entrypoint, "srv.test").await, 502);
        }
        let keys = format!("tunnel: \"srv.test:{TUNNEL}\", sd: s");
        let (gateway, address, entrypoint) = server(&keys, &format!("sds: [{{name: s, {block}}}]")).await;
        if what != "hanging" {
            assert_eq!(status(entrypoint, "srv.test").await, 503);
        }
        let _client = client(address, "srv.test", origin.addr());
        if what == "hanging" {
            // It is asked who else has the tunnel, as long as nobody serves it here.
            let served =
                async || (!gateway.logs_matching(|line| line.text().contains("served")).is_empty()).then_some(());
            eventually("the client to bind", PATIENCE, served).await;
        }
        is_served(entrypoint, "srv.test").await;
    }
}
