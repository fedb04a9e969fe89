//! A host's name in disguise, as GOST 2 and its sni connector write it: the `Gost-Target` header, and an extension of a
//! ClientHello.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// `base64url(crc32(name) ‖ base64url(name))`.
#[must_use]
pub fn encode(name: &[u8]) -> String {
    let inner = [&crc32fast::hash(name).to_be_bytes()[..], URL_SAFE_NO_PAD.encode(name).as_bytes()].concat();
    URL_SAFE_NO_PAD.encode(inner)
}

/// The name in `text`, or `None` if it isn't written so, or the checksum doesn't fit.
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let inner = URL_SAFE_NO_PAD.decode(text).ok()?;
    let (checksum, name) = inner.split_first_chunk()?;
    let name = URL_SAFE_NO_PAD.decode(name).ok()?;
    (crc32fast::hash(&name) == u32::from_be_bytes(*checksum)).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_disguise() {
        assert_eq!(encode(b"example.com"), "tvpOuVpYaGhiWEJzWlM1amIyMA");
        assert_eq!(decode(b"tvpOuVpYaGhiWEJzWlM1amIyMA").unwrap(), b"example.com");
        for text in [&b""[..], b"tvpOuVpYaGhiWEJzWlM1amIyMB", b"AAAA", b"!", b"AvpOuVpYaGhiWEJzWlM1amIyMA"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
