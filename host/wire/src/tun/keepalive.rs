//! [`Keepalive`] and [`Seen`]: what a tunnel's client and server say to each other between packets.

use std::net::{IpAddr, Ipv6Addr};

use crate::cursor::Cursor;

/// Addresses that a client may have. GOST: as many as fit into a datagram, each a question to the auther.
pub const MAX_ADDRESSES: usize = 32;

const MAGIC: [u8; 4] = *b"GOST";
const KEY: usize = 16;
const ADDRESS: usize = 16;

/// A client's message: `"GOST" | key:16 | address:16…`. In one that begins like an IPv4 packet this would be a header of 28
/// bytes whose length is 21332: it is looked for first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keepalive {
    /// What proves who it is: up to 16 bytes, of which none at the end is zero.
    pub key: Vec<u8>,
    /// Its addresses in the tunnel, from 1 to [`MAX_ADDRESSES`]. IPv4 addresses aren't mapped into IPv6.
    pub addresses: Vec<IpAddr>,
}

impl Keepalive {
    /// Reads a datagram; `None` if it is none of these.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        if cursor.array().ok()? != MAGIC {
            return None;
        }
        let key: [u8; KEY] = cursor.array().ok()?;
        let length = key.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let (addresses, []) = cursor.rest().as_chunks::<ADDRESS>() else { return None };
        if !(1..=MAX_ADDRESSES).contains(&addresses.len()) {
            return None;
        }
        Some(Self { key: key[..length].to_vec(), addresses: addresses.iter().map(address).collect() })
    }

    /// The bytes of the message. A longer key is cut off after 16 bytes, as in GOST.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(self.key.iter().copied().chain([0; KEY]).take(KEY));
        self.addresses.iter().for_each(|address| out.extend(octets(*address)));
        out
    }
}

/// A server's answer: `"GOST" | address:16`, where it sees the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen(pub IpAddr);

impl Seen {
    /// Reads a datagram; `None` if it is none of these.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (magic, seen) = bytes.split_first_chunk()?;
        let seen = <&[u8; ADDRESS]>::try_from(seen).ok()?;
        (*magic == MAGIC).then(|| Self(address(seen)))
    }

    /// The bytes of the message.
    #[must_use]
    pub fn encode(self) -> [u8; MAGIC.len() + ADDRESS] {
        let mut out = [0; MAGIC.len() + ADDRESS];
        let (magic, seen) = out.split_at_mut(MAGIC.len());
        magic.copy_from_slice(&MAGIC);
        seen.copy_from_slice(&octets(self.0));
        out
    }
}

fn address(octets: &[u8; ADDRESS]) -> IpAddr {
    IpAddr::from(*octets).to_canonical()
}

fn octets(address: IpAddr) -> [u8; ADDRESS] {
    match address {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => Ipv6Addr::octets(&ip),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clients_message() {
        let v4 = [&[0; 10][..], &[0xff, 0xff, 192, 168, 123, 2]].concat();
        let v6 = [&[0xfd][..], &[0; 14], &[2]].concat();
        let bytes = [&b"GOSTsecret\0\0\0\0\0\0\0\0\0\0"[..], &v4, &v6].concat();
        let addresses = vec!["192.168.123.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        let keepalive = Keepalive { key: b"secret".to_vec(), addresses };
        assert_eq!(Keepalive::parse(&bytes), Some(keepalive.clone()));
        assert_eq!(keepalive.encode(), bytes);
        for length in (0..bytes.len()).filter(|length| *length != 36) {
            assert_eq!(Keepalive::parse(&bytes[..length]), None, "{length} bytes");
        }
        assert_eq!(Keepalive::parse(&[b"gost", &bytes[4..]].concat()), None);
        let long = Keepalive { key: vec![b'k'; 17], ..keepalive };
        assert_eq!(Keepalive::parse(&long.encode()).map(|keepalive| keepalive.key), Some(vec![b'k'; 16]));
        let many = Keepalive { key: Vec::new(), addresses: vec![IpAddr::from([0; 16]); MAX_ADDRESSES] };
        assert_eq!(Keepalive::parse(&many.encode()), Some(many.clone()));
        assert_eq!(Keepalive::parse(&[many.encode(), vec![0; 16]].concat()), None);
    }

    #[test]
    fn a_servers_answer() {
        let bytes = b"GOST\0\0\0\0\0\0\0\0\0\0\xff\xff\xcb\0\x71\x05";
        let seen = Seen("203.0.113.5".parse().unwrap());
        assert_eq!((Seen::parse(bytes), seen.encode()), (Some(seen), *bytes));
        assert_eq!(Seen::parse(&bytes[..19]), None);
        assert_eq!(Seen::parse(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(Seen::parse(&[b"TSOG", &bytes[4..]].concat()), None);
    }
}
