//! Connections to plugin servers: TCP or a unix socket, in the clear or under TLS. The bridges share it.

mod connector;
mod stream;
mod target;
mod tls;

pub use connector::{ConnectError, Connector};
pub use drawspan_tls::{TlsError, native_roots};
pub use stream::{Io, Stream};
pub use target::Target;
pub use tls::TlsSettings;
