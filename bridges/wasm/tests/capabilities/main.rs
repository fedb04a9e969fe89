//! What a component may do once it is granted something, what it may not do even then, and the bounds of both. The guests are
//! `reach`, `outside` and `hostile` of `tests/guests`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops by panicking")]

mod connect;
mod http;
mod limits;
mod log;
mod mounts;
mod origin;
#[path = "../support/mod.rs"]
mod support;
