//! The data plane: listeners, handlers and what they share.
//!
//! A [`listener`] accepts, the gateway makes a [`Conn`] of it, a [`handler`] speaks the client's protocol and asks the
//! modules, a [`Router`] connects to the target, and [`net`] moves the bytes.

mod conn;
mod dial;
pub mod handler;
pub mod listener;
pub mod net;

pub use conn::Conn;
pub use dial::{DialError, DialReason, Router};
