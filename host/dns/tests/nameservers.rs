//! Nameservers against a DNS server.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops by panicking")]

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use drawspan_dns::{Nameserver, NameserverSettings, Nameservers, Prefer, Ttl};
use drawspan_proxy::Router;
use drawspan_proxy::dns::{HttpsTarget, Server, Transport};
use drawspan_proxy::tls::{ClientSettings, Options, TlsClient};
use drawspan_testkit::{Authority, Dns, DnsAnswer, PATIENCE, eventually, unused_addr};
use drawspan_wire::http1::HostPort;
use drawspan_wit::Plugin;
use drawspan_wit::resolver::ResolveRequest;
use drawspan_wit::types::AddressFamily;

const HOST: &str = "Host.Test";

fn addresses() -> Vec<IpAddr> {
    ["192.0.2.1", "192.0.2.2", "2001:db8::1"].map(|ip| ip.parse().unwrap()).to_vec()
}

fn within(timeout: Duration, transport: Transport) -> NameserverSettings {
    NameserverSettings {
        server: Server::new(transport, timeout, Router::default()),
        prefer: Prefer::V4,
        client_ip: None,
        ttl: Ttl::Answer,
        refresh_behind: false,
    }
}

fn over(transport: Transport) -> NameserverSettings {
    within(PATIENCE, transport)
}

fn at(host: &str, port: u16) -> HostPort {
    HostPort { host: host.to_owned(), port }
}

fn udp(server: &Dns) -> NameserverSettings {
    over(Transport::Udp(at("localhost", server.addr().port())))
}

fn tcp(server: &Dns) -> NameserverSettings {
    over(Transport::Tcp(at("127.0.0.1", server.addr().port())))
}

/// TLS towards a server, which must be of that name if one is given.
fn tls(verify: Option<&str>, alpn: &[&str]) -> TlsClient {
    let alpn = alpn.iter().map(|protocol| (*protocol).to_owned()).collect();
    TlsClient::new(&ClientSettings {
        secure: verify.is_some(),
        server_name: verify.map(str::to_owned),
        options: Options { alpn, ..Options::default() },
        ..ClientSettings::default()
    })
    .unwrap()
}

fn one(settings: NameserverSettings) -> Nameservers {
    Nameservers::new(vec![Nameserver::new(settings)])
}

async fn ask(nameservers: &Nameservers, host: &str, family: AddressFamily) -> Result<String, String> {
    let request = ResolveRequest { family, host: host.to_owned(), client_id: None };
    nameservers.call(Arc::new(request)).await.map(|found| found.join(" ")).map_err(|error| error.to_string())
}

async fn any(nameservers: &Nameservers) -> Result<String, String> {
    ask(nameservers, HOST, AddressFamily::Any).await
}

const V4: &str = "192.0.2.1 192.0.2.2";
const V6: &str = "2001:db8::1";

#[tokio::test]
async fn every_transport_carries_questions() {
    let issued = Authority::new().issue("dns.test");
    let answer = || DnsAnswer::Addresses(addresses(), 60);
    let plain = Dns::start(answer()).await;
    let over_tls = Dns::start_tls(issued.server(&["dot"]), answer()).await;
    let over_https = Dns::start_https(issued.server(&["http/1.1"]), answer()).await;
    let dot = |verify| over(Transport::Tls(at("127.0.0.1", over_tls.addr().port()), tls(verify, &["dot"])));
    let doh = |path: &str, verify| {
        over(Transport::Https(HttpsTarget {
            uri: format!("https://{}/{path}?hunter2", over_https.addr()).parse().unwrap(),
            authorization: None,
            at: at("127.0.0.1", over_https.addr().port()),
            tls: tls(verify, &["h2", "http/1.1"]),
        }))
    };
    for settings in [udp(&plain), tcp(&plain), dot(None), doh("dns-query", None)] {
        assert_eq!(any(&one(settings)).await.as_deref(), Ok(V4));
    }
    // Nobody's authority: neither is believed where it is to be verified.
    for settings in [dot(Some("dns.test")), doh("dns-query", Some("dns.test"))] {
        let error = any(&one(settings)).await.unwrap_err();
        assert!(error.contains("certificate") && !error.contains("hunter2"), "{error}");
    }
    let error = any(&one(doh("elsewhere", None))).await.unwrap_err();
    assert!(error.ends_with("the server answered 404 Not Found") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn families_are_asked_for_in_order() {
    use AddressFamily::{Any, Ipv4, Ipv6};
    let (v4, v6) = (&addresses()[..2], &addresses()[2..]);
    let all = addresses();
    // What there is, what is preferred, what is asked for: what is found, by how many questions.
    for (there, prefer, family, found, counts) in [
        (&all[..], Prefer::V4, Any, V4, (1, 0)),
        (&all[..], Prefer::V6, Any, V6, (0, 1)),
        (v6, Prefer::V4, Any, V6, (1, 1)),
        (v4, Prefer::V6, Any, V4, (1, 1)),
        (v6, Prefer::OnlyV4, Any, "", (1, 0)),
        (v4, Prefer::OnlyV6, Any, "", (0, 1)),
        (&all[..], Prefer::V4, Ipv6, V6, (0, 1)),
        (&all[..], Prefer::V6, Ipv4, V4, (1, 0)),
        (&all[..], Prefer::OnlyV6, Ipv4, "", (0, 0)),
        (&all[..], Prefer::OnlyV4, Ipv4, V4, (1, 0)),
    ] {
        let server = Dns::start(DnsAnswer::Addresses(there.to_vec(), 60)).await;
        let nameservers = one(NameserverSettings { prefer, ..udp(&server) });
        assert_eq!(ask(&nameservers, HOST, family).await.as_deref(), Ok(found), "{prefer:?} {family:?}");
        assert_eq!(server.counts(), counts, "{prefer:?} {family:?}");
    }
}

/// Lets that time pass at once.
async fn pass(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn answers_are_kept_for_as_long_as_they_may_be() {
    // The answer, the setting, a time within and the time until they are forgotten.
    for (answer, ttl, within, beyond) in [
        (DnsAnswer::Addresses(addresses(), 30), Ttl::Answer, 28, 3),
        (DnsAnswer::Addresses(addresses(), 0), Ttl::Answer, 58, 3),
        (DnsAnswer::Addresses(addresses(), 30), Ttl::Fixed(Duration::from_secs(300)), 298, 3),
    ] {
        let server = Dns::start(answer).await;
        let nameservers = one(NameserverSettings { ttl, ..udp(&server) });
        for (seconds, asked) in [(0, 1), (within, 1), (beyond, 2)] {
            pass(seconds).await;
            assert_eq!(any(&nameservers).await.as_deref(), Ok(V4));
            assert_eq!(ask(&nameservers, "hOST.test.", AddressFamily::Any).await.as_deref(), Ok(V4));
            assert_eq!(server.counts().0, asked, "{ttl:?}");
        }
    }
    let server = Dns::start(DnsAnswer::Unknown).await;
    let nameservers = one(udp(&server));
    for (seconds, asked) in [(0, (1, 1)), (58, (1, 1)), (3, (2, 2))] {
        pass(seconds).await;
        assert_eq!(any(&nameservers).await.as_deref(), Ok(""), "that there is nothing is kept too");
        assert_eq!(server.counts(), asked);
    }
    let server = Dns::start(DnsAnswer::Addresses(addresses(), 30)).await;
    let nameservers = one(NameserverSettings { ttl: Ttl::Uncached, ..udp(&server) });
    for asked in 1..4 {
        assert_eq!(any(&nameservers).await.as_deref(), Ok(V4));
        assert_eq!(server.counts().0, asked);
    }
}

#[tokio::test]
async fn expired_answers_serve_while_they_are_asked_for_again() {
    let server = Dns::start(DnsAnswer::Addresses(addresses()[..1].to_vec(), 30)).await;
    let nameservers = one(NameserverSettings { refresh_behind: true, ..udp(&server) });
    assert_eq!(any(&nameservers).await.as_deref(), Ok("192.0.2.1"));
    server.answer(DnsAnswer::Silence);
    pass(31).await;
    for _ in 0..3 {
        assert_eq!(any(&nameservers).await.as_deref(), Ok("192.0.2.1"), "nobody waits");
    }
    eventually("a question", PATIENCE, async || (server.counts().0 > 1).then_some(())).await;
    assert_eq!(server.counts().0, 2, "one of them asks");
    server.answer(DnsAnswer::Addresses(addresses()[1..2].to_vec(), 30));
    pass(PATIENCE.as_secs() + 1).await;
    eventually("the new address", PATIENCE, async || (any(&nameservers).await.unwrap() == "192.0.2.2").then_some(()))
        .await;
}

#[tokio::test]
async fn what_a_datagram_cant_carry_comes_over_tcp() {
    let server = Dns::start(DnsAnswer::Long(addresses())).await;
    assert_eq!(any(&one(udp(&server))).await.as_deref(), Ok(V4));
    assert_eq!(server.counts(), (2, 0));
}

#[tokio::test]
async fn answers_to_other_questions_arent_believed() {
    let server = Dns::start(DnsAnswer::Late(addresses())).await;
    assert_eq!(any(&one(udp(&server))).await.as_deref(), Ok(V4));
    let error = any(&one(tcp(&server))).await.unwrap_err();
    assert!(error.contains("another question"), "{error}");
}

#[tokio::test]
async fn the_next_nameserver_is_asked_when_one_has_no_addresses() {
    let good = Dns::start(DnsAnswer::Addresses(addresses(), 60)).await;
    let unknown = Dns::start(DnsAnswer::Unknown).await;
    let failing = Dns::start(DnsAnswer::Failure).await;
    let silent = Dns::start(DnsAnswer::Silence).await;
    let short = |server: &Dns| within(Duration::from_millis(50), Transport::Udp(at("127.0.0.1", server.addr().port())));
    let down = |transport: fn(HostPort) -> Transport| over(transport(at("127.0.0.1", unused_addr().port())));
    let all = |settings: Vec<NameserverSettings>| Nameservers::new(settings.into_iter().map(Nameserver::new).collect());
    let nameservers = all(vec![
        udp(&unknown),
        udp(&failing),
        short(&silent),
        down(Transport::Tcp),
        // Nobody waits for one that isn't there.
        down(Transport::Udp),
        udp(&good),
    ]);
    assert_eq!(any(&nameservers).await.as_deref(), Ok(V4));
    // One that knows says that there is nothing.
    assert_eq!(any(&all(vec![udp(&unknown), udp(&failing)])).await.as_deref(), Ok(""));
    assert_eq!(any(&all(vec![udp(&failing), udp(&unknown)])).await.as_deref(), Ok(""));
    let error = any(&all(vec![short(&silent), udp(&failing)])).await.unwrap_err();
    assert!(error.starts_with("udp://localhost:") && error.ends_with("the server answered: Server Failure"), "{error}");
}

#[tokio::test]
async fn the_client_is_named_by_its_net() {
    for (ip, option) in [("192.0.2.77", "192.0.2.0/24"), ("2001:db8::77", "2001:db8::77/128")] {
        let server = Dns::start(DnsAnswer::Addresses(addresses(), 60)).await;
        let settings = NameserverSettings { client_ip: Some(ip.parse().unwrap()), ..udp(&server) };
        assert_eq!(any(&one(settings)).await.as_deref(), Ok(V4));
        let edns = format!("{:?}", server.questions()[0].edns);
        let (address, prefix) = option.split_once('/').unwrap();
        assert!(edns.contains(address) && edns.contains(&format!("source_prefix: {prefix}")), "{edns}");
    }
}

#[tokio::test]
async fn addresses_are_their_own_and_nonsense_isnt_asked_about() {
    let server = Dns::start(DnsAnswer::Addresses(addresses(), 60)).await;
    let nameservers = one(udp(&server));
    for ip in ["192.0.2.9", "2001:db8::9"] {
        assert_eq!(ask(&nameservers, ip, AddressFamily::Any).await.as_deref(), Ok(ip));
    }
    for host in ["a..b", &"a".repeat(64), &"a.".repeat(200)] {
        let error = ask(&nameservers, host, AddressFamily::Any).await.unwrap_err();
        assert!(error.contains("is not a name that DNS knows"), "{error}");
    }
    assert!(server.questions().is_empty());
}
