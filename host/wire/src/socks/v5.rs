//! SOCKS5: greeting, user and password, request and reply.

use std::fmt;

use super::{Address, Parsed, SocksError, parse, put_short_string, version};
use crate::http1::Credentials;

/// The first byte of all messages but those about user and password.
pub const VERSION: u8 = 5;

/// The first byte of the messages about user and password.
const AUTH_VERSION: u8 = 1;

/// How a client is authenticated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Method(pub u8);

impl Method {
    /// Not at all.
    pub const NONE: Self = Self(0);
    /// By user name and password (RFC 1929).
    pub const PASSWORD: Self = Self(2);
    /// GOST's: not at all, and everything from here on is within TLS.
    pub const TLS: Self = Self(0x80);
    /// GOST's: within TLS, by user name and password.
    pub const TLS_PASSWORD: Self = Self(0x82);
    /// The server takes none of the client's.
    pub const NONE_ACCEPTABLE: Self = Self(0xff);

    /// Whether TLS starts right behind the selection.
    #[must_use]
    pub fn is_tls(self) -> bool {
        matches!(self, Self::TLS | Self::TLS_PASSWORD)
    }

    /// Whether user name and password follow.
    #[must_use]
    pub fn wants_password(self) -> bool {
        matches!(self, Self::PASSWORD | Self::TLS_PASSWORD)
    }

    /// The server's answer to a greeting.
    #[must_use]
    pub const fn selection(self) -> [u8; 2] {
        [VERSION, self.0]
    }

    /// Reads the server's answer to a greeting.
    ///
    /// # Errors
    /// If it is of another version.
    pub fn parse_selection(bytes: &[u8]) -> Parsed<Self> {
        parse(bytes, |cursor| {
            version(cursor, VERSION)?;
            Ok(Self(cursor.u8()?))
        })
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#04x}", self.0)
    }
}

/// Reads a client's greeting: the methods that it offers, at least one.
///
/// # Errors
/// If it is of another version or offers nothing.
pub fn parse_greeting(bytes: &[u8]) -> Parsed<Vec<Method>> {
    parse(bytes, |cursor| {
        version(cursor, VERSION)?;
        let methods = cursor.u8()?;
        if methods == 0 {
            return Err(SocksError::NoMethods.into());
        }
        Ok(cursor.take(methods.into())?.iter().copied().map(Method).collect())
    })
}

/// The greeting that offers `methods`, in that order.
#[must_use]
pub fn greeting(methods: &[Method]) -> Vec<u8> {
    // More than 255 methods don't exist.
    let mut out = vec![VERSION, u8::try_from(methods.len()).unwrap_or(u8::MAX)];
    out.extend(methods.iter().take(255).map(|method| method.0));
    out
}

/// Reads user name and password, either of which may be empty.
///
/// # Errors
/// If the message is of another version.
pub fn parse_password(bytes: &[u8]) -> Parsed<Credentials> {
    parse(bytes, |cursor| {
        version(cursor, AUTH_VERSION)?;
        let username = cursor.short_string()?.to_vec();
        Ok(Credentials { username, password: cursor.short_string()?.to_vec() })
    })
}

/// The message with user name and password.
///
/// # Errors
/// If either is longer than 255 bytes.
pub fn password(credentials: &Credentials) -> Result<Vec<u8>, SocksError> {
    let mut out = vec![AUTH_VERSION];
    put_short_string(&mut out, &credentials.username)?;
    put_short_string(&mut out, &credentials.password)?;
    Ok(out)
}

/// The answer to user name and password.
#[must_use]
pub const fn password_reply(accepted: bool) -> [u8; 2] {
    [AUTH_VERSION, !accepted as u8]
}

/// Reads the answer to user name and password: whether they were right.
///
/// # Errors
/// If it is of another version.
pub fn parse_password_reply(bytes: &[u8]) -> Parsed<bool> {
    parse(bytes, |cursor| {
        version(cursor, AUTH_VERSION)?;
        Ok(cursor.u8()? == 0)
    })
}

/// What a client can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Command(pub u8);

impl Command {
    /// A connection to the address.
    pub const CONNECT: Self = Self(1);
    /// One connection from elsewhere.
    pub const BIND: Self = Self(2);
    /// Datagrams, beside this connection.
    pub const UDP_ASSOCIATE: Self = Self(3);
    /// GOST's: many connections from elsewhere, as streams of smux on this connection.
    pub const MUX_BIND: Self = Self(0xf2);
    /// GOST's: datagrams within this connection, as [`Frame`](super::Frame)s.
    pub const UDP_TUNNEL: Self = Self(0xf3);
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::CONNECT => f.write_str("CONNECT"),
            Self::BIND => f.write_str("BIND"),
            Self::UDP_ASSOCIATE => f.write_str("UDP ASSOCIATE"),
            Self::MUX_BIND => f.write_str("MUX BIND"),
            Self::UDP_TUNNEL => f.write_str("UDP TUNNEL"),
            Self(other) => write!(f, "command {other:#04x}"),
        }
    }
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub command: Command,
    /// With whom.
    pub address: Address,
}

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// If it is of another version or has an unknown type of address.
    pub fn parse(bytes: &[u8]) -> Parsed<Self> {
        let (message, length) = match parse_message(bytes)? {
            Some(found) => found,
            None => return Ok(None),
        };
        Ok(Some((Self { command: Command(message.0), address: message.1 }, length)))
    }

    /// The bytes of the request.
    ///
    /// # Errors
    /// If the name is longer than 255 bytes.
    pub fn encode(&self) -> Result<Vec<u8>, SocksError> {
        encode_message(self.command.0, &self.address)
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u8);

impl Status {
    /// It is done.
    pub const SUCCEEDED: Self = Self(0);
    /// It failed.
    pub const FAILED: Self = Self(1);
    /// It isn't allowed.
    pub const NOT_ALLOWED: Self = Self(2);
    /// There is no way there.
    pub const NETWORK_UNREACHABLE: Self = Self(3);
    /// The server doesn't know the command.
    pub const UNKNOWN_COMMAND: Self = Self(7);
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "succeeded",
            1 => "general failure",
            2 => "not allowed",
            3 => "network unreachable",
            4 => "host unreachable",
            5 => "connection refused",
            6 => "TTL expired",
            7 => "command not supported",
            8 => "address type not supported",
            other => return write!(f, "status {other}"),
        })
    }
}

/// A server's answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// What became of the request.
    pub status: Status,
    /// Where the server listens, or who connected to it.
    pub address: Address,
}

impl Reply {
    /// Reads an answer.
    ///
    /// # Errors
    /// If it is of another version or has an unknown type of address.
    pub fn parse(bytes: &[u8]) -> Parsed<Self> {
        let (message, length) = match parse_message(bytes)? {
            Some(found) => found,
            None => return Ok(None),
        };
        Ok(Some((Self { status: Status(message.0), address: message.1 }, length)))
    }

    /// The bytes of the answer.
    ///
    /// # Errors
    /// If the name is longer than 255 bytes.
    pub fn encode(&self) -> Result<Vec<u8>, SocksError> {
        encode_message(self.status.0, &self.address)
    }

    /// The bytes of an answer that names no address.
    #[must_use]
    pub const fn bare(status: Status) -> [u8; 10] {
        [VERSION, status.0, 0, 1, 0, 0, 0, 0, 0, 0]
    }
}

/// Requests and replies differ in the meaning of the second byte only; the third is reserved and not looked at.
fn parse_message(bytes: &[u8]) -> Parsed<(u8, Address)> {
    parse(bytes, |cursor| {
        version(cursor, VERSION)?;
        let [code, _] = cursor.array()?;
        Ok((code, Address::read(cursor)?))
    })
}

fn encode_message(code: u8, address: &Address) -> Result<Vec<u8>, SocksError> {
    let mut out = vec![VERSION, code, 0];
    address.encode(&mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socks::tests::drip;

    #[test]
    fn greetings_and_selections() {
        let methods = [Method::NONE, Method::PASSWORD, Method::TLS, Method::TLS_PASSWORD];
        assert_eq!(drip(b"\x05\x04\x00\x02\x80\x82", parse_greeting), methods);
        assert_eq!(greeting(&methods), b"\x05\x04\x00\x02\x80\x82");
        assert_eq!(parse_greeting(b"\x05\x00"), Err(SocksError::NoMethods));
        assert_eq!(parse_greeting(b"\x04"), Err(SocksError::Version(4)));
        assert_eq!(Method::TLS_PASSWORD.selection(), [5, 0x82]);
        assert_eq!(drip(b"\x05\xff", Method::parse_selection), Method::NONE_ACCEPTABLE);
        let says: Vec<_> = methods.iter().map(|method| (method.is_tls(), method.wants_password())).collect();
        assert_eq!(says, [(false, false), (false, true), (true, false), (true, true)]);
    }

    #[test]
    fn passwords() {
        let long = [&[1, 255][..], &[b'u'; 255], &[255], &[b'p'; 255]].concat();
        for (bytes, username, given) in [
            (&b"\x01\x04gost\x06secret"[..], &b"gost"[..], &b"secret"[..]),
            (b"\x01\x00\x00", b"", b""),
            (b"\x01\x01\xff\x01\x00", b"\xff", b"\0"),
            (&long, &[b'u'; 255], &[b'p'; 255]),
        ] {
            let credentials = drip(bytes, parse_password);
            assert_eq!((credentials.username.as_slice(), credentials.password.as_slice()), (username, given));
            assert_eq!(password(&credentials).unwrap(), bytes);
        }
        let long = Credentials { username: vec![b'u'; 256], password: Vec::new() };
        assert_eq!(password(&long), Err(SocksError::String));
        assert_eq!(parse_password(b"\x05"), Err(SocksError::Version(5)));
        for accepted in [true, false] {
            assert_eq!(drip(&password_reply(accepted), parse_password_reply), accepted);
        }
        assert_eq!(password_reply(false), [1, 1]);
    }

    #[test]
    fn requests_and_replies() {
        let bytes = b"\x05\xf3\x00\x01\x7f\x00\x00\x01\x00\x50";
        let request = drip(bytes, Request::parse);
        assert_eq!(request.command, Command::UDP_TUNNEL);
        assert_eq!(request.encode().unwrap(), bytes);
        let bytes = b"\x05\x05\x00\x03\x07example\x00\x50";
        let reply = drip(bytes, Reply::parse);
        assert_eq!(reply.status.to_string(), "connection refused");
        assert_eq!(reply.encode().unwrap(), bytes);
        let bare = Reply { status: Status::NOT_ALLOWED, address: Address::UNSPECIFIED };
        assert_eq!(bare.encode().unwrap(), Reply::bare(Status::NOT_ALLOWED));
        assert_eq!(Request::parse(b"\x05\x01\x00\x02"), Err(SocksError::AddressType(2)));
        assert_eq!(Reply::parse(b"\x04\x00"), Err(SocksError::Version(4)));
    }
}
