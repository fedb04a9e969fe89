//! [`Address`]: type, host and port, as SOCKS5 and the relay protocol write them (RFC 1928 §5).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Parsed, SocksError, Stop, parse, put_short_string};
use crate::cursor::Cursor;
use crate::http1::HostPort;

const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;

/// A host and a port as they were sent. What a name's bytes are worth is seen by [`Address::host_port`]: a message with a
/// bad name is a well-formed message still, and can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// An IP address. Never an IPv4 address in IPv6 clothes.
    Ip(SocketAddr),
    /// A name of at most 255 bytes, and a port.
    Name(Vec<u8>, u16),
}

impl Address {
    /// Nowhere in particular: what a reply without an address carries.
    pub const UNSPECIFIED: Self = Self::Ip(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0));

    /// Where to connect. An IP address written out as a name is an IP address; no name at all is the unspecified address,
    /// which GOST's clients send as an empty name.
    ///
    /// # Errors
    /// If the name isn't one.
    pub fn host_port(&self) -> Result<HostPort, SocksError> {
        match self {
            Self::Ip(address) => Ok(HostPort { host: address.ip().to_string(), port: address.port() }),
            Self::Name(name, port) if name.is_empty() => {
                Ok(HostPort { host: Ipv4Addr::UNSPECIFIED.to_string(), port: *port })
            }
            Self::Name(name, port) => {
                let name = std::str::from_utf8(name).map_err(|_| SocksError::Name)?;
                match name.parse::<IpAddr>() {
                    // One form for modules to know it by, however the client writes it.
                    Ok(ip) => Ok(HostPort { host: ip.to_canonical().to_string(), port: *port }),
                    Err(_) => HostPort::new(name, *port).map_err(|_| SocksError::Name),
                }
            }
        }
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        match self {
            Self::Ip(address) => address.port(),
            Self::Name(_, port) => *port,
        }
    }

    /// Appends the address.
    ///
    /// # Errors
    /// If a name is longer than 255 bytes; `out` is of no use then.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), SocksError> {
        match self {
            Self::Ip(address) => match address.ip().to_canonical() {
                IpAddr::V4(ip) => {
                    out.push(IPV4);
                    out.extend(ip.octets());
                }
                IpAddr::V6(ip) => {
                    out.push(IPV6);
                    out.extend(ip.octets());
                }
            },
            Self::Name(name, _) => {
                out.push(NAME);
                put_short_string(out, name)?;
            }
        }
        out.extend(self.port().to_be_bytes());
        Ok(())
    }

    /// Reads an address at the start of `bytes`.
    ///
    /// # Errors
    /// If its type is unknown.
    pub fn parse(bytes: &[u8]) -> Parsed<Self> {
        parse(bytes, Self::read)
    }

    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Stop> {
        let ip: IpAddr = match cursor.u8()? {
            IPV4 => Ipv4Addr::from(cursor.array()?).into(),
            IPV6 => Ipv6Addr::from(cursor.array::<16>()?).into(),
            NAME => {
                let name = cursor.short_string()?;
                return Ok(Self::Name(name.to_vec(), cursor.u16()?));
            }
            other => return Err(SocksError::AddressType(other).into()),
        };
        Ok(SocketAddr::new(ip, cursor.u16()?).into())
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }
}

impl From<&HostPort> for Address {
    /// An IP address if the host is one.
    fn from(target: &HostPort) -> Self {
        match target.host.parse::<IpAddr>() {
            Ok(ip) => SocketAddr::new(ip, target.port).into(),
            Err(_) => Self::Name(target.host.clone().into_bytes(), target.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socks::tests::drip;

    fn read(bytes: &[u8]) -> Parsed<Address> {
        Address::parse(bytes)
    }

    #[test]
    fn addresses_are_read_and_written() {
        let long = [&[3, 255][..], &[b'a'; 255], &[0, 80]].concat();
        for (bytes, host, port) in [
            (&b"\x01\x7f\x00\x00\x01\x1f\x90"[..], "127.0.0.1", 8080),
            (b"\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50", "::1", 80),
            (b"\x03\x0bexample.com\x01\xbb", "example.com", 443),
            (&long, &"a".repeat(255), 80),
        ] {
            let address = drip(bytes, read);
            assert_eq!(address.host_port(), Ok(HostPort { host: host.to_owned(), port }));
            assert_eq!(address.port(), port);
            let mut out = Vec::new();
            address.encode(&mut out).unwrap();
            assert_eq!(out, bytes);
            assert_eq!(Address::from(&address.host_port().unwrap()), address);
        }
    }

    #[test]
    fn one_host_has_one_form() {
        let mapped = drip(b"\x04\0\0\0\0\0\0\0\0\0\0\xff\xff\x7f\x00\x00\x01\x00\x50", read);
        assert_eq!(mapped, Address::Ip("127.0.0.1:80".parse().unwrap()));
        for (bytes, host) in [
            (&b"\x03\x09127.0.0.1\x00\x50"[..], "127.0.0.1"),
            (b"\x03\x03::1\x00\x50", "::1"),
            (b"\x03\x040::1\x00\x50", "::1"),
            (b"\x03\x10::ffff:127.0.0.1\x00\x50", "127.0.0.1"),
        ] {
            assert_eq!(drip(bytes, read).host_port().unwrap().host, host);
        }
        assert_eq!(drip(b"\x03\x00\x00\x50", read).host_port().unwrap().to_string(), "0.0.0.0:80");
    }

    #[test]
    fn a_bad_name_is_an_address_and_no_target() {
        for name in [&b"a b"[..], b"a\r\nb", b"a\0", b"\xff", b"user@a", b"a:80", b"[::1]", b"a/b"] {
            let bytes = [&[3, u8::try_from(name.len()).unwrap()][..], name, &[0, 80]].concat();
            assert_eq!(drip(&bytes, read).host_port(), Err(SocksError::Name), "{name:?}");
        }
        assert_eq!(read(&[2]), Err(SocksError::AddressType(2)));
        assert_eq!(Address::Name(vec![b'a'; 256], 1).encode(&mut Vec::new()), Err(SocksError::String));
    }
}
