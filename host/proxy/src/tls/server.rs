//! [`TlsServer`]: TLS towards clients.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use drawspan_modules::ClientCertificate;
use drawspan_tls::{certificates, private_key, roots};
use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection, WebPkiClientVerifier};
use rustls::unbuffered::UnbufferedConnectionCommon;

use super::certificate::describe;
use super::handshake::shake;
use super::keys::{Session, invalid};
use super::stream::TlsStream;
use super::{Generated, Identity, Options, TlsError};
use crate::net::{Buffered, Stream};

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
pub struct TlsServer(pub(super) Arc<ServerConfig>);

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
        // `TlsStream` needs the keys.
        config.enable_secret_extraction = true;
        Ok(Self(Arc::new(config)))
    }

    /// Speaks the handshake with a client: the connection, and the certificate by which the client was verified, if it had
    /// to show one. The caller bounds its time; dropping the future closes the connection.
    ///
    /// # Errors
    /// When the client doesn't speak TLS, or not as it must.
    pub async fn accept(&self, mut conn: Buffered) -> io::Result<(Stream, Option<ClientCertificate>)> {
        let (local, peer) = (conn.stream.local_addr(), conn.stream.peer_addr());
        let mut tls = UnbufferedServerConnection::new(Arc::clone(&self.0)).map_err(invalid)?;
        let step = UnbufferedConnectionCommon::<ServerConnectionData>::process_tls_records;
        let early = shake(&mut *tls, step, &mut conn).await?;
        let shown = tls.peer_certificates().and_then(<[_]>::first);
        let certificate = shown.map(|certificate| describe(certificate));
        let (secrets, session) = tls.dangerous_into_kernel_connection().map_err(invalid)?;
        let stream = TlsStream::new(conn, Session::Server(session), secrets, early).map_err(invalid)?;
        Ok((Stream::layered(stream, local, peer), certificate))
    }
}
