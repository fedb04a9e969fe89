//! The dns handler behind its four listeners, asked by resolvers over their four transports.

use drawspan_testkit::{
    Authority, Dir, Dns, DnsAnswer, Gateway, PATIENCE, eventually, exchange, http_origin, run, unused_addr,
};

use crate::served::Served;

const MODES: [&str; 4] = ["udp", "tcp", "tls", "https"];

#[tokio::test(flavor = "multi_thread")]
async fn every_transport_carries_questions_and_answers() {
    let here = vec!["127.0.0.1".parse().unwrap()];
    let (dns, origin) = (Dns::start(DnsAnswer::Addresses(here, 60)).await, http_origin().await);
    let (mut services, mut resolvers) = (String::new(), String::new());
    let (authority, dir) = (Authority::new(), Dir::new());
    let leaf = authority.issue("127.0.0.1");
    for (file, text) in [("roots.pem", authority.pem()), ("cert.pem", leaf.pem()), ("key.pem", leaf.key_pem())] {
        dir.write(file, text);
    }
    for mode in MODES {
        let addr = unused_addr();
        let (path, tls) = match mode {
            // By HTTPS, who it is is verified in any case.
            "https" => ("/any/path", ", tls: {certFile: cert.pem, keyFile: key.pem}"),
            _ => ("", ""),
        };
        services += &format!(
            "- {{name: dns-{mode}, addr: '{addr}', hosts: table, bypass: nowhere, handler: {{type: dns}},
   listener: {{type: dns, metadata: {{mode: {mode}}}{tls}}}, forwarder: {{nodes: [{{name: n, addr: 'udp://{}'}}]}}}}
- {{name: {mode}, addr: '127.0.0.1:0', resolver: {mode}, handler: {{type: http}}}}\n",
            dns.addr()
        );
        resolvers += &format!("- {{name: {mode}, nameservers: [{{addr: '{mode}://{addr}{path}', ttl: -1s}}]}}\n");
    }
    let yaml = format!(
        "services:\n- {{name: service-0, addr: '127.0.0.1:0', handler: {{type: http}}}}\n{services}resolvers:\n{resolvers}hosts:
- {{name: table, mappings: [{{ip: 127.0.0.1, hostname: mapped.test}}]}}
bypasses:
- {{name: nowhere, matchers: [nowhere.test]}}
"
    );
    let mut gateway = Gateway::start_in(dir, &yaml).await;
    for mode in MODES {
        let proxy = gateway.addr(mode).await;
        for (name, status) in [("mapped.test", 200), ("asked.test", 200), ("asked.test", 200), ("nowhere.test", 503)] {
            let target = format!("{name}:{}", origin.addr().port());
            let request = format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n");
            let answer = exchange(proxy, request.as_bytes()).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{mode} {name}: {answer}\n{}",
                gateway.log_text()
            );
        }
    }
    // Each service has a memory of its own, and asks once.
    let names: Vec<_> = dns.questions().iter().map(|question| question.queries[0].name.to_string()).collect();
    assert_eq!(names, ["asked.test."; 4]);
}

#[tokio::test(flavor = "multi_thread")]
async fn modules_may_be_components_and_servers() {
    let here = vec!["127.0.0.1".parse().unwrap()];
    let (dns, origin) = (Dns::start(DnsAnswer::Addresses(here, 60)).await, http_origin().await);
    let served = [
        Served::start("admission", r#""config": {"deny": "192.0.2.66"}"#).await,
        Served::start("admission", r#""config": {"deny": "127.0.0.1"}"#).await,
        Served::start("bypass", r#""config": {"domains": "*.blocked"}"#).await,
        Served::start("hosts", r#""config": {"hosts": "127.0.0.1 mapped.test"}"#).await,
        Served::start("resolver", r#""config": {"zone": "server.test A 127.0.0.1"}"#).await,
        Served::start("recorder", r#""config": {}"#).await,
    ];
    for backing in 0..3 {
        let [admits, denies, bypass, hosts, resolver, recorder] = served.each_ref().map(|it| &it.blocks()[backing]);
        let (mut services, mut resolvers) = (String::new(), String::new());
        for name in ["admits", "denies"] {
            let addr = unused_addr();
            services += &format!(
                "- {{name: dns-{name}, addr: '{addr}', admission: {name}, bypass: m, hosts: m, resolver: m, handler: {{type: dns}},
   listener: {{type: dns, metadata: {{mode: tcp}}}}, recorders: [{{name: m, record: recorder.service.handler}}],
   forwarder: {{nodes: [{{name: n, addr: 'udp://server.test:{}'}}]}}}}
- {{name: {name}, addr: '127.0.0.1:0', resolver: {name}, handler: {{type: http}}}}\n",
                dns.addr().port()
            );
            // Who is denied hears nothing.
            let timeout = if name == "denies" { ", timeout: 500ms" } else { "" };
            resolvers += &format!("- {{name: {name}, nameservers: [{{addr: 'tcp://{addr}', ttl: -1s{timeout}}}]}}\n");
        }
        let yaml = format!(
            "services:\n- {{name: service-0, addr: '127.0.0.1:0', handler: {{type: http}}}}\n{services}resolvers:\n{resolvers}- {{name: m, plugin: {resolver}}}
admissions: [{{name: admits, plugin: {admits}}}, {{name: denies, plugin: {denies}}}]
bypasses: [{{name: m, plugin: {bypass}}}]
hosts: [{{name: m, plugin: {hosts}}}]
recorders: [{{name: m, plugin: {recorder}}}]
"
        );
        let mut gateway = Gateway::start(&yaml).await;
        for (service, name, status) in [
            ("admits", "mapped.test", 200),
            ("admits", "asked.test", 200),
            ("admits", "asked.blocked", 503),
            ("denies", "mapped.test", 503),
        ] {
            let target = format!("{name}:{}", origin.addr().port());
            let request = format!("GET http://{target}/ HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n");
            let answer = exchange(gateway.addr(service).await, request.as_bytes()).await;
            let log = gateway.log_text();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{recorder} {service} {name}: {answer}\n{log}");
        }
        // The component's log is that of whom it runs in.
        eventually("the questions to be recorded", PATIENCE, async || {
            let log = gateway.log_text() + &served[5].log();
            let recorded = ["mapped.test.", "asked.test.", "asked.blocked."].map(|name| log.matches(name).count());
            recorded.iter().all(|count| *count > 0).then_some(())
        })
        .await;
    }
    let names: Vec<_> = dns.questions().iter().map(|question| question.queries[0].name.to_string()).collect();
    assert_eq!(names, ["asked.test."; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_guards_nothing_or_cant_work_is_refused() {
    let service = |rest: &str| format!("services:\n- {{name: s, addr: ':0', {rest}}}\n");
    let nodes = "forwarder: {nodes: [{name: n, addr: 192.0.2.1}]}";
    for (rest, reason) in [
        ("handler: {type: dns}, listener: {type: dns}".to_owned(), "the handler needs a `forwarder`"),
        (format!("handler: {{type: dns}}, listener: {{type: udp}}, {nodes}"), "go together"),
        (format!("handler: {{type: http}}, listener: {{type: dns}}, {nodes}"), "go together"),
        (
            format!("handler: {{type: dns}}, listener: {{type: dns}}, metadata: {{proxyProtocol: 1}}, {nodes}"),
            "`proxyProtocol` of a dns service is not implemented",
        ),
        (
            format!("handler: {{type: dns, metadata: {{sniffing: true}}}}, listener: {{type: dns}}, {nodes}"),
            "`sniffing` of questions by DNS is not implemented",
        ),
        (
            "handler: {type: dns}, listener: {type: dns}, forwarder: {nodes: [{name: n, addr: 'quic://192.0.2.1'}]}".to_owned(),
            "unknown scheme `quic`",
        ),
        (
            "handler: {type: dns}, listener: {type: dns}, forwarder: {nodes: [{name: n, addr: 192.0.2.1, network: tcp}]}".to_owned(),
            "the scheme of a nameserver's `addr` is its `network`",
        ),
        (
            format!("handler: {{type: dns}}, listener: {{type: dns, metadata: {{mode: quic}}}}, {nodes}"),
            "unknown mode `quic`",
        ),
    ] {
        let dir = Dir::new();
        dir.write("gateway.yaml", service(&rest));
        let finished = run(dir.path(), &["-C", "gateway.yaml"]).await;
        assert_eq!(finished.code, Some(2), "{rest}");
        assert!(finished.stderr.contains(reason) && finished.stderr.contains("gateway.yaml:2:"), "{}", finished.stderr);
    }
}
