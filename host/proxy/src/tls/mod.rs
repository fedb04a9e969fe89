//! TLS on both sides: what a listener shows, what a dialer verifies.

mod client;
mod generated;
mod server;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, SupportedProtocolVersion};

pub use client::{ClientSettings, TlsClient};
pub use generated::Generated;
pub use rustls::CipherSuite;
pub use server::{Certificate, ServerSettings, TlsServer};

/// Versions, ciphers, protocols.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Not TLS 1.2.
    pub no_tls12: bool,
    /// Not TLS 1.3.
    pub no_tls13: bool,
    /// Suites of TLS 1.2; empty: all.
    pub cipher_suites: Vec<CipherSuite>,
    /// Application protocols, best first; empty: none.
    pub alpn: Vec<String>,
}

/// A certificate and its key, PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The chain, the own certificate first.
    pub cert_file: PathBuf,
    /// Its key.
    pub key_file: PathBuf,
}

/// Why TLS can't be set up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be used.
    #[error("{path}: {reason}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Settings don't fit together.
    #[error("{0}")]
    Settings(String),
}

impl Options {
    fn provider(&self) -> Arc<CryptoProvider> {
        let mut provider = ring::default_provider();
        if !self.cipher_suites.is_empty() {
            // Those of TLS 1.3 can't be chosen, as in Go.
            provider
                .cipher_suites
                .retain(|suite| suite.tls13().is_some() || self.cipher_suites.contains(&suite.suite()));
        }
        Arc::new(provider)
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let wanted = [(!self.no_tls12, &rustls::version::TLS12), (!self.no_tls13, &rustls::version::TLS13)];
        wanted.into_iter().filter_map(|(wanted, version)| wanted.then_some(version)).collect()
    }

    fn protocols(&self) -> Vec<Vec<u8>> {
        self.alpn.iter().map(|protocol| protocol.clone().into_bytes()).collect()
    }
}

fn settings(error: rustls::Error) -> TlsError {
    TlsError::Settings(error.to_string())
}

fn unusable(path: &Path, reason: impl ToString) -> TlsError {
    TlsError::File { path: path.to_owned(), reason: reason.to_string() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| unusable(path, error))?;
    if found.is_empty() { Err(unusable(path, "no certificate in it")) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unusable(path, error))
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(path, error))?;
    }
    Ok(roots)
}
