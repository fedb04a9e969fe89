//! [`Netlink`]: what is told the kernel about an interface (rtnetlink(7)).

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use ipnet::IpNet;
use rustix::io::retry_on_intr;
use rustix::net::netdevice::name_to_index;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

/// Message types and flags, from linux/netlink.h and linux/rtnetlink.h.
const ERROR: u16 = 2;
const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const REQUEST_ACK: u16 = 0x1 | 0x4;
const REPLACE: u16 = 0x100;
const EXCLUSIVE: u16 = 0x200;
const CREATE: u16 = 0x400;

/// Attributes.
const IFLA_MTU: u16 = 4;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

const IFF_UP: u32 = 1;
const TABLE_MAIN: u8 = 254;
const PROTOCOL_BOOT: u8 = 3;
const SCOPE_UNIVERSE: u8 = 0;
const SCOPE_LINK: u8 = 253;
const UNICAST: u8 = 1;

const HEADER: usize = 16;

/// An interface, to the kernel. The calls wait, for as long as the kernel takes.
pub(super) struct Netlink {
    socket: OwnedFd,
    index: u32,
}

impl Netlink {
    /// For the interface of that name.
    pub(super) fn open(name: &str) -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        let index = name_to_index(&socket, name)?;
        Ok(Self { socket, index })
    }

    /// Sets it up, for packets of `mtu` bytes.
    pub(super) fn up(&self, mtu: u16) -> io::Result<()> {
        self.ask(NEW_LINK, 0, &link(self.index, mtu))
    }

    /// Gives it an address and the network around it.
    pub(super) fn address(&self, net: IpNet) -> io::Result<()> {
        self.ask(NEW_ADDRESS, CREATE | EXCLUSIVE, &address(self.index, net))
    }

    /// Sends what goes to `net` there, in place of where it went.
    pub(super) fn route(&self, net: IpNet, gateway: Option<IpAddr>) -> io::Result<()> {
        self.ask(NEW_ROUTE, CREATE | REPLACE, &route(self.index, net, gateway))
    }

    fn ask(&self, kind: u16, flags: u16, body: &[u8]) -> io::Result<()> {
        let kernel = SocketAddrNetlink::new(0, 0);
        retry_on_intr(|| sendto(&self.socket, &message(kind, flags, body), SendFlags::empty(), &kernel))?;
        let mut answer = [0; 4096];
        let (length, _) = retry_on_intr(|| recv(&self.socket, &mut answer[..], RecvFlags::empty()))?;
        acknowledged(&answer[..length])
    }
}

fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = (HEADER + body.len()) as u32;
    let [kind, flags] = [kind, REQUEST_ACK | flags].map(u16::to_ne_bytes);
    // Neither a number nor a sender: there is one answer to each.
    [&length.to_ne_bytes()[..], &kind, &flags, &[0; 8], body].concat()
}

/// What the kernel says to a request: zero, or what went wrong.
fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let broken = || io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer isn't understood");
    let kind = answer.get(4..6).and_then(|bytes| Some(u16::from_ne_bytes(bytes.try_into().ok()?)));
    let code = answer.get(HEADER..HEADER + 4).and_then(|bytes| Some(i32::from_ne_bytes(bytes.try_into().ok()?)));
    match (kind, code) {
        (Some(ERROR), Some(0)) => Ok(()),
        (Some(ERROR), Some(code)) => Err(io::Error::from_raw_os_error(code.wrapping_neg())),
        _ => Err(broken()),
    }
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = (4 + value.len()) as u16;
    // All values here end at a multiple of four.
    [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat()
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn family(net: IpNet) -> u8 {
    let family = if net.addr().is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    family.as_raw() as u8
}

/// `struct ifinfomsg` and the size.
fn link(index: u32, mtu: u16) -> Vec<u8> {
    let head = [&[0; 4][..], &index.to_ne_bytes(), &IFF_UP.to_ne_bytes(), &IFF_UP.to_ne_bytes()].concat();
    [head, attribute(IFLA_MTU, &u32::from(mtu).to_ne_bytes())].concat()
}

/// `struct ifaddrmsg` and the address, which is both its own and what it is reached by.
fn address(index: u32, net: IpNet) -> Vec<u8> {
    let ip = octets(net.addr());
    let head = [&[family(net), net.prefix_len(), 0, SCOPE_UNIVERSE][..], &index.to_ne_bytes()].concat();
    [head, attribute(IFA_LOCAL, &ip), attribute(IFA_ADDRESS, &ip)].concat()
}

/// `struct rtmsg`, the network, the interface and the gateway.
fn route(index: u32, net: IpNet, gateway: Option<IpAddr>) -> Vec<u8> {
    let scope = if gateway.is_none() && net.addr().is_ipv4() { SCOPE_LINK } else { SCOPE_UNIVERSE };
    let head = [family(net), net.prefix_len(), 0, 0, TABLE_MAIN, PROTOCOL_BOOT, scope, UNICAST, 0, 0, 0, 0];
    let gateway = gateway.map_or_else(Vec::new, |gateway| attribute(RTA_GATEWAY, &octets(gateway)));
    let (net, interface) = (octets(net.network()), index.to_ne_bytes());
    [head.to_vec(), attribute(RTA_DST, &net), attribute(RTA_OIF, &interface), gateway].concat()
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn messages_are_as_ip_sends_them() {
        // strace -e trace=sendmsg ip …, without the attributes that the kernel knows by itself.
        let net: IpNet = "192.168.123.1/24".parse().unwrap();
        let bytes = message(NEW_ADDRESS, CREATE | EXCLUSIVE, &address(7, net));
        #[cfg(target_endian = "little")]
        assert_eq!(
            bytes,
            b"\x28\0\0\0\x14\0\x05\x06\0\0\0\0\0\0\0\0\x02\x18\0\0\x07\0\0\0\x08\0\x02\0\xc0\xa8\x7b\x01\x08\0\x01\0\xc0\xa8\x7b\x01"
        );
        let (net, gateway) = ("fd00:1::/32".parse().unwrap(), "fd00::1".parse().unwrap());
        let bytes = route(7, net, Some(gateway));
        assert_eq!(bytes.len(), 12 + 20 + 8 + 20);
        assert_eq!(bytes[..8], [10, 32, 0, 0, 254, 3, 0, 1]);
        assert_eq!(route(7, "10.0.0.0/8".parse().unwrap(), None)[6], SCOPE_LINK);
    }

    #[test]
    fn answers_are_read() {
        let answer = |code: i32| message(ERROR, 0, &code.to_ne_bytes());
        assert!(acknowledged(&answer(0)).is_ok());
        let error = acknowledged(&answer(-17)).unwrap_err();
        assert_eq!(Errno::from_io_error(&error), Some(Errno::EXIST));
        for broken in [&answer(0)[..18], &answer(i32::MIN)[..6], &message(NEW_LINK, 0, &[0; 8]), b""] {
            assert_eq!(acknowledged(broken).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        assert!(acknowledged(&answer(i32::MIN)).is_err());
    }

    #[test]
    fn the_kernel_answers() {
        // Whoever may do so gets another error than who may not, and both get one.
        let netlink = Netlink::open("lo").unwrap();
        assert!(netlink.address("127.0.0.1/8".parse().unwrap()).is_err());
        assert!(Netlink::open("no-such-device").is_err());
    }
}
