//! smux: many streams in one connection, as GOST's multiplexed transports, binds and tunnels have it (GOST reference,
//! dataplane 5).
//!
//! A [`Session`] owns the connection, and one task reads and writes it; a [`Stream`] is a view of its state. Streams have no
//! tasks, and buffers only while bytes wait.
//!
//! The protocol knows no half-closed streams: an end is that of both directions. What came before it can still be read.

mod config;
mod driver;
mod ended;
mod received;
mod session;
mod shared;
mod state;
mod stream;
#[cfg(test)]
mod tests;

pub use config::{Config, ConfigError, Keepalive};
pub use drawspan_wire::smux::{SmuxError, Version};
pub use ended::Ended;
pub use session::Session;
pub use stream::Stream;
