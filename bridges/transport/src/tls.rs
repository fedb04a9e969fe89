//! [`TlsSettings`]: how a plugin server is verified, and how we prove who we are.

use std::path::PathBuf;
use std::sync::Arc;

use drawspan_tls::{AnyName, TlsError, certificates, native_roots, private_key, roots};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};

/// The `tls` object of a `plugin:` block (GOST reference, modules 1.1).
///
/// GOST: its `caFile`, `certFile` and `keyFile` are ignored for plugins; here they count.
#[derive(Clone, Debug, Default)]
pub struct TlsSettings {
    /// PEM certificates that the server's chain must end in. When set, chain and name are verified whatever `secure` says.
    pub ca_file: Option<PathBuf>,
    /// PEM certificate chain to present, with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// PEM private key of `cert_file`.
    pub key_file: Option<PathBuf>,
    /// Verify against the system's roots. False, without `ca_file`: the server's certificate isn't verified at all.
    pub secure: bool,
    /// The name to verify and to send as SNI, in place of the target's host.
    pub server_name: Option<String>,
}

/// TLS, ready to connect with.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) server_name: ServerName<'static>,
    /// The protocol that the server must select (ALPN, RFC 7301).
    pub(crate) must_select: Option<&'static [u8]>,
}

impl TlsSettings {
    pub(crate) fn build(&self, host: &str, alpn: &'static [u8], must_select: bool) -> Result<Tls, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let builder = match self.roots()? {
            Some(roots) => builder.with_root_certificates(roots),
            // Any certificate does, as `tls: {}` means in GOST.
            None => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName::new(None, provider)?)),
        };
        let mut client = match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => builder.with_client_auth_cert(certificates(cert)?, private_key(key)?)?,
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(TlsError::Settings("certFile and keyFile are only of use together".into())),
        };
        client.alpn_protocols = vec![alpn.to_vec()];
        let name = self.server_name.as_deref().unwrap_or(host);
        let server_name = ServerName::try_from(name.to_owned())
            .map_err(|_| TlsError::Settings(format!("`{name}` is not a TLS server name; set tls.serverName")))?;
        Ok(Tls { config: Arc::new(client), server_name, must_select: must_select.then_some(alpn) })
    }

    /// The roots to verify against, or `None` for no verification.
    fn roots(&self) -> Result<Option<Arc<RootCertStore>>, TlsError> {
        match (&self.ca_file, self.secure) {
            (Some(path), _) => Ok(Some(Arc::new(roots(path)?))),
            (None, true) => native_roots().map(Some),
            (None, false) => Ok(None),
        }
    }
}
