//! GOST's relay protocol (GOST reference, dataplane 3): a request, its response, and datagrams behind them.
//!
//! As with SOCKS, a parser is given all bytes received so far, and answers with the message and its length, with `None`
//! when more are needed, or with an error. None wants more than [`MAX_MESSAGE`] bytes.

mod features;

pub use features::{Features, Network, TunnelId};

use std::fmt;

use crate::cursor::{Cursor, Short};
use crate::socks::SocksError;

/// The first byte of every message.
pub const VERSION: u8 = 1;

/// Bytes of the longest message. GOST: 64 KiB; all features that there are fit into a quarter of that.
pub const MAX_MESSAGE: usize = HEAD + MAX_FEATURES;

/// Bytes of the longest datagram behind a request for UDP.
pub const MAX_DATAGRAM: usize = u16::MAX as usize;

/// Version, command or status, and the length of the features.
const HEAD: usize = 4;
const MAX_FEATURES: usize = 16 * 1024;

/// Why bytes are not a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RelayError {
    /// Another protocol's, or another version's.
    #[error("relay version {0}, which isn't known")]
    Version(u8),
    /// More features than anybody needs.
    #[error("{0} bytes of relay features; at most {MAX_FEATURES} are read")]
    TooLong(u16),
    /// A feature that ends within itself, or behind its message.
    #[error("relay feature {0} is cut off")]
    CutOff(u8),
    /// A feature's address can't be read.
    #[error("relay feature: {0}")]
    Value(#[from] SocksError),
}

/// A message and how many bytes it took, or `None` when more are needed.
pub type Parsed<T> = Result<Option<(T, usize)>, RelayError>;

/// What a client can ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// A connection to the address, or a way for datagrams to it. A zero is read as this.
    Connect,
    /// Connections or datagrams from elsewhere.
    Bind,
    /// IP packets of a router.
    Associate,
    /// One that nobody knows, from 4 to 15.
    Other(u8),
}

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub command: Command,
    /// It is about datagrams. They may be asked for by [`Features::network`] as well.
    pub udp: bool,
    /// All else.
    pub features: Features,
}

impl Request {
    const COMMAND: u8 = 0x0f;
    const UDP: u8 = 0x80;

    /// Reads a request.
    ///
    /// # Errors
    /// If it is of another version, too long, or has a feature that can't be read.
    pub fn parse(bytes: &[u8]) -> Parsed<Self> {
        let Some((code, features, length)) = message(bytes)? else { return Ok(None) };
        let command = match code & Self::COMMAND {
            0 | 1 => Command::Connect,
            2 => Command::Bind,
            3 => Command::Associate,
            other => Command::Other(other),
        };
        Ok(Some((Self { command, udp: code & Self::UDP != 0, features }, length)))
    }

    /// The bytes of the request.
    ///
    /// # Errors
    /// If a name, user name or password is longer than 255 bytes.
    pub fn encode(&self) -> Result<Vec<u8>, SocksError> {
        let command = match self.command {
            Command::Connect => 1,
            Command::Bind => 2,
            Command::Associate => 3,
            Command::Other(other) => other & Self::COMMAND,
        };
        encode(command | if self.udp { Self::UDP } else { 0 }, &self.features)
    }

    /// The network that it is about.
    #[must_use]
    pub fn network(&self) -> Network {
        if self.udp { Network::Udp } else { self.features.network.unwrap_or(Network::Tcp) }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Status(pub u8);

impl Status {
    /// It is done.
    pub const OK: Self = Self(0);
    /// It isn't known, or lacks something.
    pub const BAD_REQUEST: Self = Self(1);
    /// The user isn't known.
    pub const UNAUTHORIZED: Self = Self(2);
    /// It isn't allowed.
    pub const FORBIDDEN: Self = Self(3);
    /// There is nobody who could do it.
    pub const SERVICE_UNAVAILABLE: Self = Self(5);
    /// A forwarder's target can't be connected to.
    pub const HOST_UNREACHABLE: Self = Self(6);
    /// The address can't be connected to.
    pub const NETWORK_UNREACHABLE: Self = Self(7);
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            0 => "OK",
            1 => "bad request",
            2 => "wrong user name or password",
            3 => "forbidden",
            4 => "timeout",
            5 => "service unavailable",
            6 => "host unreachable",
            7 => "network unreachable",
            8 => "internal error",
            other => return write!(f, "status {other}"),
        })
    }
}

/// A server's answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// What became of the request.
    pub status: Status,
    /// Where the server listens, or who connected to it.
    pub features: Features,
}

impl Response {
    /// Reads an answer.
    ///
    /// # Errors
    /// As of [`Request::parse`].
    pub fn parse(bytes: &[u8]) -> Parsed<Self> {
        let found = message(bytes)?;
        Ok(found.map(|(code, features, length)| (Self { status: Status(code), features }, length)))
    }

    /// The bytes of the answer.
    ///
    /// # Errors
    /// As of [`Request::encode`].
    pub fn encode(&self) -> Result<Vec<u8>, SocksError> {
        encode(self.status.0, &self.features)
    }

    /// The bytes of an answer without features.
    #[must_use]
    pub const fn bare(status: Status) -> [u8; HEAD] {
        [VERSION, status.0, 0, 0]
    }
}

/// How long the datagram at the start of `bytes` is, and how many bytes say so: `length:u16`. `None` when more are needed.
#[must_use]
pub fn datagram(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut cursor = Cursor::new(bytes);
    let length = cursor.u16().ok()?;
    Some((length.into(), cursor.position()))
}

/// A message's command or status, its features and its length.
fn message(bytes: &[u8]) -> Result<Option<(u8, Features, usize)>, RelayError> {
    let mut cursor = Cursor::new(bytes);
    match cursor.u8() {
        Ok(VERSION) => {}
        Ok(other) => return Err(RelayError::Version(other)),
        Err(Short) => return Ok(None),
    }
    let Ok(code) = cursor.u8() else { return Ok(None) };
    let Ok(length) = cursor.u16() else { return Ok(None) };
    if usize::from(length) > MAX_FEATURES {
        return Err(RelayError::TooLong(length));
    }
    let Ok(features) = cursor.take(length.into()) else { return Ok(None) };
    Ok(Some((code, Features::read(features)?, cursor.position())))
}

fn encode(code: u8, features: &Features) -> Result<Vec<u8>, SocksError> {
    let mut out = vec![VERSION, code, 0, 0];
    features.write(&mut out)?;
    // One feature of each kind: never near to the bound.
    let length = u16::try_from(out.len() - HEAD).unwrap_or(u16::MAX);
    out[2..HEAD].copy_from_slice(&length.to_be_bytes());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::Credentials;
    use crate::socks::Address;

    /// Feeds `bytes` in growing pieces: `parse` wants more until the last one, and takes them all.
    fn drip<T>(bytes: &[u8], parse: impl Fn(&[u8]) -> Parsed<T>) -> T {
        for end in 0..bytes.len() {
            assert!(matches!(parse(&bytes[..end]), Ok(None)), "{end} bytes of {bytes:?}");
        }
        let behind = [bytes, b"hello"].concat();
        let (message, length) = parse(&behind).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        message
    }

    fn user() -> Option<Credentials> {
        Some(Credentials { username: b"u".to_vec(), password: b"p".to_vec() })
    }

    fn name(host: &str, port: u16) -> Option<Address> {
        Some(Address::Name(host.as_bytes().to_vec(), port))
    }

    #[test]
    fn a_request_to_connect() {
        let bytes = b"\x01\x01\x00\x17\x01\x00\x04\x01u\x01p\x02\x00\x0d\x03\x09localhost\x4a\x38";
        let request = drip(bytes, Request::parse);
        let features = Features { user: user(), address: name("localhost", 19000), ..Features::default() };
        assert_eq!(request, Request { command: Command::Connect, udp: false, features });
        assert_eq!((request.network(), request.encode().unwrap()), (Network::Tcp, bytes.to_vec()));
    }

    #[test]
    fn a_request_for_datagrams() {
        let bytes =
            b"\x01\x81\x00\x16\x04\x00\x02\x00\x01\x01\x00\x04\x01u\x01p\x02\x00\x07\x01\x7f\x00\x00\x01\x4a\x39";
        let request = drip(bytes, Request::parse);
        let address = Some(Address::Ip("127.0.0.1:19001".parse().unwrap()));
        assert_eq!(
            request.features,
            Features { user: user(), address, network: Some(Network::Udp), ..Features::default() }
        );
        assert!(request.udp && request.network() == Network::Udp);
        assert_eq!(request.encode().unwrap(), bytes);
        // The network feature alone does as well.
        let request = drip(b"\x01\x01\x00\x05\x04\x00\x02\x00\x01", Request::parse);
        assert!(!request.udp && request.network() == Network::Udp);
    }

    #[test]
    fn commands() {
        for (code, command) in [
            (0, Command::Connect),
            (1, Command::Connect),
            (0x71, Command::Connect),
            (2, Command::Bind),
            (0x83, Command::Associate),
            (4, Command::Other(4)),
            (0x1f, Command::Other(15)),
        ] {
            let request = drip(&[1, code, 0, 0], Request::parse);
            assert_eq!((request.command, request.udp), (command, code & 0x80 != 0), "{code:#x}");
            assert_eq!(drip(&request.encode().unwrap(), Request::parse), request);
        }
    }

    #[test]
    fn answers() {
        let bytes = b"\x01\x00\x00\x0a\x02\x00\x07\x01\x7f\x00\x00\x01\x47\x80";
        let response = drip(bytes, Response::parse);
        let address = Some(Address::Ip("127.0.0.1:18304".parse().unwrap()));
        assert_eq!(response, Response { status: Status::OK, features: Features { address, ..Features::default() } });
        assert_eq!(response.encode().unwrap(), bytes);
        let refused = drip(&Response::bare(Status::FORBIDDEN), Response::parse);
        assert_eq!((refused.status.to_string(), refused.features), ("forbidden".to_owned(), Features::default()));
        assert_eq!(drip(&[1, 99, 0, 0], Response::parse).status.to_string(), "status 99");
    }

    #[test]
    fn what_is_no_message() {
        assert_eq!(Request::parse(b"\x05"), Err(RelayError::Version(5)));
        assert_eq!(Response::parse(b"\x00\x00"), Err(RelayError::Version(0)));
        assert_eq!(Request::parse(b"\x01\x01\x40\x01"), Err(RelayError::TooLong(0x4001)));
        assert_eq!(Request::parse(b"\x01\x01\x00\x02\x02\x00"), Err(RelayError::CutOff(2)));
        let long = Features { address: name(&"a".repeat(256), 1), ..Features::default() };
        let request = Request { command: Command::Connect, udp: false, features: long };
        assert_eq!(request.encode(), Err(SocksError::String));
    }

    #[test]
    fn datagrams() {
        assert_eq!(datagram(b"\x00"), None);
        assert_eq!(datagram(b"\x00\x03abc"), Some((3, 2)));
        assert_eq!(datagram(b"\xff\xff"), Some((MAX_DATAGRAM, 2)));
    }
}
