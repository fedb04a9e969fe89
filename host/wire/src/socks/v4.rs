//! SOCKS4 and SOCKS4a.

use std::net::{Ipv4Addr, SocketAddr};

use super::{Address, MAX_STRING, Parsed, SocksError, Stop, parse, version};
use crate::cursor::Cursor;

/// The first byte of a request.
pub const VERSION: u8 = 4;
/// The command that opens a connection.
pub const CONNECT: u8 = 1;
/// The command that waits for one.
pub const BIND: u8 = 2;

/// The whole request was fine.
pub const GRANTED: u8 = 90;
/// Refused, or failed.
pub const REJECTED: u8 = 91;
/// Refused: GOST's answer to a bypassed target (the protocol's: no identd).
pub const FORBIDDEN: u8 = 92;
/// Refused: the user id isn't right.
pub const BAD_USER_ID: u8 = 93;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// [`CONNECT`], [`BIND`] or something unknown.
    pub command: u8,
    /// Where to.
    pub address: Address,
    /// Who says to ask, in at most 255 bytes; there is no password in this protocol.
    pub user_id: Vec<u8>,
}

impl Request {
    /// Reads a request of either form.
    ///
    /// # Errors
    /// If it is of another version, or a string in it is too long.
    pub fn parse(bytes: &[u8]) -> Parsed<Self> {
        parse(bytes, |cursor| {
            version(cursor, VERSION)?;
            let command = cursor.u8()?;
            let port = cursor.u16()?;
            let ip: [u8; 4] = cursor.array()?;
            let user_id = terminated(cursor)?.to_vec();
            let address = match ip {
                // 4a: the address is one of 0.0.0.0/24 but not 0.0.0.0 itself.
                [0, 0, 0, 1..=255] => Address::Name(terminated(cursor)?.to_vec(), port),
                ip => SocketAddr::new(Ipv4Addr::from(ip).into(), port).into(),
            };
            Ok(Self { command, address, user_id })
        })
    }

    /// The bytes of the request: of the 4a form if the address is a name.
    ///
    /// # Errors
    /// If the format has no room for the address or the user id.
    pub fn encode(&self) -> Result<Vec<u8>, SocksError> {
        let mut out = vec![VERSION, self.command];
        out.extend(self.address.port().to_be_bytes());
        match &self.address {
            Address::Ip(SocketAddr::V4(address)) => out.extend(address.ip().octets()),
            Address::Ip(SocketAddr::V6(_)) => return Err(SocksError::NotIpv4),
            Address::Name(..) => out.extend([0, 0, 0, 1]),
        }
        put_terminated(&mut out, &self.user_id)?;
        if let Address::Name(name, _) = &self.address {
            put_terminated(&mut out, name)?;
        }
        Ok(out)
    }
}

/// The bytes up to the next zero byte.
fn terminated<'b>(cursor: &mut Cursor<'b>) -> Result<&'b [u8], Stop> {
    let rest = cursor.rest();
    match rest.iter().take(MAX_STRING + 1).position(|&byte| byte == 0) {
        Some(length) => {
            let text = cursor.take(length)?;
            cursor.u8()?;
            Ok(text)
        }
        None if rest.len() > MAX_STRING => Err(SocksError::String.into()),
        None => Err(Stop::Short),
    }
}

fn put_terminated(out: &mut Vec<u8>, text: &[u8]) -> Result<(), SocksError> {
    if text.len() > MAX_STRING || text.contains(&0) {
        return Err(SocksError::String);
    }
    out.extend(text);
    out.push(0);
    Ok(())
}

/// The answer with `code` and no address, which only BIND would need.
#[must_use]
pub const fn reply(code: u8) -> [u8; 8] {
    [0, code, 0, 0, 0, 0, 0, 0]
}

/// Reads an answer: its code.
///
/// # Errors
/// If its first byte isn't zero.
pub fn parse_reply(bytes: &[u8]) -> Parsed<u8> {
    parse(bytes, |cursor| {
        version(cursor, 0)?;
        let code = cursor.u8()?;
        cursor.take(6)?;
        Ok(code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socks::{MAX_MESSAGE, tests::drip};

    fn name(name: &str, port: u16) -> Address {
        Address::Name(name.as_bytes().to_vec(), port)
    }

    #[test]
    fn requests() {
        for (bytes, command, address, user_id) in [
            (
                &b"\x04\x01\x00\x50\x7f\x00\x00\x01\x00"[..],
                CONNECT,
                Address::Ip("127.0.0.1:80".parse().unwrap()),
                &b""[..],
            ),
            (b"\x04\x02\x00\x50\x00\x00\x00\x00gost\x00", BIND, Address::Ip("0.0.0.0:80".parse().unwrap()), b"gost"),
            (b"\x04\x01\x01\xbb\x00\x00\x00\x01u\x00example.com\x00", CONNECT, name("example.com", 443), b"u"),
        ] {
            let request = drip(bytes, Request::parse);
            assert_eq!(request, Request { command, address, user_id: user_id.to_vec() });
            assert_eq!(request.encode().unwrap(), bytes);
        }
        // The last byte of a 4a address may be any but zero.
        let request = drip(b"\x04\x01\x01\xbb\x00\x00\x00\xff\x00a\x00", Request::parse);
        assert_eq!(request.address, name("a", 443));
    }

    #[test]
    fn strings_are_bounded() {
        let long = [&b"\x04\x01\x00\x50\x00\x00\x00\x01"[..], &[b'u'; 255], &[0], &[b'h'; 255], &[0]].concat();
        assert_eq!(long.len(), MAX_MESSAGE);
        assert_eq!(drip(&long, Request::parse).encode().unwrap(), long);
        for at in [8, 8 + 256] {
            let mut longer = long.clone();
            longer.insert(at, b'x');
            assert_eq!(Request::parse(&longer[..at + 256]), Err(SocksError::String));
            assert_eq!(Request::parse(&longer[..at + 255]), Ok(None));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let request =
            |address, user_id: &[u8]| Request { command: CONNECT, address, user_id: user_id.to_vec() }.encode();
        assert_eq!(request(Address::Ip("[::1]:1".parse().unwrap()), b""), Err(SocksError::NotIpv4));
        assert_eq!(request(name("a", 1), b"a\0b"), Err(SocksError::String));
        assert_eq!(request(name("a\0b", 1), b""), Err(SocksError::String));
        assert_eq!(Request::parse(b"\x05"), Err(SocksError::Version(5)));
    }

    #[test]
    fn replies() {
        assert_eq!(reply(BAD_USER_ID), *b"\x00\x5d\0\0\0\0\0\0");
        assert_eq!(drip(b"\x00\x5a\x01\x02\x03\x04\x05\x06", parse_reply), GRANTED);
        assert_eq!(parse_reply(b"\x04\x5a"), Err(SocksError::Version(4)));
    }
}
