//! Where records are kept without a plugin (GOST reference, modules 4.9): a file, a TCP server, a web server, Redis.
//!
//! Each place is a [`Sink`] behind a [`Queue`], which is a plugin like any other.

mod file;
mod http;
mod queue;
mod redis;
mod tcp;

pub use file::File;
pub use http::{Http, HttpError, HttpSettings};
pub use queue::{Queue, Sink};
pub use redis::{Redis, RedisKind, RedisSettings};
pub use tcp::Tcp;
