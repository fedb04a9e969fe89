//! Chains, hops and nodes, as `tests/good/chains.yaml` has them.

use super::*;

fn config() -> Config {
    good(Input::File("tests/good/chains.yaml".into()))
}

fn nodes(hop: &ChainHop) -> &HopNodes {
    match hop {
        ChainHop::Inline(hop) => match &hop.kind {
            HopKind::Nodes(nodes) => nodes,
            HopKind::Plugin(_) => panic!("{hop:?}"),
        },
        ChainHop::Named(_) => panic!("{hop:?}"),
    }
}

#[test]
fn a_handler_uses_one_of_several_chains() {
    let config = config();
    let handler = &config.services[0].handler;
    let group = handler.chains.as_ref().unwrap();
    assert_eq!(group.chains.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["one", "two", "three"]);
    let selector = Selector { strategy: Strategy::Hash, max_fails: 3, fail_timeout: Duration::from_secs(60) };
    assert_eq!((group.selector, handler.retries), (selector, 1));
    let HandlerKind::Socks5(socks5) = &handler.kind else { panic!() };
    assert!(socks5.udp && socks5.bind && socks5.tls.is_some());
    assert_eq!((socks5.public_addr.as_deref(), handler.read_timeout), (Some("1.2.3.4"), Duration::from_secs(3)));
    let listener = &config.services[0].listener;
    let ListenerKind::Wss(ws) = &listener.kind else { panic!() };
    assert_eq!((ws.path.as_str(), ws.header.len()), ("/x", 1));
    assert_eq!(listener.tls.as_ref().unwrap().options.alpn, ["h2", "http/1.1"]);
}

#[test]
fn hops_stand_in_a_chain_or_beside_it() {
    let config = config();
    let [one, two, three] = &config.chains[..] else { panic!() };
    assert!(matches!(&one.hops[1], ChainHop::Named(name) if name.as_str() == "shared"));
    let direct = &nodes(&two.hops[0]).nodes[0];
    assert!(matches!(direct.connector.kind, ConnectorKind::Direct { reject: true }), "{direct:?}");
    assert!(matches!(direct.dialer, Dialer::Direct));
    assert!(matches!(&three.hops[0], ChainHop::Inline(hop) if matches!(hop.kind, HopKind::Plugin(_))));
    let HopKind::Nodes(shared) = &config.hops[0].kind else { panic!() };
    let [sni, forward] = &shared.nodes[..] else { panic!() };
    assert!(matches!(&sni.connector.kind, ConnectorKind::Sni { host: Some(host) } if host == "a.example.com"));
    assert!(matches!(forward.connector.kind, ConnectorKind::Forward));
}

#[test]
fn nodes_inherit_from_their_hop() {
    let config = config();
    let hop = nodes(&config.chains[0].hops[0]);
    let selector = Selector { strategy: Strategy::Random, max_fails: 2, fail_timeout: Duration::from_secs(20) };
    assert_eq!((hop.selector, hop.bypasses.len()), (selector, 1));
    let [socks, http, unix] = &hop.nodes[..] else { panic!() };
    for node in &hop.nodes {
        assert_eq!(node.resolver.as_ref().map(|name| name.as_str()), Some("res"));
        assert_eq!(node.proxy_protocol, Some(ProxyVersion::V2));
        assert_eq!(node.egress.interfaces[0].source, InterfaceSource::Name("eth0".into()));
    }
    assert_eq!([socks, http].map(|node| node.hosts.as_ref().map(|name| name.as_str())), [Some("ho"), Some("ho2")]);
    assert_eq!([socks, http].map(|node| node.egress.mark), [Some(9), Some(5)]);
    assert_eq!([socks, http].map(|node| node.bypasses.len()), [0, 1]);
    assert_eq!(
        [socks, http].map(|node| (node.weight, node.backup, node.max_fails)),
        [(3, true, Some(5)), (1, false, None)]
    );
    assert_eq!(socks.fail_timeout, Some(Duration::from_secs(2)));
    assert_eq!((http.name.as_str(), unix.name.as_str()), ("[::1]:443", "/run/proxy.sock"));
}

#[test]
fn connectors_and_dialers() {
    let config = config();
    let [socks, http, unix] = &nodes(&config.chains[0].hops[0]).nodes[..] else { panic!() };
    let seconds = Duration::from_secs;
    let ConnectorKind::Socks5(socks5) = &socks.connector.kind else { panic!() };
    assert_eq!(
        (socks5.udp_relay, socks5.udp_timeout, socks.connector.timeout),
        (true, Some(seconds(60)), Some(seconds(5)))
    );
    let tls = socks5.tls.as_ref().unwrap();
    assert_eq!((tls.secure, tls.server_name.as_deref()), (true, Some("proxy.example.com")));
    assert_eq!(socks.connector.auth.as_ref().unwrap().password.expose(), "hunter2");
    let Dialer::Tls { tls, handshake_timeout } = &socks.dialer else { panic!() };
    assert!(tls.identity.is_some() && tls.ca_file.is_some() && !tls.secure);
    assert_eq!((tls.server_name.as_deref(), *handshake_timeout), (Some("other.example.com"), Some(seconds(3))));

    assert_eq!(http.addr.value, NodeAddr::Inet { host: "::1".into(), port: 443 });
    let auth = http.connector.auth.as_ref().unwrap();
    assert_eq!((auth.username.as_str(), auth.password.expose()), ("bob", "hunter2 3"));
    let Dialer::Wss(ws, tls) = &http.dialer else { panic!() };
    assert_eq!(
        (ws.path.as_str(), ws.host.as_deref(), ws.ping),
        ("/tunnel", Some("cdn.example.com"), Some(seconds(30)))
    );
    assert!(tls.secure);
    let filter = NodeFilter {
        protocol: Some("tls".into()),
        host: Some(HostPattern { name: "example.com".into(), subdomains: true }),
        path: Some("/api".into()),
    };
    assert_eq!(http.filter, Some(filter));

    assert!(matches!(&unix.addr.value, NodeAddr::Unix(path) if path.ends_with("run/proxy.sock")), "{unix:?}");
    assert!(matches!(unix.connector.kind, ConnectorKind::Socks4 { disable_4a: true }));
    assert!(matches!((&unix.dialer, unix.network), (Dialer::Unix, Some(NodeNetwork::Unix))));
    let matcher = unix.matcher.as_ref().unwrap();
    assert!(matches!(&matcher.rule, Rule::All(rules) if matches!(rules[..], [Rule::Host(_), Rule::Not(_)])));
    assert_eq!(matcher.priority, 7);
}
