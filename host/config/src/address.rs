//! Network addresses as they are written in a configuration.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;

use url::Url;

/// Where a service listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddr {
    /// On the network.
    Inet {
        /// Host name or IP without brackets; empty for every address of both families.
        host: String,
        /// 0 lets the system choose.
        port: u16,
    },
    /// At a unix socket.
    Unix(PathBuf),
}

impl ListenAddr {
    /// Parses `:8080`, `127.0.0.1:8080`, `[::1]:8080` or `host:8080`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = host_port(text)?;
        Some(Self::Inet { host, port: port? })
    }

    /// Whether the system is asked for a free port.
    pub fn is_ephemeral(&self) -> bool {
        matches!(self, Self::Inet { port: 0, .. })
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Inet { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A full `http` or `https` URL with a host. `Debug` and `Display` don't show its user info and query.
#[derive(Clone, PartialEq, Eq)]
pub struct HttpUrl(Url);

impl HttpUrl {
    /// Parses a URL with its scheme.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        matches!(url.scheme(), "http" | "https").then_some(Self(url))
    }

    /// The same, where GOST takes a URL without a scheme for `http`.
    pub(crate) fn parse_bare(text: &str) -> Option<Self> {
        if text.contains("://") { Self::parse(text) } else { Self::parse(&format!("http://{text}")) }
    }

    /// The URL with everything in it. Don't log it.
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// The host, without brackets.
    pub(crate) fn host(&self) -> String {
        self.0.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned()
    }

    /// The port, the scheme's own if there is none.
    pub(crate) fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or_default()
    }

    /// Whether the scheme is `https`.
    pub fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        if let Some(port) = self.0.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(self.0.path())
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Splits `host[:port]`; the brackets of an IPv6 address are removed, and are optional when no port follows.
pub(crate) fn host_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']')?;
        host.parse::<Ipv6Addr>().ok()?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return None,
        }
    } else if text.parse::<Ipv6Addr>().is_ok() {
        (text, None)
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None if text.is_empty() => return None,
            None => (text, None),
        }
    };
    let is_host = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    let is_port = |port: &&str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    let port = match port {
        Some(port) => Some(Some(port).filter(is_port)?.parse().ok()?),
        None => None,
    };
    host.chars().all(is_host).then(|| (host.to_owned(), port))
}
