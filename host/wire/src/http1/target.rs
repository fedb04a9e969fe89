//! [`RequestTarget`]: where a request to a proxy wants to go (RFC 9112 §3.2).

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use super::RequestHead;
use crate::gost_target;

/// The port of an address that names none; for CONNECT too (GOST reference, dataplane 7).
const DEFAULT_PORT: u16 = 80;

/// Headers with a hidden host (GOST reference, dataplane 7); no origin's business.
pub const GOST_TARGETS: [&str; 2] = ["x-gost-target", "gost-target"];

/// A host and a port to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// A name or an IP address, an IPv6 address without brackets. Never empty, ASCII, at most 255 bytes.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl HostPort {
    /// Of a bare `host`, an IPv6 address without brackets.
    ///
    /// # Errors
    /// If it is neither an IP address nor a name.
    pub fn new(host: &str, port: u16) -> Result<Self, TargetError> {
        if host.parse::<Ipv6Addr>().is_err() && split_port(host)?.0.len() != host.len() {
            return Err(TargetError::Authority);
        }
        Ok(Self { host: host.to_owned(), port })
    }

    /// Reads `host`, `host:port`, `[ipv6]` or `[ipv6]:port`; without a port it is `default_port`.
    ///
    /// # Errors
    /// If `text` is something else; user information in front of the host counts as that.
    pub fn parse(text: &str, default_port: u16) -> Result<Self, TargetError> {
        let (host, port) = split_port(text)?;
        let port = match port {
            None | Some("") => default_port,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| TargetError::Authority)?
            }
            Some(_) => return Err(TargetError::Authority),
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

/// As it is dialed: an IPv6 address in brackets, always with the port.
impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The host of an authority, checked, and what follows its colon.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), TargetError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or(TargetError::Authority)?;
        host.parse::<Ipv6Addr>().map_err(|_| TargetError::Authority)?;
        return match port.strip_prefix(':') {
            None if port.is_empty() => Ok((host, None)),
            None => Err(TargetError::Authority),
            digits => Ok((host, digits)),
        };
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    // reg-name of RFC 3986 §3.2.2.
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&byte);
    if host.is_empty() || host.len() > 255 || !host.bytes().all(valid) {
        return Err(TargetError::Authority);
    }
    Ok((host, port))
}

/// Why a request can't be proxied.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The host or the port is malformed, or there is no host.
    #[error("invalid host or port")]
    Authority,
    /// An absolute URI that isn't `http:`; `https:` wants a CONNECT.
    #[error("not an http URI")]
    Scheme,
    /// A path only, and the `Host` header isn't a plain DNS name: a request meant for the proxy itself.
    #[error("request names no target")]
    NoTarget,
}

/// Where a request wants to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestTarget<'b> {
    /// CONNECT: a tunnel.
    Tunnel(HostPort),
    /// Any other method: the request is passed on.
    Forward {
        /// Where to connect.
        address: HostPort,
        /// The host as the client wrote it, for the `Host` header.
        authority: Cow<'b, str>,
        /// The target in origin form (or `*`), for the request line.
        path: Cow<'b, str>,
    },
}

impl<'b> RequestTarget<'b> {
    /// Reads the target of `head`.
    ///
    /// A path alone is taken with the `Host` header, if that is a DNS name without a port: so a client that doesn't know
    /// of the proxy can be redirected to it (GOST reference, dataplane 7). A name that the sni connector has hidden takes the
    /// place of the one that is seen.
    ///
    /// # Errors
    /// If it names nothing that can be connected to.
    pub fn of(head: &RequestHead<'b>) -> Result<Self, TargetError> {
        let hidden = hidden_host(head);
        if head.method == "CONNECT" {
            return HostPort::parse(hidden.as_deref().unwrap_or(head.target), DEFAULT_PORT).map(Self::Tunnel);
        }
        if head.target.starts_with('/') || (head.target == "*" && head.method == "OPTIONS") {
            let host = head.headers.get("host").and_then(|value| std::str::from_utf8(value).ok());
            let seen = host.filter(|host| is_dns_name(host)).ok_or(TargetError::NoTarget)?;
            let authority = hidden.map_or(Cow::Borrowed(seen), Cow::Owned);
            let address = HostPort::parse(&authority, DEFAULT_PORT)?;
            return Ok(Self::Forward { address, authority, path: Cow::Borrowed(head.target) });
        }
        let (scheme, seen, path) = split_absolute(head.target).ok_or(TargetError::NoTarget)?;
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(TargetError::Scheme);
        }
        let authority = hidden.map_or(Cow::Borrowed(seen), Cow::Owned);
        let address = HostPort::parse(&authority, DEFAULT_PORT)?;
        let path = match path {
            // RFC 9112 §3.2.4
            "" if head.method == "OPTIONS" => Cow::Borrowed("*"),
            path if path.starts_with('/') => Cow::Borrowed(path),
            path => Cow::Owned(format!("/{path}")),
        };
        Ok(Self::Forward { address, authority, path })
    }

    /// Where to connect.
    #[must_use]
    pub fn address(&self) -> &HostPort {
        match self {
            Self::Tunnel(address) | Self::Forward { address, .. } => address,
        }
    }
}

/// The name in a `Gost-Target` header, if that is one; the one with `X-` counts before the other.
fn hidden_host(head: &RequestHead<'_>) -> Option<String> {
    let read = |name| String::from_utf8(gost_target::decode(head.headers.get(name)?)?).ok();
    GOST_TARGETS.into_iter().find_map(read)
}

/// Scheme, authority and the rest of an absolute URI.
fn split_absolute(target: &str) -> Option<(&str, &str, &str)> {
    if target.starts_with('/') {
        return None;
    }
    let (scheme, rest) = target.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    Some((scheme, &rest[..end], &rest[end..]))
}

/// The host that a request to an origin names, with `default_port` unless it names one; `None` if it names none. The
/// request target counts before the `Host` header (RFC 9112 §3.2.2), and a CONNECT's too.
///
/// # Errors
/// If it isn't one.
pub fn named_host(head: &RequestHead<'_>, default_port: u16) -> Result<Option<HostPort>, TargetError> {
    let authority = match split_absolute(head.target) {
        _ if head.method == "CONNECT" => head.target,
        Some((_, authority, _)) => authority,
        None => match head.headers.get("host").unwrap_or_default() {
            b"" => return Ok(None),
            host => std::str::from_utf8(host).map_err(|_| TargetError::Authority)?,
        },
    };
    HostPort::parse(authority, default_port).map(Some)
}

/// The request target as an origin gets it (RFC 9112 §3.2.1): path and query, or `*`.
#[must_use]
pub fn origin_form<'b>(head: &RequestHead<'b>) -> Cow<'b, str> {
    match split_absolute(head.target).filter(|_| head.method != "CONNECT") {
        None => Cow::Borrowed(head.target),
        Some((_, _, path)) if path.starts_with('/') => Cow::Borrowed(path),
        Some((_, _, path)) => Cow::Owned(format!("/{path}")),
    }
}

/// The host in the request target itself, whatever its scheme; not the `Host` header.
#[must_use]
pub fn url_host<'b>(head: &RequestHead<'b>) -> Option<&'b str> {
    let authority =
        if head.method == "CONNECT" { head.target } else { split_absolute(head.target).map(|(_, host, _)| host)? };
    split_port(authority).ok().map(|(host, _)| host)
}

/// Whether `text` is a DNS name and not an IP address: labels of at most 63 letters, digits, hyphens (not first) and
/// underscores, one dot at the end allowed.
#[must_use]
pub fn is_dns_name(text: &str) -> bool {
    let name = text.strip_suffix('.').unwrap_or(text);
    let valid = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    name.len() <= 255 && name.split('.').all(valid) && name.parse::<std::net::Ipv4Addr>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_port(host: &str, port: u16) -> HostPort {
        HostPort { host: host.to_owned(), port }
    }

    #[test]
    fn an_origins_name_is_found_where_it_counts() {
        for (line, header, named, origin) in [
            ("GET /a?b=http://c/", "Host: x.test:81", Ok(Some(("x.test", 81))), "/a?b=http://c/"),
            ("GET /", "Host: [::1]", Ok(Some(("::1", 80))), "/"),
            ("GET /", "Host:", Ok(None), "/"),
            ("GET /", "A: b", Ok(None), "/"),
            ("GET http://y.test/p", "Host: x.test", Ok(Some(("y.test", 80))), "/p"),
            ("GET http://y.test?q", "Host: x.test", Ok(Some(("y.test", 80))), "/?q"),
            ("CONNECT z.test:443", "Host: x.test", Ok(Some(("z.test", 443))), "z.test:443"),
            ("GET /", "Host: a b", Err(TargetError::Authority), "/"),
            ("GET /", "Host: u@a", Err(TargetError::Authority), "/"),
        ] {
            let bytes = format!("{line} HTTP/1.1\r\n{header}\r\n\r\n");
            let head = RequestHead::parse(bytes.as_bytes()).unwrap();
            let host = |(host, port): (&str, _)| HostPort { host: host.to_owned(), port };
            assert_eq!(named_host(&head, 80), named.map(|named| named.map(host)), "{bytes}");
            assert_eq!(origin_form(&head), origin);
        }
    }

    #[test]
    fn authorities() {
        for (text, expected) in [
            ("example.com:443", Ok(host_port("example.com", 443))),
            ("example.com", Ok(host_port("example.com", 80))),
            ("example.com:", Ok(host_port("example.com", 80))),
            ("127.0.0.1:1", Ok(host_port("127.0.0.1", 1))),
            ("[::1]:443", Ok(host_port("::1", 443))),
            ("[2001:db8::1]", Ok(host_port("2001:db8::1", 80))),
            ("[::1", Err(TargetError::Authority)),
            ("[::1]x:1", Err(TargetError::Authority)),
            ("[example.com]:1", Err(TargetError::Authority)),
            ("::1:443", Err(TargetError::Authority)),
            (":443", Err(TargetError::Authority)),
            ("", Err(TargetError::Authority)),
            ("a:65536", Err(TargetError::Authority)),
            ("a:+1", Err(TargetError::Authority)),
            ("a:1:2", Err(TargetError::Authority)),
            ("user@a:1", Err(TargetError::Authority)),
            ("a/b:1", Err(TargetError::Authority)),
            ("b\u{fc}cher.example:1", Err(TargetError::Authority)),
        ] {
            assert_eq!(HostPort::parse(text, 80), expected, "{text}");
        }
        assert!(HostPort::parse(&"a".repeat(256), 80).is_err());
        assert_eq!(host_port("::1", 2).to_string(), "[::1]:2");
        assert_eq!(host_port("a", 2).to_string(), "a:2");
    }

    #[test]
    fn targets_of_requests() {
        let forward = |host: &str, port, authority: &'static str, path: &'static str| {
            let (authority, path) = (Cow::Borrowed(authority), Cow::Borrowed(path));
            Ok(RequestTarget::Forward { address: host_port(host, port), authority, path })
        };
        for (start, host, expected) in [
            ("CONNECT a:443", "ignored", Ok(RequestTarget::Tunnel(host_port("a", 443)))),
            ("CONNECT [::1]:443", "", Ok(RequestTarget::Tunnel(host_port("::1", 443)))),
            ("CONNECT /a", "a", Err(TargetError::Authority)),
            ("CONNECT http://a/", "a", Err(TargetError::Authority)),
            ("GET http://a/x?y", "b", forward("a", 80, "a", "/x?y")),
            ("GET HTTP://a:8080", "", forward("a", 8080, "a:8080", "/")),
            ("GET http://a?y", "", forward("a", 80, "a", "/?y")),
            ("GET http://[::1]:81/", "", forward("::1", 81, "[::1]:81", "/")),
            ("OPTIONS http://a", "", forward("a", 80, "a", "*")),
            ("OPTIONS *", "a", forward("a", 80, "a", "*")),
            ("GET *", "a", Err(TargetError::NoTarget)),
            ("GET /x", "example.com", forward("example.com", 80, "example.com", "/x")),
            ("GET /x", "example.com:80", Err(TargetError::NoTarget)),
            ("GET /x", "127.0.0.1", Err(TargetError::NoTarget)),
            ("GET /x", "", Err(TargetError::NoTarget)),
            ("GET https://a/", "a", Err(TargetError::Scheme)),
            ("GET ftp://a/", "a", Err(TargetError::Scheme)),
            ("GET http:///x", "a", Err(TargetError::Authority)),
            ("GET http://u:p@a/x", "a", Err(TargetError::Authority)),
            ("GET a", "a", Err(TargetError::NoTarget)),
        ] {
            let bytes = format!("{start} HTTP/1.1\r\nHost: {host}\r\n\r\n");
            let head = RequestHead::parse(bytes.as_bytes()).unwrap();
            assert_eq!(RequestTarget::of(&head), expected, "{start} {host}");
        }
    }

    #[test]
    fn a_hidden_host_takes_the_place_of_the_one_that_is_seen() {
        let hidden = |name: &str| gost_target::encode(name.as_bytes());
        for (start, headers, expected) in [
            ("CONNECT cdn.test:443", format!("Gost-Target: {}", hidden("a.test:1")), Ok(("a.test", 1))),
            ("GET /", format!("Gost-Target: {}", hidden("127.0.0.1:1")), Ok(("127.0.0.1", 1))),
            ("GET http://cdn.test/", format!("X-Gost-Target: {}", hidden("a.test")), Ok(("a.test", 80))),
            ("GET /", format!("Gost-Target: {}\r\nX-Gost-Target: {}", hidden("a"), hidden("b")), Ok(("b", 80))),
            ("CONNECT cdn.test:443", "Gost-Target: nonsense".to_owned(), Ok(("cdn.test", 443))),
            ("CONNECT cdn.test:443", format!("Gost-Target: {}", hidden("a b")), Err(TargetError::Authority)),
        ] {
            let bytes = format!("{start} HTTP/1.1\r\nHost: cdn.test\r\n{headers}\r\n\r\n");
            let head = RequestHead::parse(bytes.as_bytes()).unwrap();
            let target = RequestTarget::of(&head).map(|target| target.address().clone());
            assert_eq!(target, expected.map(|(host, port)| host_port(host, port)), "{bytes}");
        }
    }

    #[test]
    fn hosts_of_urls() {
        for (start, expected) in [
            ("CONNECT a:443", Some("a")),
            ("GET https://knock.example:1/x", Some("knock.example")),
            ("GET http://[::1]/", Some("::1")),
            ("GET /x", None),
        ] {
            let bytes = format!("{start} HTTP/1.1\r\nHost: h\r\n\r\n");
            assert_eq!(url_host(&RequestHead::parse(bytes.as_bytes()).unwrap()), expected, "{start}");
        }
    }

    #[test]
    fn dns_names() {
        for name in ["a", "example.com", "example.com.", "_srv.x-y.1a", "1.2.3.4.5", "localhost"] {
            assert!(is_dns_name(name), "{name}");
        }
        let long = "a".repeat(64);
        for name in ["", ".", "a..b", "-a", "a:80", "1.2.3.4", "::1", "a b", "b\u{fc}cher", long.as_str()] {
            assert!(!is_dns_name(name), "{name}");
        }
    }
}
