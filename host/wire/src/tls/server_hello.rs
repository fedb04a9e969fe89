//! [`ServerHello`]: what a TLS server answers in the clear.

use super::TlsError;
use super::client_hello::{assemble, protocols};
use super::extensions::{ALPN, SUPPORTED_VERSIONS, extensions, only};
use crate::cursor::{Cursor, Short};

const SERVER_HELLO: u8 = 2;

/// What a server chose.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerHello {
    /// The version, such as `0x0304` for TLS 1.3.
    pub version: u16,
    /// The cipher suite, by its number.
    pub cipher_suite: u16,
    /// The compression method; 0 is none.
    pub compression_method: u8,
    /// The application protocol (ALPN); TLS 1.3 doesn't say it in the clear.
    pub alpn: Option<Vec<u8>>,
}

impl ServerHello {
    /// Reads the ServerHello at the start of `bytes`, all that was received so far: it and the bytes of the records that
    /// it takes, or `None` when more are needed. Wants no more than [`MAX_CLIENT_HELLO`](super::MAX_CLIENT_HELLO).
    ///
    /// # Errors
    /// As soon as the bytes can't become one, as with an alert.
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, TlsError> {
        match assemble(bytes, SERVER_HELLO)? {
            Some((body, length)) => Ok(Some((Self::read(&body).map_err(|Short| TlsError::Malformed)?, length))),
            None => Ok(None),
        }
    }

    fn read(body: &[u8]) -> Result<Self, Short> {
        let mut cursor = Cursor::new(body);
        let legacy_version = cursor.u16()?;
        cursor.take(32)?; // random
        cursor.short_string()?; // session id
        let (cipher_suite, compression_method) = (cursor.u16()?, cursor.u8()?);
        let extensions = extensions(&mut cursor)?;
        let only = |kind| only(&extensions, kind).map_err(|_| Short);
        let version = only(SUPPORTED_VERSIONS)?.map(|data| Cursor::new(data).u16()).transpose()?;
        let alpn = only(ALPN)?.map(protocols).transpose()?.and_then(|protocols| protocols.into_iter().next());
        Ok(Self { version: version.unwrap_or(legacy_version), cipher_suite, compression_method, alpn })
    }
}

#[cfg(test)]
mod tests {
    use super::super::client_hello::tests::extension;
    use super::*;

    fn hello(extensions: &[u8]) -> Vec<u8> {
        let mut body = [&[3, 3][..], &[7; 32], &[2, 1, 2], &[0x13, 0x02], &[0]].concat();
        body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        body.extend(extensions);
        let message = [&[2, 0][..], &u16::try_from(body.len()).unwrap().to_be_bytes(), &body].concat();
        [&[22, 3, 3][..], &u16::try_from(message.len()).unwrap().to_be_bytes(), &message].concat()
    }

    #[test]
    fn what_the_server_chose_is_read_however_it_arrives() {
        let bytes = hello(&[extension(43, &[3, 4]), extension(16, b"\0\x03\x02h2")].concat());
        for end in 0..bytes.len() {
            assert_eq!(ServerHello::parse(&bytes[..end]), Ok(None), "{end} bytes");
        }
        let chosen =
            ServerHello { version: 0x0304, cipher_suite: 0x1302, compression_method: 0, alpn: Some(b"h2".to_vec()) };
        assert_eq!(ServerHello::parse(&bytes), Ok(Some((chosen.clone(), bytes.len()))));
        let plain = ServerHello { version: 0x0303, alpn: None, ..chosen };
        assert_eq!(ServerHello::parse(&hello(b"")).unwrap().unwrap().0, plain);
    }

    #[test]
    fn alerts_and_nonsense_are_none() {
        assert_eq!(ServerHello::parse(b"\x15\x03\x03\0\x02\x02\x28"), Err(TlsError::NotHello));
        assert_eq!(ServerHello::parse(b"\x16\x03\x03\0\x04\x01\0\0\0"), Err(TlsError::NotHello));
        assert_eq!(ServerHello::parse(b"\x16\x03\x03\0\x05\x02\0\0\x01x"), Err(TlsError::Malformed));
        assert_eq!(ServerHello::parse(&hello(&extension(43, &[3]))), Err(TlsError::Malformed));
    }
}
