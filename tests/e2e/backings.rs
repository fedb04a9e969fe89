//! Whoever answers, the gateway does the same: each module of a gateway asks a component, that component's gRPC service and its
//! HTTP endpoint. The auther's backings have tests of their own, and so has the rewriter.

use std::net::SocketAddr;

use drawspan_testkit::{Gateway, PATIENCE, Server, basic, connect, eventually, exchange, get, http_origin};

use crate::served::Served;

/// A gateway with one service, an HTTP proxy that has these keys; `rest` follows.
async fn proxy(service: &str, rest: &str) -> (Gateway, SocketAddr) {
    let yaml = format!("services:\n- {{name: service-0, addr: '127.0.0.1:0', {service}}}\n{rest}");
    let mut gateway = Gateway::start(&yaml).await;
    let addr = gateway.proxy().await;
    (gateway, addr)
}

/// How the answer to a request for a page of the origin under this name begins; empty if there is none.
async fn page(proxy: SocketAddr, before: &str, name: &str, origin: &Server) -> String {
    let target = format!("{name}:{}", origin.addr().port());
    let request = format!("{before}GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n");
    exchange(proxy, request.as_bytes()).await.chars().take("HTTP/1.1 200".len()).collect()
}

const OK: &str = "HTTP/1.1 200";

#[tokio::test(flavor = "multi_thread")]
async fn an_auther_knows_its_users() {
    let served = Served::start("auther", r#""config": {"users": "alice:wonder"}"#).await;
    let origin = http_origin().await;
    for plugin in served.blocks() {
        let rest = format!("authers: [{{name: a, plugin: {plugin}}}]");
        let (gateway, proxy) = proxy("handler: {type: http, auther: a}", &rest).await;
        for (password, status) in [("wonder", 200), ("wrong", 407)] {
            let reply = get(proxy, &basic("alice", password), origin.addr()).await;
            assert_eq!(reply.head.status, status, "{plugin}\n{}", gateway.log_text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admission_turns_away_an_address() {
    let served = Served::start("admission", r#""config": {"deny": "192.0.2.66"}"#).await;
    let origin = http_origin().await;
    for plugin in served.blocks() {
        let rest = format!("admissions: [{{name: a, plugin: {plugin}}}]");
        let service = "admission: a, metadata: {proxyProtocol: 1}, handler: {type: http}";
        let (gateway, proxy) = proxy(service, &rest).await;
        for (client, answer) in [("192.0.2.7", OK), ("192.0.2.66", "")] {
            let from = format!("PROXY TCP4 {client} 127.0.0.1 1024 80\r\n");
            assert_eq!(page(proxy, &from, "127.0.0.1", &origin).await, answer, "{plugin}\n{}", gateway.log_text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bypass_forbids_a_domain() {
    let served = Served::start("bypass", r#""config": {"domains": "*.blocked"}"#).await;
    let origin = http_origin().await;
    for plugin in served.blocks() {
        let rest = format!("bypasses: [{{name: b, plugin: {plugin}}}]");
        let (gateway, proxy) = proxy("bypass: b, handler: {type: http}", &rest).await;
        for (name, answer) in [("127.0.0.1", OK), ("a.blocked", "HTTP/1.1 403")] {
            assert_eq!(page(proxy, "", name, &origin).await, answer, "{plugin}\n{}", gateway.log_text());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hop_says_which_node_is_next() {
    let origin = http_origin().await;
    // Only the node knows the name.
    let hosts = "hosts: [{name: h, mappings: [{hostname: behind.test, ip: 127.0.0.1}]}]";
    let (_node, node) = proxy("hosts: h, handler: {type: http}", hosts).await;
    let served = Served::start("hop", &format!(r#""config": {{"nodes": "node-0={node}"}}"#)).await;
    for plugin in served.blocks() {
        let rest = format!("chains: [{{name: c, hops: [{{name: h, plugin: {plugin}}}]}}]");
        let (gateway, proxy) = proxy("handler: {type: http, chain: c}", &rest).await;
        assert_eq!(page(proxy, "", "behind.test", &origin).await, OK, "{plugin}\n{}", gateway.log_text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limiter_holds_up_one_user_and_no_other() {
    let served = Served::start("limiter", r#""config": {"users": "alice=1B bob=none"}"#).await;
    let origin = http_origin().await;
    for plugin in served.blocks() {
        let rest = format!(
            "authers: [{{name: a, auths: [{{username: alice, password: p}}, {{username: bob, password: p}}]}}]
limiters: [{{name: l, plugin: {plugin}}}]"
        );
        let (gateway, proxy) = proxy("handler: {type: http, auther: a, limiter: l}", &rest).await;
        let (alice, bob) = (basic("alice", "p"), basic("bob", "p"));
        let others = async {
            for _ in 0..10 {
                assert_eq!(get(proxy, &bob, origin.addr()).await.head.status, 200, "{plugin}\n{}", gateway.log_text());
            }
        };
        // Her page takes minutes.
        tokio::select! {
            reply = get(proxy, &alice, origin.addr()) => panic!("{plugin}: alice isn't limited: {}", reply.head.text),
            () = others => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_map_a_name() {
    let served = Served::start("hosts", r#""config": {"hosts": "127.0.0.1 mapped.test"}"#).await;
    let origin = http_origin().await;
    for plugin in served.blocks() {
        let rest = format!("hosts: [{{name: h, plugin: {plugin}}}]");
        let (gateway, proxy) = proxy("hosts: h, handler: {type: http}", &rest).await;
        assert_eq!(page(proxy, "", "mapped.test", &origin).await, OK, "{plugin}\n{}", gateway.log_text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resolver_knows_a_name_and_no_other() {
    let served = Served::start("resolver", r#""config": {"zone": "resolved.test A 127.0.0.1"}"#).await;
    let origin = http_origin().await;
    for plugin in served.blocks() {
        let rest = format!("resolvers: [{{name: r, plugin: {plugin}}}]");
        let (gateway, proxy) = proxy("resolver: r, handler: {type: http}", &rest).await;
        for (name, answer) in [("resolved.test", OK), ("nowhere.test", "HTTP/1.1 503")] {
            assert_eq!(page(proxy, "", name, &origin).await, answer, "{plugin}\n{}", gateway.log_text());
        }
    }
}

/// Uses a proxy for a page as alice, and waits until the component wrote `told` into its log.
async fn is_told(served: &Served, service: &str, objects: &str, told: &str) {
    let origin = http_origin().await;
    let before = |log: String| log.matches(told).count();
    for plugin in served.blocks() {
        let seen = before(served.log());
        let (gateway, proxy) = proxy(service, &objects.replace("PLUGIN", plugin)).await;
        let mut tunnel = connect(proxy, &basic("alice", "p"), origin.addr()).await.unwrap();
        tunnel.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        tunnel.read_to_end().await;
        drop(tunnel);
        // The component's log is that of whom it runs in.
        eventually(&format!("{plugin} to be told of {told}"), PATIENCE, async || {
            (gateway.log_text().contains(told) || before(served.log()) > seen).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_is_told_what_was_done() {
    let served = Served::start("recorder", r#""config": {"redact": "clientid"}"#).await;
    let service = "recorders: [{name: r, record: recorder.service.handler}], \
                   handler: {type: http, auth: {username: alice, password: p}}";
    is_told(&served, service, "recorders: [{name: r, plugin: PLUGIN}]", r#"\"clientID\":\"***\""#).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_is_told_what_clients_moved() {
    let served = Served::start("observer", r#""keyvalue": {"default": {"type": "memory"}}"#).await;
    let metadata = "metadata: {observer.period: 1s, observer.resetTraffic: true}";
    let service = format!("handler: {{type: http, auth: {{username: alice, password: p}}, observer: o, {metadata}}}");
    is_told(&served, &service, "observers: [{name: o, plugin: PLUGIN}]", "alice").await;
}
