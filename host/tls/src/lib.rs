//! What every TLS of ours is made of, whether it leads to a plugin server, to a node or to a client: PEM files, the system's
//! roots, and the verifier for where GOST verifies less than everything.

mod files;
mod verifier;

use std::path::PathBuf;

pub use files::{certificates, native_roots, private_key, roots};
pub use verifier::AnyName;

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
    /// Settings don't fit together, or there is nothing to verify against.
    #[error("{0}")]
    Settings(String),
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        Self::Settings(error.to_string())
    }
}
