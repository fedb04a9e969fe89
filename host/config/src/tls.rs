//! `tls`: certificates and how TLS is spoken, as a server and as a client.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::decode::{Context, Item, Object, Unknown};
use crate::plugin::TlsIdentity;
use crate::{At, Place, Source};

/// How a listener or handler speaks TLS. Complete: what it lacked has been taken from the default certificate.
#[derive(Clone, Debug)]
pub struct ServerTls {
    /// What the server shows.
    pub certificate: Certificate,
    /// Roots, PEM: clients must show a certificate that one of them signed. GOST: ignored beside no `certFile`.
    pub client_ca: Option<At<PathBuf>>,
    /// Versions, ciphers, protocols.
    pub options: TlsOptions,
}

/// A server's certificate.
#[derive(Clone, Debug)]
pub enum Certificate {
    /// From files, readable when the configuration was loaded.
    Files(TlsIdentity),
    /// Made in memory and signed by itself. Equal ones may be made once.
    Generated(GeneratedCertificate),
}

/// What a self-signed certificate says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GeneratedCertificate {
    /// How long it is valid from now on; default 1 year.
    pub validity: Duration,
    /// Default `gost.run`.
    pub common_name: String,
    /// Default `GOST`.
    pub organization: String,
}

/// How a connection to a node, or a node's origin, speaks TLS.
#[derive(Clone, Debug, Default)]
pub struct ClientTls {
    /// The client's own certificate (`certFile`, `keyFile`).
    pub identity: Option<TlsIdentity>,
    /// Roots, PEM (`caFile`): the chain is verified by them whatever `secure` says.
    pub ca_file: Option<At<PathBuf>>,
    /// Verify chain and name, with the system's roots when there is no `ca_file`. Without it the name is never verified.
    pub secure: bool,
    /// The name to ask for and to verify. None for a node without a host.
    pub server_name: Option<String>,
    /// Versions, ciphers, protocols.
    pub options: TlsOptions,
}

/// `tls.options`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// None: 1.2.
    pub min_version: Option<TlsVersion>,
    /// None: 1.3.
    pub max_version: Option<TlsVersion>,
    /// Suites for TLS 1.2; empty: all. Those of TLS 1.3 can't be chosen, as in Go.
    pub cipher_suites: Vec<CipherSuite>,
    /// Offered or accepted application protocols, best first; empty: none.
    pub alpn: Vec<String>,
}

/// Versions that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names say it")]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// Cipher suites of TLS 1.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum CipherSuite {
    EcdheEcdsaAes128GcmSha256,
    EcdheEcdsaAes256GcmSha384,
    EcdheEcdsaChacha20Poly1305,
    EcdheRsaAes128GcmSha256,
    EcdheRsaAes256GcmSha384,
    EcdheRsaChacha20Poly1305,
}

/// None is a version that isn't spoken.
const VERSIONS: [(&str, Option<TlsVersion>); 4] = [
    ("VersionTLS10", None),
    ("VersionTLS11", None),
    ("VersionTLS12", Some(TlsVersion::V1_2)),
    ("VersionTLS13", Some(TlsVersion::V1_3)),
];

/// Go's names; None is a suite of TLS 1.3.
const SUITES: [(&str, Option<CipherSuite>); 11] = [
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Some(CipherSuite::EcdheEcdsaAes128GcmSha256)),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Some(CipherSuite::EcdheEcdsaAes256GcmSha384)),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", Some(CipherSuite::EcdheEcdsaChacha20Poly1305)),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", Some(CipherSuite::EcdheEcdsaChacha20Poly1305)),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Some(CipherSuite::EcdheRsaAes128GcmSha256)),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Some(CipherSuite::EcdheRsaAes256GcmSha384)),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Some(CipherSuite::EcdheRsaChacha20Poly1305)),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", Some(CipherSuite::EcdheRsaChacha20Poly1305)),
    ("TLS_AES_128_GCM_SHA256", None),
    ("TLS_AES_256_GCM_SHA384", None),
    ("TLS_CHACHA20_POLY1305_SHA256", None),
];

const NOT_IMPLEMENTED: [&str; 2] = ["rejectUnknownSNI", "serverNames"];

/// A server's settings as they are written; what is absent comes from the default.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerBlock {
    identity: Option<TlsIdentity>,
    client_ca: Option<At<PathBuf>>,
    options: TlsOptions,
    generated: Option<GeneratedCertificate>,
}

impl ServerBlock {
    /// The settings with what they lack: from `default`, which is the top-level `tls`, if there is one.
    pub(crate) fn complete(self, default: Option<&Self>) -> ServerTls {
        let default = default.cloned().unwrap_or_default();
        let certificate = match self.identity.or(default.identity).or_else(in_working_folder) {
            Some(files) => Certificate::Files(files),
            None => Certificate::Generated(default.generated.unwrap_or_default()),
        };
        let (own, other) = (self.options, default.options);
        let options = TlsOptions {
            min_version: own.min_version.or(other.min_version),
            max_version: own.max_version.or(other.max_version),
            cipher_suites: if own.cipher_suites.is_empty() { other.cipher_suites } else { own.cipher_suites },
            alpn: if own.alpn.is_empty() { other.alpn } else { own.alpn },
        };
        ServerTls { certificate, client_ca: self.client_ca.or(default.client_ca), options }
    }
}

impl Default for GeneratedCertificate {
    fn default() -> Self {
        let validity = Duration::from_secs(365 * 24 * 3600);
        Self { validity, common_name: "gost.run".into(), organization: "GOST".into() }
    }
}

/// GOST's default: `cert.pem` and `key.pem` where it was started.
fn in_working_folder() -> Option<TlsIdentity> {
    let file = |name: &str| {
        let place = Place::whole(&Source::new(name, "", Path::new("")));
        Path::new(name).is_file().then(|| At { value: PathBuf::from(name), place })
    };
    Some(TlsIdentity { cert_file: file("cert.pem")?, key_file: file("key.pem")? })
}

/// Reads `tls` of a listener or handler; with `is_default` the top-level one, which alone says what is generated.
pub(crate) fn server(item: &Item<'_>, is_default: bool, cx: &mut Context) -> Option<ServerBlock> {
    let mut object = Object::new(item, cx)?;
    let (identity, client_ca, options) = files_and_options(&mut object, cx);
    object.without_effect(&["secure", "serverName"], "means nothing for a server", cx);
    let mut generated = None;
    if is_default {
        let default = GeneratedCertificate::default();
        generated = Some(GeneratedCertificate {
            validity: object.duration("validity", cx).unwrap_or(default.validity),
            common_name: object.text("commonName", cx).unwrap_or(default.common_name),
            organization: object.text("organization", cx).unwrap_or(default.organization),
        });
    } else {
        let why = "has no effect here: the certificate is made as the top-level `tls` says";
        object.without_effect(&["validity", "commonName", "organization"], why, cx);
    }
    object.finish(&NOT_IMPLEMENTED, Unknown::Refuse, cx);
    Some(ServerBlock { identity, client_ca, options, generated })
}

/// Reads `tls` of a connector, dialer or node. `host` is what the certificate should be for if nothing else is said.
pub(crate) fn client(item: Option<&Item<'_>>, host: &str, cx: &mut Context) -> Option<ClientTls> {
    let default_name = Some(host.to_owned()).filter(|host| !host.is_empty());
    let Some(item) = item else {
        return Some(ClientTls { server_name: default_name, ..ClientTls::default() });
    };
    let mut object = Object::new(item, cx)?;
    let (identity, ca_file, options) = files_and_options(&mut object, cx);
    let secure = object.flag("secure", cx);
    let server_name = object.text("serverName", cx).or(default_name);
    object.without_effect(&["validity", "commonName", "organization"], "means nothing for a client", cx);
    object.finish(&NOT_IMPLEMENTED, Unknown::Refuse, cx);
    Some(ClientTls { identity, ca_file, secure, server_name, options })
}

fn files_and_options(
    object: &mut Object<'_>,
    cx: &mut Context,
) -> (Option<TlsIdentity>, Option<At<PathBuf>>, TlsOptions) {
    let mut file = |key, cx: &mut Context| {
        let item = object.take(key).filter(|item| !item.node.value.is_zero())?;
        Some(item.file(cx))
    };
    let (cert, key, ca) = (file("certFile", cx), file("keyFile", cx), file("caFile", cx));
    if cert.is_some() != key.is_some() {
        cx.push(object.error("`certFile` and `keyFile` need each other"));
    }
    let identity = cert.flatten().zip(key.flatten()).map(|(cert_file, key_file)| TlsIdentity { cert_file, key_file });
    let mut block = object.section("options", cx);
    let options = TlsOptions {
        min_version: version(&mut block, "minVersion", false, cx),
        max_version: version(&mut block, "maxVersion", true, cx),
        cipher_suites: suites(&mut block, cx),
        alpn: block.take("alpn").map(|item| item.names(cx)).unwrap_or_default().into_iter().map(|n| n.value).collect(),
    };
    if options.min_version.is_some() && options.max_version.is_some() && options.min_version > options.max_version {
        cx.push(block.error("`minVersion` is above `maxVersion`"));
    }
    block.finish(&[], Unknown::Refuse, cx);
    (identity, ca.flatten(), options)
}

fn version(object: &mut Object<'_>, key: &'static str, is_max: bool, cx: &mut Context) -> Option<TlsVersion> {
    let item = object.take(key).filter(|item| !item.node.value.is_zero())?;
    let version = item.choice("version of TLS", &VERSIONS, cx)?;
    match version {
        None if is_max => cx.push(item.error("TLS below 1.2 is not spoken")),
        None => cx.push(item.warning("TLS below 1.2 is not spoken; the least is 1.2")),
        Some(_) => {}
    }
    version
}

fn suites(object: &mut Object<'_>, cx: &mut Context) -> Vec<CipherSuite> {
    let Some(item) = object.take("cipherSuites") else {
        return Vec::new();
    };
    // GOST: an unknown suite is ignored, and so may be the whole list.
    let suites = item.each(cx, |text| match SUITES.iter().find(|(name, _)| *name == text) {
        Some((_, suite)) => Ok(*suite),
        None => Err(format!("cipher suite `{text}` is not spoken")),
    });
    suites.into_iter().filter_map(|suite| suite.value).collect()
}
