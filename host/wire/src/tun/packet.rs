//! [`Packet`]: where an IP packet comes from and goes to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::cursor::{Cursor, Short};

/// The addresses of a whole IP packet (RFC 791 §3.1, RFC 8200 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Where it says that it comes from.
    pub source: IpAddr,
    /// Where it goes.
    pub destination: IpAddr,
}

/// Why bytes are not an IP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// Neither version 4 nor 6.
    #[error("IP version {0}, which isn't known")]
    Version(u8),
    /// It, or its header, ends too early, or says that it is shorter than its header.
    #[error("a broken IP header")]
    Header,
}

impl From<Short> for PacketError {
    fn from(Short: Short) -> Self {
        Self::Header
    }
}

impl Packet {
    /// Reads the header of the packet that `bytes` are, perhaps with more behind it.
    ///
    /// # Errors
    /// If they are none, or only a part of one.
    pub fn parse(bytes: &[u8]) -> Result<Self, PacketError> {
        let mut cursor = Cursor::new(bytes);
        let first = cursor.u8()?;
        match first >> 4 {
            4 => {
                let header = usize::from(first & 0x0f) * 4;
                cursor.take(1)?;
                let total = usize::from(cursor.u16()?);
                cursor.take(8)?;
                let (source, destination): ([u8; 4], [u8; 4]) = (cursor.array()?, cursor.array()?);
                if header < cursor.position() || total < header || bytes.len() < total {
                    return Err(PacketError::Header);
                }
                Ok(Self { source: Ipv4Addr::from(source).into(), destination: Ipv4Addr::from(destination).into() })
            }
            6 => {
                cursor.take(3)?;
                let payload = usize::from(cursor.u16()?);
                cursor.take(2)?;
                let (source, destination): ([u8; 16], [u8; 16]) = (cursor.array()?, cursor.array()?);
                if cursor.rest().len() < payload {
                    return Err(PacketError::Header);
                }
                Ok(Self { source: Ipv6Addr::from(source).into(), destination: Ipv6Addr::from(destination).into() })
            }
            other => Err(PacketError::Version(other)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4() -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 24, 0, 1, 0, 0, 64, 17, 0, 0];
        bytes.extend([192, 0, 2, 1, 198, 51, 100, 2, 1, 2, 3, 4]);
        bytes
    }

    fn v6() -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 2, 17, 64];
        bytes.extend(Ipv6Addr::LOCALHOST.octets());
        bytes.extend("2001:db8::2".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend([1, 2]);
        bytes
    }

    #[test]
    fn addresses_are_found() {
        for (bytes, source, destination) in [(v4(), "192.0.2.1", "198.51.100.2"), (v6(), "::1", "2001:db8::2")] {
            let packet = Packet { source: source.parse().unwrap(), destination: destination.parse().unwrap() };
            assert_eq!(Packet::parse(&bytes), Ok(packet));
            let longer = [&bytes[..], &[0; 7]].concat();
            assert_eq!(Packet::parse(&longer), Ok(packet));
            for end in 0..bytes.len() {
                assert_eq!(Packet::parse(&bytes[..end]), Err(PacketError::Header), "{end} bytes");
            }
        }
    }

    #[test]
    fn broken_ones() {
        for (at, byte, error) in [
            (0, 0x44, PacketError::Header),
            (0, 0x47, PacketError::Header),
            (3, 19, PacketError::Header),
            (3, 25, PacketError::Header),
            (0, 0x55, PacketError::Version(5)),
        ] {
            let mut bytes = v4();
            bytes[at] = byte;
            assert_eq!(Packet::parse(&bytes), Err(error), "{byte:#x} at {at}");
        }
        assert_eq!(Packet::parse(b"GOST"), Err(PacketError::Header));
        assert_eq!(Packet::parse(b""), Err(PacketError::Header));
    }
}
