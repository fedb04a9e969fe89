//! Version 2: binary.

use std::net::{IpAddr, SocketAddr};

use super::{Addresses, Header, MAX_HEADER, ProxyHeaderError};
use crate::cursor::{Cursor, Short};

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;

const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

/// Reads a header that begins with [`SIGNATURE`].
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header>, ProxyHeaderError> {
    let mut cursor = Cursor::new(&bytes[SIGNATURE.len()..]);
    let (command, family, body) = match fixed(&mut cursor) {
        Ok(fixed) => fixed,
        // A sender of nonsense needn't be waited for.
        Err(Short) => return version_of(bytes).map(|()| None),
    };
    version_of(bytes)?;
    if SIGNATURE.len() + 4 + usize::from(body) > MAX_HEADER {
        return Err(ProxyHeaderError::TooLong);
    }
    let Ok(body) = cursor.take(body.into()) else {
        return Ok(None);
    };
    let mut body = Cursor::new(body);
    // Attributes may follow the addresses; nobody here asks for them.
    let addresses = match (command, family) {
        (LOCAL, _) => None,
        // Streams and datagrams alike.
        (_, 0x11 | 0x12) => Some(addresses::<4>(&mut body).map_err(|Short| ProxyHeaderError::Malformed)?),
        (_, 0x21 | 0x22) => Some(addresses::<16>(&mut body).map_err(|Short| ProxyHeaderError::Malformed)?),
        // Unspecified, or unix sockets.
        (_, 0x00 | 0x31 | 0x32) => None,
        _ => return Err(ProxyHeaderError::Malformed),
    };
    Ok(Some(Header { length: SIGNATURE.len() + cursor.position(), addresses }))
}

/// Command with version, family with transport, bytes of the rest.
fn fixed(cursor: &mut Cursor<'_>) -> Result<(u8, u8, u16), Short> {
    Ok((cursor.u8()?, cursor.u8()?, cursor.u16()?))
}

fn version_of(bytes: &[u8]) -> Result<(), ProxyHeaderError> {
    match bytes.get(SIGNATURE.len()) {
        None | Some(&(LOCAL | PROXY)) => Ok(()),
        Some(_) => Err(ProxyHeaderError::Malformed),
    }
}

fn addresses<const N: usize>(body: &mut Cursor<'_>) -> Result<Addresses, Short>
where
    IpAddr: From<[u8; N]>,
{
    let source = IpAddr::from(body.array::<N>()?);
    let destination = IpAddr::from(body.array::<N>()?);
    Ok(Addresses {
        source: SocketAddr::new(source, body.u16()?),
        destination: SocketAddr::new(destination, body.u16()?),
    })
}

pub(super) fn encode(addresses: Option<Addresses>) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    let Some(Addresses { source, destination }) = addresses else {
        out.extend([LOCAL, UNSPECIFIED, 0, 0]);
        return out;
    };
    match (source.ip(), destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            out.extend([PROXY, TCP4, 0, 12]);
            out.extend(source.octets());
            out.extend(destination.octets());
        }
        (source, destination) => {
            out.extend([PROXY, TCP6, 0, 36]);
            for ip in [source, destination] {
                out.extend(match ip {
                    IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                    IpAddr::V6(ip) => ip.octets(),
                });
            }
        }
    }
    out.extend(source.port().to_be_bytes());
    out.extend(destination.port().to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(rest: &[u8]) -> Vec<u8> {
        [SIGNATURE, rest].concat()
    }

    #[test]
    fn headers() {
        let addresses = Addresses { source: "1.2.3.4:5".parse().unwrap(), destination: "6.7.8.9:10".parse().unwrap() };
        for (rest, expected) in [
            (&b"\x21\x11\0\x0c\x01\x02\x03\x04\x06\x07\x08\x09\0\x05\0\x0a"[..], Ok(Some(addresses))),
            // A datagram, and an attribute behind the addresses.
            (b"\x21\x12\0\x10\x01\x02\x03\x04\x06\x07\x08\x09\0\x05\0\x0a\x04\0\x01\0", Ok(Some(addresses))),
            (b"\x20\0\0\0", Ok(None)),
            (b"\x20\x11\0\x01x", Ok(None)),
            (b"\x21\0\0\x02xx", Ok(None)),
            (b"\x21\x31\0\0", Ok(None)),
            (b"\x21\x11\0\x0b\x01\x02\x03\x04\x06\x07\x08\x09\0\x05\0", Err(ProxyHeaderError::Malformed)),
            (b"\x21\x13\0\0", Err(ProxyHeaderError::Malformed)),
            (b"\x22", Err(ProxyHeaderError::Malformed)),
            (b"\x11\x11\0\0", Err(ProxyHeaderError::Malformed)),
            (b"\x21\x11\xff\xff", Err(ProxyHeaderError::TooLong)),
        ] {
            let bytes = header(rest);
            let expected = expected.map(|addresses| Some(Header { length: bytes.len(), addresses }));
            assert_eq!(parse(&bytes), expected, "{rest:?}");
        }
    }

    #[test]
    fn a_header_is_bounded() {
        let rest = u16::try_from(MAX_HEADER - 16).unwrap();
        let mut bytes = header(&[&[PROXY, UNSPECIFIED][..], &rest.to_be_bytes()].concat());
        bytes.resize(MAX_HEADER - 1, 0);
        assert_eq!(parse(&bytes), Ok(None));
        bytes.push(0);
        assert_eq!(parse(&bytes), Ok(Some(Header { length: MAX_HEADER, addresses: None })));
    }
}
