//! The headers that turn an HTTP connection into a websocket (RFC 6455 §4).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

use crate::http1::{Headers, RequestHead, ResponseHead, Version};

const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why a head doesn't open a websocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// Anything but a GET over HTTP/1.1 that asks for an upgrade.
    #[error("not a websocket request")]
    NotWebsocket,
    /// Anything but version 13.
    #[error("unknown websocket version")]
    Version,
    /// The key is missing or isn't 16 bytes of base64.
    #[error("invalid websocket key")]
    Key,
    /// The server said no.
    #[error("server answered {0} where 101 was expected")]
    Status(u16),
    /// The server's answer doesn't belong to the key.
    #[error("server's websocket answer doesn't fit the key")]
    Accept,
    /// The server chose an extension or a protocol that wasn't offered.
    #[error("server chose a websocket extension or protocol that wasn't offered")]
    Unasked,
}

/// The value of `Sec-WebSocket-Accept` for `key`, the value of `Sec-WebSocket-Key` as it was sent.
#[must_use]
pub fn accept(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

/// Whether `head` asks for a websocket: its key, for [`accept`].
///
/// # Errors
/// If it doesn't, or for another version.
pub fn check_request<'b>(head: &RequestHead<'b>) -> Result<&'b [u8], HandshakeError> {
    if head.method != "GET" || head.version != Version::Http11 || !upgrades(&head.headers) {
        return Err(HandshakeError::NotWebsocket);
    }
    if head.headers.get("sec-websocket-version") != Some(b"13") {
        return Err(HandshakeError::Version);
    }
    let key = head.headers.get("sec-websocket-key").ok_or(HandshakeError::Key)?;
    match STANDARD.decode(key) {
        Ok(bytes) if bytes.len() == 16 => Ok(key),
        _ => Err(HandshakeError::Key),
    }
}

/// Whether `head` is the answer to a request with `key` that offered no extension and no protocol.
///
/// # Errors
/// If it isn't.
pub fn check_response(head: &ResponseHead<'_>, key: &[u8]) -> Result<(), HandshakeError> {
    if head.status != 101 {
        return Err(HandshakeError::Status(head.status));
    }
    if !upgrades(&head.headers) || head.headers.get("sec-websocket-accept") != Some(accept(key).as_bytes()) {
        return Err(HandshakeError::Accept);
    }
    let unasked = ["sec-websocket-extensions", "sec-websocket-protocol"];
    if unasked.iter().any(|name| head.headers.get(name).is_some()) {
        return Err(HandshakeError::Unasked);
    }
    Ok(())
}

fn upgrades(headers: &Headers<'_>) -> bool {
    headers.has_token("connection", "upgrade") && headers.has_token("upgrade", "websocket")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn the_example_of_the_rfc() {
        assert_eq!(accept(KEY), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn requests() {
        let plain = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
        for (from, to, expected) in [
            ("", "", Ok(KEY)),
            ("GET", "POST", Err(HandshakeError::NotWebsocket)),
            ("HTTP/1.1", "HTTP/1.0", Err(HandshakeError::NotWebsocket)),
            ("keep-alive, Upgrade", "keep-alive", Err(HandshakeError::NotWebsocket)),
            ("WebSocket\r\n", "h2c\r\n", Err(HandshakeError::NotWebsocket)),
            ("Version: 13", "Version: 8", Err(HandshakeError::Version)),
            ("Key:", "Kay:", Err(HandshakeError::Key)),
            ("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ==", Err(HandshakeError::Key)),
        ] {
            let bytes = plain.replacen(from, to, 1);
            assert_eq!(check_request(&RequestHead::parse(bytes.as_bytes()).unwrap()), expected, "{from} {to}");
        }
    }

    #[test]
    fn responses() {
        let plain = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
        for (from, to, expected) in [
            ("", "", Ok(())),
            ("101", "404", Err(HandshakeError::Status(404))),
            ("s3p", "S3p", Err(HandshakeError::Accept)),
            ("Upgrade: websocket\r\n", "", Err(HandshakeError::Accept)),
            ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n", Err(HandshakeError::Unasked)),
        ] {
            let bytes = plain.replacen(from, to, 1);
            assert_eq!(check_response(&ResponseHead::parse(bytes.as_bytes()).unwrap(), KEY), expected, "{from} {to}");
        }
    }
}
