//! Answers any call by one HTTP request, compatible with GOST's HTTP plugins (GOST reference, modules 1.4).
//!
//! [`HttpBridge`] is the transport, written once for all calls. What one call needs beside it (its verb and JSON) is an
//! [`HttpCall`], in `wire/`.

mod bridge;
mod json;
mod wire;

pub use bridge::{HttpBridge, HttpError, HttpSettings};
pub use wire::{HttpCall, Payload};
