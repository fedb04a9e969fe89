//! Answers any call over gRPC, wire-compatible with GOST's plugin servers (GOST reference, modules 1.3).
//!
//! [`GrpcBridge`] is the transport, written once for all calls. What one call needs beside it (its path and messages) is
//! a [`GrpcCall`], in `wire/`.

mod bridge;
mod channel;
mod message;
mod wire;

pub use bridge::{GrpcBridge, GrpcError, GrpcSettings};
pub use wire::GrpcCall;
