//! The data plane's modules in a whole gateway: chains, and who is asked on the way.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drawspan_testkit::{
    Dir, Gateway, HttpAnswer, HttpPlugin, PATIENCE, Server, basic, connect, eventually, get, http_origin, tcp_echo,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A gateway with a plain HTTP proxy in front of `rest`, and what it leads to.
struct Routed {
    gateway: Gateway,
    echo: Server,
}

impl Routed {
    async fn start(yaml: &str) -> Self {
        Self { gateway: Gateway::start(yaml).await, echo: tcp_echo().await }
    }

    /// The answer to a CONNECT: 200 if bytes then pass.
    async fn status(&mut self, service: &str) -> u16 {
        let proxy = self.gateway.addr(service).await;
        match connect(proxy, "", self.echo.addr()).await {
            Ok(mut tunnel) => {
                tunnel.echo(b"hello").await;
                200
            }
            Err(head) => head.status,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_leads_through_every_connector_and_dialer() {
    let dir = Dir::new();
    let behind = "
- {name: http, addr: '127.0.0.1:0', handler: {type: http, auth: {username: u, password: p}}}
- {name: socks5, addr: '127.0.0.1:0', handler: {type: socks5, auth: {username: u, password: p}}}
- {name: socks4, addr: '127.0.0.1:0', handler: {type: socks4}}
- {name: auto, addr: '127.0.0.1:0', handler: {type: auto}}
- {name: tls, addr: '127.0.0.1:0', handler: {type: http}, listener: {type: tls}}
- {name: ws, addr: '127.0.0.1:0', handler: {type: http}, listener: {type: ws}}
- {name: wss, addr: '127.0.0.1:0', handler: {type: socks5}, listener: {type: wss, metadata: {path: /x}}}
- {name: unix, addr: node.sock, handler: {type: http}, listener: {type: unix}}
";
    let path = dir.path().join("node.sock").display().to_string();
    let behind = behind.replace("node.sock", &path);
    let first = "services:\n- {name: service-0, addr: '127.0.0.1:0', handler: {type: http}}";
    let mut nodes = Gateway::start_in(dir, &format!("{first}{behind}")).await;
    let mut hops = String::new();
    for (service, connector, dialer) in [
        ("tls", "{type: http}", "{type: tls}"),
        ("http", "{type: http, auth: {username: u, password: p}}", "{type: tcp}"),
        ("socks5", "{type: socks5, auth: {username: u, password: p}}", "{type: tcp}"),
        ("socks4", "{type: socks4}", "{type: tcp}"),
        ("ws", "{type: http}", "{type: ws}"),
        ("wss", "{type: socks5}", "{type: wss, metadata: {path: /x, keepalive: true}}"),
        ("auto", "{type: socks5}", "{type: tcp}"),
    ] {
        let addr = nodes.addr(service).await;
        hops.push_str(&format!(
            "  - {{name: {service}, nodes: [{{name: {service}, addr: '{addr}', connector: {connector}, dialer: {dialer}}}]}}\n"
        ));
    }
    let unix = format!("  - {{name: unix, nodes: [{{name: unix, addr: '{path}', dialer: {{type: unix}}}}]}}\n");
    let yaml = format!(
        "services: [{{name: service-0, addr: '127.0.0.1:0', handler: {{type: http, chain: c}}}}]\n\
         chains:\n- name: c\n  hops:\n{unix}{hops}"
    );
    let mut routed = Routed::start(&yaml).await;
    assert_eq!(routed.status("service-0").await, 200);
    assert_eq!(routed.status("service-0").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_of_the_config_are_applied() {
    let yaml = "
services:
- {name: service-0, addr: '127.0.0.1:0', handler: {type: http}}
- {name: admitted, addr: '127.0.0.1:0', handler: {type: http}, admission: local}
- {name: denied, addr: '127.0.0.1:0', handler: {type: http}, admissions: [local, nobody]}
- {name: bypassed, addr: '127.0.0.1:0', handler: {type: http}, bypass: loopback}
- {name: passed, addr: '127.0.0.1:0', handler: {type: http}, bypass: elsewhere}
- {name: limited, addr: '127.0.0.1:0', handler: {type: http}, climiter: one}
- {name: mapped, addr: '127.0.0.1:0', handler: {type: http}, hosts: names}
admissions:
- {name: local, whitelist: true, matchers: [127.0.0.0/8]}
- {name: nobody, whitelist: true, matchers: []}
bypasses:
- {name: loopback, matchers: [127.0.0.0/8]}
- {name: elsewhere, matchers: [192.0.2.0/24, .example.org]}
climiters: [{name: one, limits: ['$ 1']}]
hosts: [{name: names, mappings: [{ip: 127.0.0.1, hostname: echo.test}]}]
";
    let mut routed = Routed::start(yaml).await;
    for (service, status) in [("service-0", 200), ("admitted", 200), ("bypassed", 403), ("passed", 200)] {
        assert_eq!(routed.status(service).await, status, "{service}");
    }
    let denied = routed.gateway.addr("denied").await;
    assert_eq!(drawspan_testkit::exchange(denied, b"").await, "");

    let limited = routed.gateway.addr("limited").await;
    let kept = connect(limited, "", routed.echo.addr()).await.unwrap();
    assert_eq!(drawspan_testkit::exchange(limited, b"").await, "", "there is room for one connection");
    drop(kept);

    let origin = http_origin().await;
    let mapped = routed.gateway.addr("mapped").await;
    let port = origin.addr().port();
    let request = format!("GET http://echo.test:{port}/ HTTP/1.1\r\nHost: echo.test\r\nConnection: close\r\n\r\n");
    let reply = drawspan_testkit::exchange(mapped, request.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_are_asked_with_the_arguments_that_gost_sends() {
    let plugin = async |body: &str| HttpPlugin::start(HttpAnswer::reply(200, body.to_owned())).await;
    let (admission, bypass) = (plugin(r#"{"ok":true}"#).await, plugin(r#"{"ok":false}"#).await);
    let (hosts, resolver) =
        (plugin(r#"{"ips":[],"ok":false}"#).await, plugin(r#"{"ips":["127.0.0.1"],"ok":true}"#).await);
    let (limiter, recorder) = (plugin(r#"{"in":0,"out":0}"#).await, plugin(r#"{"ok":true}"#).await);
    let auther = plugin(r#"{"ok":true,"id":"alice"}"#).await;
    let block = |plugin: &HttpPlugin| format!("{{type: http, addr: 'http://{}/x'}}", plugin.addr());
    let yaml = format!(
        "services:
- name: service-0
  addr: '127.0.0.1:0'
  admission: m
  bypass: m
  hosts: m
  resolver: m
  limiter: m
  recorders:
  - {{name: m, record: recorder.service.client.address}}
  - {{name: m, record: recorder.service.router.dial.address}}
  handler: {{type: http, auther: m, limiter: m}}
authers: [{{name: m, plugin: {}}}]
admissions: [{{name: m, plugin: {}}}]
bypasses: [{{name: m, plugin: {}}}]
hosts: [{{name: m, plugin: {}}}]
resolvers: [{{name: m, plugin: {}}}]
limiters: [{{name: m, plugin: {}}}]
recorders: [{{name: m, plugin: {}}}]
",
        block(&auther),
        block(&admission),
        block(&bypass),
        block(&hosts),
        block(&resolver),
        block(&limiter),
        block(&recorder)
    );
    let mut gateway = Gateway::start(&yaml).await;
    let origin = http_origin().await;
    let proxy = gateway.addr("service-0").await;
    let port = origin.addr().port();
    let request = format!("GET http://name.test:{port}/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let reply = drawspan_testkit::exchange(proxy, request.as_bytes()).await;
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");

    let target = format!("name.test:{port}");
    let one = |plugin: &HttpPlugin| plugin.calls().first().unwrap().body.clone();
    assert_eq!(admission.calls().len(), 1);
    assert_eq!(one(&admission)["service"], "service-0");
    assert_eq!(one(&bypass)["addr"], target.as_str());
    assert_eq!((&one(&bypass)["client"], &one(&bypass)["host"]), (&"alice".into(), &"".into()));
    assert_eq!((&one(&hosts)["host"], &one(&hosts)["client"]), (&"name.test".into(), &"alice".into()));
    assert_eq!(one(&resolver)["host"], "name.test");
    let scopes: Vec<_> = limiter.calls().iter().map(|call| call.body["scope"].as_str().unwrap().to_owned()).collect();
    assert_eq!(scopes, ["conn", "service", "client"]);
    assert_eq!(recorder.calls().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hop_plugin_that_fails_is_no_way_around_the_chain() {
    let mut node = Gateway::start("services: [{name: service-0, addr: '127.0.0.1:0', handler: {type: http}}]").await;
    let addr = node.addr("service-0").await;
    for (status, body, expected) in [
        (200, format!(r#"{{"name":"n","addr":"{addr}"}}"#), 200),
        (404, String::new(), 200),
        (500, String::new(), 503),
        (200, r#"{"name":"n","addr":"127.0.0.1:1","connector":{"type":"nonsense"}}"#.to_owned(), 503),
        (200, r#"{"name":"n","addr":"/run/x.sock","dialer":{"type":"unix"}}"#.to_owned(), 503),
    ] {
        let plugin = HttpPlugin::start(HttpAnswer::reply(status, body.clone())).await;
        let yaml = format!(
            "services: [{{name: service-0, addr: '127.0.0.1:0', handler: {{type: http, chain: c}}}}]
chains: [{{name: c, hops: [{{name: h, plugin: {{type: http, addr: 'http://{}/'}}}}]}}]
",
            plugin.addr()
        );
        let mut routed = Routed::start(&yaml).await;
        assert_eq!(routed.status("service-0").await, expected, "{status} {body}");
        let call = plugin.calls().pop().unwrap();
        assert_eq!(call.body["addr"], routed.echo.addr().to_string());
        assert_eq!(call.body["host"], routed.echo.addr().to_string());
        assert!(call.body["src"].as_str().unwrap().starts_with("127.0.0.1:"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_through_a_chain_and_what_is_not_there_yet_is_refused() {
    let mut node = Gateway::start("services: [{name: service-0, addr: '127.0.0.1:0', handler: {type: http}}]").await;
    let yaml = format!(
        "services: [{{name: service-0, addr: '127.0.0.1:0', handler: {{type: http, chain: c}}}}]
chains: [{{name: c, hops: [{{name: h, nodes: [{{name: n, addr: '{}'}}]}}]}}]
",
        node.addr("service-0").await
    );
    let mut gateway = Gateway::start(&yaml).await;
    let origin = http_origin().await;
    assert_eq!(get(gateway.addr("service-0").await, "", origin.addr()).await.head.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn recorders_and_observers_are_told_what_happened() {
    let (recorder, observer) = (
        HttpPlugin::start(HttpAnswer::reply(200, r#"{"ok":true}"#)).await,
        HttpPlugin::start(HttpAnswer::reply(200, r#"{"ok":true}"#)).await,
    );
    let yaml = format!(
        "services:
- name: service-0
  addr: '127.0.0.1:0'
  observer: o
  recorders: [{{name: r, record: recorder.service.handler}}]
  metadata: {{enableStats: true, observer.period: 1s}}
  handler: {{type: http, auth: {{username: alice, password: p}}, observer: o, metadata: {{observer.period: 1s}}}}
recorders: [{{name: r, plugin: {{type: http, addr: 'http://{}/'}}}}]
observers: [{{name: o, plugin: {{type: http, addr: 'http://{}/'}}}}]
",
        recorder.addr(),
        observer.addr()
    );
    let mut gateway = Gateway::start(&yaml).await;
    let (origin, echo) = (http_origin().await, tcp_echo().await);
    let proxy = gateway.addr("service-0").await;
    let authorization = basic("alice", "p");
    assert_eq!(get(proxy, &authorization, origin.addr()).await.head.status, 200);
    connect(proxy, &authorization, echo.addr()).await.unwrap().echo(b"hello").await;

    eventually("two records", PATIENCE, async || (recorder.calls().len() == 2).then_some(())).await;
    let records: Vec<serde_json::Value> = (recorder.calls().iter())
        .map(|call| STANDARD.decode(call.body["data"].as_str().unwrap()).unwrap())
        .map(|data| serde_json::from_slice(&data).unwrap())
        .collect();
    for (method, target) in [("GET", origin.addr()), ("CONNECT", echo.addr())] {
        let record = records.iter().find(|record| record["http"]["method"] == method).unwrap();
        assert_eq!(record["host"], target.to_string());
        assert_eq!((&record["dst"], &record["route"]), (&target.to_string().into(), &target.to_string().into()));
        assert_eq!((&record["clientID"], &record["http"]["statusCode"]), (&"alice".into(), &200.into()));
        assert_eq!(record["proto"], "http");
        assert!(!record.to_string().contains("Basic"), "{record}");
    }
    let tunnel = records.iter().find(|record| record["http"]["method"] == "CONNECT").unwrap();
    assert!(tunnel["inputBytes"].as_u64().unwrap() > 5, "{tunnel}");

    let events = || observer.calls().iter().flat_map(|call| call.body["events"].as_array().unwrap().clone()).collect();
    let has = |events: Vec<serde_json::Value>, kind: &str, of: &str| {
        events.iter().any(|event| event["kind"] == kind && event["type"] == of)
    };
    eventually("counters", PATIENCE, async || {
        (has(events(), "service", "stats") && has(events(), "handler", "stats")).then_some(())
    })
    .await;
    let events: Vec<serde_json::Value> = events();
    let states: Vec<_> = events.iter().filter_map(|event| event["status"]["state"].as_str()).collect();
    assert_eq!(states, ["running", "ready"]);
    let client = events.iter().rfind(|event| event["kind"] == "handler").unwrap();
    assert_eq!(client["client"], "alice");
    gateway.terminate().await;
    let last = observer.calls().pop().unwrap();
    assert_eq!(last.body["events"][0]["status"]["state"], "closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_is_forwarded_and_the_client_is_announced() {
    let echo = tcp_echo().await;
    let mut through = Gateway::start("services: [{name: service-0, addr: '127.0.0.1:0', handler: {type: http}}]").await;
    let behind = HttpPlugin::start(HttpAnswer::reply(200, r#"{"ok":true}"#)).await;
    let yaml = format!(
        "services:
- {{name: service-0, addr: '127.0.0.1:0', handler: {{type: tcp}}, forwarder: {{nodes: [{{name: n, addr: '{echo}'}}]}}}}
- {{name: chained, addr: '127.0.0.1:0', handler: {{type: tcp, chain: c}}, forwarder: {{nodes: [{{name: n, addr: '{echo}'}}]}}}}
- name: fails-over
  addr: '127.0.0.1:0'
  handler: {{type: tcp}}
  forwarder: {{selector: {{strategy: fifo}}, nodes: [{{name: dead, addr: '{dead}'}}, {{name: n, addr: '{echo}'}}]}}
- name: announced
  addr: '127.0.0.1:0'
  metadata: {{proxyProtocol: 1}}
  admission: a
  handler: {{type: http}}
chains: [{{name: c, hops: [{{name: h, nodes: [{{name: n, addr: '{node}'}}]}}]}}]
admissions: [{{name: a, plugin: {{type: http, addr: 'http://{behind}/'}}}}]
",
        echo = echo.addr(),
        dead = drawspan_testkit::unused_addr(),
        node = through.addr("service-0").await,
        behind = behind.addr()
    );
    let mut gateway = Gateway::start(&yaml).await;
    for service in ["service-0", "chained"] {
        assert_eq!(echoed(gateway.addr(service).await).await, b"hello", "{service}");
    }
    // The first finds out that the first target is dead, the next one is sent to the second.
    let fails_over = gateway.addr("fails-over").await;
    assert_eq!(echoed(fails_over).await, b"");
    assert_eq!(echoed(fails_over).await, b"hello");

    let announced = gateway.addr("announced").await;
    let request = format!("PROXY TCP4 192.0.2.7 127.0.0.1 1234 80\r\nCONNECT {} HTTP/1.1\r\n\r\n", echo.addr());
    let mut client = tokio::net::TcpStream::connect(announced).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    let mut status = [0; 12];
    client.read_exact(&mut status).await.unwrap();
    assert_eq!(&status, b"HTTP/1.1 200");
    assert_eq!(behind.calls().pop().unwrap().body["addr"], "192.0.2.7:1234");
}

/// What comes back from a connection that sends `hello` and ends.
async fn echoed(addr: std::net::SocketAddr) -> Vec<u8> {
    let mut client = tokio::net::TcpStream::connect(addr).await.unwrap();
    // A forwarder that has no target may have closed it already.
    let _ = client.write_all(b"hello").await;
    let _ = client.shutdown().await;
    let mut back = Vec::new();
    let _ = client.read_to_end(&mut back).await;
    back
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_implemented_is_refused_and_not_left_out() {
    const UDP: &str = "listener: {type: udp}, forwarder: {nodes: [{name: n, addr: 'a:1'}]}";
    for (service, what) in [
        (&format!("{UDP}, handler: {{type: udp}}, metadata: {{proxyProtocol: 1}}"), "`proxyProtocol` of a udp service"),
        (&format!("{UDP}, handler: {{type: udp, metadata: {{proxyProtocol: 1}}}}"), "`proxyProtocol` of a udp service"),
    ] {
        let dir = Dir::new();
        dir.write("gateway.yaml", format!("services: [{{name: s, addr: '127.0.0.1:0', {service}}}]"));
        let finished = drawspan_testkit::run(dir.path(), &["check", "-C", "gateway.yaml"]).await;
        assert_eq!(finished.code, Some(2), "{service}: {}", finished.stderr);
        assert!(finished.stderr.contains(&format!("{what} is not implemented")), "{service}: {}", finished.stderr);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_trusted_plugin_leads_to_a_unix_socket() {
    let dir = Dir::new();
    let mut node = Gateway::spawn(
        Dir::new(),
        &["-L", &format!("http+unix://{}", dir.join("node").display()), "-L", "http://127.0.0.1:0"],
    );
    node.addr("service-1").await;
    let answer = serde_json::json!({"name": "n", "addr": dir.join("node"), "dialer": {"type": "unix"}});
    let plugin = HttpPlugin::start(HttpAnswer::reply(200, answer.to_string())).await;
    let origin = http_origin().await;
    for (trusted, status) in [(false, 503), (true, 200)] {
        let yaml = format!(
            "services: [{{name: service-0, addr: '127.0.0.1:0', handler: {{type: http, chain: c}}}}]
chains: [{{name: c, hops: [{{name: h, plugin: {{type: http, addr: 'http://{}/', trusted: {trusted}}}}}]}}]
",
            plugin.addr()
        );
        let mut gateway = Gateway::start(&yaml).await;
        let reply = get(gateway.proxy().await, "", origin.addr()).await;
        assert_eq!(reply.head.status, status, "{}", gateway.log_text());
    }
}
