//! Tests of the whole gateway: the real executable, with servers that behave well or badly around it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test stops by panicking")]
#![allow(clippy::print_stdout, reason = "a table says which row it is at; shown when a test fails")]

mod backings;
mod cli;
mod client_certificates;
mod config;
mod dns;
mod drain;
mod failures;
mod faults;
mod grants;
mod guest_examples;
mod known;
mod leaks;
mod nameservers;
mod page;
mod plugin_grpc;
mod plugin_http;
mod plugin_new;
mod plugin_tools;
mod plugin_verify;
mod plugin_wasm;
mod policies;
mod recorders;
mod reload;
mod rewriter;
mod routers;
mod routing;
mod served;
mod sniffing;
mod socks;
mod tunnels;
mod udp;
mod users;
mod web;
