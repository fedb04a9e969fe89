//! Resolvers that ask DNS servers.

use std::net::SocketAddr;

use drawspan_testkit::{Authority, Dir, Dns, DnsAnswer, Gateway, basic, exchange, http_origin};

fn config(nameservers: &str) -> String {
    format!(
        "services:
- {{name: service-0, addr: '127.0.0.1:0', resolver: dns, handler: {{type: http}}}}
- {{name: chained, addr: '127.0.0.1:0', handler: {{type: http, chain: c}}}}
- {{name: node, addr: '127.0.0.1:0', handler: {{type: http, auth: {{username: u, password: p}}}}}}
chains:
- {{name: c, hops: [{{name: h, resolver: dns, nodes: [{{name: n, addr: 'node.test:NODE', connector: {{type: http}}}}]}}]}}
resolvers:
- {{name: dns, nameservers: [{nameservers}]}}
"
    )
}

/// The status line of the answer to a request for `target` through `proxy`.
async fn status(proxy: SocketAddr, target: &str, headers: &str) -> String {
    let request = format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\n{headers}Connection: close\r\n\r\n");
    exchange(proxy, request.as_bytes()).await.lines().next().unwrap_or_default().to_owned()
}

fn here() -> DnsAnswer {
    DnsAnswer::Addresses(vec!["127.0.0.1".parse().unwrap()], 60)
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_and_nodes_are_looked_up() {
    let (dns, origin) = (Dns::start(here()).await, http_origin().await);
    // A port for the node, which is a service of the same gateway.
    let node = drawspan_testkit::unused_addr();
    let yaml = config(&format!("{{addr: '{}', ttl: -1s}}", dns.addr()));
    let yaml = yaml.replace("NODE", &node.port().to_string());
    let yaml = yaml.replace("name: node, addr: '127.0.0.1:0'", &format!("name: node, addr: '{node}'"));
    let mut gateway = Gateway::start(&yaml).await;
    let target = format!("name.test:{}", origin.addr().port());
    assert_eq!(status(gateway.proxy().await, &target, "").await, "HTTP/1.1 200 OK");
    let names = || dns.questions().iter().map(|question| question.queries[0].name.to_string()).collect::<Vec<_>>();
    assert_eq!(names(), ["name.test."]);

    // The node is found by its name, and wants to know who comes.
    let chained = gateway.addr("chained").await;
    assert_eq!(status(chained, &origin.addr().to_string(), "").await, "HTTP/1.1 503 Service Unavailable");
    assert!(names().contains(&"node.test.".to_owned()), "{:?}", names());

    dns.answer(DnsAnswer::Unknown);
    assert_eq!(status(gateway.proxy().await, &target, &basic("u", "p")).await, "HTTP/1.1 503 Service Unavailable");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_certificate_is_verified_for_its_hostname() {
    let (authority, origin) = (Authority::new(), http_origin().await);
    let dns = Dns::start_tls(authority.issue("dns.test").server(&["dot"]), here()).await;
    for (hostname, answer, warned) in [
        ("dns.test", "HTTP/1.1 200 OK", false),
        ("other.test", "HTTP/1.1 503 Service Unavailable", false),
        ("''", "HTTP/1.1 200 OK", true),
    ] {
        let dir = Dir::new();
        dir.write("roots.pem", authority.pem());
        let yaml = config(&format!("{{addr: 'tls://{}', hostname: {hostname}}}", dns.addr())).replace("NODE", "1");
        let mut gateway = Gateway::start_in(dir, &yaml).await;
        let target = format!("name.test:{}", origin.addr().port());
        assert_eq!(status(gateway.proxy().await, &target, "").await, answer, "{hostname}");
        let warning = "the server's certificate isn't verified";
        assert_eq!(gateway.log_text().contains(warning), warned, "{hostname}: {}", gateway.log_text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nameservers_are_reached_through_chains() {
    let (dns, origin) = (Dns::start(here()).await, http_origin().await);
    for (scheme, password, answer) in [
        ("tcp", "p", "HTTP/1.1 200 OK"),
        ("udp", "p", "HTTP/1.1 200 OK"),
        ("tcp", "wrong", "HTTP/1.1 503 Service Unavailable"),
        ("udp", "wrong", "HTTP/1.1 503 Service Unavailable"),
    ] {
        let (before, node) = (dns.questions().len(), drawspan_testkit::unused_addr());
        let yaml = format!(
            "services:
- {{name: service-0, addr: '127.0.0.1:0', resolver: dns, handler: {{type: http}}}}
- {{name: node, addr: '{node}', handler: {{type: socks5, auth: {{username: u, password: p}}, metadata: {{udp: true}}}}}}
chains:
- name: c
  hops: [{{name: h, nodes: [{{name: n, addr: '{node}', connector: {{type: socks5, auth: {{username: u, password: {password}}}}}}}]}}]
resolvers:
- {{name: dns, nameservers: [{{addr: '{scheme}://{}', chain: c, ttl: -1s}}]}}
",
            dns.addr()
        );
        let mut gateway = Gateway::start(&yaml).await;
        let target = format!("name.test:{}", origin.addr().port());
        assert_eq!(status(gateway.proxy().await, &target, "").await, answer, "{scheme}: {}", gateway.log_text());
        assert_eq!(dns.questions().len() > before, password == "p", "{scheme}");
    }
}
