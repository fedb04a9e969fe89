//! [`Credentials`] of the Basic scheme (RFC 7617).

use std::fmt;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

/// The standard alphabet with padding, as Go decodes it: bits that padding leaves over are ignored (GOST reference,
/// modules 7, trap 41).
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true));

/// A user name and a password, as bytes: nothing says that they are UTF-8.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Credentials {
    /// Everything before the first colon.
    pub username: Vec<u8>,
    /// Everything after the first colon; may hold colons itself.
    pub password: Vec<u8>,
}

impl Credentials {
    /// Reads the value of an `Authorization` or `Proxy-Authorization` header.
    ///
    /// The scheme must be spelt exactly `Basic` and be followed by exactly one space (GOST reference, modules 3.3);
    /// anything else is no credentials.
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<Self> {
        let decoded = BASE64.decode(value.strip_prefix(b"Basic ")?).ok()?;
        let colon = decoded.iter().position(|&byte| byte == b':')?;
        Some(Self { username: decoded[..colon].to_vec(), password: decoded[colon + 1..].to_vec() })
    }
}

/// Shows the user name only: a password must not reach a log by accident.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &String::from_utf8_lossy(&self.username))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_read_as_gost_reads_it() {
        let pair = |username: &[u8], password: &[u8]| {
            Some(Credentials { username: username.to_vec(), password: password.to_vec() })
        };
        for (value, expected) in [
            (&b"Basic Z29zdDpzZWNyZXQ="[..], pair(b"gost", b"secret")),
            (b"Basic OnA=", pair(b"", b"p")),
            (b"Basic dTo=", pair(b"u", b"")),
            (b"Basic dTphOmI=", pair(b"u", b"a:b")),
            (b"Basic //46/w==", pair(b"\xff\xfe", b"\xff")),
            (b"Basic //46/x==", pair(b"\xff\xfe", b"\xff")),
            (b"basic Z29zdDpzZWNyZXQ=", None),
            (b"Basic  Z29zdDpzZWNyZXQ=", None),
            (b"Basic Z29zdDpzZWNyZXQ", None),
            (b"Basic _-46_w==", None),
            (b"Basic Z29zdA==", None),
            (b"Basic ", None),
            (b"Basic", None),
            (b"Bearer abc", None),
            (b"", None),
        ] {
            assert_eq!(Credentials::parse(value), expected, "{}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn the_password_is_not_shown() {
        let shown = format!("{:?}", Credentials::parse(b"Basic Z29zdDpzZWNyZXQ=").unwrap());
        assert!(shown.contains("gost") && !shown.contains("secret"), "{shown}");
    }
}
