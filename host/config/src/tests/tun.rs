use super::*;

#[test]
fn tun_services_and_routers() {
    let config = good(text(
        r#"
services:
- name: server
  addr: :8421
  handler: {type: tun, metadata: {p2p: true, ttl: 5s, passphrase: secret}}
  listener:
    type: tun
    metadata:
      name: tun7
      net: [192.168.123.1/24, "fd00::1/64"]
      tun.mtu: 1300
      route: 10.0.0.1/8, 10.1.0.0/16
      routes: [172.16.0.0/12 192.168.123.3, "192.0.2.7"]
      gw: 192.168.123.2
      dns: 192.168.123.1
      router: r
- {name: router, addr: ":1", handler: {type: router, metadata: {router: r, ingress: i, sd: s, entrypoint: ":7", router.cache: true, sd.renewInterval: 500ms}}}
routers:
- {name: r, routes: [{net: 10.0.0.0/8, gateway: peer}, {net: 10.0.0.0/8, dst: 10.9.0.1, gateway: 10.0.0.1}, {dst: "fd00::/8", gateway: 10.0.0.1}]}
- {name: p, plugin: {addr: "127.0.0.1:8000"}}
ingresses: [{name: i, rules: []}]
sds: [{name: s, plugin: {addr: "127.0.0.1:8000"}}]
"#,
    ));
    let server = &config.services[0];
    let (ListenerKind::Tun(listener), HandlerKind::Tun(handler)) = (&server.listener.kind, &server.handler.kind) else {
        panic!("{server:?}")
    };
    let net = |text: &str| text.parse::<ipnet::IpNet>().unwrap();
    let ip = |text: &str| Some(text.parse().unwrap());
    assert_eq!(
        **listener,
        TunListener {
            name: Some("tun7".to_owned()),
            nets: vec![net("192.168.123.1/24"), net("fd00::1/64")],
            mtu: 1300,
            routes: vec![
                (net("10.0.0.0/8"), ip("192.168.123.2")),
                (net("10.1.0.0/16"), ip("192.168.123.2")),
                (net("172.16.0.0/12"), ip("192.168.123.3")),
                (net("192.0.2.7/32"), ip("192.168.123.2")),
            ],
            dns: vec!["192.168.123.1".parse().unwrap()],
            router: Some("r".to_owned()),
        }
    );
    assert_eq!((handler.keepalive, handler.ttl, handler.p2p), (false, Duration::from_secs(5), true));
    assert_eq!(handler.passphrase.as_ref().map(|text| text.expose()), Some("secret"));

    let HandlerKind::Router(router) = &config.services[1].handler.kind else { panic!() };
    assert_eq!((router.address.as_str(), router.entrypoint.as_ref().unwrap().to_string().as_str()), (":7", ":7"));
    let second = Duration::from_secs(1);
    assert_eq!((router.route_cache, router.sd_cache, router.sd_renew), (Some(second), second, 15 * second));

    let RouterKind::Routes(routes) = &config.routers[0].kind else { panic!() };
    let routes: Vec<_> = routes.iter().map(|route| (route.net, route.gateway.as_str(), route.next_hop())).collect();
    let expected = [
        (net("10.0.0.0/8"), "peer", None),
        (net("10.9.0.1/32"), "10.0.0.1", ip("10.0.0.1")),
        (net("fd00::/8"), "10.0.0.1", None),
    ];
    assert_eq!(routes, expected);
    assert!(matches!(config.routers[1].kind, RouterKind::Plugin(_)));
}

#[test]
fn tun_urls() {
    let line = CommandLine {
        listen: vec![
            "tun://:8421?net=192.168.123.1/24".to_owned(),
            "tun://:0/host:8421?net=192.168.123.2/24&route=10.0.0.0/8&keepalive=true&passphrase=p".to_owned(),
        ],
        forward: vec!["router://192.0.2.1:1?router.id=4d21094e-b74c-4916-86c1-d9fa36ea677b".to_owned()],
        metrics: None,
    };
    let config = good(Input::CommandLine(line));
    let [server, client] = &config.services[..] else { panic!("{:?}", config.services) };
    assert!(server.forwarder.is_none() && client.forwarder.is_some());
    let (ListenerKind::Tun(listener), HandlerKind::Tun(handler)) = (&client.listener.kind, &client.handler.kind) else {
        panic!("{client:?}")
    };
    assert_eq!((listener.nets.len(), listener.routes.len(), listener.mtu), (1, 1, 1420));
    assert!(handler.keepalive && handler.passphrase.is_some());
    let ChainHop::Inline(hop) = &config.chains[0].hops[0] else { panic!() };
    let HopKind::Nodes(hop) = &hop.kind else { panic!() };
    let ConnectorKind::Router { id } = hop.nodes[0].connector.kind else { panic!() };
    assert_eq!(id.map(|id| id.to_string()).as_deref(), Some("4d21094e-b74c-4916-86c1-d9fa36ea677b"));
}
