//! What tests of the whole gateway are made of: the gateway itself as a child process, fake plugin servers that behave
//! well or badly on demand, servers for it to proxy to, and a small proxy client.
//!
//! Every server binds port 0 of 127.0.0.1 before it is handed to the test, so nothing has to be waited for. Whatever must
//! be waited for is waited for with a bound ([`within`]), and a helper that can't go on panics and says why. Nothing here
//! shares code with the gateway, so the two can't agree on the same mistake.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test helper stops the test by panicking")]

mod binary;
mod certs;
mod client;
mod dir;
mod dns;
mod gateway;
mod grpc;
mod http_plugin;
mod log;
mod origin;
mod raw;
mod redis;
mod serve;
mod wait;

pub use binary::binary;
pub use certs::{Authority, Leaf};
pub use client::{Head, Reply, Tunnel, basic, connect, exchange, get, open, open_keep_alive};
pub use dir::Dir;
pub use dns::{Dns, DnsAnswer};
pub use gateway::{Finished, Gateway, Signal, most_files, run};
pub use grpc::{GrpcAnswer, GrpcCall, GrpcPlugin};
pub use http_plugin::{HttpAnswer, HttpCall, HttpPlugin};
pub use log::LogLine;
pub use origin::{endless_origin, http_origin, tcp_echo};
pub use raw::{Misbehaviour, Stuck, misbehaving, reset, unused_addr};
pub use redis::Redis;
pub use serve::{Server, Tls};
pub use wait::{PATIENCE, eventually, within};

/// User names and their passwords, as a fake plugin server knows them.
pub type Users = &'static [(&'static str, &'static str)];
