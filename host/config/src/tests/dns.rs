//! Dns services.

use super::*;

fn service(rest: &str) -> Service {
    let yaml = format!("services:\n- {{name: s, addr: ':53', {rest}}}\n");
    good(text(&yaml)).services.remove(0)
}

fn handler(of: &Service) -> &DnsHandler {
    match &of.handler.kind {
        HandlerKind::Dns(dns) => dns,
        other => panic!("{other:?}"),
    }
}

/// The targets as they are reached, after their names.
fn targets(of: &Service) -> Vec<String> {
    let Some(Forwarder { hop: ForwarderHop::Targets(targets) }) = &of.forwarder else { panic!("{:?}", of.forwarder) };
    targets.nodes.iter().map(|node| format!("{} {:?} {}", node.name, node.nameserver, node.addr.value)).collect()
}

#[test]
fn settings_arrive() {
    let metadata = "ttl: 30, timeout: 2s, clientIP: 192.0.2.7, async: true";
    let nodes = "{name: a, addr: 192.0.2.1}, {name: b, addr: 'tls://[2001:db8::1]:853', tls: {secure: true}}";
    let full = service(&format!(
        "handler: {{type: dns, metadata: {{{metadata}}}}}, forwarder: {{nodes: [{nodes}]}},
         listener: {{type: dns, metadata: {{mode: https, readTimeout: 20s, writeTimeout: 3}}}}"
    ));
    let dns = handler(&full);
    assert_eq!((dns.ttl, dns.timeout), (Ttl::Fixed(Duration::from_secs(30)), Duration::from_secs(2)));
    assert_eq!((dns.client_ip, dns.refresh_behind), (Some([192, 0, 2, 7].into()), true));
    let [read_timeout, write_timeout] = [20, 3].map(Duration::from_secs);
    let listener = DnsListener { mode: DnsMode::Https, read_timeout, write_timeout };
    assert_eq!(full.listener.kind, ListenerKind::Dns(listener));
    assert!(full.listener.tls.is_some() && !full.listener.kind.is_udp());
    let at = |host: &str, port| HostAndPort { host: host.to_owned(), port };
    assert_eq!(
        targets(&full),
        [
            format!("a {:?} 192.0.2.1:53", Some(NameserverAddr::Udp(at("192.0.2.1", 53)))),
            format!("b {:?} [2001:db8::1]:853", Some(NameserverAddr::Tls(at("2001:db8::1", 853)))),
        ]
    );

    let least =
        service("handler: {type: dns, metadata: {dns: 'tcp://192.0.2.1, 192.0.2.2:5353'}}, listener: {type: dns}");
    let dns = handler(&least);
    assert_eq!((dns.ttl, dns.timeout, dns.client_ip), (Ttl::Answer, Duration::from_secs(5), None));
    assert!(least.listener.kind.is_udp() && least.listener.tls.is_none());
    assert_eq!(
        targets(&least),
        [
            format!("target-0 {:?} 192.0.2.1:53", Some(NameserverAddr::Tcp(at("192.0.2.1", 53)))),
            format!("target-1 {:?} 192.0.2.2:5353", Some(NameserverAddr::Udp(at("192.0.2.2", 5353)))),
        ]
    );
    for (ttl, expected) in [("-1s", Ttl::Uncached), ("0", Ttl::Answer), ("-1", Ttl::Uncached)] {
        let rest = format!("handler: {{type: dns, metadata: {{ttl: {ttl}, dns: ':1'}}}}, listener: {{type: dns}}");
        assert_eq!(handler(&service(&rest.replace(":1", "h:1"))).ttl, expected, "{ttl}");
    }
}

#[test]
fn one_port_serves_both_protocols() {
    let one = |name: &str, mode: &str| {
        format!(
            "- {{name: {name}, addr: ':53', handler: {{type: dns, metadata: {{dns: 192.0.2.1}}}}, listener: {{type: dns, metadata: {{mode: {mode}}}}}}}\n"
        )
    };
    assert_eq!(good(text(&format!("services:\n{}{}", one("a", "udp"), one("b", "tcp")))).services.len(), 2);
    let twice = text(&format!("services:\n{}{}", one("a", "tcp"), one("b", "tls")));
    assert_eq!(messages(&[twice], false), ["Error service `b` listens on :53 like service `a`"]);
}

#[test]
fn what_is_not_as_it_looks_is_said() {
    let of = |handler: &str, rest: &str| {
        let yaml = format!(
            "services:\n- {{name: s, addr: ':53', handler: {{type: dns, {handler}}}, listener: {{type: dns}}{rest}}}\n"
        );
        messages(&[text(&yaml)], false)
    };
    let unverified = "the server's certificate isn't verified";
    assert!(of("metadata: {dns: 'https://dns.test/q'}", "").is_empty());
    assert_eq!(
        of("metadata: {dns: 'tls://dns.test'}", ""),
        [format!("Warning services[0].handler.metadata.dns: {unverified}")]
    );
    let tls = ", forwarder: {nodes: [{name: n, addr: 'tls://192.0.2.1:853'}]}";
    assert_eq!(of("metadata: {}", tls), [format!("Warning services[0].forwarder.nodes[0]: {unverified}")]);
    let both = of("metadata: {dns: 192.0.2.1}", ", forwarder: {nodes: [{name: n, addr: 192.0.2.1}]}");
    assert_eq!(both, ["Warning services[0].forwarder: is used, and `dns` of the handler's metadata isn't"]);
    assert_eq!(of("metadata: {}", ""), ["Error services[0]: the handler needs a `forwarder`"]);
    let named = of("metadata: {}", ", forwarder: {hop: h}}\n- {name: t, addr: ':1', handler: {type: http}");
    assert!(named.iter().any(|message| message == "Error a hop of nameservers is not implemented"), "{named:?}");
    let guard = "Error a dns handler asks nobody for a password: it would guard nothing";
    let auther = "}\nauthers:\n- {name: a, auths: [{username: u, password: p}]";
    assert_eq!(of("auther: a, metadata: {dns: 192.0.2.1}", auther), [guard]);
    assert_eq!(of("auth: {username: u, password: p}, metadata: {dns: 192.0.2.1}", ""), [guard]);
}
