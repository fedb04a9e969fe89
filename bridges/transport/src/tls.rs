//! [`TlsSettings`]: how a plugin server is verified, and how we prove who we are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

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

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read as PEM.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate and the key don't fit, or the server name is none.
    #[error("{0}")]
    Config(String),
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
        let config = |error: rustls::Error| TlsError::Config(error.to_string());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(config)?;
        let builder = match self.roots()? {
            Some(roots) => builder.with_root_certificates(roots),
            None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unverified(provider))),
        };
        let mut client = match (&self.cert_file, &self.key_file) {
            (Some(cert), Some(key)) => {
                builder.with_client_auth_cert(certificates(cert)?, private_key(key)?).map_err(config)?
            }
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(TlsError::Config("certFile and keyFile are only of use together".into())),
        };
        client.alpn_protocols = vec![alpn.to_vec()];
        let name = self.server_name.as_deref().unwrap_or(host);
        let server_name = ServerName::try_from(name.to_owned())
            .map_err(|_| TlsError::Config(format!("`{name}` is not a TLS server name; set tls.serverName")))?;
        Ok(Tls { config: Arc::new(client), server_name, must_select: must_select.then_some(alpn) })
    }

    /// The roots to verify against, or `None` for no verification.
    fn roots(&self) -> Result<Option<RootCertStore>, TlsError> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.ca_file {
            for certificate in certificates(path)? {
                let file = |error: rustls::Error| TlsError::File { path: path.clone(), reason: error.to_string() };
                roots.add(certificate).map_err(file)?;
            }
        } else if self.secure {
            return native_roots().map(Some);
        } else {
            return Ok(None);
        }
        Ok(Some(roots))
    }
}

/// The system's root certificates; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others. Reads files.
///
/// # Errors
/// When there is none.
pub fn native_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(TlsError::Config("the system has no root certificates; set tls.caFile or SSL_CERT_FILE".into()));
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |reason: String| TlsError::File { path: path.into(), reason };
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| file(error.to_string()))?;
    if found.is_empty() { Err(file("no certificate in it".into())) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| TlsError::File { path: path.into(), reason: error.to_string() })
}

/// Accepts any certificate, as `tls: {}` means in GOST. Signatures are still checked, so that a server at least holds
/// the key that it shows.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
