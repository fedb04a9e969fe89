//! [`TlsClient`]: TLS towards nodes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio_rustls::TlsConnector;

use super::{Identity, Options, TlsError, certificates, private_key, roots, settings};
use crate::net::{Buffered, Stream};

/// How TLS is spoken with a node (GOST reference, config 6.9).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientSettings {
    /// The certificate to show, if the node asks for one.
    pub identity: Option<Identity>,
    /// Roots, PEM. When set, the node's chain is verified, and its name too if `secure`.
    pub ca_file: Option<PathBuf>,
    /// Verify chain and name; by the system's roots if there is no `ca_file`.
    pub secure: bool,
    /// The name to ask for and to verify.
    pub server_name: Option<String>,
    /// The rest.
    pub options: Options,
}

/// TLS towards a node, ready to connect. Cheap to clone.
#[derive(Clone)]
pub struct TlsClient {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl TlsClient {
    /// Reads the files.
    ///
    /// # Errors
    /// If a file can't be used, or the settings don't fit together.
    pub fn new(of: &ClientSettings) -> Result<Self, TlsError> {
        let provider = of.options.provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&of.options.versions()).map_err(settings)?;
        let roots = match (&of.ca_file, of.secure) {
            (Some(path), _) => Some(roots(path)?),
            (None, true) => Some(system_roots()?),
            (None, false) => None,
        };
        let builder = match roots {
            Some(roots) if of.secure => builder.with_root_certificates(roots),
            roots => {
                let chain = roots.map(|roots| {
                    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()
                });
                let chain = chain.transpose().map_err(|error| TlsError::Settings(error.to_string()))?;
                builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { chain, provider }))
            }
        };
        let mut config = match &of.identity {
            Some(files) => builder
                .with_client_auth_cert(certificates(&files.cert_file)?, private_key(&files.key_file)?)
                .map_err(settings)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = of.options.protocols();
        // Without a name, one that means nothing and isn't sent.
        let name = of.server_name.as_deref().filter(|name| !name.is_empty());
        config.enable_sni = name.is_some();
        let name = name.unwrap_or("localhost");
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| TlsError::Settings(format!("`{name}` can't be a server's name; set `tls.serverName`")))?;
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), name })
    }

    /// Speaks the handshake with a node. The caller bounds its time; dropping the future closes the connection.
    ///
    /// # Errors
    /// When the node doesn't speak TLS, or isn't who it must be.
    pub async fn connect(&self, conn: Buffered) -> io::Result<Stream> {
        let (local, peer) = (conn.stream.local_addr(), conn.stream.peer_addr());
        let stream = self.connector.connect(self.name.clone(), conn.into_stream()).await?;
        Ok(Stream::layered(stream, local, peer))
    }
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(TlsError::Settings("the system has no root certificates; set `tls.caFile`".to_owned()));
    }
    Ok(roots)
}

/// Verifies the chain if there are roots, and never the name. Signatures are always verified, so that a server at least
/// holds the key that it shows.
#[derive(Debug)]
struct AnyName {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
