//! SOCKS4, SOCKS4a and SOCKS5 (RFC 1928, RFC 1929), with GOST's extensions of the last (GOST reference, dataplane 6).
//!
//! Every message is short, so a parser is given all bytes received so far and looks at them anew: it answers with the
//! message and its length, with `None` when more bytes are needed, or with an error as soon as no further byte can help.
//! None wants more than [`MAX_MESSAGE`] bytes.

mod address;
mod udp;
pub mod v4;
pub mod v5;

pub use address::Address;
pub use udp::{Datagram, Frame};

use crate::cursor::{Cursor, Short};

/// Bytes of the longest message: a SOCKS4a request with the longest user id and name.
pub const MAX_MESSAGE: usize = 8 + 2 * (MAX_STRING + 1);

/// Bytes of the longest name, user name or password: what one byte can count.
const MAX_STRING: usize = 255;

/// Why bytes are not the message that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SocksError {
    /// The first byte is another protocol's, or another version's.
    #[error("version {0}, which isn't expected here")]
    Version(u8),
    /// A greeting that offers nothing.
    #[error("no authentication method offered")]
    NoMethods,
    /// Neither IPv4, IPv6 nor a name.
    #[error("unknown address type {0}")]
    AddressType(u8),
    /// The name of a host isn't one.
    #[error("invalid host name")]
    Name,
    /// A name, user name or password that the format has no room for.
    #[error(
        "a name, user name or password of more than {MAX_STRING} bytes, or with a zero byte where it can't have one"
    )]
    String,
    /// An IPv6 address or a name where only IPv4 fits.
    #[error("SOCKS4 without the 4a extension carries IPv4 addresses only")]
    NotIpv4,
    /// A datagram that ends within its header.
    #[error("datagram is shorter than its header")]
    Truncated,
}

/// A message and how many bytes it took, or `None` when more are needed.
pub type Parsed<T> = Result<Option<(T, usize)>, SocksError>;

/// Why a message can't be read from the bytes at hand.
enum Stop {
    Short,
    Invalid(SocksError),
}

impl From<Short> for Stop {
    fn from(_: Short) -> Self {
        Self::Short
    }
}

impl From<SocksError> for Stop {
    fn from(error: SocksError) -> Self {
        Self::Invalid(error)
    }
}

fn parse<'b, T>(bytes: &'b [u8], read: impl FnOnce(&mut Cursor<'b>) -> Result<T, Stop>) -> Parsed<T> {
    let mut cursor = Cursor::new(bytes);
    match read(&mut cursor) {
        Ok(message) => Ok(Some((message, cursor.position()))),
        Err(Stop::Short) => Ok(None),
        Err(Stop::Invalid(error)) => Err(error),
    }
}

/// Checks the version, the first byte of nearly every message.
fn version(cursor: &mut Cursor<'_>, expected: u8) -> Result<(), Stop> {
    match cursor.u8()? {
        version if version == expected => Ok(()),
        version => Err(SocksError::Version(version).into()),
    }
}

/// Appends `text` behind its length in one byte.
fn put_short_string(out: &mut Vec<u8>, text: &[u8]) -> Result<(), SocksError> {
    out.push(u8::try_from(text.len()).map_err(|_| SocksError::String)?);
    out.extend(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `bytes` in growing pieces: `parse` wants more until the last one, and takes them all.
    pub(super) fn drip<T>(bytes: &[u8], parse: impl Fn(&[u8]) -> Parsed<T>) -> T {
        assert!(bytes.len() <= MAX_MESSAGE);
        for end in 0..bytes.len() {
            assert!(matches!(parse(&bytes[..end]), Ok(None)), "{end} bytes of {bytes:?}");
        }
        let mut behind = bytes.to_vec();
        behind.extend(b"behind");
        assert_eq!(parse(&behind).ok().flatten().map(|(_, length)| length), Some(bytes.len()));
        let (message, length) = parse(bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        message
    }
}
