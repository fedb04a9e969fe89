//! Metadata of handlers and listeners, in all of GOST's spellings.

use super::*;

fn service(parts: &str) -> Service {
    let yaml = format!("services: [{{name: s, addr: ':0', {parts}}}]");
    let mut services = good(text(&yaml)).services;
    assert_eq!(services.len(), 1);
    services.remove(0)
}

#[test]
fn keys_may_be_spelled_with_their_protocol() {
    for (header, agent, keepalive) in
        [("header", "proxyAgent", "keepalive"), ("http.header", "http.proxyAgent", "http.keepalive")]
    {
        let keys = format!("{header}: {{A: b}}, {agent}: x, {keepalive}: true, http.compression: true");
        let service = service(&format!("handler: {{type: http, metadata: {{{keys}}}}}"));
        let HandlerKind::Http(http) = &service.handler.kind else { panic!("{service:?}") };
        assert_eq!((&http.header[..], http.proxy_agent.as_str()), (&[("A".to_owned(), "b".to_owned())][..], "x"));
        assert!(http.keepalive && http.compression);
    }
    for prefix in ["", "ws."] {
        let keys = format!("{prefix}path: /x, {prefix}handshakeTimeout: 3, mptcp: true, reuseport: true");
        let Listener { kind, mptcp, reuse_port, .. } =
            service(&format!("listener: {{type: ws, metadata: {{{keys}}}}}")).listener;
        let ListenerKind::Ws(ws) = kind else { panic!("{kind:?}") };
        assert_eq!((ws.path.as_str(), ws.handshake_timeout), ("/x", Some(Duration::from_secs(3))));
        assert!(mptcp && reuse_port);
    }
    for public_addr in ["publicAddr", "socks.publicAddr"] {
        let service = service(&format!("handler: {{type: socks5, metadata: {{{public_addr}: p.test}}}}"));
        let HandlerKind::Socks5(socks) = &service.handler.kind else { panic!("{service:?}") };
        assert_eq!(socks.public_addr.as_deref(), Some("p.test"));
    }
    for (ttl, queue) in [("ttl", "readQueueSize"), ("keepalive.ttl", "recvQueueSize")] {
        let keys = format!("{ttl}: 9, {queue}: 7");
        let rest = "handler: {type: udp}, forwarder: {nodes: [{name: n, addr: 'a:1'}]}";
        let service = service(&format!("listener: {{type: udp, metadata: {{{keys}}}}}, {rest}"));
        let ListenerKind::Udp(udp) = &service.listener.kind else { panic!("{service:?}") };
        assert_eq!((udp.ttl, udp.read_queue), (Duration::from_secs(9), 7));
    }
}

#[test]
fn who_need_not_be_asked_and_how_many_frames_are_recorded() {
    let handler = |keys: &str| service(&format!("handler: {{metadata: {{{keys}}}}}")).handler;
    let skipped = handler("skipauth: '10.0.0.0/8,::1'").skip_auth;
    assert_eq!(skipped.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8", "::1/128"]);
    assert!(handler("skipauth: []").skip_auth.is_empty());
    let wrong = "services: [{name: s, addr: ':0', handler: {metadata: {skipauth: [everywhere]}}}]";
    let expected = "Error services[0].handler.metadata.skipauth: `everywhere` is not an IP address or a network";
    assert_eq!(messages(&[text(wrong)], true), [expected]);

    for (keys, expected) in [
        ("sniffing.websocket: true", Some(10.0)),
        ("sniffing.websocket: true, sniffing.websocket.sampleRate: 0.5", Some(0.5)),
        ("sniffing.websocket: true, sniffing.websocket.sampleRate: -1", Some(f64::INFINITY)),
        ("sniffing.websocket.sampleRate: 5", None),
    ] {
        assert_eq!(handler(keys).websocket, expected, "{keys}");
    }
}

#[test]
fn what_connects_to_nothing_has_no_use_for_the_way() {
    let yaml = "services: [{name: s, addr: ':0', handler: {type: metrics, retries: 2, metadata: {hash: host, sniffing: true}}}]";
    let warning = |key: &str| {
        format!("Warning services[0].handler.{key}: has no effect on this handler, which connects to nothing")
    };
    let expected = ["retries", "metadata.hash", "metadata.sniffing"].map(warning);
    assert_eq!(messages(&[text(yaml)], false), expected);
}

#[test]
fn a_plugin_is_trusted_where_it_is_said_of_the_outermost_block() {
    let hop = |plugin: &str| format!("services: [{{name: s, addr: ':0'}}]\nhops: [{{name: h, plugin: {{{plugin}}}}}]");
    let config = good(text(&hop("addr: ':1', trusted: true")));
    let HopKind::Plugin(plugin) = &config.hops[0].kind else { panic!("{config:?}") };
    assert_eq!(plugin.trusted.as_ref().map(|trusted| trusted.value), Some(true));
    let inner = hop("addr: ':1', fallback: {addr: ':2', trusted: true}");
    let expected = "Error hops[0].plugin.fallback.trusted: is for the outermost block, where it is about all of them";
    assert_eq!(messages(&[text(&inner)], true), [expected]);
}
