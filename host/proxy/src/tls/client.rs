//! [`TlsClient`]: TLS towards nodes.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use drawspan_tls::{AnyName, certificates, native_roots, private_key, roots};
use rustls::ClientConfig;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::unbuffered::UnbufferedConnectionCommon;

use super::handshake::shake;
use super::keys::{Session, invalid};
use super::stream::TlsStream;
use super::{Identity, Options, TlsError};
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
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

impl TlsClient {
    /// Reads the files.
    ///
    /// # Errors
    /// If a file can't be used, or the settings don't fit together.
    pub fn new(of: &ClientSettings) -> Result<Self, TlsError> {
        let provider = of.options.provider();
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
        let builder = builder.with_protocol_versions(&of.options.versions())?;
        let roots = match (&of.ca_file, of.secure) {
            (Some(path), _) => Some(Arc::new(roots(path)?)),
            (None, true) => Some(native_roots()?),
            (None, false) => None,
        };
        let builder = match roots {
            Some(roots) if of.secure => builder.with_root_certificates(roots),
            roots => builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName::new(roots, provider)?)),
        };
        let mut config = match &of.identity {
            Some(files) => {
                builder.with_client_auth_cert(certificates(&files.cert_file)?, private_key(&files.key_file)?)?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = of.options.protocols();
        // `TlsStream` needs the keys.
        config.enable_secret_extraction = true;
        // Without a name, one that means nothing and isn't sent.
        let name = of.server_name.as_deref().filter(|name| !name.is_empty());
        config.enable_sni = name.is_some();
        let name = name.unwrap_or("localhost");
        let name = ServerName::try_from(name.to_owned())
            .map_err(|_| TlsError::Settings(format!("`{name}` can't be a server's name; set `tls.serverName`")))?;
        Ok(Self { config: Arc::new(config), name })
    }

    /// Speaks the handshake with a node. The caller bounds its time; dropping the future closes the connection.
    ///
    /// # Errors
    /// When the node doesn't speak TLS, or isn't who it must be.
    pub async fn connect(&self, conn: Buffered) -> io::Result<Stream> {
        self.connect_for_protocol(conn).await.map(|(stream, _)| stream)
    }

    /// As [`connect`](Self::connect): the connection, and the application protocol that was agreed on, if any.
    pub(crate) async fn connect_for_protocol(&self, mut conn: Buffered) -> io::Result<(Stream, Option<Vec<u8>>)> {
        let (local, peer) = (conn.stream.local_addr(), conn.stream.peer_addr());
        let mut tls = UnbufferedClientConnection::new(Arc::clone(&self.config), self.name.clone()).map_err(invalid)?;
        let step = UnbufferedConnectionCommon::<ClientConnectionData>::process_tls_records;
        let early = shake(&mut *tls, step, &mut conn).await?;
        let protocol = tls.alpn_protocol().map(<[u8]>::to_vec);
        let (secrets, session) = tls.dangerous_into_kernel_connection().map_err(invalid)?;
        let stream = TlsStream::new(conn, Session::Client(session), secrets, early).map_err(invalid)?;
        Ok((Stream::layered(stream, local, peer), protocol))
    }
}
