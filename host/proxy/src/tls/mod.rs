//! TLS on both sides: what a listener shows, what a dialer verifies.

mod certificate;
mod client;
mod generated;
mod handshake;
mod keys;
mod server;
mod stream;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, ring};

pub use client::{ClientSettings, TlsClient};
pub use drawspan_tls::TlsError;
pub use generated::Generated;
pub use rustls::CipherSuite;
pub use server::{Certificate, ServerSettings, TlsServer};

/// Ciphers that come first, as in Go: the quickest.
const FIRST: [CipherSuite; 3] = [
    CipherSuite::TLS13_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
    CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
];

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

impl Options {
    fn provider(&self) -> Arc<CryptoProvider> {
        let mut provider = ring::default_provider();
        // The order of the rest stays.
        provider.cipher_suites.sort_by_key(|suite| !FIRST.contains(&suite.suite()));
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

#[cfg(test)]
mod tests;
