//! [`disguise`]: another server name in a ClientHello, as GOST's sni connector sends it.

use super::TlsError;
use super::client_hello::{CLIENT_HELLO, MAX_RECORD, assemble};
use super::extensions::{Parts, SERVER_NAME};
use crate::gost_target;

/// Where GOST keeps the true name.
const HIDDEN_NAME: u16 = 0xfffe;

/// The records of the ClientHello that `bytes` are, with `host` as the server's name and the true one hidden beside it.
/// Without a name in it, the bytes as they are.
///
/// # Errors
/// If `bytes` aren't one whole ClientHello, or the result would be too long for a record.
pub fn disguise(bytes: &[u8], host: &str) -> Result<Vec<u8>, TlsError> {
    let (body, _) = assemble(bytes, CLIENT_HELLO)?.ok_or(TlsError::Malformed)?;
    let parts = Parts::parse(&body)?;
    let Some(name) = parts.server_name()? else {
        return Ok(bytes.to_vec());
    };
    let mut extensions = Vec::new();
    for extension in &parts.extensions {
        if extension.kind == SERVER_NAME {
            put_extension(&mut extensions, SERVER_NAME, &server_name(host.as_bytes())?)?;
            // Not at the end: a pre-shared key must stay there (RFC 8446 §4.2.11).
            put_extension(&mut extensions, HIDDEN_NAME, gost_target::encode(name).as_bytes())?;
        } else {
            put_extension(&mut extensions, extension.kind, extension.data)?;
        }
    }
    let body = [parts.before, &long_string(&extensions)?].concat();
    // A ClientHello of less than 64 KiB: the first byte of its length is zero.
    let message = [&[1, 0][..], &long_string(&body)?].concat();
    if message.len() > MAX_RECORD {
        return Err(TlsError::NoRoom);
    }
    let version = bytes.get(..3).ok_or(TlsError::Malformed)?;
    Ok([version, &long_string(&message)?].concat())
}

fn server_name(host: &[u8]) -> Result<Vec<u8>, TlsError> {
    long_string(&[&[0][..], &long_string(host)?].concat())
}

fn put_extension(out: &mut Vec<u8>, kind: u16, data: &[u8]) -> Result<(), TlsError> {
    out.extend(kind.to_be_bytes());
    out.extend(long_string(data)?);
    Ok(())
}

/// `data` behind its length in two bytes.
fn long_string(data: &[u8]) -> Result<Vec<u8>, TlsError> {
    let length = u16::try_from(data.len()).map_err(|_| TlsError::NoRoom)?;
    Ok([&length.to_be_bytes()[..], data].concat())
}

#[cfg(test)]
mod tests {
    use super::super::client_hello::tests::{extension, hello, server_name};
    use super::*;

    #[test]
    fn the_name_is_replaced_and_hidden_beside_it() {
        let before = [extension(10, b"\0\x02\0\x1d"), server_name("secret.example"), extension(41, b"psk")].concat();
        let after = [
            extension(10, b"\0\x02\0\x1d"),
            server_name("cdn.example"),
            extension(0xfffe, gost_target::encode(b"secret.example").as_bytes()),
            extension(41, b"psk"),
        ]
        .concat();
        for cut in [5, 1000] {
            assert_eq!(disguise(&hello(&before, cut), "cdn.example"), Ok(hello(&after, 1000)));
        }
        let nameless = hello(b"", 5);
        assert_eq!(disguise(&nameless, "cdn.example"), Ok(nameless.clone()));
        assert_eq!(disguise(&nameless[..40], "cdn.example"), Err(TlsError::Malformed));
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let bytes = hello(&server_name("a"), 1000);
        assert_eq!(disguise(&bytes, &"a".repeat(17_000)), Err(TlsError::NoRoom));
        assert_eq!(disguise(&bytes, &"a".repeat(70_000)), Err(TlsError::NoRoom));
    }
}
