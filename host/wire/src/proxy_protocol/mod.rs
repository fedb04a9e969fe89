//! The PROXY protocol, versions 1 and 2: who a connection comes from and where it went, in front of its first byte.
//!
//! A header is optional, as with GOST: what doesn't begin with one is the connection's own first bytes.

mod v1;
mod v2;

use std::net::{IpAddr, SocketAddr};

/// Bytes of the longest header that is read; version 2 could have 64 KiB of attributes.
pub const MAX_HEADER: usize = 4096;

/// The addresses of a connection as the sender of a header saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// Who connected.
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
}

/// What is in front of a connection's own bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the header; zero if there is none.
    pub length: usize,
    /// `None` if there is no header, or one that says nothing: a health check, or addresses that aren't IP's.
    pub addresses: Option<Addresses>,
}

/// Which form a header has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// Why a header can't be read; what it begins with leaves no doubt that it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProxyHeaderError {
    /// Not as the specification has it.
    #[error("malformed PROXY header")]
    Malformed,
    /// Longer than [`MAX_HEADER`], or than 107 bytes in version 1.
    #[error("PROXY header is too long")]
    TooLong,
}

impl Header {
    const ABSENT: Self = Self { length: 0, addresses: None };

    /// Reads what `bytes`, all that was received so far, begin with, or `None` when more are needed. Never when `bytes` can't
    /// begin a header any more.
    ///
    /// # Errors
    /// If there is a header and it is broken.
    pub fn parse(bytes: &[u8]) -> Result<Option<Self>, ProxyHeaderError> {
        for (signature, parse) in [
            (v1::SIGNATURE, v1::parse as fn(&[u8]) -> Result<Option<Self>, ProxyHeaderError>),
            (v2::SIGNATURE, v2::parse),
        ] {
            let known = bytes.len().min(signature.len());
            if bytes[..known] == signature[..known] {
                return if known == signature.len() { parse(bytes) } else { Ok(None) };
            }
        }
        Ok(Some(Self::ABSENT))
    }
}

/// The header that tells of `addresses`, or, without them, that the connection is the sender's own.
#[must_use]
pub fn encode(version: Version, addresses: Option<Addresses>) -> Vec<u8> {
    let addresses = addresses.map(|both| of_one_family(both.source, both.destination));
    match version {
        Version::V1 => v1::encode(addresses),
        Version::V2 => v2::encode(addresses),
    }
}

/// A header has room for one family: IPv4 only if both are.
fn of_one_family(source: SocketAddr, destination: SocketAddr) -> Addresses {
    let v4 = |address: SocketAddr| address.ip().to_canonical().is_ipv4();
    let both = v4(source) && v4(destination);
    let cast = |address: SocketAddr| {
        let ip = match address.ip().to_canonical() {
            IpAddr::V4(ip) if !both => ip.to_ipv6_mapped().into(),
            ip => ip,
        };
        SocketAddr::new(ip, address.port())
    };
    Addresses { source: cast(source), destination: cast(destination) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_protocols_have_no_header() {
        for bytes in [&b"GET / HTTP/1.1\r\n"[..], b"\x05\x01\x00", b"PUT", b"\r\n\r\n\0\r\nQUIX", b"PROXx", b"\x16\x03"]
        {
            assert_eq!(Header::parse(bytes), Ok(Some(Header::ABSENT)), "{bytes:?}");
        }
        for bytes in [&b""[..], b"P", b"PROXY", b"\r", b"\r\n\r\n\0\r\nQUIT"] {
            assert_eq!(Header::parse(bytes), Ok(None), "{bytes:?}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for (source, destination, expected) in [
            ("192.0.2.1:1", "192.0.2.2:65535", "192.0.2.1:1 192.0.2.2:65535"),
            ("[2001:db8::1]:1", "[::1]:2", "[2001:db8::1]:1 [::1]:2"),
            ("[::ffff:192.0.2.1]:1", "192.0.2.2:2", "192.0.2.1:1 192.0.2.2:2"),
            ("192.0.2.1:1", "[::1]:2", "[::ffff:192.0.2.1]:1 [::1]:2"),
        ] {
            for version in [Version::V1, Version::V2] {
                let addresses =
                    Addresses { source: source.parse().unwrap(), destination: destination.parse().unwrap() };
                let bytes = encode(version, Some(addresses));
                for end in 0..bytes.len() {
                    assert_eq!(Header::parse(&bytes[..end]), Ok(None), "{end} bytes of {bytes:?}");
                }
                let header = Header::parse(&[&bytes, &b"GET"[..]].concat()).unwrap().unwrap();
                assert_eq!(header.length, bytes.len());
                let read = header.addresses.unwrap();
                assert_eq!(format!("{} {}", read.source, read.destination), expected);
            }
        }
        for version in [Version::V1, Version::V2] {
            let bytes = encode(version, None);
            assert_eq!(Header::parse(&bytes), Ok(Some(Header { length: bytes.len(), addresses: None })));
        }
    }
}
