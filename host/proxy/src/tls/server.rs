//! [`TlsServer`]: TLS towards clients.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use drawspan_modules::ClientCertificate;
use drawspan_tls::{certificates, private_key, roots};
use rustls::ServerConfig;
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

use super::certificate::describe;
use super::{Generated, Identity, Options, TlsError, at_once};
use crate::net::{Ahead, Buffered, Stream};

/// How TLS is spoken with clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerSettings {
    /// What is shown to them.
    pub certificate: Certificate,
    /// Roots, PEM: clients must show a certificate that one of them signed.
    pub client_ca: Option<PathBuf>,
    /// The rest.
    pub options: Options,
}

/// A server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificate {
    /// From files.
    Files(Identity),
    /// Made now.
    Generated(Generated),
}

/// TLS towards clients, ready to accept. Cheap to clone.
#[derive(Clone)]
pub struct TlsServer(TlsAcceptor);

impl TlsServer {
    /// Reads the files, or makes a certificate.
    ///
    /// # Errors
    /// If a file can't be used, or the settings don't fit together.
    pub fn new(of: &ServerSettings) -> Result<Self, TlsError> {
        let (chain, key) = match &of.certificate {
            Certificate::Files(files) => (certificates(&files.cert_file)?, private_key(&files.key_file)?),
            Certificate::Generated(generated) => {
                let (certificate, key) = generated.make()?;
                (vec![certificate], key)
            }
        };
        let provider = of.options.provider();
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&of.options.versions())?;
        let builder = match &of.client_ca {
            Some(path) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider);
                let verifier = verifier.build().map_err(|error| TlsError::Settings(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key)?;
        config.alpn_protocols = of.options.protocols();
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Speaks the handshake with a client: the connection, and the certificate by which the client was verified, if it had
    /// to show one. The caller bounds its time; dropping the future closes the connection.
    ///
    /// # Errors
    /// When the client doesn't speak TLS, or not as it must.
    pub async fn accept(&self, conn: Buffered) -> io::Result<(Stream, Option<ClientCertificate>)> {
        let (local, peer) = (conn.stream.local_addr(), conn.stream.peer_addr());
        let stream = self.0.accept_with(Ahead::new(conn.into_stream()), |tls| at_once(tls)).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let certificate = shown.map(|certificate| describe(certificate));
        Ok((Stream::layered(stream, local, peer), certificate))
    }
}
