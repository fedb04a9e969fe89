//! [`Settings`] of the HTTP handler: what its `metadata` says, decoded.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use drawspan_wire::http1::{Headers, HostPort, RequestHead, RequestTarget, TargetError, Version};

/// What can be set (GOST reference, config 7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `header`: added to refusals; not to the answer to CONNECT, nor to responses of origins.
    pub headers: Vec<(String, String)>,
    /// `probeResist`: what who fails to authenticate gets to see.
    pub probe_resist: Option<ProbeResist>,
    /// `knock`: hosts that turn `probe_resist` off when asked for, without regard to case.
    pub knock: Vec<String>,
    /// `authBasicRealm`.
    pub realm: String,
    /// `proxyAgent`.
    pub agent: String,
    /// `udp`: clients may relay UDP, in frames behind a CONNECT.
    pub udp: bool,
    /// `keepalive`: a connection to an origin is kept for the client's next request to it.
    pub keepalive: bool,
    /// `compression`: origins may compress what a client gets plain.
    pub compression: bool,
    /// `readTimeout`: within it the client's request head has to arrive, the origin's response head once the request
    /// was sent, and the client has to take an answer of the proxy's own. GOST: waits for a client's head for ever.
    pub read_timeout: Duration,
    /// `idleTimeout`: ends tunnels and exchanges in which no byte moves for so long, and connections that wait for
    /// another request. `None`: tunnels may be silent for ever, and `read_timeout` counts between requests.
    pub idle_timeout: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            headers: Vec::new(),
            probe_resist: None,
            knock: Vec::new(),
            realm: "gost".to_owned(),
            agent: "gost/3.0".to_owned(),
            udp: false,
            keepalive: false,
            compression: false,
            read_timeout: Duration::from_secs(15),
            idle_timeout: None,
        }
    }
}

/// What a client gets instead of a 407, so that the proxy looks like something else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeResist {
    /// `code:404`: that status.
    Code(u16),
    /// `web:http://example.com/`: that page, fetched each time.
    Web(WebPage),
    /// `host:example.com:80`: a connection to that server, the request included.
    Host(HostPort),
    /// `file:/path`: that file as HTML.
    File(PathBuf),
}

/// A page on a web server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebPage {
    /// By https; the certificate is verified by the system's roots.
    pub tls: bool,
    /// Where it is.
    pub address: HostPort,
    /// The `Host` header's value.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

/// Why a `probeResist` can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeResistError {
    /// Not `code:`, `web:`, `host:` or `file:`.
    #[error("unknown kind of probe resistance {0:?}, want code:N, web:URL, host:ADDRESS or file:PATH")]
    Kind(String),
    /// Not a status that ends an exchange.
    #[error("invalid status code {0:?}, want 200 to 999")]
    Code(String),
    /// Not an `http:` or `https:` URL.
    #[error("invalid URL {url:?}: {error}")]
    Web {
        /// As configured.
        url: String,
        /// Why.
        #[source]
        error: TargetError,
    },
    /// Not an address.
    #[error("invalid address {address:?}: {error}")]
    Host {
        /// As configured.
        address: String,
        /// Why.
        #[source]
        error: TargetError,
    },
}

impl FromStr for ProbeResist {
    type Err = ProbeResistError;

    /// Reads the value of `probeResist`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || ProbeResistError::Kind(text.to_owned());
        let (kind, value) = text.split_once(':').ok_or_else(unknown)?;
        match kind {
            "code" => match value.parse() {
                Ok(code @ 200..=999) => Ok(Self::Code(code)),
                _ => Err(ProbeResistError::Code(value.to_owned())),
            },
            "web" => match value.parse() {
                Ok(page) => Ok(Self::Web(page)),
                Err(error) => Err(ProbeResistError::Web { url: value.to_owned(), error }),
            },
            "host" => match HostPort::parse(value, 80) {
                Ok(address) => Ok(Self::Host(address)),
                Err(error) => Err(ProbeResistError::Host { address: value.to_owned(), error }),
            },
            "file" => Ok(Self::File(value.into())),
            _ => Err(unknown()),
        }
    }
}

impl FromStr for WebPage {
    type Err = TargetError;

    /// Reads a URL; without a scheme it is `http:`.
    fn from_str(url: &str) -> Result<Self, Self::Err> {
        let https = url.strip_prefix("https://");
        let url = match https {
            Some(rest) => format!("http://{rest}"),
            None if url.contains("://") => url.to_owned(),
            None => format!("http://{url}"),
        };
        // What may not stand in a request line must not get into one.
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TargetError::NoTarget);
        }
        let head = RequestHead { method: "GET", target: &url, version: Version::Http11, headers: Headers::default() };
        match RequestTarget::of(&head)? {
            RequestTarget::Forward { address, authority, path } => Ok(Self {
                tls: https.is_some(),
                address: if https.is_some() { HostPort::parse(&authority, 443)? } else { address },
                authority: authority.into_owned(),
                path: path.into_owned(),
            }),
            RequestTarget::Tunnel(_) => Err(TargetError::NoTarget),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probe_resistance_is_read() {
        let address = |host: &str, port| HostPort { host: host.to_owned(), port };
        let page = |host, port, authority: &str, path: &str| {
            ProbeResist::Web(WebPage {
                tls: port == 443,
                address: address(host, port),
                authority: authority.to_owned(),
                path: path.to_owned(),
            })
        };
        for (text, expected) in [
            ("code:404", ProbeResist::Code(404)),
            ("web:http://a:81/x?y", page("a", 81, "a:81", "/x?y")),
            ("web:example.com", page("example.com", 80, "example.com", "/")),
            ("web:https://example.com/z", page("example.com", 443, "example.com", "/z")),
            ("web:example.com:8080/z", page("example.com", 8080, "example.com:8080", "/z")),
            ("host:[::1]:22", ProbeResist::Host(address("::1", 22))),
            ("file:/srv/a:b.html", ProbeResist::File("/srv/a:b.html".into())),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", "404", "code:", "code:100", "code:1000", "web:ftp://a/", "web:a b", "host::1", "page:x"] {
            assert!(text.parse::<ProbeResist>().is_err(), "{text}");
        }
    }
}
