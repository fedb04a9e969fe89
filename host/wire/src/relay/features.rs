//! [`Features`]: what a message is about.

use super::RelayError;
use crate::cursor::Cursor;
use crate::http1::Credentials;
use crate::socks::{Address, SocksError};

const USER: u8 = 1;
const ADDRESS: u8 = 2;
const TUNNEL: u8 = 3;
const NETWORK: u8 = 4;

/// What a message is about. Of a feature that is there several times the last counts. Those that aren't known (metadata
/// among them) are skipped. GOST: until 3.2.6 closes the connection at an unknown one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Features {
    /// Which network; TCP if it isn't said.
    pub network: Option<Network>,
    /// Who asks.
    pub user: Option<Credentials>,
    /// Where it comes from: the first of several addresses.
    pub source: Option<Address>,
    /// A request's target, or where a server listens: the last address.
    pub address: Option<Address>,
    /// A tunnel, or one of those who serve it.
    pub tunnel: Option<TunnelId>,
}

/// Which tunnel, or which of the connectors that serve one (GOST reference, dataplane 3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TunnelId {
    /// A UUID's bytes.
    pub id: [u8; 16],
    /// A connector is for datagrams.
    pub udp: bool,
    /// How often a connector is chosen, among others.
    pub weight: u8,
}

impl TunnelId {
    const UDP: u8 = 1;

    /// Reads it. What is missing behind the id is zero.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk()?;
        let byte = |at| rest.get(at).copied().unwrap_or(0);
        Some(Self { id: *id, udp: byte(0) & Self::UDP != 0, weight: byte(3) })
    }

    fn bytes(self) -> Vec<u8> {
        [&self.id[..], &[u8::from(self.udp) * Self::UDP, 0, 0, self.weight]].concat()
    }
}

/// What a connection is made over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Network {
    /// Also any number that nobody knows.
    Tcp,
    /// Datagrams.
    Udp,
    /// IP packets.
    Ip,
    /// Sockets of the server's machine: the host of the address is a path.
    Unix,
    /// Serial lines of the server's machine.
    Serial,
}

impl Network {
    const NUMBERS: [(u16, Self); 5] =
        [(0, Self::Tcp), (1, Self::Udp), (2, Self::Ip), (0x10, Self::Unix), (0x11, Self::Serial)];

    /// Its name, as modules are told it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Ip => "ip",
            Self::Unix => "unix",
            Self::Serial => "serial",
        }
    }

    fn of(number: u16) -> Self {
        Self::NUMBERS.iter().find(|(known, _)| *known == number).map_or(Self::Tcp, |(_, network)| *network)
    }

    fn number(self) -> u16 {
        Self::NUMBERS.iter().find(|(_, known)| *known == self).map_or(0, |(number, _)| *number)
    }
}

impl Features {
    /// Reads all of `bytes`.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, RelayError> {
        let mut cursor = Cursor::new(bytes);
        let mut features = Self::default();
        while let Ok(kind) = cursor.u8() {
            let value = cursor.long_string().map_err(|_| RelayError::CutOff(kind))?;
            let cut_off = |_| RelayError::CutOff(kind);
            let mut inner = Cursor::new(value);
            match kind {
                USER => {
                    let username = inner.short_string().map_err(cut_off)?.to_vec();
                    let password = inner.short_string().map_err(cut_off)?.to_vec();
                    features.user = Some(Credentials { username, password });
                }
                ADDRESS => {
                    let (address, _) = Address::parse(value)?.ok_or(RelayError::CutOff(kind))?;
                    features.source = features.source.or(features.address);
                    features.address = Some(address);
                }
                TUNNEL => features.tunnel = Some(TunnelId::read(value).ok_or(RelayError::CutOff(kind))?),
                NETWORK => features.network = Some(Network::of(inner.u16().map_err(cut_off)?)),
                _ => {}
            }
        }
        Ok(features)
    }

    /// Appends them, in the order in which GOST's clients do.
    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), SocksError> {
        let Self { network, user, source, address, tunnel } = self;
        if let Some(network) = network {
            put(out, NETWORK, &network.number().to_be_bytes());
        }
        if let Some(Credentials { username, password }) = user {
            let mut value = Vec::new();
            for text in [username, password] {
                value.push(u8::try_from(text.len()).map_err(|_| SocksError::String)?);
                value.extend(text);
            }
            put(out, USER, &value);
        }
        for address in source.iter().chain(address) {
            let mut value = Vec::new();
            address.encode(&mut value)?;
            put(out, ADDRESS, &value);
        }
        if let Some(tunnel) = tunnel {
            put(out, TUNNEL, &tunnel.bytes());
        }
        Ok(())
    }
}

/// Appends a feature; those that are written here have some hundred bytes at most.
fn put(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.push(kind);
    out.extend(length.to_be_bytes());
    out.extend(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Address {
        Address::Ip(([127, 0, 0, 1], port).into())
    }

    #[test]
    fn the_last_of_its_kind_counts_and_unknown_ones_are_skipped() {
        let bytes = [
            &b"\x03\x00\x14"[..],
            &[7; 20],
            b"\x02\x00\x07\x01\x7f\x00\x00\x01\x00\x50",
            b"\x05\x00\x02\x00\x00\x63\x00\x00",
            b"\x02\x00\x07\x01\x7f\x00\x00\x01\x00\x51",
        ]
        .concat();
        let features = Features::read(&bytes).unwrap();
        let tunnel = Some(TunnelId { id: [7; 16], udp: true, weight: 7 });
        let (source, address) = (Some(address(80)), Some(address(81)));
        assert_eq!(features, Features { source, address, tunnel, ..Features::default() });
    }

    #[test]
    fn tunnels() {
        let bytes = b"\x03\x00\x14\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x01\x00\x00\xff";
        let id = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];
        let features = Features::read(bytes).unwrap();
        assert_eq!(features.tunnel, Some(TunnelId { id, udp: true, weight: 255 }));
        let mut out = Vec::new();
        features.write(&mut out).unwrap();
        assert_eq!(out, bytes);
        let short = Features::read(&[&[3, 0, 17], &id[..], &[0x80]].concat()).unwrap();
        assert_eq!(short.tunnel, Some(TunnelId { id, udp: false, weight: 0 }));
    }

    #[test]
    fn networks() {
        for (number, network, name) in [
            (0, Network::Tcp, "tcp"),
            (1, Network::Udp, "udp"),
            (2, Network::Ip, "ip"),
            (16, Network::Unix, "unix"),
            (17, Network::Serial, "serial"),
        ] {
            let bytes = [4, 0, 2, 0, number];
            let features = Features::read(&bytes).unwrap();
            assert_eq!((features.network, network.as_str()), (Some(network), name));
            let mut out = Vec::new();
            features.write(&mut out).unwrap();
            assert_eq!(out, bytes);
        }
        assert_eq!(Features::read(b"\x04\x00\x02\x01\x00").unwrap().network, Some(Network::Tcp));
    }

    #[test]
    fn broken_ones() {
        for (bytes, error) in [
            (&b"\x01\x00\x03\x04us"[..], RelayError::CutOff(1)),
            (b"\x01\x00\x02\x01u", RelayError::CutOff(1)),
            (b"\x02\x00\x03\x01\x7f\x00", RelayError::CutOff(2)),
            (b"\x02\x00\x01\x09", RelayError::Value(SocksError::AddressType(9))),
            (b"\x03\x00\x0f\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", RelayError::CutOff(3)),
            (b"\x04\x00\x01\x00", RelayError::CutOff(4)),
            (b"\x63\x00\x05\x00", RelayError::CutOff(0x63)),
            (b"\x63", RelayError::CutOff(0x63)),
        ] {
            assert_eq!(Features::read(bytes), Err(error), "{bytes:?}");
        }
        assert!(Features::read(b"").unwrap() == Features::default());
        let long = Credentials { username: vec![b'u'; 256], password: Vec::new() };
        let features = Features { user: Some(long), ..Features::default() };
        assert_eq!(features.write(&mut Vec::new()), Err(SocksError::String));
    }
}
