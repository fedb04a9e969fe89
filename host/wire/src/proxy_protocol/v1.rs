//! Version 1: a line of text.

use std::net::{IpAddr, SocketAddr};

use super::{Addresses, Header, ProxyHeaderError};

pub(super) const SIGNATURE: &[u8] = b"PROXY ";

/// Bytes of the longest line, its end included.
const MAX_LINE: usize = 107;

/// Reads a header that begins with [`SIGNATURE`].
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Header>, ProxyHeaderError> {
    let Some(end) = bytes.iter().take(MAX_LINE).position(|&byte| byte == b'\n') else {
        return if bytes.len() < MAX_LINE { Ok(None) } else { Err(ProxyHeaderError::TooLong) };
    };
    let line = bytes[SIGNATURE.len()..end].strip_suffix(b"\r").ok_or(ProxyHeaderError::Malformed)?;
    let line = std::str::from_utf8(line).map_err(|_| ProxyHeaderError::Malformed)?;
    let addresses = addresses(line).ok_or(ProxyHeaderError::Malformed)?;
    Ok(Some(Header { length: end + 1, addresses }))
}

fn addresses(line: &str) -> Option<Option<Addresses>> {
    // What follows UNKNOWN is to be ignored.
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        return Some(None);
    }
    let mut words = line.split(' ');
    let v4 = match words.next()? {
        "TCP4" => true,
        "TCP6" => false,
        _ => return None,
    };
    let mut ip = || words.next()?.parse::<IpAddr>().ok().filter(|ip| ip.is_ipv4() == v4);
    let (source, destination) = (ip()?, ip()?);
    let mut port = || words.next().filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok();
    let (source, destination) = (SocketAddr::new(source, port()?), SocketAddr::new(destination, port()?));
    words.next().is_none().then_some(Some(Addresses { source, destination }))
}

pub(super) fn encode(addresses: Option<Addresses>) -> Vec<u8> {
    let line = match addresses {
        None => "PROXY UNKNOWN\r\n".to_owned(),
        Some(Addresses { source, destination }) => {
            let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (source.ip(), destination.ip());
            format!("PROXY {family} {from} {to} {} {}\r\n", source.port(), destination.port())
        }
    };
    line.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        for (line, expected) in [
            ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n", Some(Some(("192.0.2.1:56324", "192.0.2.2:443")))),
            ("PROXY TCP6 2001:db8::1 ::1 0 65535\r\n", Some(Some(("[2001:db8::1]:0", "[::1]:65535")))),
            ("PROXY UNKNOWN\r\n", Some(None)),
            ("PROXY UNKNOWN ffff::1 whatever\r\n", Some(None)),
            ("PROXY UNKNOWNS\r\n", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\n", None),
            ("PROXY TCP4 ::1 ::1 1 2\r\n", None),
            ("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n", None),
            ("PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", None),
            ("PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n", None),
            ("PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n", None),
            ("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n", None),
            ("PROXY \r\n", None),
        ] {
            let expected = expected.map(|addresses| Header {
                length: line.len(),
                addresses: addresses.map(|(source, destination)| Addresses {
                    source: source.parse().unwrap(),
                    destination: destination.parse().unwrap(),
                }),
            });
            assert_eq!(parse(line.as_bytes()), expected.map(Some).ok_or(ProxyHeaderError::Malformed), "{line}");
        }
    }

    #[test]
    fn a_line_is_bounded() {
        let mut line = b"PROXY UNKNOWN ".to_vec();
        line.resize(MAX_LINE - 1, b'x');
        assert_eq!(parse(&line), Ok(None));
        assert_eq!(parse(&[&line, &b"x"[..]].concat()), Err(ProxyHeaderError::TooLong));
        line.truncate(MAX_LINE - 2);
        line.extend(b"\r\n");
        assert_eq!(parse(&line), Ok(Some(Header { length: MAX_LINE, addresses: None })));
    }
}
