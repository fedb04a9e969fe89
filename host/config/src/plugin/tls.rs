//! `plugin.tls`: how a connection to a plugin is secured.

use std::path::PathBuf;

use crate::At;
use crate::decode::{Context, Item, Object, Unknown};

/// Client-side TLS settings. The files were readable when the configuration was loaded.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// The client's own certificate (`certFile`, `keyFile`).
    pub identity: Option<TlsIdentity>,
    /// Roots to verify the server with (`caFile`), PEM; with them chain and name are verified whatever `secure` says.
    pub ca_file: Option<At<PathBuf>>,
    /// Verify with the system's roots when there is no `ca_file`.
    pub secure: bool,
    /// The name to ask for and to verify, instead of the address's host.
    pub server_name: Option<String>,
}

/// A certificate with its key, both PEM.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsIdentity {
    /// The certificate chain.
    pub cert_file: At<PathBuf>,
    /// The private key.
    pub key_file: At<PathBuf>,
}

const NOT_IMPLEMENTED: [&str; 6] =
    ["options", "validity", "commonName", "organization", "rejectUnknownSNI", "serverNames"];

pub(super) fn decode(item: &Item<'_>, cx: &mut Context) -> Option<Tls> {
    let mut object = Object::new(item, cx)?;
    let cert = object.take("certFile").filter(|item| !item.node.value.is_zero());
    let key = object.take("keyFile").filter(|item| !item.node.value.is_zero());
    if cert.is_some() != key.is_some() {
        cx.push(object.error("`certFile` and `keyFile` need each other"));
    }
    let cert_file = cert.and_then(|item| file(&item, cx));
    let key_file = key.and_then(|item| file(&item, cx));
    let ca = object.take("caFile").filter(|item| !item.node.value.is_zero());
    let ca_file = ca.and_then(|item| file(&item, cx));
    let secure = object.take("secure").and_then(|item| item.boolean(cx));
    let server_name = object.take("serverName").and_then(|item| item.name(cx));
    object.finish(&NOT_IMPLEMENTED, Unknown::Refuse, cx);
    let identity = cert_file.zip(key_file).map(|(cert_file, key_file)| TlsIdentity { cert_file, key_file });
    Some(Tls { identity, ca_file, secure: secure.unwrap_or(false), server_name: server_name.map(|name| name.value) })
}

fn file(item: &Item<'_>, cx: &mut Context) -> Option<At<PathBuf>> {
    let path = item.in_folder(&item.text(cx)?);
    item.readable(path, cx)
}
