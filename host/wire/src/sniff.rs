//! [`Protocol`]: what a client speaks, guessed from its first bytes (GOST reference, dataplane 8).

/// What a client seems to speak. What it really speaks is for that protocol's parser to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// HTTP/1 or the preface of HTTP/2.
    Http,
    /// TLS 1.0 to 1.3.
    Tls,
    /// SSH 2.
    Ssh,
    /// Redis (RESP): anything that begins as one of its values.
    Redis,
}

/// What first bytes say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guess {
    /// Nothing yet: they may become one of several things. Five bytes are always enough.
    More,
    /// This.
    Known(Protocol),
    /// None of the protocols that can be told apart.
    Unknown,
}

const BEGINNINGS: [(&[u8], Protocol); 20] = [
    (b"GET", Protocol::Http),
    (b"POST", Protocol::Http),
    (b"PUT", Protocol::Http),
    (b"DELET", Protocol::Http),
    (b"OPTIO", Protocol::Http),
    (b"PATCH", Protocol::Http),
    (b"HEAD", Protocol::Http),
    (b"CONNE", Protocol::Http),
    (b"TRACE", Protocol::Http),
    (b"PRI *", Protocol::Http),
    (b"\x16\x03\x01", Protocol::Tls),
    (b"\x16\x03\x02", Protocol::Tls),
    (b"\x16\x03\x03", Protocol::Tls),
    (b"\x16\x03\x04", Protocol::Tls),
    (b"SSH-2", Protocol::Ssh),
    (b"*", Protocol::Redis),
    (b"+", Protocol::Redis),
    (b"-", Protocol::Redis),
    (b":", Protocol::Redis),
    (b"$", Protocol::Redis),
];

impl Protocol {
    /// Guesses from `bytes`, all that was received so far.
    #[must_use]
    pub fn guess(bytes: &[u8]) -> Guess {
        let mut open = false;
        for (beginning, protocol) in BEGINNINGS {
            if bytes.starts_with(beginning) {
                return Guess::Known(protocol);
            }
            open |= beginning.starts_with(bytes);
        }
        if open { Guess::More } else { Guess::Unknown }
    }

    /// As filters in a config and records name it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tls => "tls",
            Self::Ssh => "ssh",
            Self::Redis => "redis",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_are_told_apart_as_early_as_can_be() {
        for (bytes, known, at) in [
            (&b"GET / HTTP/1.1"[..], Guess::Known(Protocol::Http), 3),
            (b"PROPFIND / HTTP/1.1", Guess::Unknown, 3),
            (b"PRI * HTTP/2.0", Guess::Known(Protocol::Http), 5),
            (b"OPTIONS * HTTP/1.1", Guess::Known(Protocol::Http), 5),
            (b"get / HTTP/1.1", Guess::Unknown, 1),
            (b"\x16\x03\x01\x02", Guess::Known(Protocol::Tls), 3),
            (b"\x16\x03\x00", Guess::Unknown, 3),
            (b"\x16\x03\x05", Guess::Unknown, 3),
            (b"SSH-2.0-OpenSSH", Guess::Known(Protocol::Ssh), 5),
            (b"SSH-1.99", Guess::Unknown, 5),
            (b"*1\r\n$4\r\nPING", Guess::Known(Protocol::Redis), 1),
            (b"\x05\x01\x00", Guess::Unknown, 1),
            (b"\0", Guess::Unknown, 1),
        ] {
            for end in 0..=bytes.len() {
                let expected = if end < at { Guess::More } else { known };
                assert_eq!(Protocol::guess(&bytes[..end]), expected, "{end} of {bytes:?}");
            }
        }
    }
}
