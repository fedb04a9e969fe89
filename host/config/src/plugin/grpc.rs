//! Addresses of gRPC plugins, as Go's gRPC library writes them.

use std::path::PathBuf;

use crate::address::host_port;
use crate::decode::{Context, Item};

/// Where a gRPC server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GrpcTarget {
    /// A TCP endpoint.
    Tcp {
        /// Host name or IP, without brackets.
        host: String,
        /// Default 443.
        port: u16,
    },
    /// A unix socket.
    Unix(PathBuf),
}

const DEFAULT_PORT: u16 = 443;

pub(super) fn target(item: &Item<'_>, cx: &mut Context) -> Option<GrpcTarget> {
    let text = item.text(cx)?;
    match parse(&text) {
        Ok(target) => Some(target),
        Err(message) => {
            let error = item.error(message);
            cx.push(match text.starts_with("http") {
                true => error.with_help("write `type: http` for an HTTP plugin"),
                false => error.with_help("write `host:port` or `unix:///path`"),
            });
            None
        }
    }
}

fn parse(text: &str) -> Result<GrpcTarget, &'static str> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = path.strip_prefix("//").unwrap_or(path);
        return match path {
            "" => Err("the path of the unix socket is missing"),
            path => Ok(GrpcTarget::Unix(path.into())),
        };
    }
    let (endpoint, default_port) = match text.split_once("://") {
        None => (text, Some(DEFAULT_PORT)),
        Some(("dns", rest)) => match rest.strip_prefix('/') {
            Some(endpoint) => (endpoint, Some(DEFAULT_PORT)),
            None => {
                return Err("a name server of its own (`dns://server/host`) is not implemented");
            }
        },
        Some(("passthrough", rest)) => (rest.strip_prefix('/').ok_or("not a gRPC address")?, None),
        Some(_) => return Err("not a gRPC address"),
    };
    let (host, port) = host_port(endpoint).ok_or("not a gRPC address")?;
    let port =
        port.filter(|port| *port != 0).or(default_port.filter(|_| port.is_none())).ok_or("the port is missing")?;
    let host = if host.is_empty() { "localhost".into() } else { host };
    Ok(GrpcTarget::Tcp { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_a_target() {
        let tcp = |host: &str, port| Ok(GrpcTarget::Tcp { host: host.into(), port });
        let unix = |path: &str| Ok(GrpcTarget::Unix(path.into()));
        for (text, expected) in [
            ("127.0.0.1:8000", tcp("127.0.0.1", 8000)),
            ("plugin.example.com", tcp("plugin.example.com", 443)),
            (":8000", tcp("localhost", 8000)),
            ("[::1]:8000", tcp("::1", 8000)),
            ("::1", tcp("::1", 443)),
            ("dns:///plugin:8000", tcp("plugin", 8000)),
            ("dns:///plugin", tcp("plugin", 443)),
            ("passthrough:///plugin:8000", tcp("plugin", 8000)),
            ("unix:/run/p.sock", unix("/run/p.sock")),
            ("unix:///run/p.sock", unix("/run/p.sock")),
            ("unix:p.sock", unix("p.sock")),
            ("passthrough:///plugin", Err("the port is missing")),
            ("unix:", Err("the path of the unix socket is missing")),
            ("dns://8.8.8.8/plugin", Err("a name server of its own (`dns://server/host`) is not implemented")),
            ("http://127.0.0.1:8000", Err("not a gRPC address")),
            ("127.0.0.1:99999", Err("not a gRPC address")),
            ("127.0.0.1:", Err("not a gRPC address")),
            ("host:0", Err("the port is missing")),
            ("a b:1", Err("not a gRPC address")),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }
}
