//! [`ClientHello`]: what a TLS client says in the clear.

use super::extensions::{ALPN, Parts, SUPPORTED_VERSIONS};
use super::{MAX_CLIENT_HELLO, TlsError};
use crate::cursor::{Cursor, Short};
use crate::http1::HostPort;

const HANDSHAKE: u8 = 22;
pub(super) const CLIENT_HELLO: u8 = 1;

/// Bytes of the content of the longest record.
pub(super) const MAX_RECORD: usize = 16 * 1024;

/// What a client says before everything is encrypted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientHello {
    /// The server's name (SNI): a DNS name or, against the rules, an IP address.
    pub server_name: Option<String>,
    /// The protocols that it offers (ALPN), best first.
    pub alpn: Vec<Vec<u8>>,
    /// The highest version that it offers, such as `0x0304` for TLS 1.3.
    pub version: u16,
}

impl ClientHello {
    /// Reads the ClientHello at the start of `bytes`, all that was received so far: it and the bytes of the records that
    /// it takes, or `None` when more are needed. Wants no more than [`MAX_CLIENT_HELLO`].
    ///
    /// # Errors
    /// As soon as the bytes can't become one.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, TlsError> {
        let Some((body, length)) = assemble(bytes, CLIENT_HELLO)? else {
            return Ok(None);
        };
        let parts = Parts::parse(&body)?;
        Ok(Some((Self::of(&parts)?, length)))
    }

    fn of(parts: &Parts<'_>) -> Result<Self, TlsError> {
        let server_name = match parts.server_name()? {
            None => None,
            Some(name) => {
                let name = std::str::from_utf8(name).map_err(|_| TlsError::ServerName)?;
                Some(HostPort::new(name, 0).map_err(|_| TlsError::ServerName)?.host)
            }
        };
        let malformed = |Short| TlsError::Malformed;
        let alpn = parts.extension(ALPN)?.map_or(Ok(Vec::new()), protocols).map_err(malformed)?;
        let offered = parts.extension(SUPPORTED_VERSIONS)?.map_or(Ok(None), highest).map_err(malformed)?;
        Ok(Self { server_name, alpn, version: offered.unwrap_or(parts.legacy_version) })
    }
}

pub(super) fn protocols(data: &[u8]) -> Result<Vec<Vec<u8>>, Short> {
    let mut list = Cursor::new(Cursor::new(data).long_string()?);
    let mut protocols = Vec::new();
    while !list.rest().is_empty() {
        protocols.push(list.short_string()?.to_vec());
    }
    Ok(protocols)
}

fn highest(data: &[u8]) -> Result<Option<u16>, Short> {
    let mut list = Cursor::new(Cursor::new(data).short_string()?);
    let mut highest = None;
    while !list.rest().is_empty() {
        // Values that mean nothing, to keep servers tolerant (RFC 8701), are above all others.
        highest = highest.max(Some(list.u16()?).filter(|version| version >> 8 == 3));
    }
    Ok(highest)
}

/// The first handshake message out of the records that carry it, without its header, and the bytes that these take. It
/// must be of that kind.
pub(super) fn assemble(bytes: &[u8], kind: u8) -> Result<Option<(Vec<u8>, usize)>, TlsError> {
    let mut message = Vec::new();
    let mut records = Cursor::new(bytes);
    loop {
        // The length is known from the first four bytes on, however they are cut into records.
        if let Some((wanted, body)) = started(&message, kind)?
            && body.len() >= wanted
        {
            return Ok(Some((body[..wanted].to_vec(), records.position())));
        }
        match record(&mut records)? {
            Some(content) => message.extend(content),
            None if bytes.len() >= MAX_CLIENT_HELLO => return Err(TlsError::TooLarge),
            None => return Ok(None),
        }
    }
}

/// How many bytes the message has, its header excluded, and which of them are there.
fn started(message: &[u8], kind: u8) -> Result<Option<(usize, &[u8])>, TlsError> {
    let mut cursor = Cursor::new(message);
    match cursor.u8() {
        Ok(found) if found == kind => {}
        Ok(_) => return Err(TlsError::NotHello),
        Err(Short) => return Ok(None),
    }
    match cursor.u24() {
        Ok(length) if length > MAX_CLIENT_HELLO => Err(TlsError::TooLarge),
        Ok(length) => Ok(Some((length, cursor.rest()))),
        Err(Short) => Ok(None),
    }
}

/// The content of the next record, or `None` if it isn't complete.
fn record<'b>(records: &mut Cursor<'b>) -> Result<Option<&'b [u8]>, TlsError> {
    let head = records.rest();
    // Each byte is judged when it comes: type, version 3.x, length.
    if head.first().is_some_and(|&kind| kind != HANDSHAKE) || head.get(1).is_some_and(|&major| major != 3) {
        return Err(TlsError::NotHello);
    }
    let (Ok(_), Ok(length)) = (records.take(3), records.u16()) else {
        return Ok(None);
    };
    match usize::from(length) {
        0 => Err(TlsError::Malformed),
        length if length > MAX_RECORD => Err(TlsError::Malformed),
        length => Ok(records.take(length).ok()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::tls) fn extension(kind: u16, data: &[u8]) -> Vec<u8> {
        [&kind.to_be_bytes()[..], &u16::try_from(data.len()).unwrap().to_be_bytes(), data].concat()
    }

    pub(in crate::tls) fn server_name(name: &str) -> Vec<u8> {
        let length = u16::try_from(name.len()).unwrap();
        let list = [&(length + 3).to_be_bytes()[..], &[0], &length.to_be_bytes(), name.as_bytes()].concat();
        extension(0, &list)
    }

    /// A ClientHello with `extensions`, in records of `cut` bytes.
    pub(in crate::tls) fn hello(extensions: &[u8], cut: usize) -> Vec<u8> {
        let mut body = [&[3, 3][..], &[7; 32], &[4, 1, 2, 3, 4], &[0, 2, 0x13, 0x01], &[1, 0]].concat();
        body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        body.extend(extensions);
        let mut message = vec![1, 0];
        message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
        message.extend(body);
        message
            .chunks(cut)
            .flat_map(|part| [&[22, 3, 1][..], &u16::try_from(part.len()).unwrap().to_be_bytes(), part].concat())
            .collect()
    }

    #[test]
    fn name_protocols_and_version_are_found_however_it_arrives() {
        let extensions = [
            server_name("example.com"),
            extension(16, b"\0\x0c\x02h2\x08http/1.1"),
            extension(43, b"\x06\x7a\x7a\x03\x04\x03\x03"),
        ]
        .concat();
        let expected = ClientHello {
            server_name: Some("example.com".to_owned()),
            alpn: vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            version: 0x0304,
        };
        for cut in [1, 3, 4, 7, 40, 1000] {
            let bytes = hello(&extensions, cut);
            for end in 0..bytes.len() {
                assert_eq!(ClientHello::parse(&bytes[..end]), Ok(None), "{end} bytes");
            }
            let behind = [&bytes, &b"\x14\x03\x03"[..]].concat();
            assert_eq!(ClientHello::parse(&behind), Ok(Some((expected.clone(), bytes.len()))));
        }
    }

    #[test]
    fn a_client_may_say_little() {
        let (said, _) = ClientHello::parse(&hello(b"", 1000)).unwrap().unwrap();
        assert_eq!(said, ClientHello { server_name: None, alpn: Vec::new(), version: 0x0303 });
    }

    #[test]
    fn contradictions_are_errors() {
        for (extensions, error) in [
            (server_name("a b"), TlsError::ServerName),
            (server_name(""), TlsError::ServerName),
            (server_name("a\0"), TlsError::ServerName),
            ([server_name("a"), server_name("b")].concat(), TlsError::Malformed),
            (extension(0, b"\0\x05\0\0\x03a"), TlsError::Malformed),
            (extension(16, b"\0\x03\x09h2"), TlsError::Malformed),
            (extension(43, b"\x03\x03\x04\x03"), TlsError::Malformed),
            (b"\0\0\0\x09".to_vec(), TlsError::Malformed),
        ] {
            assert_eq!(ClientHello::parse(&hello(&extensions, 1000)), Err(error), "{extensions:?}");
        }
        for (bytes, error) in [
            (&b"GET"[..], TlsError::NotHello),
            (b"\x15", TlsError::NotHello),
            (b"\x16\x02", TlsError::NotHello),
            (b"\x16\x03\x01\0\x01\x02", TlsError::NotHello),
            (b"\x16\x03\x01\0\0", TlsError::Malformed),
            (b"\x16\x03\x01\xff\xff", TlsError::Malformed),
            (b"\x16\x03\x01\0\x04\x01\x01\0\0", TlsError::TooLarge),
            (b"\x16\x03\x01\0\x05\x01\0\0\x01x", TlsError::Malformed),
        ] {
            assert_eq!(ClientHello::parse(bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn no_more_is_wanted_than_the_bound() {
        let bytes = hello(&extension(21, &vec![0; 12_000]), 1);
        assert_eq!(ClientHello::parse(&bytes[..MAX_CLIENT_HELLO - 1]), Ok(None));
        assert_eq!(ClientHello::parse(&bytes[..MAX_CLIENT_HELLO]), Err(TlsError::TooLarge));
    }
}
