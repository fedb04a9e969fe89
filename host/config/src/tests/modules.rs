//! What modules say and who uses them, as `tests/good/modules.yaml` has it.

use std::net::IpAddr;

use uuid::Uuid;

use super::*;

fn config() -> Config {
    good(Input::File("tests/good/modules.yaml".into()))
}

fn names(names: &[At<String>]) -> Vec<&str> {
    names.iter().map(|name| name.as_str()).collect()
}

fn values<T: Clone>(all: &[At<T>]) -> Vec<T> {
    all.iter().map(|at| at.value.clone()).collect()
}

#[test]
fn a_service_knows_its_modules() {
    let config = config();
    let [service] = &config.services[..] else { panic!() };
    assert_eq!(names(&service.admissions), ["ad0", "ad1"]);
    assert_eq!(names(&service.bypasses), ["b0", "b1", "b2"]);
    let one = |name: &Option<At<String>>| name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
    let single = [&service.resolver, &service.hosts, &service.limiter, &service.climiter, &service.rlimiter];
    assert_eq!(single.map(one), ["r0", "ho0", "l0", "c0", "q0"]);
    assert_eq!([&service.observer, &service.handler.limiter, &service.handler.observer].map(one), ["o0", "l1", "o0"]);
    assert_eq!(names(&service.handler.chains.as_ref().unwrap().chains), ["ch"]);

    let records: Vec<_> = service.recorders.iter().map(|one| (one.recorder.as_str(), one.record)).collect();
    let [handler, client, dial, error] =
        [Record::Handler, Record::ClientAddress, Record::DialAddress, Record::DialError];
    assert_eq!(records, [("rec0", handler), ("rec1", client), ("rec2", dial), ("rec3", error)]);
    assert_eq!((service.recorders[0].http_body, service.recorders[1].http_body), (Some(1024), None));
    let metadata = r#"{"http.body":true,"http.maxbodysize":1024,"direction":"in"}"#;
    assert_eq!(service.recorders[0].metadata.as_deref(), Some(metadata));
}

#[test]
fn settings_of_a_service_and_its_handler() {
    let config = config();
    let service = &config.services[0];
    let seconds = Duration::from_secs;
    let metadata = &service.metadata;
    assert!(metadata.accept_proxy && metadata.enable_stats);
    assert_eq!(metadata.reports, Reports { period: seconds(10), reset_traffic: true });
    assert_eq!(metadata.limiter_scope, Some(LimiterScope::Connection));
    assert_eq!(metadata.limiter_refresh, seconds(20));
    assert_eq!(metadata.labels, [("site".to_owned(), "a".to_owned())]);
    assert_eq!((service.egress.mark, service.dial_timeout), (Some(100), seconds(5)));
    let interfaces = [
        Interface { source: InterfaceSource::Name("eth0".into()), strict: true },
        Interface { source: InterfaceSource::Addr("192.168.0.1".parse().unwrap()), strict: false },
    ];
    assert_eq!(service.egress.interfaces, interfaces);

    let handler = &service.handler;
    assert_eq!(handler.reports, Reports { period: seconds(7), reset_traffic: false });
    assert_eq!((handler.limiter_refresh, handler.hash), (seconds(1), HashSource::Target));
    assert_eq!(handler.sniffing, Some(Sniffing { timeout: Some(seconds(5)) }));
    assert!(matches!(&handler.kind, HandlerKind::Http(http) if http.udp), "{handler:?}");
    let keepalive = TcpKeepalive { idle: seconds(30), interval: seconds(10), count: 3 };
    assert_eq!((&service.listener.kind, service.listener.keepalive), (&ListenerKind::Tcp, keepalive));
}

#[test]
fn admissions_and_bypasses() {
    let config = config();
    let AdmissionKind::Rules(rules) = &config.admissions[0].kind else { panic!() };
    let net = |text: &str| AdmissionPattern::Net(text.parse().unwrap());
    let expected =
        [net("127.0.0.1/32"), net("10.0.0.0/8"), net("fd00::/8"), AdmissionPattern::Host("localhost".into())];
    assert!(rules.whitelist);
    assert_eq!(values(&rules.patterns), expected);
    assert!(matches!(config.admissions[1].kind, AdmissionKind::Plugin(_)));

    let BypassKind::Rules(rules) = &config.bypasses[0].kind else { panic!() };
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let host = |name: &str, subdomains, ports| BypassPattern::Host { name: name.into(), subdomains, ports };
    let expected = [
        BypassPattern::Net("10.0.0.0/8".parse().unwrap()),
        BypassPattern::Glob { pattern: "*.example.com".into(), ports: Some(443..=443) },
        host("example.org", true, None),
        BypassPattern::Range(ip("10.0.0.1"), ip("10.0.0.9")),
        host("host", false, Some(80..=90)),
        host("::1", false, Some(22..=22)),
        host("192.168.0.1", false, Some(8080..=8080)),
    ];
    assert!(!rules.whitelist);
    assert_eq!(values(&rules.patterns), expected);
    let shown: Vec<String> = rules.patterns.iter().map(|pattern| pattern.to_string()).collect();
    let texts = [
        "10.0.0.0/8",
        "*.example.com:443",
        ".example.org",
        "10.0.0.1-10.0.0.9",
        "host:80-90",
        "[::1]:22",
        "192.168.0.1:8080",
    ];
    assert_eq!(shown, texts);
    let BypassKind::Rules(rules) = &config.bypasses[1].kind else { panic!() };
    assert_eq!((rules.whitelist, rules.patterns.len()), (true, 2));
}

#[test]
fn resolvers_and_hosts() {
    let config = config();
    let ResolverKind::Nameservers(servers) = &config.resolvers[0].kind else { panic!() };
    let at = |host: &str, port| HostAndPort { host: host.into(), port };
    let addrs: Vec<_> = servers.iter().map(|server| server.addr.value.clone()).collect();
    assert_eq!(addrs[0], NameserverAddr::Udp(at("127.0.0.1", 53)));
    assert_eq!(addrs[1], NameserverAddr::Udp(at("1.1.1.1", 53)));
    assert_eq!(addrs[2], NameserverAddr::Tls(at("1.1.1.1", 853)));
    assert!(matches!(&addrs[3], NameserverAddr::Https(url) if url.to_string() == "https://1.0.0.1/dns-query"));
    let seconds = Duration::from_secs;
    assert_eq!([servers[0].ttl, servers[1].ttl, servers[2].ttl], [Ttl::Fixed(seconds(30)), Ttl::Answer, Ttl::Uncached]);
    assert_eq!([servers[0].timeout, servers[1].timeout], [seconds(3), seconds(5)]);
    assert_eq!([servers[0].family, servers[1].family], [Family::PreferV4, Family::OnlyV6]);
    assert!(servers[0].refresh_behind && !servers[1].refresh_behind);
    assert_eq!(servers[1].chain.as_ref().map(|name| name.as_str()), Some("ch"));
    assert_eq!(servers[2].server_name.as_deref(), Some("one.one.one.one"));

    let HostsKind::Mappings(mappings) = &config.hosts[0].kind else { panic!() };
    let name = |name: &str, subdomains| HostPattern { name: name.into(), subdomains };
    assert_eq!(values(&mappings[0].names), [name("example.com", true)]);
    assert_eq!(values(&mappings[1].names), [name("localhost", false), name("ip6-localhost", false)]);
}

#[test]
fn ingresses() {
    let config = config();
    let IngressKind::Rules(rules) = &config.ingresses[0].kind else { panic!() };
    let rule = |name: &str, subdomains, id, private| IngressRule {
        hostname: HostPattern { name: name.into(), subdomains },
        endpoint: TunnelEndpoint { tunnel: Uuid::from_u128(id), private },
    };
    let id = 0x4d21094e_b74c_4916_86c1_d9fa36ea677b;
    assert_eq!(rules[..], [rule("example.com", true, id, true), rule("a", false, id + 1, false)]);
    assert!(matches!(config.ingresses[1].kind, IngressKind::Plugin(_)));
    assert_eq!(config.sds[0].name.as_str(), "sd0");
}

#[test]
fn limits() {
    let config = config();
    let LimiterKind::Limits(limits) = &config.limiters[0].kind else { panic!() };
    let net = |text: &str| LimitKey::Net(text.parse().unwrap());
    let limit = |key, input, output| TrafficLimit { key, input, output };
    let mib = 1 << 20;
    let expected = [
        limit(LimitKey::All, Some(100 * mib), Some(100 * mib)),
        limit(LimitKey::Each, Some(10 * mib), None),
        limit(net("192.168.0.0/16"), Some(mib), Some(5 * mib)),
        limit(LimitKey::Each, None, Some(1536)),
        limit(net("::1/128"), Some(mib + (512 << 10)), None),
    ];
    assert_eq!(values(&limits[..]), expected);
    let [all, each, some] = &config.climiters[0].limits[..] else { panic!() };
    assert_eq!((all.key, all.connections), (LimitKey::All, 1000));
    assert_eq!((each.key, each.connections), (LimitKey::Each, 100));
    assert_eq!((some.key, some.connections), (net("10.0.0.0/8"), 5));
    let rates: Vec<_> = config.rlimiters[0].limits.iter().map(|limit| (limit.key, limit.per_second)).collect();
    assert_eq!(rates, [(LimitKey::All, 100.0), (net("192.168.1.1/32"), 0.5)]);
}

#[test]
fn recorders_metrics_and_the_default_certificate() {
    let config = config();
    let [file, plugin, tcp, http, redis] = &config.recorders[..] else { panic!() };
    assert!(matches!(&file.kind, RecorderKind::File { path, separator }
        if path.value.as_os_str() == "tests/good/rec.log" && separator == "\n"));
    assert!(matches!(plugin.kind, RecorderKind::Plugin(_)));
    assert!(
        matches!(&tcp.kind, RecorderKind::Tcp { addr, timeout } if addr.port == 9000 && *timeout == Duration::from_secs(1))
    );
    let RecorderKind::Http { url, header, .. } = &http.kind else { panic!() };
    assert_eq!((url.to_string().as_str(), header[0].1.expose()), ("http://127.0.0.1:9000/", "hunter2"));
    let RecorderKind::Redis(redis) = &redis.kind else { panic!() };
    assert_eq!(
        (redis.addr.port, redis.db, redis.key.as_str(), redis.kind),
        (6379, 2, "records", RedisRecords::SortedSet)
    );
    assert_eq!(redis.password.as_ref().map(Secret::expose), Some("hunter2"));

    let metrics = config.metrics.unwrap();
    assert_eq!((metrics.addr.to_string().as_str(), metrics.path.as_str()), (":9000", "/m"));
    assert_eq!(metrics.auth.map(|auth| auth.username.clone()).as_deref(), Some("u"));
}

#[test]
fn a_listener_takes_what_it_lacks_from_the_default_certificate() {
    let with = |top: &str, own: &str| {
        let yaml = format!(
            "{{tls: {{{top}}}, services: [{{name: s, addr: ':1', handler: {{type: http}}, \
             listener: {{type: tls, tls: {{{own}}}}}}}]}}"
        );
        good(text(&yaml)).services.remove(0).listener.tls.unwrap()
    };
    let files = "certFile: cert.pem, keyFile: key.pem";
    let tls = with(&format!("{files}, caFile: ca.pem, options: {{alpn: [h2]}}"), "options: {minVersion: VersionTLS13}");
    assert!(matches!(tls.certificate, Certificate::Files(_)) && tls.client_ca.is_some());
    assert_eq!((tls.options.min_version, tls.options.alpn), (Some(TlsVersion::V1_3), vec!["h2".to_owned()]));

    // GOST: forgets a `caFile` without a `certFile`, and then wants no client certificate.
    let tls = with("commonName: a.example.com", "caFile: ca.pem");
    assert!(tls.client_ca.is_some());
    let Certificate::Generated(certificate) = tls.certificate else { panic!() };
    assert_eq!((certificate.common_name.as_str(), certificate.organization.as_str()), ("a.example.com", "GOST"));
}

#[test]
fn urls_of_observers_and_http_recorders_may_lack_their_scheme() {
    let entry = |kind: &str, entry: &str| {
        text(&format!("services: [{{name: s, addr: ':0', handler: {{type: http}}}}]\n{kind}: [{{name: x, {entry}}}]\n"))
    };
    let plugin = |addr: &str| format!("plugin: {{type: http, addr: '{addr}'}}");
    for (written, read) in [
        ("localhost:9000/x?y", "http://localhost:9000/x?y"),
        ("127.0.0.1:9000", "http://127.0.0.1:9000/"),
        ("httpd.test/x", "http://httpd.test/x"),
        ("https://a.test/x", "https://a.test/x"),
    ] {
        let config = good(entry("observers", &plugin(written)));
        let Backing::Http { addr, .. } = &config.observers[0].plugin.backing else { panic!("{written}") };
        assert_eq!(addr.expose().as_str(), read);
        let config = good(entry("recorders", &format!("http: {{url: '{written}'}}")));
        let RecorderKind::Http { url, .. } = &config.recorders[0].kind else { panic!("{written}") };
        assert_eq!(url.expose().as_str(), read);
    }
    for other in [entry("observers", &plugin("ftp://a.test/")), entry("recorders", &plugin("localhost:9000/x"))] {
        assert_eq!(messages(&[other], true).len(), 1);
    }
    // Nothing of it is left for those who come after.
    let both = "observers: [{name: o, plugin: {type: http, addr: 'a:1'}}]\nsds: [{name: d, plugin: {type: http, addr: 'a:1'}}]";
    let both = text(&format!("services: [{{name: s, addr: ':0', handler: {{type: http}}}}]\n{both}\n"));
    assert_eq!(messages(&[both], true), ["Error sds[0].plugin.addr: expected a full http or https URL"]);
}
