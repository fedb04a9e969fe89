//! The `tun` listener and handler: IP packets of this machine, through a tunnel.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::{Record, Service};
use crate::decode::{Context, Item, Kind, Object};
use crate::pattern;
use crate::router::NET;
use crate::{At, Diagnostic, Secret};

/// A network interface that is made for the service, and goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunListener {
    /// Its name; none: `tun` and a number.
    pub name: Option<String>,
    /// Its addresses, with their networks.
    pub nets: Vec<IpNet>,
    /// Bytes of the longest packet. Default 1420.
    pub mtu: u16,
    /// Networks behind it, with the gateway to them if there is one.
    pub routes: Vec<(IpNet, Option<IpAddr>)>,
    /// DNS servers behind it.
    pub dns: Vec<IpAddr>,
    /// The existing router whose routes are used in place of `routes`, and are the system's too.
    pub router: Option<String>,
}

/// Settings of the `tun` handler.
#[derive(Clone, Debug)]
pub struct TunHandler {
    /// Tell the server every `ttl` that the client is still there. Means nothing for a server.
    pub keepalive: bool,
    /// Between keepalive messages; of a server: the shortest time that its clients are expected to have. Default 10 s.
    pub ttl: Duration,
    /// Proves to the server who the client is. Of a server without an auther: what clients must have.
    pub passphrase: Option<At<Secret>>,
    /// A server with a single client, which gets every packet.
    pub p2p: bool,
}

/// Bytes of a keepalive's key.
const PASSPHRASE: usize = 16;
/// Bytes of an interface's name (`IFNAMSIZ`).
const NAME: usize = 15;
const MTU: u16 = 1420;
const TTL: Duration = Duration::from_secs(10);

/// Addresses that a client may tell its server.
const NETS: usize = 32;

/// The value of a key, which may be written with `tun.` before it; GOST's metadata has both, and the shorter one wins.
fn take<'n>(metadata: &mut Object<'n>, keys: &[&'static str]) -> Option<Item<'n>> {
    let found: Vec<_> = keys.iter().map(|key| metadata.take(key)).collect();
    found.into_iter().flatten().find(|item| !item.node.value.is_zero())
}

pub(super) fn listener(metadata: &mut Object<'_>, cx: &mut Context) -> TunListener {
    let ignored = ["peer", "tun.peer", "guid", "tun.guid"];
    metadata.without_effect(&ignored, "has no effect on Linux, nor in GOST", cx);
    let mut list = |keys: [&'static str; 2]| take(metadata, &keys);
    let (nets, route, routes) =
        (list(["net", "tun.net"]), list(["route", "tun.route"]), list(["routes", "tun.routes"]));
    let (dns, gateway) = (list(["dns", "tun.dns"]), list(["gw", "tun.gw"]));
    let (name, mtu) = (list(["name", "tun.name"]), list(["mtu", "tun.mtu"]));
    let router = list(["router", "tun.router"]).and_then(|item| {
        let name = item.name(cx)?;
        cx.names.refer(Kind::Router, &item.path, &name);
        Some(name.value)
    });
    let gateway = gateway.and_then(|item| item.parsed("an IP address", cx, |text| text.parse().ok()));
    let gateway: Option<IpAddr> = gateway.map(|at| at.value);
    let expected = |text: &str, expected: &str| format!("`{text}` is not {expected}");
    let network = |text: &str| pattern::net(text).map(|net| net.trunc()).ok_or_else(|| expected(text, NET));
    let leads = |net: IpNet, gateway: Option<IpAddr>| match gateway {
        Some(ip) if ip.is_ipv4() != net.addr().is_ipv4() => {
            Err(format!("{ip} can't be the gateway to {net}: one is IPv4, the other IPv6"))
        }
        _ => Ok((net, gateway)),
    };
    let with_gateway = |text: &str| {
        let (net, own) = text.trim().split_once(char::is_whitespace).unwrap_or((text.trim(), ""));
        let own = match own.trim() {
            "" => gateway,
            own => Some(own.parse().map_err(|_| expected(own, "an IP address"))?),
        };
        leads(network(net)?, own)
    };
    let mut all = Vec::new();
    if let Some(item) = &route {
        all.extend(item.each(cx, |text| leads(network(text)?, gateway)).into_iter().map(|at| at.value));
    }
    if let Some(item) = &routes {
        all.extend(item.each(cx, with_gateway).into_iter().map(|at| at.value));
    }
    let address = |text: &str| {
        text.parse::<IpNet>().map_err(|_| expected(text, "an address with its network, such as `192.168.123.1/24`"))
    };
    let ip = |text: &str| text.parse::<IpAddr>().map_err(|_| expected(text, "an IP address"));
    let is_name = |text: &str| {
        let fits = text.len() <= NAME && !text.contains(['/', ':', '%']) && !text.contains(char::is_whitespace);
        (fits && !matches!(text, "" | "." | "..")).then(|| text.to_owned())
    };
    TunListener {
        name: name
            .and_then(|item| item.parsed("a name of at most 15 letters and digits", cx, is_name))
            .map(|at| at.value),
        nets: nets.iter().flat_map(|item| item.each(cx, address)).map(|at| at.value).collect(),
        mtu: mtu.and_then(|item| item.integer(68..=65_535, cx)).and_then(|mtu| u16::try_from(mtu).ok()).unwrap_or(MTU),
        routes: all,
        dns: dns.iter().flat_map(|item| item.each(cx, ip)).map(|at| at.value).collect(),
        router,
    }
}

pub(super) fn handler(metadata: &mut Object<'_>, cx: &mut Context) -> TunHandler {
    metadata.without_effect(&["bufferSize", "tun.bufferSize"], "has no effect: packets of any size pass", cx);
    let mut flag = |keys: [&'static str; 2]| take(metadata, &keys).and_then(|item| item.boolean(cx)).unwrap_or(false);
    let (keepalive, p2p) = (flag(["keepalive", "tun.keepalive"]), flag(["p2p", "tun.p2p"]));
    let ttl = take(metadata, &["ttl", "tun.ttl"]).and_then(|item| item.metadata_duration(cx));
    let passphrase = take(metadata, &["token", "tun.token", "passphrase"]).and_then(|item| {
        // GOST: cuts it off.
        let read = |text: &str| (text.len() <= PASSPHRASE).then(|| Secret::new(text));
        item.parsed("a passphrase of at most 16 bytes", cx, read)
    });
    TunHandler { keepalive, ttl: ttl.filter(|ttl| !ttl.is_zero()).unwrap_or(TTL), passphrase, p2p }
}

/// Reports what means nothing to a tunnel, and guards nothing there. GOST: ignores it.
pub(super) fn check(service: &Service, listener: &TunListener, handler: &TunHandler, cx: &mut Context) {
    let mut refuse = |at: &At<String>, why: &str| {
        cx.push(Diagnostic::error(&at.place, format!("service `{}`: {why}", service.name.value)));
    };
    let limiters = [&service.climiter, &service.rlimiter, &service.handler.limiter];
    for guard in service.bypasses.iter().chain(limiters.into_iter().flatten()) {
        refuse(guard, &format!("`{}` would guard nothing: a tun service has no connections", guard.value));
    }
    for used in &service.recorders {
        if let Record::ClientAddress | Record::Handler = used.record {
            refuse(&used.recorder, "a tun service keeps no such record");
        }
    }
    if service.handler.sniffing.is_some() {
        refuse(&service.name, "`sniffing` of packets is not implemented");
    }
    let is_client = service.forwarder.is_some();
    if is_client {
        for guard in service.admissions.iter().chain(&service.handler.authers) {
            refuse(guard, &format!("`{}` would guard nothing: a tun client has no clients", guard.value));
        }
        if service.handler.auth.is_some() {
            refuse(&service.name, "`auth` would guard nothing: a tun client has no clients");
        }
        if listener.nets.is_empty() {
            refuse(
                &service.name,
                "a tun client needs `net` in its listener's metadata: it tells its server the address",
            );
        }
        if listener.nets.len() > NETS {
            refuse(&service.name, &format!("a tun client has at most {NETS} addresses"));
        }
        return;
    }
    let has_auther = !service.handler.authers.is_empty() || service.handler.auth.is_some();
    if let (Some(passphrase), true) = (&handler.passphrase, has_auther) {
        let message = "the passphrase of a tun server is ignored, since an auther is asked about its clients'";
        cx.push(Diagnostic::warning(&passphrase.place, message));
    }
    if handler.keepalive {
        let message = format!("service `{}`: `keepalive` has no effect on a tun server", service.name.value);
        cx.push(Diagnostic::warning(&service.name.place, message).with_help("set it on its clients"));
    }
}
