use std::time::Duration;

use crate::{
    AdmissionKind, ChainHop, CommandLine, Config, ConnectorKind, Diagnostic, Dialer, DnsMode, Family, Forwarder,
    ForwarderHop, HandlerKind, HopKind, HopNodes, HostPattern, HostsKind, IngressRule, Input, LimitKey, LimiterKind,
    ListenAddr, ListenerKind, Mux, NodeAddr, ResolverKind, Selector, Service, Strategy, TunnelEndpoint, TunnelIngress,
    load,
};

fn flags(listen: &[&str], forward: &[&str]) -> Input {
    let owned = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect();
    Input::CommandLine(CommandLine { listen: owned(listen), forward: owned(forward), metrics: None })
}

fn listen(urls: &[&str]) -> Result<Config, Vec<Diagnostic>> {
    load(&[flags(urls, &[])], false).map(|loaded| loaded.config)
}

fn messages(url: &str) -> Vec<String> {
    match listen(&[url]) {
        Ok(config) => panic!("{url} is {config:?}"),
        Err(diagnostics) => diagnostics.into_iter().map(|diagnostic| diagnostic.message).collect(),
    }
}

#[test]
fn a_url_becomes_a_service() {
    let url = "http+tcp://us%65r:p%40:ss@[::1]:8080?retries=3&dialTimeout=5&knock=a,b&proxyAgent=x+y&handler.readTimeout=1s&retries=9";
    let config = listen(&["http://:0", url]).unwrap();
    assert_eq!(config.services[0].name.as_str(), "service-0");
    let service = &config.services[1];
    assert_eq!((service.name.as_str(), service.addr.to_string().as_str()), ("service-1", "[::1]:8080"));
    assert_eq!((service.handler.retries, service.dial_timeout), (3, Duration::from_secs(5)));
    let auth = service.handler.auth.as_ref().unwrap();
    assert_eq!((auth.username.as_str(), auth.password.expose()), ("user", "p@:ss"));
    let HandlerKind::Http(http) = &service.handler.kind else { panic!() };
    assert_eq!(http.knock, ["a", "b"]);
    assert_eq!((http.proxy_agent.as_str(), service.handler.read_timeout), ("x y", Duration::from_secs(1)));
}

#[test]
fn a_relay_behind_and_before_tls() {
    let input = flags(
        &["relay+wss://u:p@:443?path=/x&bind=true&nodelay=true", "relay://:80/10.0.0.1:22"],
        &["relay+tls://u:p@proxy.example:443?nodelay=true&connectTimeout=3s"],
    );
    let config = load(&[input], false).unwrap().config;
    let [open, forward] = &config.services[..] else { panic!() };
    assert!(matches!(open.handler.kind, HandlerKind::Relay(relay) if relay.bind), "{:?}", open.handler);
    assert!(matches!(&open.listener.kind, ListenerKind::Wss(ws) if ws.path == "/x"), "{:?}", open.listener);
    assert!(open.handler.auth.is_some() && open.forwarder.is_none());
    assert!(matches!(forward.handler.kind, HandlerKind::Relay(relay) if !relay.bind));
    let ForwarderHop::Targets(targets) = &forward.forwarder.as_ref().unwrap().hop else { panic!() };
    assert_eq!(targets.nodes[0].addr.value.to_string(), "10.0.0.1:22");
    let ChainHop::Inline(hop) = &config.chains[0].hops[0] else { panic!() };
    let HopKind::Nodes(HopNodes { nodes, .. }) = &hop.kind else { panic!() };
    let connector = &nodes[0].connector;
    let ConnectorKind::Relay { no_delay: true, mux } = connector.kind else { panic!("{connector:?}") };
    assert_eq!(mux, Mux::V1);
    assert_eq!((connector.timeout, connector.auth.is_some()), (Some(Duration::from_secs(3)), true));
    assert!(matches!(nodes[0].dialer, Dialer::Tls { .. }));
}

#[test]
fn a_tunnel_and_the_way_to_one() {
    const ID: &str = "4d21094e-b74c-4916-86c1-d9fa36ea677b";
    let server =
        format!("tunnel://:8443?entrypoint=:80&tunnel=srv.example.com:{ID},*.example.org:${ID}&entrypoint.id={ID}");
    let node = format!("tunnel+tls://u:p@host:8443?tunnel.id={ID}&tunnel.weight=255&mux.keepaliveInterval=1s");
    let config = load(&[flags(&[&server], &[])], false).unwrap().config;
    let HandlerKind::Tunnel(tunnel) = &config.services[0].handler.kind else { panic!() };
    let TunnelIngress::Rules(rules) = &tunnel.ingress else { panic!() };
    let rule = |name: &str, subdomains, private| IngressRule {
        hostname: HostPattern { name: name.into(), subdomains },
        endpoint: TunnelEndpoint { tunnel: ID.parse().unwrap(), private },
    };
    assert_eq!(rules[..], [rule("srv.example.com", false, false), rule("example.org", true, true)]);
    assert_eq!((tunnel.address.as_str(), tunnel.public_id), (":80", Some(ID.parse().unwrap())));
    assert_eq!(tunnel.entrypoints[0].addr.to_string(), ":80");
    assert_eq!((tunnel.mux.version, tunnel.mux.stream_buffer), (2, 1 << 20));
    let config = load(&[flags(&["http://:0"], &[&node])], false).unwrap().config;
    let ChainHop::Inline(hop) = &config.chains[0].hops[0] else { panic!() };
    let HopKind::Nodes(HopNodes { nodes, .. }) = &hop.kind else { panic!() };
    let ConnectorKind::Tunnel(connector) = &nodes[0].connector.kind else { panic!() };
    assert_eq!((connector.id, connector.weight), (Some(ID.parse().unwrap()), 255));
    assert_eq!(connector.mux.keepalive.map(|(interval, _)| interval), Some(Duration::from_secs(1)));
    assert!(load(&[flags(&["http://:0"], &["tunnel://host:8443"])], false).is_ok(), "a tunnel of its own");
}

#[test]
fn auth_in_base64() {
    let config = listen(&["http://:0?auth=dXNlcjpwYXNz"]).unwrap();
    let auth = config.services[0].handler.auth.as_ref().unwrap();
    assert_eq!((auth.username.as_str(), auth.password.expose()), ("user", "pass"));
    assert_eq!(messages("http://:0?auth=%%"), ["services[0].handler.auth: `username` is missing or empty"]);
}

#[test]
fn a_hop_prefers_user_info_and_skips_empty_hosts() {
    let auth = |config: &Config| {
        let ChainHop::Inline(hop) = &config.chains[0].hops[0] else { panic!() };
        let HopKind::Nodes(HopNodes { nodes, .. }) = &hop.kind else { panic!() };
        let users = nodes.iter().map(|node| node.connector.auth.as_ref().unwrap().username.clone());
        users.collect::<Vec<_>>()
    };
    // `user:pass`.
    let hop = |url: &str| load(&[flags(&[":0"], &[url])], false).unwrap().config;
    assert_eq!(auth(&hop("http://u:p@a:1,,b:2,?auth=dXNlcjpwYXNz")), ["u", "u"]);
    assert_eq!(auth(&hop("http://a:1?auth=dXNlcjpwYXNz")), ["user"]);
}

#[test]
fn what_is_refused() {
    for (url, expected) in [
        ("sock5://:1080", &["services[0].handler.type: unknown handler type `sock5`"][..]),
        ("ssu+tls://:1080", &["services[0].handler.type: handler type `ssu` is not implemented"]),
        (
            "tunnel://:1080?tunnel=nonsense,a:b&entrypoint.id=x&entrypoint=80&entrypoint.compression=true",
            &[
                "services[0].handler.metadata.tunnel: `nonsense` is not a host name and the id of a tunnel, `host:id`",
                "services[0].handler.metadata.tunnel: `b` is not the id of a tunnel, such as 4d21094e-b74c-4916-86c1-d9fa36ea677b",
                "services[0].handler.metadata.entrypoint.id: `x` is not the id of a tunnel, such as 4d21094e-b74c-4916-86c1-d9fa36ea677b",
                "services[0].handler.metadata.entrypoint: expected an address to listen on such as `:8080` or `127.0.0.1:8080`",
                "services[0].handler.metadata.entrypoint.compression is not implemented",
            ],
        ),
        ("tunnel://:1080?entrypoint=:1080", &["service `service-0` listens on :1080 like service `service-0`"]),
        ("kcp://:1080", &["services[0].listener.type: listener type `kcp` is not implemented"]),
        ("http+a+b://:1080", &["services[0].listener.type: unknown listener type `a+b`"]),
        ("http://8080", &["services[0].addr: not an address to listen on"]),
        ("tcp://:80", &["services[0]: the handler needs a `forwarder`"]),
        (
            "http://:80?limiter.in=1",
            &["limiters[0].limits: `1` has no unit: write B, KB, MB, GB or TB (powers of 1024), such as `100KB`"],
        ),
        ("http://:80?mitm.certFile=x", &["services[0].handler.metadata.mitm.certFile is not implemented"]),
        (
            "http+ws://:80?enableCompression=true",
            &["services[0].listener.metadata.enableCompression is not implemented"],
        ),
        ("http://:80?netns=x", &["services[0].metadata.netns is not implemented"]),
        ("http://:80?handler.netns=x", &[]),
        ("http://:80?knok=a", &["knok: unknown key"]),
        (
            "http://:80?dialTimeout=x",
            &["services[0].metadata.dialTimeout: expected a duration such as `10s`, or a number of seconds"],
        ),
    ] {
        match expected {
            [] => assert!(listen(&[url]).is_ok(), "{url}"),
            expected => assert_eq!(messages(url), expected, "{url}"),
        }
    }
}

#[test]
fn one_word_or_two_say_handler_and_listener() {
    for (url, handler, listener) in [
        (":8080", "Auto", "Tcp"),
        ("http://:80", "Http", "Tcp"),
        ("https://:443", "Http", "Tls"),
        ("socks5+ws://:8080", "Socks5", "Ws"),
        ("socks+wss://:8080", "Socks5", "Wss"),
        ("socks4a://:8080", "Socks4", "Tcp"),
        ("tls://:443", "Auto", "Tls"),
        ("tls://:443/1.2.3.4:80", "Forward", "Tls"),
        ("tcp://:80/a:80,b:80", "Forward", "Tcp"),
        ("http+tcp://:80/a:80", "Forward", "Tcp"),
        ("udp://:53/1.1.1.1:53", "Forward", "Udp"),
        ("unix://a.sock/b.sock", "Forward", "Unix"),
        ("socks5+unix:///run/a.sock", "Socks5", "Unix"),
        ("file://:8080?dir=src", "File", "Tcp"),
        ("metrics://:8080?path=/m", "Metrics", "Tcp"),
    ] {
        let config = listen(&[url]).unwrap_or_else(|diagnostics| panic!("{url}: {diagnostics:#?}"));
        let service = &config.services[0];
        let name = |debug: String| debug.split(['(', ' ']).next().map(str::to_owned).unwrap_or_default();
        assert_eq!(name(format!("{:?}", service.handler.kind)), handler, "{url}");
        assert_eq!(name(format!("{:?}", service.listener.kind)), listener, "{url}");
    }
}

#[test]
fn ports_in_ranges() {
    let config = listen(&["tcp://:80-82/1.1.1.1:90-92", "tcp://:70-71/a:1", "tcp://:60/a:1-2,b:3"]).unwrap();
    let shown: Vec<String> = (config.services.iter())
        .map(|service| {
            let Some(Forwarder { hop: ForwarderHop::Targets(targets) }) = &service.forwarder else { panic!() };
            let targets: Vec<String> = targets.nodes.iter().map(|node| node.addr.to_string()).collect();
            format!("{} {} {}", service.name.value, service.addr.value, targets.join(","))
        })
        .collect();
    let expected = [
        "service-0 :80 1.1.1.1:90",
        "service-1 :81 1.1.1.1:91",
        "service-2 :82 1.1.1.1:92",
        "service-3 :70 a:1",
        "service-4 :71 a:1",
        "service-5 :60 a:1,a:2,b:3",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn parameters_become_objects() {
    let url = "http://:80?admission=~10.0.0.0/8,::1&bypass=*.x.com&resolver=1.1.1.1,tls://8.8.8.8&prefer=ipv6&hosts=a:1.2.3.4,b:::1\
               &limiter.in=1MB&limiter.conn.out=2MB&climiter=5&rlimiter=0.5&retries=2&interface=eth0&proxyProtocol=1";
    let config = listen(&[url, "http://:81?bypass=y"]).unwrap();
    let service = &config.services[0];
    assert_eq!(service.admissions[0].as_str(), "admission-0");
    assert!(
        matches!(&config.admissions[0].kind, AdmissionKind::Rules(rules) if rules.whitelist && rules.patterns.len() == 2)
    );
    assert_eq!([0, 1].map(|index| config.services[index].bypasses[0].value.clone()), ["bypass-0", "bypass-1"]);
    let ResolverKind::Nameservers(servers) = &config.resolvers[0].kind else { panic!() };
    assert_eq!((servers.len(), servers[1].family), (2, Family::PreferV6));
    let HostsKind::Mappings(mappings) = &config.hosts[0].kind else { panic!() };
    assert_eq!((mappings.len(), mappings[1].ip.to_string().as_str()), (2, "::1"));
    let LimiterKind::Limits(limits) = &config.limiters[0].kind else { panic!() };
    let [all, each] = [limits[0].value, limits[1].value];
    assert_eq!((all.key, all.input, all.output), (LimitKey::All, Some(1 << 20), None));
    assert_eq!((each.key, each.input, each.output), (LimitKey::Each, None, Some(2 << 20)));
    assert_eq!((config.climiters[0].limits[0].connections, config.rlimiters[0].limits[0].per_second), (5, 0.5));
    assert!(service.metadata.accept_proxy && service.egress.interfaces.len() == 1);
}

#[test]
fn parameters_mean_something_somewhere() {
    let url = "udp://:53/1.1.1.1:53?keepalive=true&ttl=30&sniffing=true&enableStats=true&strategy=fifo&max_fails=2";
    let service = listen(&[url]).unwrap().services.remove(0);
    let ListenerKind::Udp(udp) = &service.listener.kind else { panic!() };
    assert_eq!((udp.keepalive, udp.ttl), (true, Duration::from_secs(30)));
    assert!(service.handler.sniffing.is_some() && service.metadata.enable_stats);
    let Some(Forwarder { hop: ForwarderHop::Targets(targets) }) = &service.forwarder else { panic!() };
    // GOST: 30 s on the command line, 10 s in a file.
    let selector = Selector { strategy: Strategy::Fifo, max_fails: 2, fail_timeout: Duration::from_secs(30) };
    assert_eq!(targets.selector, selector);
}

#[test]
fn nameservers_keep_their_schemes() {
    let url = "dns://:53/udp://1.1.1.1,tls://8.8.8.8:853,https://dns.test/dns-query?mode=tcp&timeout=2&async=true";
    let service = listen(&[url]).unwrap().services.remove(0);
    let HandlerKind::Dns(dns) = &service.handler.kind else { panic!("{:?}", service.handler.kind) };
    assert!(dns.refresh_behind && dns.timeout == Duration::from_secs(2));
    let ListenerKind::Dns(listener) = service.listener.kind else { panic!() };
    assert_eq!(listener.mode, DnsMode::Tcp);
    let Some(Forwarder { hop: ForwarderHop::Targets(targets) }) = &service.forwarder else { panic!() };
    let addrs: Vec<_> = targets.nodes.iter().map(|node| (node.name.as_str(), node.addr.to_string())).collect();
    assert_eq!(
        addrs.iter().map(|(name, addr)| (*name, addr.as_str())).collect::<Vec<_>>(),
        [("target-0", "1.1.1.1:53"), ("target-1", "8.8.8.8:853"), ("target-2", "dns.test:443")]
    );
    let service = listen(&["dns://:53?dns=1.1.1.1,tcp://8.8.8.8"]).unwrap().services.remove(0);
    let Some(Forwarder { hop: ForwarderHop::Targets(targets) }) = &service.forwarder else { panic!() };
    assert_eq!(targets.nodes.len(), 2);
}

#[test]
fn forward_flags_become_a_chain() {
    let forward = [
        "http://h1:1,h2:2?strategy=rand&failTimeout=5&bypass=x&so_mark=3&weight=2",
        "socks5+wss://u:hunter2@p.example.com:443?path=/x&secure=true&notls=true&keepalive=true&node.backup=true",
        "https://[::1]:443?serverName=a",
        "unix:///run/p.sock",
    ];
    let config = load(&[flags(&[":8080", "socks5://:1080"], &forward)], true).unwrap().config;
    for service in &config.services {
        assert_eq!(service.handler.chains.as_ref().unwrap().chains[0].as_str(), "chain-0");
    }
    let hops: Vec<&HopNodes> = (config.chains[0].hops.iter())
        .map(|hop| match hop {
            ChainHop::Inline(hop) => match &hop.kind {
                HopKind::Nodes(nodes) => nodes,
                HopKind::Plugin(_) => panic!(),
            },
            ChainHop::Named(_) => panic!(),
        })
        .collect();
    let [first, second, third, fourth] = &hops[..] else { panic!() };
    assert_eq!(first.nodes.iter().map(|node| node.addr.to_string()).collect::<Vec<_>>(), ["h1:1", "h2:2"]);
    assert_eq!((first.selector.strategy, first.selector.fail_timeout), (Strategy::Random, Duration::from_secs(5)));
    assert_eq!(
        (first.bypasses[0].as_str(), first.nodes[1].egress.mark, first.nodes[1].weight),
        ("bypass-0", Some(3), 2)
    );
    assert!(matches!(first.nodes[0].dialer, Dialer::Tcp));

    let node = &second.nodes[0];
    assert_eq!(node.connector.auth.as_ref().unwrap().password.expose(), "hunter2");
    assert!(matches!(&node.connector.kind, ConnectorKind::Socks5(socks5) if socks5.tls.is_none()));
    let Dialer::Wss(ws, tls) = &node.dialer else { panic!() };
    assert_eq!((ws.path.as_str(), ws.ping.is_some(), tls.secure, node.backup), ("/x", true, true, true));
    assert_eq!(tls.server_name.as_deref(), Some("p.example.com"));
    let Dialer::Tls { tls, .. } = &third.nodes[0].dialer else { panic!() };
    assert_eq!(tls.server_name.as_deref(), Some("a"));
    assert_eq!(fourth.nodes[0].addr.value, NodeAddr::Unix("/run/p.sock".into()));
    assert!(matches!(fourth.nodes[0].connector.kind, ConnectorKind::Forward));
}

#[test]
fn metrics_have_an_address_of_their_own() {
    let with = |metrics: &str| {
        let flags = CommandLine { listen: vec![":0".into()], metrics: Some(metrics.into()), ..CommandLine::default() };
        load(&[Input::CommandLine(flags)], true).map(|loaded| loaded.config.metrics.unwrap())
    };
    let metrics = with("u:hunter2@:9000?path=/m").unwrap();
    assert_eq!((metrics.addr.to_string().as_str(), metrics.path.as_str()), (":9000", "/m"));
    assert_eq!(metrics.auth.unwrap().password.expose(), "hunter2");
    assert_eq!(with("unix:///run/m.sock").unwrap().addr.value, ListenAddr::Unix("/run/m.sock".into()));
    assert!(with("9000").is_err());
}

#[test]
fn places_point_into_the_argument_and_show_no_password() {
    let Err(diagnostics) = listen(&["http://user:hunter2/hunter2@:8080?retries=x&token=hunter2"]) else { panic!() };
    let rendered = diagnostics.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(!rendered.contains("hunter2"), "{rendered}");

    let Err(diagnostics) = listen(&["http://user:hunter2@:8080?retries=x"]) else { panic!() };
    let expected = "\
error: services[0].handler.retries: expected a whole number from 0 to 1000
 --> -L http://…:35
  |
1 | http://user:***@:8080?retries=x
  |                               ^";
    assert_eq!(diagnostics[0].to_string(), expected);
}

#[test]
fn no_form_of_argument_shows_a_password() {
    for argument in [
        "user:hunter2@?x=://",
        "user:hunter2?@:8080",
        "http://hunter2@:80x",
        "http://:80x?auth=hunter2",
        "http://:80x?handler.password=hunter2",
        "http://u:hunter2@[::1?x=@",
    ] {
        let Err(diagnostics) = listen(&[argument]) else { panic!("{argument}") };
        for diagnostic in diagnostics {
            assert!(!diagnostic.to_string().contains("hunter2"), "{diagnostic}");
        }
    }
}

#[test]
fn what_is_accepted_at_the_far_end_of_a_chain() {
    for (scheme, is_udp) in [("rtcp", false), ("rudp", true)] {
        let url = format!("{scheme}://:2222/192.168.0.1:22");
        let input = flags(&[&url], &["relay+mtls://proxy.example:8443?mux.version=2"]);
        let config = load(&[input], false).unwrap().config;
        let Service { listener, handler, .. } = &config.services[0];
        assert_eq!(listener.kind.is_udp(), is_udp);
        assert!(matches!(listener.kind, ListenerKind::Rtcp | ListenerKind::Rudp(_)));
        assert!(matches!(handler.kind, HandlerKind::Forward(_)));
        assert_eq!(listener.chains.as_ref().unwrap().chains[0].as_str(), "chain-0");
        assert!(handler.chains.is_none());
        let ChainHop::Inline(hop) = &config.chains[0].hops[0] else { panic!() };
        let HopKind::Nodes(HopNodes { nodes, .. }) = &hop.kind else { panic!() };
        let Dialer::Mux(over, mux) = &nodes[0].dialer else { panic!("{:?}", nodes[0].dialer) };
        assert!(matches!(**over, Dialer::Tls { .. }));
        assert_eq!(*mux, Mux { version: 2, ..Mux::V1 });
    }
}

#[test]
fn connections_that_carry_many() {
    for (scheme, version, has_tls) in [("mtcp", 2, false), ("mtls", 1, true), ("mws", 1, false), ("mwss", 1, true)] {
        let config = listen(&[&format!("relay+{scheme}://:80")]).unwrap();
        let listener = &config.services[0].listener;
        assert_eq!((listener.mux.unwrap().version, listener.tls.is_some()), (version, has_tls), "{scheme}");
    }
    let url = "relay+mtcp://:80?mux.version=1&mux.keepaliveInterval=1s&mux.keepaliveTimeout=2s&mux.maxFrameSize=1000\
               &mux.maxReceiveBuffer=70000&mux.maxStreamBuffer=60000&mux.type=smux";
    let config = listen(&[url]).unwrap();
    let keepalive = Some((Duration::from_secs(1), Duration::from_secs(2)));
    let mux = Mux { version: 1, keepalive, max_frame: 1000, receive_buffer: 70_000, stream_buffer: 60_000 };
    assert_eq!(config.services[0].listener.mux, Some(mux));
    let HandlerKind::Relay(relay) = &config.services[0].handler.kind else { panic!() };
    assert_eq!(relay.mux, mux);
    let config = listen(&["tcp+mtls://:80/:81?mux.keepaliveDisabled=true&mux.keepaliveInterval=60s"]).unwrap();
    assert_eq!(config.services[0].listener.mux.unwrap().keepalive, None);
    for (url, expected) in [
        ("tcp+mtls://:80/:81?mux.version=3", "mux.version: expected a whole number from 1 to 2"),
        ("tcp+mtls://:80/:81?mux.type=yamux", "mux.type: unknown kind of mux `yamux`"),
        ("tcp+mtls://:80/:81?mux.keepaliveInterval=31s", "`mux.keepaliveTimeout` must not be below"),
        ("tcp+mtls://:80/:81?mux.maxStreamBuffer=4194305", "`mux.maxStreamBuffer` must not be above"),
        ("tcp+mtls://:80/:81?mux.maxStreamWindow=1", "mux.maxStreamWindow is not implemented"),
    ] {
        let found = messages(url);
        assert!(found.len() == 1 && found[0].contains(expected), "{url}: {found:?}");
    }
}
