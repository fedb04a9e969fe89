//! Forwarders and the handlers and listeners that proxies have not, as `tests/good/forward.yaml` has them.

use std::path::PathBuf;

use super::*;

fn service(name: &str) -> Service {
    let config = good(Input::File("tests/good/forward.yaml".into()));
    config.services.into_iter().find(|service| service.name.as_str() == name).unwrap()
}

fn targets(service: &Service) -> &HopNodes {
    match &service.forwarder.as_ref().unwrap().hop {
        ForwarderHop::Targets(targets) => targets,
        ForwarderHop::Named(name) => panic!("{name:?}"),
    }
}

#[test]
fn targets_and_what_becomes_of_http() {
    let web = service("web");
    let HandlerKind::Forward(handler) = &web.handler.kind else { panic!() };
    assert_eq!(handler, &ForwardHandler { proxy_protocol: Some(ProxyVersion::V2), http_keepalive: true });
    assert_eq!(web.addr.value, ListenAddr::Inet { host: "0.0.0.0".into(), port: 80 });
    assert_eq!(targets(&web).selector.strategy, Strategy::Fifo);
    let [a, b, c, d] = &targets(&web).nodes[..] else { panic!() };
    let http = a.http.as_ref().unwrap();
    assert_eq!(http.host.as_deref(), Some("internal.example.com"));
    assert_eq!((http.request_header[1].0.as_str(), http.request_header[1].1.expose()), ("X-Gone", ""));
    assert_eq!(http.rewrite_url[0].pattern.replace("/old/x", &http.rewrite_url[0].replacement), "/new/x");
    let [replace, rewriter] = &http.rewrite_response_body[..] else { panic!() };
    assert_eq!(replace.types, MediaTypes::These(vec!["text/html".into(), "text/plain".into()]));
    assert!(matches!(&replace.rewrite, Rewrite::Replace(text) if text == "bar"));
    assert_eq!((&rewriter.types, rewriter.max_size), (&MediaTypes::Any, 64 << 10));
    assert!(matches!(&rewriter.rewrite, Rewrite::Rewriter(name) if name.as_str() == "rw"));
    assert!(http.auth.is_some());
    assert_eq!(a.tls.as_ref().unwrap().server_name.as_deref(), Some("origin.example.com"));

    assert_eq!(b.addr.value, NodeAddr::Inet { host: "192.168.1.2".into(), port: 0 });
    let filter = b.filter.as_ref().unwrap();
    assert_eq!((filter.protocol.as_deref(), filter.host.as_ref().unwrap().subdomains), (Some("http"), false));
    assert!(matches!((&c.addr.value, c.network, c.backup), (NodeAddr::Unix(_), Some(NodeNetwork::Unix), true)));
    let matcher = d.matcher.as_ref().unwrap();
    assert!(matches!(&matcher.rule, Rule::Any(rules) if matches!(rules[..], [Rule::HostRegexp(_), Rule::All(_)])));
    assert_eq!(
        matcher.priority,
        r"HostRegexp(`^[a-z]+\.example\.net$`) || Header(`X-A`, `b`) && Bypass(`by`)".len() as i32
    );
}

#[test]
fn other_handlers_and_listeners() {
    let udp = UdpListener { keepalive: true, ttl: Duration::from_secs(10), read_queue: 256, backlog: 64 };
    assert_eq!(service("dns").listener.kind, ListenerKind::Udp(udp));
    let named = service("dns-tcp").forwarder.unwrap().hop;
    assert!(matches!(named, ForwarderHop::Named(name) if name.as_str() == "targets"));

    let files = service("files");
    let HandlerKind::File(file) = &files.handler.kind else { panic!() };
    assert_eq!((file.dir.value.clone(), file.put), (PathBuf::from("tests/good/folder"), true));
    let tls = files.listener.tls.unwrap();
    assert_eq!(tls.options.cipher_suites, [CipherSuite::EcdheRsaAes128GcmSha256]);
    assert!(tls.client_ca.is_some());

    let metrics = service("metrics");
    assert_eq!(metrics.listener.kind, ListenerKind::Unix(UnixListener { mode: Some(0o660) }));
    assert_eq!(metrics.addr.value, ListenAddr::Unix("tests/good/run/metrics.sock".into()));
    assert!(matches!(metrics.handler.kind, HandlerKind::Metrics(handler) if handler.path == "/m"));

    let auto = service("auto");
    assert!(matches!(auto.handler.kind, HandlerKind::Auto(..)) && auto.handler.chains.is_none());
}

#[test]
fn old_spellings_are_for_targets_alone() {
    let node = "{addr: 'a:1', host: example.com, auth: {username: u, password: hunter2}}";
    let target = format!("services: [{{name: s, addr: ':1', handler: {{type: tcp}}, forwarder: {{nodes: [{node}]}}}}]");
    let config = good(text(&target));
    let target = &targets(&config.services[0]).nodes[0];
    assert!(target.filter.is_some() && target.http.as_ref().is_some_and(|http| http.auth.is_some()));
    let proxy = format!("services: [{{name: s, addr: ':1'}}]\nhops: [{{name: h, nodes: [{node}]}}]");
    let expected = ["Warning hops[0].nodes[0].host: unknown key", "Error hops[0].nodes[0].auth: unknown key"];
    assert_eq!(messages(&[text(&proxy)], false), expected);
}

#[test]
fn nodes_accept_at_the_same_address_each() {
    let services = |chains: [&str; 2]| {
        let [a, b] = chains.map(|chain| {
            let listener = format!("handler: {{type: rtcp}}, listener: {{type: rtcp{chain}}}");
            format!("addr: ':2222', {listener}, forwarder: {{nodes: [{{name: n, addr: 'a:1'}}]}}")
        });
        let chain = |name| format!("- {{name: {name}, hops: [{{name: h, nodes: [{{name: n, addr: '{name}:1'}}]}}]}}\n");
        let services = format!("services:\n- {{name: a, {a}}}\n- {{name: b, {b}}}\n");
        text(&format!("{services}chains:\n{}{}", chain("c"), chain("d")))
    };
    // Without a chain it is this machine that accepts.
    for chains in [[", chain: c", ", chain: d"], [", chain: c", ""]] {
        assert_eq!(good(services(chains)).services.len(), 2);
    }
    let twice = messages(&[services(["", ""])], false);
    assert_eq!(twice, ["Error service `b` listens on :2222 like service `a`"]);
}
