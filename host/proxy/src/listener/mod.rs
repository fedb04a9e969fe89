//! What accepts client connections.

mod tcp;

pub use tcp::{AcceptError, Accepted, BindError, TcpListener};
