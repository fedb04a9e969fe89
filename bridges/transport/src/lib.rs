//! Connections to plugin servers: TCP or a unix socket, in the clear or under TLS. The gRPC and HTTP bridges share it,
//! and so does what fetches components.

mod connector;
mod stream;
mod target;
mod tls;
mod url;

pub use connector::{ConnectError, Connector};
pub use stream::Stream;
pub use target::Target;
pub use tls::{TlsError, TlsSettings};
pub use url::{basic, redacted, target};
