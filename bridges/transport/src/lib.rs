//! Connections to plugin servers: TCP or a unix socket, in the clear or under TLS. The gRPC and HTTP bridges share it,
//! and so does what fetches components.

mod connector;
mod stream;
mod target;
mod tls;
mod url;

pub use connector::{ConnectError, Connector};
pub use drawspan_tls::{TlsError, native_roots};
pub use stream::{Io, Stream};
pub use target::Target;
pub use tls::TlsSettings;
pub use url::{basic, redacted, target};
